//! `lambda.invoke` and `lambda.call` against an endpoint on this machine.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use fluxling::TaskError;
use fluxling_lambda::{Endpoint, fluxling};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What the endpoint was asked.
#[derive(Debug, PartialEq)]
struct Asked {
    function: String,
    qualifier: Option<String>,
    kind: String,
    body: String,
}

type Asks = mpsc::UnboundedSender<Asked>;

async fn answer(
    State(asks): State<Asks>,
    Path(function): Path<String>,
    Query(mut query): Query<std::collections::HashMap<String, String>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let kind = headers["x-amz-invocation-type"].to_str().unwrap().to_owned();
    let qualifier = query.remove("Qualifier");
    let version = [("X-Amz-Executed-Version", "3"), ("x-amzn-RequestId", "r-1")];
    let response = match function.as_str() {
        "fails" => {
            let failure = r#"{"errorMessage":"too small","errorType":"ValueError"}"#;
            (version, [("X-Amz-Function-Error", "Unhandled")], failure).into_response()
        }
        "fails-namelessly" => {
            (version, [("X-Amz-Function-Error", "Unhandled")], "{}").into_response()
        }
        "absent" => {
            let error = [("x-amzn-ErrorType", "ResourceNotFoundException:http://internal")];
            (StatusCode::NOT_FOUND, error, r#"{"Message":"Function not found"}"#).into_response()
        }
        "babbles" => (version, "no JSON").into_response(),
        "queued" => (StatusCode::ACCEPTED, version).into_response(),
        _ => (version, format!(r#"{{"got": {body}}}"#)).into_response(),
    };
    asks.send(Asked { function, qualifier, kind, body }).unwrap();
    response
}

/// The address of an endpoint that speaks Lambda's protocol, and what it is asked.
async fn lambda() -> (String, mpsc::UnboundedReceiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asks, asked) = mpsc::unbounded_channel();
    let routes = Router::new()
        .route("/2015-03-31/functions/{function}/invocations", post(answer))
        .with_state(asks);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (format!("http://{address}/"), asked)
}

async fn call(url: &str, capability: &str, input: Value) -> Result<Value, TaskError> {
    fluxling(Arc::new(Endpoint::new(url).unwrap())).call(capability, input).await
}

#[tokio::test]
async fn a_function_is_invoked_and_answers_as_the_integration_does() {
    let (url, mut asked) = lambda().await;
    let input = json!({ "FunctionName": "arn:aws:lambda:eu-west-1:1:function:resize",
        "Payload": { "image": 7 }, "Qualifier": "live" });
    let output = call(&url, "lambda.invoke", input.clone()).await.unwrap();
    let expected = json!({
        "ExecutedVersion": "3",
        "Payload": { "got": { "image": 7 } },
        "SdkHttpMetadata": { "HttpStatusCode": 200 },
        "SdkResponseMetadata": { "RequestId": "r-1" },
        "StatusCode": 200,
    });
    assert_eq!(output, expected);
    let expected = Asked {
        function: "arn:aws:lambda:eu-west-1:1:function:resize".to_owned(),
        qualifier: Some("live".to_owned()),
        kind: "RequestResponse".to_owned(),
        body: r#"{"image":7}"#.to_owned(),
    };
    assert_eq!(asked.try_recv().unwrap(), expected);
    let output = call(&url, "lambda.call", input).await.unwrap();
    assert_eq!(output, json!({ "got": { "image": 7 } }));
}

#[tokio::test]
async fn what_is_not_waited_for_gives_nothing_back() {
    let (url, mut asked) = lambda().await;
    let input = json!({ "FunctionName": "queued", "InvocationType": "Event" });
    let output = call(&url, "lambda.invoke", input).await.unwrap();
    assert_eq!((&output["StatusCode"], &output["Payload"]), (&json!(202), &json!(null)));
    let asked = asked.try_recv().unwrap();
    assert_eq!((asked.kind.as_str(), asked.body.as_str()), ("Event", "{}"));
}

#[tokio::test]
async fn failures_have_the_names_that_recipes_match() {
    let (url, _asked) = lambda().await;
    let gone = "http://127.0.0.1:9";
    let long = "x".repeat(4_000);
    for (url, input, name, cause) in [
        (
            url.as_str(),
            json!({ "FunctionName": "fails" }),
            "ValueError",
            r#"{"errorMessage":"too small","errorType":"ValueError"}"#,
        ),
        (&url, json!({ "FunctionName": "fails-namelessly" }), "Lambda.Unknown", "{}"),
        (
            &url,
            json!({ "FunctionName": "absent" }),
            "Lambda.ResourceNotFoundException",
            "Function not found",
        ),
        (&url, json!({ "FunctionName": "babbles" }), "Lambda.SdkClientException", "no JSON"),
        (gone, json!({ "FunctionName": "f" }), "Lambda.SdkClientException", "cannot invoke"),
        (&url, json!({ "FunctionName": "" }), "Lambda.InvalidRequest", "FunctionName"),
        (
            &url,
            json!({ "FunctionName": "f", "ClientContext": "e30" }),
            "Lambda.InvalidRequest",
            "ClientContext is not JSON",
        ),
        (
            &url,
            json!({ "FunctionName": "f", "ClientContext": long }),
            "Lambda.InvalidRequest",
            "the bound is 3583",
        ),
    ] {
        let error = call(url, "lambda.invoke", input.clone()).await.unwrap_err();
        assert_eq!(error.name(), name, "{input} {error}");
        assert!(error.cause().contains(cause), "{input} {error}");
    }
}

#[test]
fn an_endpoint_is_an_address() {
    for wrong in ["", "lambda", "mailto:lambda@example.com"] {
        assert!(Endpoint::new(wrong).is_err(), "{wrong}");
    }
}
