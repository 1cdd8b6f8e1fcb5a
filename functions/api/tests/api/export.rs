//! Exports: whole, in order, and from the middle on.

use fluxus_schema::export::ExportLine;
use fluxus_schema::history::{Event, EventKind};
use fluxus_schema::{BranchId, ClaimId, HybridTime};
use fluxus_store::{Changes, HistoryRow};
use serde_json::json;

use crate::support::{Api, api, now};

/// The lines of an export.
async fn export(api: &Api, query: &str) -> Vec<ExportLine> {
    let answer = api.get(&format!("/v1/export?{query}")).await.expect(200);
    assert_eq!(answer.header("content-type"), "application/jsonl");
    let read = |line: &str| serde_json::from_str(line).expect("a line");
    answer.text.lines().map(read).collect()
}

fn cursor(line: &ExportLine) -> &str {
    match line {
        ExportLine::Claim { cursor, .. }
        | ExportLine::Event { cursor, .. }
        | ExportLine::Continue { cursor } => cursor,
        ExportLine::End => panic!("the end has no cursor"),
    }
}

/// Records three events of a claim, in two steps.
async fn told(api: &Api, claim_id: ClaimId) {
    let at = HybridTime::default().next(now());
    let row = |revision: u32, at, kinds: &[EventKind]| {
        let event = |kind: &EventKind| Event {
            kind: *kind,
            previous: None,
            details: fluxus_schema::history::Details::new().with("input", json!({"a": 1})),
        };
        let events: Vec<_> = kinds.iter().map(event).collect();
        HistoryRow {
            claim_id,
            tenant: fluxus_schema::Tenant::default(),
            branch_id: BranchId::root(),
            revision,
            part: 0,
            at,
            events: serde_json::to_string(&events).expect("writes"),
        }
    };
    let history = vec![
        row(0, at, &[EventKind::ClaimEvaluated]),
        row(1, at.next(now()), &[EventKind::ExecutionStarted, EventKind::PassStateEntered]),
    ];
    api.save(&Changes { history, ..Changes::default() }).await;
}

#[tokio::test]
async fn claims_come_in_order_with_their_events() {
    let api = api().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let claim_type = if n == 1 { "b" } else { "a" };
        let id = api.submit(&json!({ "type": claim_type, "body": n })).await;
        told(&api, id).await;
        ids.push(id);
    }
    let lines = export(&api, "").await;
    assert_eq!(lines.len(), 3 * 4 + 1);
    assert_eq!(lines.last(), Some(&ExportLine::End));
    for (id, lines) in ids.iter().zip(lines.chunks(4)) {
        assert!(matches!(&lines[0], ExportLine::Claim { claim, .. } if claim.claim_id == *id));
        for (number, line) in (1..).zip(&lines[1..]) {
            let ExportLine::Event { claim_id, event, .. } = line else { panic!("{line:?}") };
            assert_eq!((claim_id, event.id), (id, number));
        }
    }
    // From any line on, the rest is the same.
    for (position, line) in lines[..12].iter().enumerate() {
        let rest = export(&api, &format!("cursor={}", cursor(line))).await;
        assert_eq!(rest, lines[position + 1..], "behind line {position}");
    }
    let of_type = export(&api, "type=a").await;
    assert_eq!(of_type, [&lines[..4], &lines[8..]].concat());
    let one = export(&api, &format!("claim_id={}", ids[1])).await;
    assert_eq!(one, [&lines[4..8], &[ExportLine::End]].concat());
    let service = export(&api, &format!("claim_id={}&service_events_only=true", ids[1])).await;
    assert_eq!(service.len(), 4);
    assert!(matches!(&service[1], ExportLine::Event { event, .. } if event.id == 1));
}

#[tokio::test]
async fn large_documents_are_whole() {
    let api = api().await;
    let body = json!({ "text": "x".repeat(1_000_000) });
    let id = api.submit(&json!({ "type": "a", "body": body })).await;
    let lines = export(&api, &format!("claim_id={id}")).await;
    assert!(matches!(&lines[0], ExportLine::Claim { claim, .. } if claim.body == body));
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused() {
    let api = api().await;
    let refused = api.get("/v1/export?cursor=abc").await.problem(400, "invalid-parameter");
    assert!(refused.detail().contains("`cursor` of a line"), "{}", refused.detail());
    for query in ["cursor=abc", "from=yesterday", "claim_id=7", "type=", "what=ever"] {
        api.get(&format!("/v1/export?{query}")).await.problem(400, "invalid-parameter");
    }
    let id = api.submit(&json!({ "type": "a" })).await;
    let both = format!("/v1/export?claim_id={id}&type=a");
    api.get(&both).await.problem(400, "invalid-parameter");
    let missing = "/v1/export?claim_id=01890a5d-ac96-774b-bcce-b302099a8057";
    api.get(missing).await.problem(404, "claim-does-not-exist");
    assert_eq!(export(&api, "from=2040-01-01T00:00:00Z").await, [ExportLine::End]);
}
