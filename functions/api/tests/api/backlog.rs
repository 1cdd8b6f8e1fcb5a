//! Backpressure: too many claims wait to be evaluated.

use fluxus_api::{ApiKeys, Auth, BacklogBounds};
use fluxus_postgres::Options;
use http::Method;
use serde_json::json;

use crate::support::{Answer, Api, api_bounded, get, with_json};

const ACME: &str = "0123456789abcdef";
const OTHER: &str = "fedcba9876543210";

async fn api(tenant: u64, all: u64) -> Api {
    let keys = ApiKeys::parse(&format!("{ACME}:acme,{OTHER}:other")).expect("keys");
    api_bounded(Auth::Keys(keys), Options::default(), BacklogBounds { tenant, all }).await
}

async fn submit(api: &Api, key: &str, idempotency_key: &str) -> Answer {
    let claim = json!({ "type": "a", "idempotency_key": idempotency_key });
    let mut request = with_json(Method::POST, "/v1/claims", &claim);
    let bearer = format!("Bearer {key}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    api.send(request).await
}

/// Submits until a claim is refused; how many were accepted. A look may miss what comes in beside it,
/// so that is somewhat more than the bound, but never less.
async fn flood(api: &Api, key: &str, bound: usize) -> (usize, Answer) {
    for n in 0..2 * bound + 10 {
        let answer = submit(api, key, &n.to_string()).await;
        if answer.status != 202 {
            return (n, answer.problem(429, "too-many-claims"));
        }
    }
    panic!("no claim is refused");
}

#[tokio::test]
async fn a_flood_is_its_tenants_own_matter() {
    let api = api(5, 100).await;
    let (accepted, refused) = flood(&api, ACME, 5).await;
    assert!(accepted >= 5, "{accepted}");
    let seconds: u32 = refused.header("retry-after").parse().expect("seconds");
    assert!((2..=10).contains(&seconds));
    assert!(refused.detail().contains("the bound is 5"), "{}", refused.detail());
    // What was accepted before is answered as before, and others have room.
    let known = submit(&api, ACME, "3").await.expect(202);
    assert_eq!(known.body["duplicate"], true);
    submit(&api, OTHER, "0").await.expect(202);

    for (key, tenant, refused) in [(ACME, "acme", 1), (OTHER, "other", 0)] {
        let mut request = get("/metrics");
        request.headers_mut().insert("x-api-key", key.parse().expect("a header"));
        let text = api.send(request).await.expect(200).text;
        let counted = format!("fluxus_claims_refused_total{{tenant=\"{tenant}\"}} {refused}\n");
        assert!(text.contains(&counted), "{text}");
        assert!(text.contains("fluxus_claims_backlog_bound{of=\"tenant\"} 5\n"), "{text}");
        assert!(text.contains("fluxus_claims_backlog_bound{of=\"all\"} 100\n"), "{text}");
        let waiting = text.lines().find_map(|line| line.strip_prefix("fluxus_claims_backlog "));
        let waiting: f64 = waiting.expect("a gauge").parse().expect("a number");
        // As far as looks have seen.
        assert!(waiting >= 5.0, "{text}");
    }
}

#[tokio::test]
async fn past_the_bound_for_all_those_who_hold_little_come_in() {
    let api = api(1_000, 100).await;
    let (accepted, refused) = flood(&api, ACME, 100).await;
    assert!(accepted >= 100, "{accepted}");
    assert!(refused.detail().contains("the bound is 100"), "{}", refused.detail());
    // One of a hundred is no little part any more.
    let (accepted, _) = flood(&api, OTHER, 1).await;
    assert!((1..5).contains(&accepted), "{accepted}");
}

#[tokio::test]
async fn looks_are_shared_and_room_comes_back() {
    let api = api(50, 100).await;
    flood(&api, ACME, 50).await;
    let before = api.store.database().statements_sent();
    for _ in 0..100 {
        let claim = json!({ "type": "a" });
        let mut request = with_json(Method::POST, "/v1/claims", &claim);
        let bearer = format!("Bearer {ACME}").parse().expect("a header");
        request.headers_mut().insert("authorization", bearer);
        api.send(request).await.problem(429, "too-many-claims");
    }
    let looks = api.store.database().statements_sent() - before;
    assert!(looks < 20, "{looks} statements for 100 refusals");
    // Another process of the core deals with them.
    let session = api.store.session().await.expect("a session");
    session.batch("DELETE FROM fluxus_queue.message; DELETE FROM claim").await.expect("deletes");
    drop(session);
    let mut again = tokio::time::interval(std::time::Duration::from_millis(20));
    loop {
        again.tick().await;
        if submit(&api, ACME, "again").await.status == 202 {
            break;
        }
    }
}
