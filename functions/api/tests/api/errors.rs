//! Every request that cannot be read is refused with a problem that says why.

use axum::body::Body;
use fluxus_schema::limits::{MAX_PAYLOAD_BYTES, MAX_REQUEST_BYTES};
use http::{Method, Request};
use serde_json::json;

use crate::support::{api, with_json};

fn post(body: impl Into<Body>, media: &str) -> Request<Body> {
    let builder = Request::post("/v1/claims").header("content-type", media);
    builder.body(body.into()).expect("a request")
}

#[tokio::test]
async fn a_body_that_is_not_json_is_located() {
    let api = api().await;
    let answer = api.send(post("{\n  \"type\": oops}", "application/json")).await;
    let answer = answer.problem(400, "malformed-json");
    assert!(answer.detail().contains("line 2 column"), "{}", answer.text);
    api.send(post("", "application/json")).await.problem(400, "malformed-json");
    api.send(post("{} {}", "application/json")).await.expect(422);
    api.send(post("{\"type\":\"a\"} x", "application/json")).await.problem(400, "malformed-json");
    api.send(post(vec![b'"', 0xff, b'"'], "application/json")).await.problem(400, "malformed-json");
}

#[tokio::test]
async fn a_document_of_another_shape_is_located() {
    let api = api().await;
    for (body, said) in [
        (r#"{"type": "a", "bodi": 1}"#, "bodi"),
        ("{}", "type"),
        (r#"{"type": "a b"}"#, "claim type"),
        (r#"{"type": "a", "deadline": "soon"}"#, "column"),
        ("[]", "column"),
    ] {
        let answer = api.send(post(body, "application/json")).await;
        let answer = answer.problem(422, "invalid-document");
        assert!(answer.detail().contains(said), "{body}: {}", answer.text);
    }
}

#[tokio::test]
async fn only_json_is_read() {
    let api = api().await;
    let body = r#"{"type":"a"}"#;
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        api.send(post(body, media)).await.problem(415, "unsupported-media-type");
    }
    for media in ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"] {
        api.send(post(body, media)).await.expect(202);
    }
}

#[tokio::test]
async fn size_and_nesting_are_bounded() {
    let api = api().await;
    let large = format!(r#"{{"type":"a","body":"{}"}}"#, "x".repeat(MAX_REQUEST_BYTES));
    let answer = api.send(post(large.clone(), "application/json")).await;
    let refused = answer.problem(413, "body-too-large");
    let bound = "the bound is 6291456 for a claim's body";
    let said = format!("the request has more than 6356992 bytes; {bound}");
    assert!(refused.detail().starts_with(&said), "{}", refused.detail());
    let mut announced = post("{}", "application/json");
    announced.headers_mut().insert("content-length", "9999999".parse().expect("a header"));
    api.send(announced).await.problem(413, "body-too-large");
    let chunks = large.into_bytes().chunks(10_000).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let stream = futures::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>));
    let streamed = post(Body::from_stream(stream), "application/json");
    api.send(streamed).await.problem(413, "body-too-large");
    let payload = |bytes: usize| json!({"type": "a", "body": "x".repeat(bytes - 2)});
    let answer = api.post("/v1/claims", &payload(MAX_PAYLOAD_BYTES + 1)).await;
    assert!(answer.problem(413, "body-too-large").detail().ends_with(bound));
    api.post("/v1/claims", &payload(MAX_PAYLOAD_BYTES)).await.expect(202);
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        post(format!(r#"{{"type":"a","body":{open}{close}}}"#), "application/json")
    };
    api.send(nested(100)).await.expect(202);
    api.send(nested(101)).await.problem(400, "nesting-too-deep");
    api.send(nested(100_000)).await.problem(400, "nesting-too-deep");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let api = api().await;
    let parts = [Ok(b"{".to_vec()), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures::stream::iter(parts));
    api.send(post(body, "application/json")).await.problem(400, "incomplete-body");
}

#[tokio::test]
async fn large_headers_are_refused() {
    let api = api().await;
    let mut request = with_json(Method::POST, "/v1/claims", &json!({"type": "a"}));
    request.headers_mut().insert("x-large", "x".repeat(20_000).parse().expect("a header"));
    api.send(request).await.problem(431, "headers-too-large");
    let long = format!("/v1/claims?subject={}", "x".repeat(20_000));
    api.get(&long).await.problem(431, "headers-too-large");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let api = api().await;
    for path in ["/", "/v1", "/v1/claim", "/v2/claims", "/v1/claims/"] {
        api.get(path).await.problem(404, "not-found");
    }
    let delete = Request::delete("/v1/claims").body(Body::empty()).expect("a request");
    let answer = api.send(delete).await.problem(405, "method-not-allowed");
    let allow = answer.header("allow");
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    let put = with_json(Method::PUT, "/healthz", &json!({}));
    assert_eq!(api.send(put).await.problem(405, "method-not-allowed").header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let api = api().await;
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("status=DONE", "status"),
        ("type=a%20b", "type"),
        ("received_from=yesterday", "received_from"),
        ("cursor=nonsense", "cursor"),
        ("subject=a&subject=b", "subject"),
        ("subject=%00", "subject"),
        ("attribute.a=%00", "attribute.a"),
        ("statsu=RUNNING", "statsu"),
    ] {
        let answer = api.get(&format!("/v1/claims?{query}")).await;
        let answer = answer.problem(400, "invalid-parameter");
        assert!(answer.detail().contains(&format!("`{name}`")), "{}", answer.text);
    }
    for path in ["/v1/claims/seven", "/v1/recipes/a%20b", "/v1/recipes/a/versions/x"] {
        api.get(path).await.problem(400, "invalid-parameter");
    }
    let recipe =
        api.get("/v1/claims/01890a5d-ac96-774b-bcce-b302099a8057/history?limit=1001").await;
    recipe.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn without_a_database_clients_are_told_to_come_again() {
    let api = api().await;
    api.store.database().close().await;
    for path in ["/healthz", "/v1/claims", "/metrics"] {
        let answer = api.get(path).await.problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "1");
    }
    api.post("/v1/claims", &json!({"type": "a"})).await.problem(503, "unavailable");
}
