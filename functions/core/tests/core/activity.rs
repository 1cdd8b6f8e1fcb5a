//! Tasks that outside workers poll for, whatever comes before the core knows who has one.

use fluxus_schema::history::EventKind;
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{Capability, TaskToken, Tenant};
use fluxus_store::branch;
use serde_json::json;

use crate::world::{Footing, World, machine, succeeded, task};

/// Takes a task as a poll does; its token, and the branch's revision.
async fn poll(world: &World) -> Option<(TaskToken, u32)> {
    let capability = Capability::of_activity("approve").unwrap();
    let mut session = world.store.session().await.unwrap();
    let tx = session.begin().await.unwrap();
    let taken = branch::take_unserved(&tx, &Tenant::default(), &capability).await.unwrap();
    tx.commit().await.unwrap();
    let branch: fluxus_machine::Branch = serde_json::from_str(&taken?.1).unwrap();
    Some((branch.held().unwrap().token, branch.revision))
}

#[tokio::test]
async fn a_task_that_a_worker_took_is_not_given_out_again() {
    let world = World::new(Footing::Joined, &[]).await;
    let arn = "arn:aws:states:eu-central-1:123456789012:activity:approve";
    let fields = json!({ "Resource": arn, "HeartbeatSeconds": 60, "End": true });
    world.recipe("order", machine(json!({ "Do": task(fields) }))).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    let (token, revision) = poll(&world).await.expect("a task");

    // The word that somebody has the task is overtaken: by the timer that was set before it was
    // held, and by its heartbeat.
    let (claim_id, branch_id) = (id, world.waiting(id).await[0].branch_id.clone());
    world.send(&CoreMessage::TimerFired { claim_id, branch_id, revision }).await;
    world.settle().await;
    assert_eq!(poll(&world).await, None);
    world.send(&CoreMessage::TaskHeartbeat { token: token.clone() }).await;
    world.settle().await;
    assert_ne!(world.waiting(id).await[0].revision, revision, "a heartbeat is a step");
    assert_eq!(poll(&world).await, None);
    let worker = Some("ines".to_owned());
    world.send(&CoreMessage::TaskStarted { token: token.clone(), worker }).await;
    world.settle().await;
    let started = &world.details(id, EventKind::ActivityStarted).await[0];
    assert_eq!(started["workerName"], "ines");
    world.send(&succeeded(&token, json!("done"))).await;
    world.settle().await;
    assert_eq!(world.status(id).await, "SUCCEEDED");
}
