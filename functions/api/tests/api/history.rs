//! Histories in pages.

use fluxus_schema::history::EventKind;
use fluxus_schema::{BranchId, ClaimId, HybridTime, Tenant};
use fluxus_store::{Changes, HistoryRow};
use serde_json::{Value, json};

use crate::support::{Api, api, now};

/// Ten steps of three events each, the second of them ours, each event caused by the one before.
async fn record(api: &Api, claim_id: ClaimId) {
    let mut at = HybridTime::default();
    let history = (1..=10).map(|revision| {
        at = at.next(now());
        let previous = |position: u32| match (revision, position) {
            (1, 0) => Value::Null,
            (_, 0) => json!(format!("/#{}:2", revision - 1)),
            (_, 2) => json!(format!("/#{revision}:0")),
            _ => json!(format!("/#{revision}:{}", position - 1)),
        };
        let event = |kind: EventKind, position, details: Value| {
            json!({"type": kind, "prev": previous(position), "d": details})
        };
        let events = json!([
            event(EventKind::TaskStateEntered, 0, json!({"name": "A", "input": {"n": revision}})),
            event(EventKind::TaskDelegated, 1, json!({"capability": "a", "reason": "r", "candidates": []})),
            event(EventKind::TaskStateExited, 2, json!({"name": "A", "output": [revision]})),
        ]);
        HistoryRow {
            claim_id,
            tenant: Tenant::default(),
            branch_id: BranchId::root(),
            revision,
            part: 0,
            at,
            events: events.to_string(),
        }
    });
    let history = history.collect();
    api.save(&Changes { history, ..Changes::default() }).await;
}

async fn read(api: &Api, path: &str, more: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("{path}?{more}{cursor}")).await.expect(200).body;
        events.extend(page["events"].as_array().expect("events").iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return events };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn ids_are_consecutive_over_pages_of_any_size() {
    let api = api().await;
    let claim_id = api.submit(&json!({"type": "a"})).await;
    let path = format!("/v1/claims/{claim_id}/history");
    assert_eq!(api.get(&path).await.expect(200).body, json!({"events": []}));
    record(&api, claim_id).await;
    for (ours, count) in [("", 30), ("&service_events_only=true", 20)] {
        let whole = read(&api, &path, &format!("limit=1000{ours}")).await;
        let ids: Vec<_> = whole.iter().map(|event| event["id"].as_u64().expect("an id")).collect();
        assert_eq!(ids, (1..=count).collect::<Vec<_>>());
        for size in [1, 4, 7, count] {
            assert_eq!(read(&api, &path, &format!("limit={size}{ours}")).await, whole, "{size}");
        }
    }
    let all = read(&api, &path, "limit=1000").await;
    assert_eq!(all[3]["previousEventId"], 3);
    assert_eq!(all[0]["stateEnteredEventDetails"]["input"], "{\"n\":1}");
    assert_eq!(all[1]["taskDelegatedEventDetails"]["reason"], "r");
}

#[tokio::test]
async fn a_cursor_holds_for_its_own_counting_only() {
    let api = api().await;
    let claim_id = api.submit(&json!({"type": "a"})).await;
    record(&api, claim_id).await;
    let path = format!("/v1/claims/{claim_id}/history");
    let page = api.get(&format!("{path}?limit=2")).await.expect(200).body;
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let other = api.get(&format!("{path}?service_events_only=true&cursor={cursor}")).await;
    other.problem(400, "invalid-parameter");
    api.get("/v1/claims/01890a5d-ac96-774b-bcce-b302099a8057/history")
        .await
        .problem(404, "claim-does-not-exist");
}
