//! Claims that begin as they come in, and branches that are at hand for the next step.

use fluxus_schema::history::EventKind;
use fluxus_schema::{ClaimId, ClaimStatus};
use serde_json::{Value, json};

use crate::world::{Footing, World, intake, last_task, loose, machine, now, succeeded, task};

async fn world() -> World {
    let world = World::new(Footing::Joined, &["work"]).await;
    let first = task(json!({ "Next": "Last" }));
    world.recipe("order", machine(json!({ "First": first, "Last": last_task() }))).await;
    world
}

/// The kinds of all events, and the claim without what differs from one to the next.
async fn story(world: &World, id: ClaimId) -> (Vec<EventKind>, Value) {
    let kinds = world.history(id).await.iter().map(|event| event.kind).collect();
    let mut claim = serde_json::to_value(world.claim(id).await).unwrap();
    for field in ["claim_id", "received_at", "started_at", "ended_at"] {
        claim.as_object_mut().unwrap().remove(field);
    }
    (kinds, claim)
}

async fn fulfil(world: &World) {
    loop {
        world.settle().await;
        let tasks = world.tasks("work").await;
        if tasks.is_empty() {
            return;
        }
        for task in tasks {
            world.send(&succeeded(&task.token, json!({ "done": true }))).await;
        }
    }
}

#[tokio::test]
async fn a_claim_that_begins_as_it_comes_in_comes_out_as_one_that_waits_for_its_message() {
    let world = world().await;
    let claim = json!({
        "type": "order", "body": { "cents": 500 }, "subject": "order/1", "priority": 7,
        "attributes": { "shop": "north" }, "deadline": now().plus(std::time::Duration::from_secs(900)),
    });
    let at_once = intake(claim.clone());
    let taken = world.core.take_in(std::slice::from_ref(&at_once)).await.unwrap();
    assert_eq!((taken[0].claim_id, taken[0].duplicate), (at_once.claim_id, false));
    assert_eq!(world.status(at_once.claim_id).await, "RUNNING");
    assert_eq!(world.queued(&["core"]).await, 0, "no message tells of it");
    assert_eq!(world.queued(&["work"]).await, 1);
    let told = world.submit_claim(claim).await;
    fulfil(&world).await;
    assert_eq!(world.status(told).await, "SUCCEEDED");
    assert_eq!(story(&world, at_once.claim_id).await, story(&world, told).await);
}

#[tokio::test]
async fn a_known_key_begins_nothing() {
    let world = world().await;
    let claim = json!({ "type": "order", "body": {}, "idempotency_key": "once" });
    let first = world.core.take_in(&[intake(claim.clone())]).await.unwrap()[0];
    let again = [intake(claim), intake(json!({ "type": "order", "body": {} }))];
    let taken = world.core.take_in(&again).await.unwrap();
    assert_eq!((taken[0].claim_id, taken[0].duplicate), (first.claim_id, true));
    assert_eq!(taken[0].status, ClaimStatus::Running);
    assert_eq!((taken[1].claim_id, taken[1].duplicate), (again[1].claim_id, false));
    assert_eq!(world.total("claim").await, 2);
    assert_eq!(world.queued(&["work"]).await, 2);
}

#[tokio::test]
async fn claims_that_share_a_key_are_left_to_whoever_writes_them() {
    let world = world().await;
    let claim = json!({ "type": "order", "body": {}, "idempotency_key": "once" });
    let error = world.core.take_in(&[intake(claim.clone()), intake(claim)]).await.unwrap_err();
    assert!(error.to_string().contains("was changed meanwhile"), "{error}");
    assert_eq!((world.total("claim").await, world.total("history").await), (0, 0));
    assert_eq!(world.queued(&["work"]).await, 0);
}

#[tokio::test]
async fn claims_may_end_as_they_come_in() {
    let world = world().await;
    world.recipe("pass", machine(json!({ "Only": { "Type": "Pass", "End": true } }))).await;
    let large = json!({ "text": "x".repeat(100_000) });
    let intakes = [
        intake(json!({ "type": "nobody.knows", "body": {} })),
        intake(json!({ "type": "pass", "body": large })),
        intake(json!({ "type": "order", "body": large })),
    ];
    world.core.take_in(&intakes).await.unwrap();
    let [refused, passed, begun] = intakes.map(|intake| intake.claim_id);
    assert_eq!(world.status(refused).await, "REJECTED Fluxus.NoRecipe");
    assert_eq!(world.claim(passed).await.output, Some(large.clone()));
    fulfil(&world).await;
    assert_eq!(world.claim(begun).await.body, large);
    assert_eq!(world.status(begun).await, "SUCCEEDED");
}

#[tokio::test]
async fn a_branch_that_another_process_stepped_is_read_again() {
    let world = world().await;
    let other = world.another_core().await;
    let ids = [
        intake(json!({ "type": "order", "body": {} })),
        intake(json!({ "type": "order", "body": {} })),
    ];
    world.core.take_in(&ids).await.unwrap();
    let ids = ids.map(|intake| intake.claim_id);
    // The answers come to another process first, and then once more to the one that has the branches
    // at hand, which must not do the step again.
    let first = world.tasks("work").await;
    let answers = || first.iter().map(|one| loose(&succeeded(&one.token, json!(1)))).collect();
    assert_eq!(other.handle(answers()).await.failed, vec![]);
    assert_eq!(world.handle(answers()).await.failed, vec![]);
    assert_eq!(world.queued(&["work"]).await, 2, "each next task is given out once");
    fulfil(&world).await;
    for id in ids {
        assert_eq!(world.status(id).await, "SUCCEEDED");
        assert_eq!(world.details(id, EventKind::TaskSucceeded).await.len(), 2);
    }
}
