//! The router behind API Gateway: a recorded event of payload format 2.0 goes through.

use axum::body::Body;
use lambda_http::request::from_str;
use serde_json::json;
use tower::ServiceExt as _;

use crate::support::{api, read};

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
