//! `Prefer: wait`.

use axum::body::Body;
use fluxus_api::Auth;
use fluxus_postgres::Options;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Answer, Api, api, api_on, with_json};

fn waiting(claim: &Value, wait: &str) -> Request<Body> {
    let mut request = with_json(Method::POST, "/v1/claims", claim);
    request.headers_mut().insert("prefer", wait.parse().expect("a header"));
    request
}

/// Ends the one claim there is as soon as it is there.
async fn end_when_there(api: &Api, tell: impl AsyncFn(&Api)) {
    loop {
        let page = api.get("/v1/claims").await.expect(200).body;
        if let Some(id) = page["claims"][0]["claim_id"].as_str() {
            let id = id.parse().expect("an id");
            api.start(id).await;
            api.end(id).await;
            return tell(api).await;
        }
    }
}

fn check_ended(answer: Answer) {
    let answer = answer.expect(200);
    assert_eq!(answer.header("preference-applied"), "wait=10");
    assert!(answer.header("location").starts_with("/v1/claims/"));
    assert_eq!(answer.body["status"], "SUCCEEDED");
    assert_eq!(answer.body["output"], json!({"done": true}));
}

#[tokio::test]
async fn an_end_in_this_process_is_told_at_once() {
    let api = api().await;
    let request = waiting(&json!({"type": "order.placed"}), "wait=10");
    let tell = async |api: &Api| api.app.waiters().look();
    let (answer, ()) = tokio::join!(api.send(request), end_when_there(&api, tell));
    check_ended(answer);
}

#[tokio::test]
async fn an_end_in_another_process_is_notified() {
    let api = api().await;
    let request = waiting(&json!({"type": "order.placed"}), "wait=10");
    let tell = async |api: &Api| {
        let session = api.store.session().await.expect("a session");
        let notify = format!("NOTIFY {}", fluxus_api::CLAIM_ENDED_CHANNEL);
        session.batch(&notify).await.expect("notifies");
    };
    let (answer, ()) = tokio::join!(api.send(request), end_when_there(&api, tell));
    check_ended(answer);
}

#[tokio::test]
async fn an_end_that_nobody_announced_is_found() {
    for options in [Options::default(), Options::ONE] {
        found_unannounced(&api_on(Auth::Open, options).await).await;
    }
}

async fn found_unannounced(api: &Api) {
    // By now whoever looks for ends has found that nobody waits.
    api.get("/v1/claims").await.expect(200);
    let request = waiting(&json!({"type": "order.placed"}), "wait=10");
    let (answer, ()) = tokio::join!(api.send(request), end_when_there(api, async |_| ()));
    check_ended(answer);
}

#[tokio::test]
async fn a_known_claim_that_has_ended_answers_at_once() {
    let api = api().await;
    let claim = json!({"type": "order.placed", "idempotency_key": "k"});
    let id = api.submit(&claim).await;
    api.start(id).await;
    api.end(id).await;
    let answer = api.send(waiting(&claim, "respond-async, wait=10")).await;
    assert_eq!(answer.body["claim_id"], id.to_string());
    check_ended(answer);
}

#[tokio::test]
async fn a_wait_ends_without_the_end() {
    let api = api().await;
    let answer = api.send(waiting(&json!({"type": "a"}), "wait=1")).await.expect(202);
    assert_eq!(answer.header("preference-applied"), "wait=1");
    assert_eq!(answer.body["status"], "RECEIVED");
    let answer = api.send(waiting(&json!({"type": "a"}), "wait=soon")).await.expect(202);
    assert_eq!(answer.header("preference-applied"), "");
}

#[tokio::test]
async fn many_waits_cost_few_queries() {
    let api = api().await;
    let requests = (0..50).map(|_| api.send(waiting(&json!({"type": "a"}), "wait=1")));
    let before = api.store.database().statements_sent();
    for answer in futures::future::join_all(requests).await {
        answer.expect(202);
    }
    let sent = api.store.database().statements_sent() - before;
    assert!(sent < 50, "{sent} statements for 50 claims that were waited for");
}
