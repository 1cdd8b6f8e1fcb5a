//! Group commit: many at a time, each once, a bad one alone.

use std::collections::HashMap;

use futures::future::join_all;
use http::Method;
use serde_json::json;

use crate::support::{api, with_json};

#[tokio::test]
async fn a_hundred_requests_with_ten_keys_make_ten_claims() {
    let api = api().await;
    let requests = (0..100).map(|number| {
        let claim = json!({"type": "a", "idempotency_key": format!("key-{}", number % 10)});
        api.send(with_json(Method::POST, "/v1/claims", &claim))
    });
    let mut by_id: HashMap<String, Vec<bool>> = HashMap::new();
    for answer in join_all(requests).await {
        let body = answer.expect(202).body;
        let id = body["claim_id"].as_str().expect("an id").to_owned();
        by_id.entry(id).or_default().push(body["duplicate"].as_bool().expect("a bool"));
    }
    assert_eq!(by_id.len(), 10);
    for duplicates in by_id.values() {
        assert_eq!(duplicates.len(), 10);
        assert_eq!(duplicates.iter().filter(|duplicate| !**duplicate).count(), 1);
    }
    assert_eq!(api.messages().await.len(), 10);
}

#[tokio::test]
async fn claims_that_arrive_together_share_transactions() {
    let api = api().await;
    let before = api.store.database().statements_sent();
    let claim = json!({"type": "a"});
    let requests = (0..100).map(|_| api.post("/v1/claims", &claim));
    for answer in join_all(requests).await {
        answer.expect(202);
    }
    let sent = api.store.database().statements_sent() - before;
    // Alone, each claim costs two statements.
    assert!(sent < 50, "{sent} statements for 100 claims");
}

#[tokio::test]
async fn a_bad_claim_does_not_fail_its_neighbours() {
    let api = api().await;
    // A constraint that only the database knows stands for a claim that it cannot store.
    let session = api.store.session().await.expect("a session");
    session
        .batch("ALTER TABLE claim ADD CONSTRAINT bad CHECK (subject <> 'bad')")
        .await
        .expect("alters");
    let requests = (0..20).map(|number| {
        let subject = if number == 7 { "bad" } else { "good" };
        let claim = json!({"type": "a", "subject": subject});
        api.send(with_json(Method::POST, "/v1/claims", &claim))
    });
    for (number, answer) in join_all(requests).await.into_iter().enumerate() {
        if number == 7 {
            let answer = answer.problem(500, "internal");
            assert!(answer.detail().contains(answer.header("x-request-id")), "{}", answer.text);
            assert!(!answer.text.contains("constraint"), "{}", answer.text);
        } else {
            answer.expect(202);
        }
    }
    assert_eq!(api.messages().await.len(), 19);
}

#[tokio::test]
async fn what_was_taken_in_is_written_at_shutdown() {
    let api = api().await;
    let claim = json!({"type": "a"});
    let requests = join_all((0..50).map(|_| api.post("/v1/claims", &claim)));
    let app = api.app.clone();
    let (answers, ()) = tokio::join!(requests, async move {
        tokio::task::yield_now().await;
        app.shutdown().await;
    });
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    assert!(answers.iter().all(|answer| [202, 503].contains(&answer.status)));
    assert_eq!(api.messages().await.len(), accepted);
    api.post("/v1/claims", &claim).await.problem(503, "unavailable");
}
