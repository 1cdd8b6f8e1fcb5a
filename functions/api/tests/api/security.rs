//! Who may ask.

use axum::body::Body;
use fluxus_api::{ApiKeys, Auth};
use http::{Method, Request};
use serde_json::json;

use crate::support::{Api, api, api_with, with_json};

const ACME: &str = "acme-key-0123456789";
const GLOBEX: &str = "globex-key-0123456789";

async fn keyed() -> Api {
    let keys = ApiKeys::parse(&format!("{ACME}:acme,{GLOBEX}:globex")).expect("keys");
    api_with(Auth::Keys(keys)).await
}

fn get(path: &str, headers: &[(&'static str, &str)]) -> Request<Body> {
    let builder =
        headers.iter().fold(Request::get(path), |b, (name, value)| b.header(*name, *value));
    builder.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn without_a_known_key_nothing_but_the_open_routes_answers() {
    let api = keyed().await;
    let bearer = format!("Bearer {ACME}");
    let basic = format!("Basic {ACME}");
    for path in ["/v1/claims", "/v1/recipes", "/v1/fluxlings", "/metrics", "/nowhere"] {
        for wrong in [
            &[][..],
            &[("authorization", "Bearer wrong")],
            &[("authorization", basic.as_str())],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer wrong"), ("x-api-key", ACME)],
            &[("x-api-key", "")],
        ] {
            let answer = api.send(get(path, wrong)).await.problem(401, "unauthenticated");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
    }
    for right in [[("authorization", bearer.as_str())], [("x-api-key", ACME)]] {
        api.send(get("/v1/claims", &right)).await.expect(200);
    }
    for path in ["/healthz", "/openapi.json"] {
        api.get(path).await.expect(200);
    }
}

#[tokio::test]
async fn a_tenant_sees_its_own() {
    let api = keyed().await;
    let mut request = with_json(Method::POST, "/v1/claims", &json!({"type": "a"}));
    request.headers_mut().insert("x-api-key", ACME.parse().expect("a header"));
    let claim = api.send(request).await.expect(202).body;
    let path = format!("/v1/claims/{}", claim["claim_id"].as_str().expect("an id"));
    let own = api.send(get(&path, &[("x-api-key", ACME)])).await.expect(200);
    assert_eq!(own.body["tenant"], "acme");
    for path in [path.clone(), format!("{path}/history"), format!("{path}/explain")] {
        let other = api.send(get(&path, &[("x-api-key", GLOBEX)])).await;
        other.problem(404, "claim-does-not-exist");
    }
    let list = api.send(get("/v1/claims", &[("x-api-key", GLOBEX)])).await.expect(200);
    assert_eq!(list.body["claims"], json!([]));
    let metrics = api.send(get("/metrics", &[("x-api-key", GLOBEX)])).await.expect(200);
    assert!(!metrics.text.contains("acme"));
}

#[tokio::test]
async fn an_open_api_does_not_answer_web_pages() {
    let api = api().await;
    for foreign in [
        &[("host", "evil.example")][..],
        &[("host", "127.0.0.1.evil.example:7070")],
        &[("host", "localhost:7070"), ("origin", "https://evil.example")],
        &[("host", "localhost:7070"), ("origin", "http://localhost:3000")],
        &[("host", "localhost:7070"), ("origin", "null")],
    ] {
        for path in ["/v1/claims", "/healthz", "/nowhere"] {
            api.send(get(path, foreign)).await.problem(403, "forbidden");
        }
    }
    let own = [("host", "localhost:7070"), ("origin", "http://localhost:7070")];
    api.send(get("/v1/claims", &own)).await.expect(200);
}

#[tokio::test]
async fn with_keys_any_host_is_served() {
    let api = keyed().await;
    let headers = [("host", "api.example"), ("origin", "https://app.example"), ("x-api-key", ACME)];
    api.send(get("/v1/claims", &headers)).await.expect(200);
}
