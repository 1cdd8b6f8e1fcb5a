//! Who gets a task, and what happens where nobody can have it.

use std::time::Duration;

use fluxus_queue::{QueueName, Receive};
use fluxus_schema::Tenant;
use fluxus_schema::history::EventKind;
use fluxus_store::LoadDelta;
use fluxus_store::fluxling::record_load;
use serde_json::json;

use crate::world::{Footing, World, last_task, machine, manifest, succeeded, task};

#[tokio::test]
async fn a_task_waits_visibly_until_a_fluxling_registers() {
    let world = World::new(Footing::Joined, &[]).await;
    let definition =
        machine(json!({ "Do": task(json!({ "HeartbeatSeconds": 600, "End": true })) }));
    world.recipe("order", definition).await;
    let id = world.submit("order", json!({ "n": 1 })).await;
    world.settle().await;
    let waiting = world.waiting(id).await;
    assert_eq!(waiting[0].unserved, Some("work".parse().unwrap()));
    assert_eq!(world.core.sweep().await.unwrap().unserved, 0);
    let decision = &world.details(id, EventKind::TaskDelegated).await[0];
    assert_eq!(decision["reason"], "no fluxling offers `work`");

    world.register(&manifest("work", "work")).await;
    assert_eq!(world.core.sweep().await.unwrap().unserved, 1);
    // The sweep asks again while nobody has dealt with its question; one answer is enough.
    assert_eq!(world.core.sweep().await.unwrap().unserved, 1);
    world.settle().await;
    assert_eq!(world.waiting(id).await[0].unserved, None);
    let tasks = world.tasks("work").await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(*tasks[0].input, json!({ "n": 1 }));
    let decisions = world.details(id, EventKind::TaskDelegated).await;
    assert_eq!(decisions.len(), 2);
    assert_eq!(decisions[1]["fluxling"], "work");
    world.send(&succeeded(&tasks[0].token, json!("done"))).await;
    world.settle().await;
    assert_eq!(world.claim(id).await.output, Some(json!("done")));
}

#[tokio::test]
async fn a_task_that_nobody_takes_in_its_time_fails_by_name() {
    let world = World::new(Footing::Joined, &[]).await;
    let definition = machine(json!({ "Do": task(json!({ "TimeoutSeconds": 1, "End": true })) }));
    world.recipe("order", definition).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    world.sweep_timer().await;
    world.settle().await;
    assert_eq!(world.status(id).await, "FAILED Fluxus.NoFluxling");
}

#[tokio::test]
async fn the_faster_fluxling_is_preferred_and_the_record_says_why() {
    let world = World::new(Footing::Joined, &[]).await;
    for (name, latency_ms) in [("slow", 900.0), ("fast", 10.0)] {
        world.register(&manifest(name, "work")).await;
        let delta = LoadDelta {
            tenant: Tenant::default(),
            fluxling: name.parse().unwrap(),
            latency_ms,
            answered: 50,
            failed: 0,
            in_flight: 0,
            circuit_open_until: None,
        };
        let session = world.store.session().await.unwrap();
        record_load(&session, &[delta]).await.unwrap();
    }
    world.core.sweep().await.unwrap();
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    assert_eq!((world.tasks("slow").await.len(), world.tasks("fast").await.len()), (0, 1));
    let decision = &world.details(id, EventKind::TaskDelegated).await[0];
    assert_eq!(decision["fluxling"], "fast");
    let reasons: Vec<_> = decision["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["fluxling"].as_str().unwrap(), one["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(reasons, [("fast", "chosen"), ("slow", "drawn, but the other one was better")]);
}

#[tokio::test]
async fn a_dead_letter_fails_its_task() {
    let world = World::new(Footing::Joined, &["work"]).await;
    let catch = json!([{
        "ErrorEquals": ["Fluxus.Undeliverable"], "ResultPath": "$.error", "Next": "Caught"
    }]);
    let definition = machine(json!({
        "Do": task(json!({ "Catch": catch, "End": true })), "Caught": { "Type": "Succeed" }
    }));
    world.recipe("order", definition).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    // Taken again and again, and never dealt with.
    let queue = QueueName::new("work").unwrap();
    let at_once = Receive { max: 10, wait: Duration::ZERO, visibility: Duration::ZERO };
    let mut taken = 0;
    while !world.queue.receive(&queue, at_once).await.unwrap().is_empty() {
        taken += 1;
    }
    assert_eq!(taken, 5);
    assert_eq!(world.core.sweep().await.unwrap().dead_letters, 1);
    assert_eq!(world.core.sweep().await.unwrap().dead_letters, 0);
    world.settle().await;
    assert_eq!(world.status(id).await, "SUCCEEDED");
    let output = world.claim(id).await.output.unwrap();
    assert_eq!(output["error"]["Error"], "Fluxus.Undeliverable");
    let cause = output["error"]["Cause"].as_str().unwrap();
    assert!(cause.contains("received 5 times from `work`"), "{cause}");
}

#[tokio::test]
async fn nobody_is_asked_again_for_a_fluxling_that_takes_no_tasks() {
    let world = World::new(Footing::Joined, &[]).await;
    let mut resting = manifest("work", "work");
    resting.weight = 0;
    world.register(&resting).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    assert_eq!(world.core.sweep().await.unwrap().unserved, 0);
    world.register(&manifest("work", "work")).await;
    assert_eq!(world.core.sweep().await.unwrap().unserved, 1);
    world.settle().await;
    assert_eq!(world.waiting(id).await[0].unserved, None);
}

#[tokio::test]
async fn a_label_that_nobody_has_keeps_the_task_waiting() {
    let world = World::new(Footing::Joined, &["work"]).await;
    let labelled = json!({ "Type": "Task", "Resource": "fluxling:work?region=eu", "End": true });
    world.recipe("order", machine(json!({ "Do": labelled }))).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    let decision = &world.details(id, EventKind::TaskDelegated).await[0];
    assert_eq!(decision["candidates"][0]["reason"], "lacks the label region=eu");
    // Asked about again and again, it leaves no trace until somebody can take it.
    world.core.sweep().await.unwrap();
    world.settle().await;
    assert_eq!(world.details(id, EventKind::TaskDelegated).await.len(), 1);
    let mut eu = manifest("eu", "work");
    eu.labels.insert("region".to_owned(), "eu".to_owned());
    world.register(&eu).await;
    world.core.sweep().await.unwrap();
    world.settle().await;
    assert_eq!(world.tasks("eu").await.len(), 1);
}
