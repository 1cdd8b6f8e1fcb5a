//! Submitting, reading, listing and cancelling claims.

use axum::body::Body;
use fluxus_schema::ClaimStatus;
use fluxus_schema::message::CoreMessage;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{api, with_json};

#[tokio::test]
async fn a_claim_is_accepted_with_its_message_and_read_back() {
    let api = api().await;
    let claim = json!({
        "type": "order.placed", "subject": "order-7", "body": {"total": 12.5, "lines": [1, 2]},
        "priority": 3, "attributes": {"region": "eu"}, "deadline": "2099-01-01T00:00:00Z",
    });
    let answer = api.post("/v1/claims", &claim).await.expect(202);
    let id = answer.body["claim_id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), format!("/v1/claims/{id}"));
    assert_eq!(
        (&answer.body["status"], &answer.body["duplicate"]),
        (&json!("RECEIVED"), &json!(false))
    );
    let claim_id = id.parse().expect("an id");
    assert_eq!(api.messages().await, [CoreMessage::ClaimSubmitted { claim_id }]);
    let read = api.get(&format!("/v1/claims/{id}")).await.expect(200).body;
    for field in ["type", "subject", "body", "priority", "attributes"] {
        assert_eq!(read[field], claim[field], "{field}");
    }
    assert_eq!(read["tenant"], "default");
}

#[tokio::test]
async fn the_same_key_gives_the_same_claim() {
    let api = api().await;
    let claim = json!({"type": "order.placed", "body": 1});
    let keyed = |key: &str| {
        let mut request = with_json(Method::POST, "/v1/claims", &claim);
        request.headers_mut().insert("idempotency-key", key.parse().expect("a header"));
        request
    };
    let first = api.send(keyed("a")).await.expect(202).body;
    let again = api.send(keyed("\"a\"")).await.expect(202).body;
    assert_eq!(first["claim_id"], again["claim_id"]);
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    let in_body = json!({"type": "order.placed", "body": 1.0, "idempotency_key": "a"});
    let third = api.post("/v1/claims", &in_body).await.expect(202).body;
    assert_eq!(first["claim_id"], third["claim_id"]);
    assert_eq!(api.messages().await.len(), 1);
    let mut both = with_json(Method::POST, "/v1/claims", &in_body);
    both.headers_mut().insert("idempotency-key", "b".parse().expect("a header"));
    api.send(both).await.problem(400, "invalid-header");
}

#[tokio::test]
async fn a_key_is_one_claims_only() {
    let api = api().await;
    let claim = |kind: &str, subject: Option<&str>, body: Value| json!({"type": kind, "subject": subject, "body": body, "idempotency_key": "order-7"});
    let large = "x".repeat(300_000);
    let body = json!({"a": [1, {"b": null}], "large": large, "c": "é"});
    let known = claim("order.placed", Some("ines"), body.clone());
    let id = api.submit(&known).await;
    // Written in another way: the same.
    let same = r#"{"c":"\u00e9","large":"LARGE","a":[1.0,{"b":null}]}"#.replace("LARGE", &large);
    let text = format!(
        r#"{{"body":{same},"type":"order.placed","subject":"ines","idempotency_key":"order-7"}}"#
    );
    let request = Request::post("/v1/claims").header("content-type", "application/json");
    let again = api.send(request.body(Body::from(text)).expect("a request")).await.expect(202).body;
    assert_eq!((&again["claim_id"], &again["duplicate"]), (&json!(id), &json!(true)));

    for (other, part) in [
        (claim("order.cancelled", Some("ines"), body.clone()), "type"),
        (claim("order.placed", None, body), "subject"),
        (claim("order.placed", Some("ines"), json!({"a": [1]})), "body"),
    ] {
        let refused = api.post("/v1/claims", &other).await.problem(422, "idempotency-key-reused");
        let said = format!("that of claim {id}, whose {part} is another");
        assert!(refused.detail().contains(&said), "{}", refused.detail());
    }
    assert_eq!(api.messages().await.len(), 1);
    let before = api.store.database().statements_sent();
    api.submit(&json!({"type": "order.placed", "idempotency_key": "order-8"})).await;
    let new = api.store.database().statements_sent() - before;
    let before = api.store.database().statements_sent();
    api.post("/v1/claims", &known).await.expect(202);
    let duplicate = api.store.database().statements_sent() - before;
    assert!(duplicate <= new + 2, "{duplicate} statements, and {new} for a new one");
}

#[tokio::test]
async fn a_deadline_that_is_over_is_refused_where_the_claim_is_new() {
    let api = api().await;
    let over = json!({"type": "a", "deadline": "2001-01-01T00:00:00Z", "idempotency_key": "k"});
    let refused = api.post("/v1/claims", &over).await.problem(422, "invalid-claim");
    assert_eq!(refused.pointers(), ["/deadline"]);
    let mut in_time = over.clone();
    in_time["deadline"] = json!("2999-01-01T00:00:00Z");
    api.post("/v1/claims", &in_time).await.expect(202);
    let again = api.post("/v1/claims", &over).await.expect(202);
    assert_eq!(again.body["duplicate"], true, "the answer to the first may have been lost");
}

#[tokio::test]
async fn every_broken_bound_of_a_claim_is_named() {
    let api = api().await;
    let claim = json!({
        "type": "order.placed", "priority": 99, "subject": "s".repeat(300), "idempotency_key": "",
        "attributes": {"zero": "\u{0}"},
    });
    let answer = api.post("/v1/claims", &claim).await.problem(422, "invalid-claim");
    let pointers = answer.pointers();
    for pointer in ["/priority", "/subject", "/idempotency_key", "/attributes"] {
        assert!(pointers.contains(&pointer), "{pointers:?}");
    }
    assert!(api.messages().await.is_empty());
}

#[tokio::test]
async fn lists_filter_by_everything() {
    let api = api().await;
    for (kind, subject, region) in
        [("a", "x", "eu"), ("a", "y", "us"), ("b", "x", "eu"), ("b", "y & z", "eu")]
    {
        let claim =
            json!({"type": kind, "subject": subject, "attributes": {"region": region, "n": "1"}});
        api.submit(&claim).await;
    }
    let started = api.submit(&json!({"type": "order.placed"})).await;
    api.start(started).await;
    for (query, count) in [
        ("", 5),
        ("type=a", 2),
        ("subject=x", 2),
        ("subject=y%20%26%20z", 1),
        ("attribute.region=eu", 3),
        ("attribute.region=eu&attribute.n=1&type=b&subject=x", 1),
        ("attribute.region=eu&attribute.n=2", 0),
        ("status=RECEIVED", 4),
        ("status=RUNNING&status=FAILED", 1),
        ("status=RECEIVED,RUNNING", 5),
        ("recipe=order-saga", 1),
        ("recipe=other", 0),
        ("received_from=2001-01-01T00:00:00Z", 5),
        ("received_to=2001-01-01T00:00:00Z", 0),
        ("received_from=2001-01-01T00:00:00%2B01:00&received_to=2099-01-01T00:00:00Z", 5),
    ] {
        let page = api.get(&format!("/v1/claims?{query}")).await.expect(200).body;
        assert_eq!(page["claims"].as_array().expect("claims").len(), count, "{query}");
    }
}

#[tokio::test]
async fn a_cursor_is_stable_while_claims_come_in() {
    let api = api().await;
    let mut known = Vec::new();
    for number in 0..7 {
        known.push(api.submit(&json!({"type": "a", "body": number})).await.to_string());
    }
    known.sort();
    known.reverse();
    let mut seen = Vec::new();
    let mut path = "/v1/claims?type=a&limit=3".to_owned();
    loop {
        let page = api.get(&path).await.expect(200).body;
        let claims = page["claims"].as_array().expect("claims").clone();
        seen.extend(
            claims.iter().map(|claim| claim["claim_id"].as_str().expect("an id").to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/claims?type=a&limit=3&cursor={cursor}");
        api.submit(&json!({"type": "a", "body": "late"})).await;
    }
    assert_eq!(seen, known);
}

#[tokio::test]
async fn a_claim_is_cancelled_until_it_has_ended() {
    let api = api().await;
    let claim_id = api.submit(&json!({"type": "order.placed"})).await;
    api.start(claim_id).await;
    let path = format!("/v1/claims/{claim_id}/cancel");
    let answer = api.post(&path, &json!({"error": "Unwanted", "cause": "changed my mind"})).await;
    assert_eq!(answer.expect(202).body["status"], "RUNNING");
    let stopped = CoreMessage::Stopped {
        claim_id,
        status: ClaimStatus::Aborted,
        error: Some("Unwanted".into()),
        cause: Some("changed my mind".into()),
        redrive_count: Some(0),
    };
    assert_eq!(api.messages().await.last(), Some(&stopped));
    let empty = Request::post(&path).body(Body::empty()).expect("a request");
    api.send(empty).await.expect(202);
    let long = json!({"error": "e".repeat(257)});
    assert_eq!(
        api.post(&path, &long).await.problem(422, "invalid-document").pointers(),
        ["/error"]
    );
    api.end(claim_id).await;
    let late = api.post(&path, &Value::Object(serde_json::Map::new())).await;
    assert!(late.problem(409, "claim-has-ended").detail().contains("SUCCEEDED"));
    let unknown = "/v1/claims/01890a5d-ac96-774b-bcce-b302099a8057/cancel";
    api.post(unknown, &json!({})).await.problem(404, "claim-does-not-exist");
}

#[tokio::test]
async fn a_valid_trace_context_is_stored_with_the_claim() {
    let api = api().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = with_json(Method::POST, "/v1/claims", &json!({"type": "a"}));
    request.headers_mut().insert("traceparent", trace.parse().expect("a header"));
    let id = api.send(request).await.expect(202).body["claim_id"].as_str().expect("id").to_owned();
    let session = api.store.session().await.expect("a session");
    let ids = [id.parse().expect("an id")];
    let rows = fluxus_store::claim::find(&session, &fluxus_schema::Tenant::default(), &ids).await;
    assert_eq!(rows.expect("rows")[0].traceparent.as_deref(), Some(trace));
}
