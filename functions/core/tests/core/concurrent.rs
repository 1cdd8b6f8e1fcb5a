//! Several cores on one database.

use futures::future::join_all;
use serde_json::json;

use crate::world::{
    Footing, World, core_queue, failed, last_task, loose, machine, succeeded, task,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cores_that_handle_the_same_messages_at_once_agree() {
    const CLAIMS: usize = 40;
    let world = World::new(Footing::Joined, &["work"]).await;
    let cores = [world.core.clone(), world.another_core().await, world.another_core().await];
    let both = json!({
        "Type": "Parallel", "End": true,
        "Branches": [machine(json!({ "B": last_task() })), machine(json!({ "C": last_task() }))]
    });
    let definition = machine(json!({ "A": task(json!({ "Next": "Both" })), "Both": both }));
    world.recipe("order", definition).await;
    let mut ids = Vec::new();
    for n in 0..CLAIMS {
        ids.push(world.submit("order", json!(n)).await);
    }
    let mut batch = world.receive(&core_queue(), 500).await;
    while !batch.is_empty() {
        let handled = join_all(cores.iter().zip(0..).map(|(core, n)| {
            let mut batch = batch.clone();
            let middle = n * batch.len() / cores.len();
            batch.rotate_left(middle);
            core.handle(batch)
        }));
        for handled in handled.await {
            assert_eq!(handled.failed, vec![]);
        }
        batch = world.receive(&core_queue(), 500).await;
        let tasks = world.tasks("work").await;
        batch.extend(tasks.iter().map(|one| loose(&succeeded(&one.token, json!(*one.input)))));
    }
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(world.status(id).await, "SUCCEEDED");
        assert_eq!(world.claim(id).await.output, Some(json!([n, n])));
    }
    assert_eq!((world.total("branch").await, world.queued(&["core", "work"]).await), (0, 0));
}

/// Returns once so many transactions wait for locks.
async fn until_waiting(world: &World, count: i64) {
    const WAITING: &str = "SELECT count(*) AS n FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        let session = world.database.session().await.unwrap();
        if session.query(WAITING, &[]).await.unwrap()[0].get::<_, i64>("n") >= count {
            return;
        }
        drop(session);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn branches_that_begin_while_their_ancestors_are_aborted_are_aborted_too() {
    let world = World::new(Footing::Joined, &["work"]).await;
    let deep = json!({
        "Type": "Parallel", "End": true,
        "Branches": [machine(json!({ "Deep1": last_task() })), machine(json!({ "Deep2": last_task() }))]
    });
    let definition = machine(json!({
        "Both": {
            "Type": "Parallel", "Next": "After",
            "Branches": [
                machine(json!({ "A": task(json!({ "Next": "Deep" })), "Deep": deep })),
                machine(json!({ "B": last_task() }))
            ],
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "After" }]
        },
        "After": last_task()
    }));
    world.recipe("order", definition).await;
    let id = world.submit("order", json!({})).await;
    world.settle().await;
    let tasks = world.tasks("work").await;
    world.handle(vec![loose(&failed(&tasks[1].token, "E"))]).await;
    let aborts = world.receive(&core_queue(), 10).await;
    assert_eq!(aborts.len(), 1);

    // Somebody holds the branch; behind it waits the step that begins two more below it, and
    // behind that the one that aborts them all.
    let mut session = world.database.session().await.unwrap();
    let holder = session.begin().await.unwrap();
    let lock = "SELECT FROM branch WHERE branch_id = '/1.0' FOR UPDATE";
    holder.query(lock, &[]).await.unwrap();
    let begins = vec![loose(&succeeded(&tasks[0].token, json!(1)))];
    let core = world.core.clone();
    let begins = tokio::spawn(async move { core.handle(begins).await });
    until_waiting(&world, 1).await;
    let core = world.another_core().await;
    let aborts = tokio::spawn(async move { core.handle(aborts).await });
    until_waiting(&world, 2).await;
    holder.commit().await.unwrap();
    assert_eq!(begins.await.unwrap().failed, vec![]);
    assert_eq!(aborts.await.unwrap().failed, vec![]);

    world.settle().await;
    assert_eq!(world.count("branch", id).await, 1);
    for orphan in world.tasks("work").await.iter().filter(|one| &*one.state != "After") {
        world.send(&succeeded(&orphan.token, json!("late"))).await;
    }
    world.settle().await;
    assert_eq!(world.count("branch", id).await, 1);
    assert_eq!(&*world.waiting(id).await[0].branch_id.to_string(), "/");
}
