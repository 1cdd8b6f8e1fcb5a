//! What a batch costs, and that large states come in bounded batches.

use fluxus_schema::message::CoreMessage;
use serde_json::json;

use crate::world::{Footing, World, core_queue, last_task, loose, machine, succeeded, task};

/// Statements that a batch of `n` claims sends, first when they begin, then when they are answered.
async fn statements(footing: Footing, n: usize) -> (u64, u64) {
    let world = World::new(footing, &["work"]).await;
    let definition = machine(
        json!({ "A": task(json!({ "TimeoutSeconds": 60, "Next": "B" })), "B": last_task() }),
    );
    world.recipe("order", definition).await;
    // The recipe is compiled, the connections are open.
    world.submit("order", json!({})).await;
    world.settle().await;
    world.tasks("work").await;
    for _ in 0..n {
        world.submit("order", json!({})).await;
    }
    let batch = world.receive(&core_queue(), 10_000).await;
    assert_eq!(batch.len(), n);
    let before = world.database.statements_sent();
    assert_eq!(world.core.handle(batch).await.done.len(), n);
    let begun = world.database.statements_sent() - before;

    let tasks = world.tasks("work").await;
    assert_eq!(tasks.len(), n);
    let answers = tasks.iter().map(|task| loose(&succeeded(&task.token, json!(1)))).collect();
    let before = world.database.statements_sent();
    assert_eq!(world.core.handle(answers).await.done.len(), n);
    (begun, world.database.statements_sent() - before)
}

#[tokio::test]
async fn a_batch_of_many_costs_as_many_statements_as_a_batch_of_one() {
    for footing in [Footing::Joined, Footing::Relayed] {
        let (one, many) = (statements(footing, 1).await, statements(footing, 200).await);
        // The picture of the fluxlings is looked at anew every half second, whoever comes by.
        const LOOK: u64 = 4;
        assert!(many.0 <= one.0 + LOOK && one.0 <= many.0 + LOOK, "{footing:?} {one:?} {many:?}");
        assert!(many.1 <= one.1 + LOOK && one.1 <= many.1 + LOOK, "{footing:?} {one:?} {many:?}");
        assert!(one.0 < 20 && one.1 < 20, "{footing:?} {one:?}");
    }
}

#[tokio::test]
async fn a_map_of_two_thousand_items_comes_in_bounded_batches() {
    const ITEMS: usize = 2_000;
    let world = World::new(Footing::Joined, &["work"]).await;
    let each = json!({
        "Type": "Map", "ItemProcessor": machine(json!({ "Do": last_task() })), "End": true
    });
    world.recipe("each", machine(json!({ "Each": each }))).await;
    let items: Vec<_> = (0..ITEMS).collect();
    let id = world.submit("each", json!(items)).await;
    let mut given = 0;
    while given < ITEMS {
        let batch = world.receive(&core_queue(), 1).await;
        assert_eq!(batch.len(), 1, "{given} of {ITEMS} were given out");
        assert_eq!(world.handle(batch).await.failed, vec![]);
        let tasks = world.tasks("work").await;
        assert!(tasks.len() <= 500, "{} at once", tasks.len());
        given += tasks.len();
        for tasks in tasks.chunks(100) {
            let answer = |input: &serde_json::Value| json!(input.as_u64().unwrap() * 2);
            let answers: Vec<CoreMessage> =
                tasks.iter().map(|task| succeeded(&task.token, answer(&task.input))).collect();
            let handled = world.core.handle(answers.iter().map(loose).collect()).await;
            assert_eq!(handled.failed, vec![]);
        }
    }
    world.settle().await;
    assert_eq!(world.status(id).await, "SUCCEEDED");
    let expected: Vec<_> = items.iter().map(|item| item * 2).collect();
    assert_eq!(world.claim(id).await.output, Some(json!(expected)));
    assert_eq!(world.count("branch", id).await, 0);
}
