//! Joining branches whose siblings end in other batches.

use serde_json::{Value, json};

use crate::world::{
    Footing, World, core_queue, failed, last_task, loose, machine, succeeded, task,
};

/// A Map that catches, with a task after it so that the claim stays open.
fn caught_map(most: u32) -> Value {
    machine(json!({
        "Each": {
            "Type": "Map", "MaxConcurrency": most, "Next": "After",
            "ItemProcessor": machine(json!({ "Do": last_task() })),
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "After" }]
        },
        "After": task(json!({ "End": true }))
    }))
}

#[tokio::test]
async fn a_caught_failure_leaves_no_rows_of_siblings_that_had_ended() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("each", caught_map(0)).await;
    let id = world.submit("each", json!([0, 1, 2, 3])).await;
    world.settle().await;
    let tasks = world.tasks("work").await;
    world.send(&succeeded(&tasks[0].token, json!(0))).await;
    world.settle().await;
    world.send(&succeeded(&tasks[2].token, json!(2))).await;
    world.settle().await;
    assert_eq!(world.count("branch", id).await, 5);
    world.send(&failed(&tasks[1].token, "E")).await;
    world.settle().await;
    assert_eq!(world.count("branch", id).await, 1);
    world.send(&succeeded(&tasks[3].token, json!("late"))).await;
    world.settle().await;
    let after = world.tasks("work").await;
    assert_eq!(after.len(), 1);
    assert_eq!(*after[0].input, json!({ "Error": "E", "Cause": "because" }));
}

#[tokio::test]
async fn an_item_does_not_begin_in_the_batch_that_aborts_its_map() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("each", caught_map(2)).await;
    let id = world.submit("each", json!([0, 1, 2, 3])).await;
    world.settle().await;
    let tasks = world.tasks("work").await;
    assert_eq!(tasks.len(), 2);
    world.handle(vec![loose(&failed(&tasks[0].token, "E"))]).await;
    // Its end makes room for an item; the message after it aborts them all.
    let mut batch = vec![loose(&succeeded(&tasks[1].token, json!(1)))];
    batch.extend(world.receive(&core_queue(), 10).await);
    assert_eq!(batch.len(), 2);
    assert_eq!(world.handle(batch).await.failed, vec![]);
    world.settle().await;
    assert_eq!(world.count("branch", id).await, 1);
    let after = world.tasks("work").await;
    assert_eq!(after.iter().map(|one| &*one.state).collect::<Vec<_>>(), ["After"]);
}
