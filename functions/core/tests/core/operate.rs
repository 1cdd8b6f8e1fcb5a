//! What an operator does: redrive, retry, skip; and what holds claims up.

use std::time::Duration;

use fluxus_schema::claim::StuckReason;
use fluxus_schema::history::EventKind;
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{BranchId, ClaimId, ClaimStatus};
use fluxus_store::{Activity, StuckSince, audit};
use serde_json::{Value, json};

use crate::world::{
    Footing, World, core_queue, failed, last_task, loose_text, machine, now, succeeded, task,
};

fn redrive(claim_id: ClaimId, redrive_count: u32) -> CoreMessage {
    CoreMessage::ClaimRedriven { claim_id, redrive_count }
}

async fn sound(world: &World) {
    let found = audit(&world.store, Activity::UnderWay).await.unwrap();
    assert_eq!(found, vec![], "the audit found something");
}

/// The revision by which a task that waits is named.
async fn waits_since(world: &World, id: ClaimId) -> u32 {
    let rows = world.waiting(id).await;
    let branch: fluxus_machine::Branch = serde_json::from_str(&rows[0].state).unwrap();
    branch.handles().unwrap().revision
}

fn both() -> Value {
    let branch = |name: &str| json!({ "StartAt": name, "States": { name: last_task() } });
    json!({ "Type": "Parallel", "End": true, "Branches": [branch("A"), branch("B"), branch("C")] })
}

#[tokio::test]
async fn a_failed_claim_goes_on_from_its_failed_branches() {
    for footing in [Footing::Joined, Footing::Relayed] {
        let world = World::new(footing, &["work"]).await;
        world
            .recipe(
                "order",
                machine(json!({ "First": task(json!({ "Next": "Both" })), "Both": both() })),
            )
            .await;
        let id = world.submit("order", json!({ "n": 1 })).await;
        world.settle().await;
        let first = &world.tasks("work").await[0];
        world.send(&succeeded(&first.token, json!("first"))).await;
        world.settle().await;
        let tasks = world.tasks("work").await;
        let of = |tasks: &[fluxus_schema::message::TaskMessage], state: &str| {
            tasks.iter().find(|task| &*task.state == state).unwrap().token.clone()
        };
        world.send(&succeeded(&of(&tasks, "A"), json!("a"))).await;
        world.settle().await;
        world.send(&failed(&of(&tasks, "B"), "Broken")).await;
        world.settle().await;
        assert_eq!(world.status(id).await, "FAILED Broken");
        assert_eq!(world.count("branch", id).await, 4, "the branches are kept");
        sound(&world).await;

        // Twice, and one that names another number: it is done once.
        for count in [1, 1, 2] {
            world.send(&redrive(id, count)).await;
        }
        world.settle().await;
        let claim = world.claim(id).await;
        assert_eq!((claim.status, claim.redrive_count), (ClaimStatus::Running, 1));
        assert!(claim.error.is_none() && claim.ended_at.is_none() && claim.redrive_date.is_some());
        assert_eq!(
            world.details(id, EventKind::ExecutionRedriven).await,
            [json!({ "redriveCount": 1 })]
        );
        if footing == Footing::Joined {
            // Elsewhere nobody can see that the tasks are on their way.
            sound(&world).await;
        }

        // Late answers to what was given out before.
        world.send(&succeeded(&of(&tasks, "B"), json!("late"))).await;
        world.send(&succeeded(&of(&tasks, "C"), json!("late"))).await;
        world.settle().await;
        let again = world.tasks("work").await;
        let mut states: Vec<_> = again.iter().map(|task| &*task.state).collect();
        states.sort_unstable();
        assert_eq!(states, ["B", "C"], "what had succeeded is not done again");
        for (state, output) in [("B", "b"), ("C", "c")] {
            world.send(&succeeded(&of(&again, state), json!(output))).await;
            world.settle().await;
        }
        let claim = world.claim(id).await;
        assert_eq!(claim.output, Some(json!(["a", "b", "c"])));
        assert_eq!(world.count("branch", id).await, 0);
        sound(&world).await;
        world.send(&redrive(id, 2)).await;
        world.settle().await;
        assert_eq!(world.claim(id).await.status, ClaimStatus::Succeeded);
    }
}

#[tokio::test]
async fn a_cancelled_map_goes_on_where_it_was() {
    let world = World::new(Footing::Joined, &["work"]).await;
    let processor = json!({ "StartAt": "Do", "States": { "Do": last_task() } });
    let map =
        json!({ "Type": "Map", "MaxConcurrency": 2, "End": true, "ItemProcessor": processor });
    world.recipe("order", machine(json!({ "Each": map }))).await;
    let id = world.submit("order", json!([1, 2, 3, 4, 5])).await;
    world.settle().await;
    let tasks = world.tasks("work").await;
    assert_eq!(tasks.len(), 2);
    world.send(&succeeded(&tasks[0].token, json!("one"))).await;
    world.settle().await;
    let (status, error, cause) = (ClaimStatus::Aborted, None, None);
    let redrive_count = None;
    world.send(&CoreMessage::Stopped { claim_id: id, status, error, cause, redrive_count }).await;
    world.settle().await;
    assert_eq!(world.status(id).await, "ABORTED");
    sound(&world).await;
    world.tasks("work").await;

    world.send(&redrive(id, 1)).await;
    let mut done = 1;
    loop {
        world.settle().await;
        let tasks = world.tasks("work").await;
        assert!(tasks.len() <= 2, "no more at a time than the Map allows");
        if tasks.is_empty() {
            break;
        }
        for task in tasks {
            done += 1;
            world.send(&succeeded(&task.token, task.input.as_ref().clone())).await;
        }
    }
    assert_eq!(done, 5);
    let output = world.claim(id).await.output.unwrap();
    assert_eq!(output.as_array().unwrap().len(), 5);
    sound(&world).await;
}

#[tokio::test]
async fn the_time_of_a_redriven_claim_starts_anew() {
    let world = World::new(Footing::Joined, &["work"]).await;
    let mut definition = machine(json!({ "Do": last_task() }));
    definition["TimeoutSeconds"] = json!(3600);
    world.recipe("order", definition).await;
    let deadline = now().plus(Duration::from_millis(1));
    let id = world.submit_claim(json!({ "type": "order", "deadline": deadline })).await;
    world.settle().await;
    world.sweep_timer().await;
    world.settle().await;
    assert_eq!(world.status(id).await, "TIMED_OUT States.Timeout");
    world.tasks("work").await;
    world.send(&redrive(id, 1)).await;
    world.settle().await;
    // The message of the deadline before, once more, and as an older version writes it: neither ends
    // what goes on. Nor does a request to cancel that is of that time.
    let late = [
        (ClaimStatus::TimedOut, Some(0)),
        (ClaimStatus::TimedOut, None),
        (ClaimStatus::Aborted, Some(0)),
    ];
    for (status, redrive_count) in late {
        let (error, cause) = (None, None);
        let stopped = CoreMessage::Stopped { claim_id: id, status, error, cause, redrive_count };
        world.send(&stopped).await;
    }
    world.settle().await;
    assert_eq!(world.status(id).await, "RUNNING");
    assert_eq!(world.count("timer", id).await, 1, "by the recipe's own time");
    let task = &world.tasks("work").await[0];
    world.send(&succeeded(&task.token, json!("done"))).await;
    world.settle().await;
    assert_eq!(world.status(id).await, "SUCCEEDED");
    sound(&world).await;
}

#[tokio::test]
async fn a_lost_task_is_given_out_again() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    let lost = world.tasks("work").await;
    let revision = waits_since(&world, id).await;
    let retried = CoreMessage::TaskRetried {
        claim_id: id,
        branch_id: BranchId::root(),
        revision,
        by: Some("ines".to_owned()),
        reason: Some("lost".to_owned()),
    };
    // Asked for twice, done once.
    world.send(&retried).await;
    world.send(&retried).await;
    world.settle().await;
    let again = world.tasks("work").await;
    assert_eq!(again.len(), 1);
    assert_ne!(again[0].token, lost[0].token);
    world.send(&succeeded(&lost[0].token, json!("late"))).await;
    world.settle().await;
    assert_eq!(world.status(id).await, "RUNNING", "the old answer is not used");
    world.send(&succeeded(&again[0].token, json!("good"))).await;
    world.settle().await;
    assert_eq!(world.claim(id).await.output, Some(json!("good")));
    let noted = world.details(id, EventKind::TaskRetried).await;
    assert_eq!(noted, [json!({ "by": "ines", "reason": "lost" })]);
    sound(&world).await;
}

#[tokio::test]
async fn a_task_that_nobody_can_take_is_ended_by_hand() {
    let world = World::new(Footing::Joined, &[]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    let since = now().plus(Duration::from_secs(1));
    let stuck = StuckSince { overdue: since, unanswered: since };
    let found = world.store.stuck_claims(None, stuck).await.unwrap();
    assert_eq!(found.len(), 1);
    let held_up = &found[0].stuck;
    assert_eq!((found[0].claim_id, held_up.reason), (id, StuckReason::NoFluxling));
    assert_eq!(held_up.state.as_deref(), Some("Do"));
    assert_eq!(held_up.capability.as_ref().map(|one| one.as_str()), Some("work"));
    assert_eq!(world.store.stuck_claims(None, StuckSince::usual(now())).await.unwrap(), vec![]);

    let revision = waits_since(&world, id).await;
    let (branch_id, output) = (BranchId::root(), json!({ "by": "hand" }).into());
    let (by, reason) = (Some("ines".to_owned()), None);
    let skipped =
        CoreMessage::TaskSkipped { claim_id: id, branch_id, revision, output, by, reason };
    world.send(&skipped).await;
    world.send(&skipped).await;
    world.settle().await;
    assert_eq!(world.claim(id).await.output, Some(json!({ "by": "hand" })));
    assert_eq!(world.details(id, EventKind::TaskSkipped).await, [json!({ "by": "ines" })]);
    assert_eq!(world.store.stuck_claims(None, stuck).await.unwrap(), vec![]);
    sound(&world).await;
}

#[tokio::test]
async fn a_dead_letter_of_the_core_shows_as_a_stuck_claim() {
    for footing in [Footing::Joined, Footing::Relayed] {
        let world = World::new(footing, &["work"]).await;
        world.recipe("order", machine(json!({ "Do": last_task() }))).await;
        let id = world.submit("order", json!({})).await;
        world.settle().await;
        let task = &world.tasks("work").await[0];
        world.send(&succeeded(&task.token, json!("done"))).await;
        // Something is wrong with the core, for as long as it takes.
        let mut received = world.receive(&core_queue(), 10).await;
        let message = received.pop().unwrap();
        let body = message.body.clone();
        let burial = fluxus_queue::Burial::new(message, "the disk is full");
        world.queue.bury(&core_queue(), vec![burial]).await.unwrap();
        assert_eq!(world.core.sweep().await.unwrap().dead_letters, 1);

        let usual = StuckSince::usual(now());
        let found = world.store.stuck_claims(None, usual).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].claim_id, found[0].stuck.reason), (id, StuckReason::DeadLetter));
        assert_eq!(found[0].stuck.detail.as_deref(), Some("the disk is full"));

        // Redriven, it is handled, and a copy of it later changes nothing.
        let letters = fluxus_queue::Letters::All;
        assert_eq!(world.queue.redrive(&core_queue(), letters).await.unwrap(), 1);
        world.settle().await;
        assert_eq!(world.status(id).await, "SUCCEEDED");
        assert_eq!(world.store.stuck_claims(None, usual).await.unwrap(), vec![]);
        world.handle(vec![loose_text(body)]).await;
        assert_eq!(world.status(id).await, "SUCCEEDED");
        sound(&world).await;
    }
}

#[tokio::test]
async fn a_redriven_letter_of_a_task_that_failed_does_no_harm() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    let queue = fluxus_queue::QueueName::new("work").unwrap();
    let message = world.receive(&queue, 1).await.pop().unwrap();
    let burial = fluxus_queue::Burial::new(message, "poison");
    world.queue.bury(&queue, vec![burial]).await.unwrap();
    world.core.sweep().await.unwrap();
    world.settle().await;
    assert_eq!(world.status(id).await, "FAILED Fluxus.Undeliverable");
    assert_eq!(world.queue.redrive(&queue, fluxus_queue::Letters::All).await.unwrap(), 1);
    let task = &world.tasks("work").await[0];
    world.send(&succeeded(&task.token, json!("after all"))).await;
    world.settle().await;
    assert_eq!(world.status(id).await, "FAILED Fluxus.Undeliverable", "its answer is too late");
    sound(&world).await;
}
