//! Claims that end otherwise than by their recipe: refused, cancelled, out of time.

use std::time::Duration;

use fluxus_schema::history::EventKind;
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{ClaimId, ClaimStatus, Tenant};
use fluxus_store::audit::{Activity, audit};
use serde_json::json;

use crate::world::{Footing, World, last_task, machine, now, succeeded, task};

fn cancel(claim_id: ClaimId) -> CoreMessage {
    let (error, cause) = (Some("Cancelled".to_owned()), Some("no longer wanted".to_owned()));
    CoreMessage::Stopped {
        claim_id,
        status: ClaimStatus::Aborted,
        error,
        cause,
        redrive_count: None,
    }
}

#[tokio::test]
async fn a_claim_of_an_unknown_type_is_refused() {
    let world = World::new(Footing::Joined, &[]).await;
    let id = world.submit("nobody.knows", json!({})).await;
    world.settle().await;
    assert_eq!(world.status(id).await, "REJECTED Fluxus.NoRecipe");
    let verdicts = world.details(id, EventKind::ClaimEvaluated).await;
    assert_eq!(
        verdicts,
        [json!({
            "claimType": "nobody.knows", "verdict": "REJECTED", "error": "Fluxus.NoRecipe",
            "cause": "no recipe accepts claims of the type `nobody.knows`"
        })]
    );
}

#[tokio::test]
async fn a_body_that_breaks_its_schema_is_refused_with_all_faults() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let schema = json!({
        "type": "object", "required": ["cents"], "properties": { "cents": { "type": "integer" },
        "who": { "type": "string" } }
    });
    let claim_type = "order".parse().unwrap();
    world.store.put_claim_type(&Tenant::default(), &claim_type, Some(&schema)).await.unwrap();
    let bad = world.submit("order", json!({ "cents": "five", "who": 1 })).await;
    let good = world.submit("order", json!({ "cents": 5 })).await;
    world.settle().await;
    assert_eq!(world.status(bad).await, "REJECTED Fluxus.InvalidBody");
    assert_eq!(world.status(good).await, "RUNNING");
    let verdicts = world.details(bad, EventKind::ClaimEvaluated).await;
    let pointers: Vec<_> = verdicts[0]["faults"].as_array().unwrap().iter().collect();
    assert_eq!(pointers.len(), 2, "{verdicts:?}");
    assert!(pointers.iter().any(|fault| fault["pointer"] == "/cents"), "{verdicts:?}");
    assert_eq!(world.history(bad).await.len(), 1);
}

#[tokio::test]
async fn a_deadline_ends_the_claim_by_the_sweep() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let deadline = now().plus(Duration::from_millis(1));
    let id = world.submit_claim(json!({ "type": "order", "deadline": deadline })).await;
    world.settle().await;
    assert_eq!(world.status(id).await, "RUNNING");
    let swept = world.core.sweep().await.unwrap();
    assert_eq!(swept.timers, 1);
    world.settle().await;
    assert_eq!(world.status(id).await, "TIMED_OUT States.Timeout");
    assert_eq!(world.details(id, EventKind::ExecutionTimedOut).await.len(), 1);
    let task = &world.tasks("work").await[0];
    world.send(&succeeded(&task.token, json!("late"))).await;
    world.settle().await;
    assert_eq!(world.status(id).await, "TIMED_OUT States.Timeout");
    assert_eq!(world.count("timer", id).await, 0);
}

#[tokio::test]
async fn a_recipes_own_timeout_ends_the_claim_too() {
    let world = World::new(Footing::Joined, &["work"]).await;
    let mut definition = machine(json!({ "Do": last_task() }));
    definition["TimeoutSeconds"] = json!(1);
    world.recipe("order", definition).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    world.sweep_timer().await;
    world.settle().await;
    assert_eq!(world.status(id).await, "TIMED_OUT States.Timeout");
}

#[tokio::test]
async fn a_claim_is_cancelled_before_it_begins() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let id = world.submit("order", json!({})).await;
    let submitted = world.receive(&crate::world::core_queue(), 10).await;
    world.send(&cancel(id)).await;
    world.settle().await;
    assert_eq!(world.status(id).await, "ABORTED Cancelled");
    let aborted = world.details(id, EventKind::ExecutionAborted).await;
    assert_eq!(aborted, [json!({ "error": "Cancelled", "cause": "no longer wanted" })]);
    assert_eq!(world.handle(submitted).await.failed, vec![]);
    assert_eq!(world.status(id).await, "ABORTED Cancelled");
    assert_eq!((world.count("branch", id).await, world.tasks("work").await.len()), (0, 0));
    assert_eq!(audit(&world.store, Activity::UnderWay).await.unwrap(), vec![]);
}

#[tokio::test]
async fn a_claim_is_cancelled_while_it_waits() {
    let world = World::new(Footing::Joined, &["work"]).await;
    let both = json!({
        "Type": "Parallel", "End": true, "Branches": [
            machine(json!({ "A": last_task() })),
            machine(json!({ "B": { "Type": "Wait", "Seconds": 3600, "End": true } }))
        ]
    });
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    world.recipe("both", machine(json!({ "Both": both }))).await;
    let ids = [world.submit("order", json!({})).await, world.submit("both", json!({})).await];
    world.settle().await;
    for id in ids {
        assert_eq!(world.status(id).await, "RUNNING");
        world.send(&cancel(id)).await;
        world.send(&cancel(id)).await;
        world.settle().await;
        assert_eq!(world.status(id).await, "ABORTED Cancelled");
        assert_eq!(world.waiting(id).await, vec![]);
        assert_eq!(world.count("timer", id).await, 0);
        assert_eq!(world.details(id, EventKind::ExecutionAborted).await.len(), 1);
    }
}

#[tokio::test]
async fn a_claim_that_comes_and_is_cancelled_in_one_batch_does_not_begin() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": task(json!({ "End": true })) }))).await;
    world.recipe("moment", machine(json!({ "Do": { "Type": "Pass", "End": true } }))).await;
    let ids = [world.submit("order", json!({})).await, world.submit("moment", json!({})).await];
    for id in ids {
        world.send(&cancel(id)).await;
    }
    assert_eq!(world.settle().await, 4);
    for id in ids {
        assert_eq!(world.status(id).await, "ABORTED Cancelled");
        let kinds: Vec<_> = world.history(id).await.into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::ExecutionAborted]);
    }
    assert_eq!(world.tasks("work").await.len(), 0);
    assert_eq!(audit(&world.store, Activity::UnderWay).await.unwrap(), vec![]);
}
