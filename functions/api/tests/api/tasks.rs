//! Answers to tasks, and what a claim is said to wait for.

use std::sync::Arc;

use axum::body::Body;
use fluxus_machine::Branch;
use fluxus_schema::delegation::Delegation;
use fluxus_schema::history::{Event, EventKind};
use fluxus_schema::id::TaskAddress;
use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{BranchId, ClaimId, HybridTime, TaskToken, Tenant};
use fluxus_store::{BranchRow, BranchStatus, Changes, HistoryRow};
use http::Request;
use serde_json::json;

use crate::support::{Api, api, now};

/// A running claim whose root branch waits for a fluxling, delegated to `payments-eu`.
pub async fn waiting(api: &Api) -> (ClaimId, TaskToken) {
    let claim_id = api.submit(&json!({"type": "order.placed"})).await;
    api.start(claim_id).await;
    let _submitted = api.messages().await;
    let branch_id = BranchId::root();
    let address = TaskAddress { claim_id, branch_id: branch_id.clone(), revision: 1 };
    let token = TaskToken::new(&address, 42);
    let at = HybridTime::default().next(now());
    let branch = json!({
        "id": "/", "revision": 1, "at": at, "events": 2,
        "status": {
            "is": "awaiting_task",
            "visit": {"state": "Refund", "input": {}, "entered_at": now(), "entered_event": 2},
            "task": {"token": token, "capability": "payments.refund", "scheduled_at": now()},
        },
    });
    let _checked: Branch = serde_json::from_value(branch.clone()).expect("a branch");
    let row = BranchRow {
        claim_id,
        branch_id: branch_id.clone(),
        tenant: Tenant::default(),
        parent: None,
        parent_revision: 0,
        position: 0,
        revision: 1,
        status: BranchStatus::Open,
        failed: false,
        state: branch.to_string(),
        unserved: None,
        changed_at: at,
    };
    let delegation = Delegation {
        capability: "payments.refund".parse().expect("a name"),
        fluxling: Some("payments-eu".parse().expect("a name")),
        reason: "the only one".into(),
        candidates: Vec::new(),
    };
    let event = json!([{"type": EventKind::TaskDelegated, "d": delegation}]);
    let _checked: Vec<Event> = serde_json::from_value(event.clone()).expect("events");
    let history = HistoryRow {
        claim_id,
        tenant: Tenant::default(),
        branch_id,
        revision: 1,
        part: 0,
        at,
        events: event.to_string(),
    };
    let changes = Changes { insert: vec![row], history: vec![history], ..Changes::default() };
    api.save(&changes).await;
    (claim_id, token)
}

#[tokio::test]
async fn whoever_holds_the_token_answers() {
    let api = api().await;
    let (_, token) = waiting(&api).await;
    let path = format!("/v1/tasks/{token}");
    api.post(&format!("{path}/succeed"), &json!({"output": {"id": 7}})).await.expect(202);
    let failure = json!({"error": "Refused", "cause": "no money"});
    api.post(&format!("{path}/fail"), &failure).await.expect(202);
    let beat = Request::post(format!("{path}/heartbeat")).body(Body::empty()).expect("a request");
    api.send(beat).await.expect(202);
    let output = Arc::new(json!({"id": 7}));
    let (error, cause) = ("Refused".to_owned(), "no money".to_owned());
    let expected = [
        CoreMessage::TaskSucceeded { token: token.clone(), output, report: None },
        CoreMessage::TaskFailed { token: token.clone(), error, cause, report: None },
        CoreMessage::TaskHeartbeat { token },
    ];
    assert_eq!(api.messages().await, expected);
}

#[tokio::test]
async fn other_tokens_are_refused() {
    let api = api().await;
    let (claim_id, token) = waiting(&api).await;
    let body = json!({"output": null});
    let mut address = token.address().expect("an address");
    for wrong in [
        TaskToken::new(&address, 43),
        TaskToken::new(&TaskAddress { revision: 2, ..address.clone() }, 42),
        TaskToken::new(
            &TaskAddress { branch_id: BranchId::root().child(1, 0), ..address.clone() },
            42,
        ),
    ] {
        let path = format!("/v1/tasks/{wrong}/succeed");
        api.post(&path, &body).await.problem(404, "task-does-not-exist");
    }
    address.claim_id = ClaimId::new(now(), &[1; 10]);
    let elsewhere = TaskToken::new(&address, 42);
    let path = format!("/v1/tasks/{elsewhere}/succeed");
    api.post(&path, &body).await.problem(404, "task-does-not-exist");
    api.post("/v1/tasks/nonsense/succeed", &body).await.problem(400, "invalid-token");
    api.end(claim_id).await;
    let path = format!("/v1/tasks/{token}/succeed");
    api.post(&path, &body).await.problem(404, "task-does-not-exist");
    assert!(api.messages().await.is_empty());
}

#[tokio::test]
async fn answers_are_bounded() {
    let api = api().await;
    let (_, token) = waiting(&api).await;
    let path = format!("/v1/tasks/{token}");
    let large = json!({"output": "x".repeat(MAX_PAYLOAD_BYTES)});
    let answer = api.post(&format!("{path}/succeed"), &large).await.problem(422, "invalid-output");
    assert_eq!(answer.pointers(), ["/output"]);
    let long = json!({"error": "e".repeat(257), "cause": "c".repeat(32_769)});
    let answer = api.post(&format!("{path}/fail"), &long).await.problem(422, "invalid-document");
    assert_eq!(answer.pointers(), ["/error", "/cause"]);
}

#[tokio::test]
async fn a_claim_is_explained() {
    let api = api().await;
    let (claim_id, token) = waiting(&api).await;
    let body = api.get(&format!("/v1/claims/{claim_id}/explain")).await.expect(200).body;
    assert_eq!(body["claim"]["status"], "RUNNING");
    let waiting = &body["waiting"][0];
    assert_eq!((&waiting["branch"], &waiting["state"]), (&json!("/"), &json!("Refund")));
    assert_eq!(waiting["for"]["kind"], "task");
    assert_eq!(waiting["for"]["capability"], "payments.refund");
    assert_eq!(waiting["for"]["fluxling"], "payments-eu");
    assert_eq!(waiting["for"]["token"], token.as_str());
    assert_eq!(body["decisions"][0]["delegation"]["reason"], "the only one");
    api.end(claim_id).await;
    let body = api.get(&format!("/v1/claims/{claim_id}/explain")).await.expect(200).body;
    assert_eq!(body["waiting"], json!([]));
}
