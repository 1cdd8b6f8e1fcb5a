//! Messages that cannot be handled harm no others.

use fluxus_schema::message::CoreMessage;
use fluxus_schema::{BranchId, ClaimId, TaskToken};
use serde_json::json;

use crate::world::{
    Footing, World, core_queue, last_task, loose, loose_text, machine, now, succeeded,
};

#[tokio::test]
async fn a_message_that_cannot_be_read_harms_no_neighbour() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let id = world.submit("order", json!({})).await;
    let mut batch = world.receive(&core_queue(), 10).await;
    let unreadable = ["", "not JSON", "[]", r#"{"type":"Unheard"}"#, r#"{"type":"TaskHeartbeat"}"#];
    batch.extend(unreadable.map(|text| loose_text(text.to_owned())));
    let unknown = ClaimId::new(now(), &[9; 10]);
    let garbage = TaskToken::from_text("bm90IGEgdG9rZW4");
    batch.extend([
        loose(&succeeded(&garbage, json!(1))),
        loose(&succeeded(&TaskToken::from_text("*"), json!(1))),
        loose(&CoreMessage::TaskHeartbeat { token: garbage }),
        loose(&CoreMessage::ClaimSubmitted { claim_id: unknown }),
        loose(&CoreMessage::TimerFired {
            claim_id: unknown,
            branch_id: BranchId::root(),
            revision: 1,
        }),
        loose(&CoreMessage::BranchEnded {
            claim_id: unknown,
            parent: BranchId::root(),
            revision: u32::MAX,
            failed: Some(BranchId::root().child(1, 1)),
        }),
        loose(&CoreMessage::MapHasRoom {
            claim_id: unknown,
            parent: BranchId::root(),
            revision: 1,
            room: u32::MAX,
        }),
    ]);
    batch.reverse();
    let count = batch.len();
    let handled = world.handle(batch).await;
    assert_eq!(handled.failed.len(), unreadable.len(), "{:?}", handled.failed);
    assert_eq!(handled.done.len(), count - unreadable.len());
    assert!(handled.failed.iter().all(|(_, why)| why.starts_with("not a message to the core")));
    assert_eq!(world.tasks("work").await.len(), 1);
    assert_eq!(world.status(id).await, "RUNNING");
}

#[tokio::test]
async fn a_branch_that_cannot_be_read_fails_alone() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let (bad, good) =
        (world.submit("order", json!({})).await, world.submit("order", json!({})).await);
    world.settle().await;
    let session = world.database.session().await.unwrap();
    session
        .batch(&format!("UPDATE branch SET state = '{{}}' WHERE claim_id = '{}'", bad.0))
        .await
        .unwrap();
    let tasks = world.tasks("work").await;
    let answers = tasks.iter().map(|task| loose(&succeeded(&task.token, json!(1)))).collect();
    // One that has no branch at hand.
    let handled = world.another_core().await.handle(answers).await;
    assert_eq!((handled.done.len(), handled.failed.len()), (1, 1));
    assert!(handled.failed[0].1.contains("cannot be read"), "{:?}", handled.failed);
    assert_eq!(world.status(good).await, "SUCCEEDED");
    assert_eq!(world.status(bad).await, "RUNNING");
}
