//! The router behind API Gateway: a recorded event of payload format 2.0 goes through.

use axum::body::Body;
use fluxus_api::{ApiKeys, Auth, Gateway, serve};
use fluxus_postgres::Options;
use lambda_http::request::from_str;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::support::{Answer, Api, api, api_on, get, read};

fn event(method: &str, path: &str, query: &str, body: &serde_json::Value) -> String {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {
            "accept": "*/*",
            "content-length": body.to_string().len().to_string(),
            "content-type": "application/json",
            "host": "localhost",
            "idempotency-key": "lambda-1",
            "user-agent": "curl/8.5.0",
            "x-amzn-trace-id": "Root=1-5bb7a6f5-0f2d3c9e8a7b6c5d4e3f2a1b",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "r3pmxmplak",
            "domainName": "r3pmxmplak.execute-api.us-east-2.amazonaws.com",
            "domainPrefix": "r3pmxmplak",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8.5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "10/Mar/2020:05:16:23 +0000",
            "timeEpoch": 1_583_817_383_220_i64,
        },
        "body": body.to_string(),
        "isBase64Encoded": false,
    })
    .to_string()
}

#[tokio::test]
async fn an_event_of_api_gateway_goes_through() {
    let api = api().await;
    let claim = json!({"type": "order.placed", "body": {"grüße": "aus Lambda"}});
    let request = from_str(&event("POST", "/v1/claims", "", &claim)).expect("an event");
    let answer =
        read(api.router.clone().oneshot(request.map(Body::new)).await.expect("infallible"));
    let answer = answer.await.expect(202);
    let path = answer.header("location").to_owned();
    let request = from_str(&event("GET", &path, "", &json!(null))).expect("an event");
    let answer =
        read(api.router.clone().oneshot(request.map(Body::new)).await.expect("infallible"));
    let answer = answer.await.expect(200);
    assert_eq!(answer.body["body"], claim["body"]);
    assert_eq!(answer.body["idempotency_key"], "lambda-1");
    let query = "subject=a%20%26%20b&status=RECEIVED&status=RUNNING";
    let request = from_str(&event("GET", "/v1/claims", query, &json!(null))).expect("an event");
    let answer =
        read(api.router.clone().oneshot(request.map(Body::new)).await.expect("infallible"));
    assert_eq!(answer.await.expect(200).body["claims"], json!([]));
}

/// The sample event, as the function gets it.
fn sample(name: &str) -> serde_json::Value {
    let path = format!("{}/../../tests/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON")
}

async fn answer(api: &Api, event: &serde_json::Value) -> Answer {
    let request = from_str(&event.to_string()).expect("an event");
    read(api.router.clone().oneshot(request.map(Body::new)).await.expect("infallible")).await
}

async fn behind(gateway: Gateway) -> Api {
    api_on(Auth::Gateway(gateway), Options::ONE).await
}

#[tokio::test]
async fn the_sample_events_are_answered_over_one_connection() {
    let keys = ApiKeys::parse("0123456789abcdef:globex").expect("keys");
    let by_token = Gateway::Jwt { tenant_claim: Some("tenant".into()) };
    for (auth, name, tenant) in [
        (Auth::Keys(keys), "api", "globex"),
        (Auth::Gateway(by_token), "api", "acme"),
        (Auth::Gateway(Gateway::Jwt { tenant_claim: None }), "api", "default"),
        (Auth::Gateway(Gateway::Iam), "api-iam", "default"),
    ] {
        let api = api_on(auth, Options::ONE).await;
        let accepted = answer(&api, &sample(name)).await.expect(202);
        let mut event = sample(name);
        event["requestContext"]["http"]["method"] = json!("GET");
        event["rawPath"] = json!(accepted.header("location"));
        event["requestContext"]["http"]["path"] = json!(accepted.header("location"));
        let claim = answer(&api, &event).await.expect(200).body;
        assert_eq!(claim["tenant"], tenant);
        assert_eq!(claim["idempotency_key"], "order-4711");
    }
}

#[tokio::test]
async fn who_was_not_checked_by_the_gateway_is_nobody() {
    let claim = Some("tenant".to_owned());
    let api = behind(Gateway::Jwt { tenant_claim: claim }).await;
    let context = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut event = sample("api");
        change(&mut event["requestContext"]);
        event
    };
    for event in [
        // The route has no authorizer, or another one.
        context(&|context| drop(context.as_object_mut().expect("object").remove("authorizer"))),
        sample("api-iam"),
        // The token does not say whose it is, or nonsense.
        context(&|context| {
            let claims = context["authorizer"]["jwt"]["claims"].as_object_mut();
            claims.expect("object").remove("tenant");
        }),
        context(&|context| context["authorizer"]["jwt"]["claims"]["tenant"] = json!("a b")),
    ] {
        answer(&api, &event).await.problem(401, "unauthenticated");
    }
    let api = behind(Gateway::Iam).await;
    answer(&api, &sample("api")).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn no_header_makes_up_what_the_gateway_found() {
    let context = sample("api-iam")["requestContext"].to_string();
    for gateway in [Gateway::Iam, Gateway::Jwt { tenant_claim: None }] {
        let api = behind(gateway).await;
        let mut request = get("/v1/claims");
        let value = context.parse().expect("a header");
        for name in ["x-amzn-request-context", "x-amzn-lambda-context", "request-context"] {
            request.headers_mut().insert(name, http::HeaderValue::clone(&value));
        }
        let bearer = "Bearer eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJhY21lIn0.".parse();
        request.headers_mut().insert("authorization", bearer.expect("a header"));
        api.send(request).await.problem(401, "unauthenticated");
        // And on a socket it would not listen at all.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let serving = serve(api.app.clone(), listener, CancellationToken::new());
        assert!(serving.await.expect_err("refused").to_string().contains("API Gateway"));
    }
}
