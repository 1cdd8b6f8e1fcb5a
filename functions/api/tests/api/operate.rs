//! What an operator asks for: stuck claims, redrive, retry, skip.

use fluxus_schema::message::CoreMessage;
use fluxus_schema::{BranchId, ClaimId, HybridTime, Tenant, Timestamp};
use fluxus_store::{BranchRow, BranchStatus, Changes, End, dead_message};
use serde_json::json;

use crate::support::{Api, api, now};
use crate::tasks::waiting;

/// Ends a started claim as FAILED, with its root branch kept, as the core would.
async fn fail(api: &Api, claim_id: ClaimId, ended_at: Timestamp) {
    let at = HybridTime::default().next(now());
    let state = json!({
        "id": "/", "revision": 2, "at": at, "events": 3,
        "status": {
            "is": "failed", "failure": {"error": "Broken"}, "in_task": true,
            "resume": {
                "at": "state",
                "visit": {"state": "Refund", "input": {}, "entered_at": now(), "entered_event": 2},
            },
        },
    });
    let _checked: fluxus_machine::Branch = serde_json::from_value(state.clone()).expect("a branch");
    let root = BranchRow {
        claim_id,
        branch_id: BranchId::root(),
        tenant: Tenant::default(),
        parent: None,
        parent_revision: 0,
        position: 0,
        revision: 2,
        status: BranchStatus::Ended,
        failed: true,
        state: state.to_string(),
        unserved: None,
        changed_at: at,
    };
    let end = End {
        claim_id,
        status: fluxus_schema::ClaimStatus::Failed,
        output: None,
        error: Some("Broken".to_owned()),
        cause: None,
        ended_at,
        delete_branches: false,
    };
    api.save(&Changes { insert: vec![root], end: vec![end], ..Changes::default() }).await;
}

#[tokio::test]
async fn a_failed_claim_is_redriven() {
    let api = api().await;
    let claim_id = api.submit(&json!({"type": "order.placed"})).await;
    let path = format!("/v1/claims/{claim_id}");
    let refused = api.post(&format!("{path}/redrive"), &json!({})).await;
    let refused = refused.problem(409, "claim-not-redrivable");
    assert_eq!(refused.detail(), "Execution is RUNNING and cannot be redriven");
    api.start(claim_id).await;
    fail(&api, claim_id, now()).await;
    let _submitted = api.messages().await;
    assert_eq!(api.get(&path).await.expect(200).body["redrive_status"], "REDRIVABLE");
    let ended = api.post(&format!("{path}/retry"), &json!({})).await;
    let ended = ended.problem(409, "claim-has-ended");
    assert!(ended.detail().ends_with("as FAILED; it can be redriven"), "{}", ended.detail());
    for _twice in 0..2 {
        let answer = api.post(&format!("{path}/redrive"), &json!({})).await.expect(202);
        assert_eq!(answer.body, json!({"claim_id": claim_id, "redrive_count": 1}));
    }
    let redriven = CoreMessage::ClaimRedriven { claim_id, redrive_count: 1 };
    assert_eq!(api.messages().await, [redriven.clone(), redriven], "the core does it once");
}

#[tokio::test]
async fn a_claim_that_cannot_be_redriven_says_why() {
    let api = api().await;
    let late = api.submit(&json!({"type": "order.placed"})).await;
    api.start(late).await;
    fail(&api, late, Timestamp::from_millis(now().as_millis() - 15 * 24 * 3_600_000)).await;
    let done = api.submit(&json!({"type": "order.placed"})).await;
    api.start(done).await;
    api.end(done).await;
    for (id, reason) in [
        (late, "Execution redrivable period exceeded"),
        (done, "Execution is SUCCEEDED and cannot be redriven"),
    ] {
        let answer = api.post(&format!("/v1/claims/{id}/redrive"), &json!({})).await;
        assert_eq!(answer.problem(409, "claim-not-redrivable").detail(), reason);
    }
    let claim = api.get(&format!("/v1/claims/{late}")).await.expect(200).body;
    assert_eq!(claim["redrive_status"], "NOT_REDRIVABLE");
    assert_eq!(claim["redrive_status_reason"], "Execution redrivable period exceeded");
}

#[tokio::test]
async fn a_task_that_waits_is_retried_or_skipped() {
    let api = api().await;
    let (claim_id, _) = waiting(&api).await;
    let path = format!("/v1/claims/{claim_id}");
    let body = json!({"by": "ines", "reason": "lost"});
    let answer = api.post(&format!("{path}/retry"), &body).await.expect(202);
    assert_eq!(answer.body, json!({"claim_id": claim_id, "branches": ["/"], "messages": 0}));
    let body = json!({"output": {"paid": true}});
    api.post(&format!("{path}/skip"), &body).await.expect(202);
    let (branch_id, revision) = (BranchId::root(), 1);
    let expected = [
        CoreMessage::TaskRetried {
            claim_id,
            branch_id: branch_id.clone(),
            revision,
            by: Some("ines".to_owned()),
            reason: Some("lost".to_owned()),
        },
        CoreMessage::TaskSkipped {
            claim_id,
            branch_id,
            revision,
            output: json!({"paid": true}).into(),
            by: None,
            reason: None,
        },
    ];
    assert_eq!(api.messages().await, expected);
    let other = json!({"branch": "/1.0", "output": 1});
    api.post(&format!("{path}/skip"), &other).await.problem(409, "nothing-to-handle");
    let long = json!({"by": "x".repeat(200)});
    let answer = api.post(&format!("{path}/retry"), &long).await.problem(422, "invalid-document");
    assert_eq!(answer.pointers(), ["/by"]);
    api.end(claim_id).await;
    let ended = api.post(&format!("{path}/retry"), &json!({})).await;
    let ended = ended.problem(409, "claim-has-ended");
    assert_eq!(ended.detail(), format!("claim {claim_id} has ended as SUCCEEDED"));
}

#[tokio::test]
async fn a_stuck_claim_says_what_holds_it_up_and_its_message_is_sent_again() {
    let api = api().await;
    let (claim_id, token) = waiting(&api).await;
    let _fine = waiting(&api).await;
    let body = serde_json::to_string(&CoreMessage::TaskHeartbeat { token }).expect("JSON");
    let letter = fluxus_store::DeadMessage {
        claim_id,
        message_id: "7".to_owned(),
        branch_id: Some(BranchId::root()),
        body,
        reason: "the disk is full".to_owned(),
        receive_count: 5,
        dead_at: now().plus(std::time::Duration::from_secs(1)),
    };
    let session = api.store.session().await.expect("a session");
    dead_message::note(&session, &[letter]).await.expect("notes");
    drop(session);
    let _before = api.messages().await;
    let stuck = api.get("/v1/claims?stuck=true").await.expect(200).body;
    let claims = stuck["claims"].as_array().expect("a list");
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0]["claim_id"], json!(claim_id));
    assert_eq!(claims[0]["stuck"]["reason"], "dead_letter");
    assert_eq!(claims[0]["stuck"]["detail"], "the disk is full");
    let text = api.get("/metrics").await.expect(200).text;
    assert!(text.contains("fluxus_claims_stuck{reason=\"dead_letter\"} 1"), "{text}");
    // By a bound of one's own, a task without an answer counts too.
    let soon = api.get("/v1/claims?stuck=true&stuck_after=0").await.expect(200).body;
    let reasons: Vec<_> = soon["claims"].as_array().expect("a list").iter().collect();
    assert_eq!(reasons[0]["stuck"]["reason"], "no_answer");
    assert_eq!(reasons[0]["stuck"]["capability"], "payments.refund");

    let answer = api.post(&format!("/v1/claims/{claim_id}/retry"), &json!({})).await.expect(202);
    assert_eq!(answer.body["messages"], 1);
    assert!(matches!(api.messages().await.as_slice(), [CoreMessage::TaskHeartbeat { .. }]));
    let left = api.get("/v1/claims?stuck=true").await.expect(200).body;
    assert_eq!(left["claims"], json!([]));
    api.get("/v1/claims?stuck_after=5").await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn by_a_bound_of_ones_own_a_task_counts_whatever_it_waits_for() {
    let api = api().await;
    let task = |task: &str| {
        format!(
            "UPDATE branch SET state = replace(state::text, '\"task\":{{', '\"task\":{{{task},')::json"
        )
    };
    let callback = task(r#""submitted":true,"callback":"t""#);
    let in_time = task(r#""deadline":"2999-01-01T00:00:00Z""#);
    let activity = "UPDATE branch SET unserved = 'activity.approve'".to_owned();
    let other = task(r#""execution":"01890a5d-ac96-774b-bcce-b302099a8057","submitted":true"#);
    for (change, detail) in [
        (String::new(), "a task is in hand"),
        (callback, "waits for a callback"),
        (in_time, "a task is in hand, and its time is not over"),
        (activity, "no worker polled for the activity"),
        (other, "waits for the end of claim 01890a5d-ac96-774b-bcce-b302099a8057"),
    ] {
        let (claim_id, _) = waiting(&api).await;
        if !change.is_empty() {
            let session = api.store.session().await.expect("a session");
            let change = format!("{change} WHERE claim_id = '{claim_id}'");
            session.batch(&change).await.expect("changes");
        }
        // What began in this very millisecond has not waited for anything yet.
        let began = now();
        while now() <= began {
            tokio::task::yield_now().await;
        }
        let found = api.get("/v1/claims?stuck=true&stuck_after=0").await.expect(200).body;
        let (newest, stuck) = (&found["claims"][0], &found["claims"][0]["stuck"]);
        assert_eq!(newest["claim_id"], json!(claim_id), "{found}");
        assert_eq!((&stuck["reason"], &stuck["detail"]), (&json!("no_answer"), &json!(detail)));
        let usual = api.get("/v1/claims?stuck=true").await.expect(200).body;
        assert_eq!(usual["claims"], json!([]));
        let later = api.get("/v1/claims?stuck=true&stuck_after=3600").await.expect(200).body;
        assert_eq!(later["claims"], json!([]));
    }
}
