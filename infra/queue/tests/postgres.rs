//! What only the Postgres adapter promises: transactions, constant cost, plans, other processes.

#![cfg(feature = "postgres")]
#![allow(clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use fluxus_postgres::{Database, Options};
use fluxus_queue::bounds::MAX_BODY_BYTES;
use fluxus_queue::{
    Outgoing, PostgresQueue, PostgresQueueOptions, Queue, QueueName, Receipt, Receive, Received,
};

fn name() -> QueueName {
    QueueName::new("orders").expect("a name")
}

fn messages(count: usize) -> Vec<Outgoing> {
    (0..count).map(|number| Outgoing::new(name(), format!("{{\"number\":{number}}}"))).collect()
}

async fn receive(queue: &PostgresQueue, max: usize, wait: Duration) -> Vec<Received> {
    let visibility = Duration::from_secs(600);
    queue.receive(&name(), Receive { max, wait, visibility }).await.expect("receive")
}

fn receipts(received: &[Received]) -> Vec<Receipt> {
    received.iter().map(|message| message.receipt.clone()).collect()
}

#[tokio::test]
async fn sending_and_deleting_join_the_callers_transaction() {
    let (_test, queue, database) = support::queue().await;
    let mut session = database.session().await.expect("a session");
    let tx = session.begin().await.expect("a transaction");
    queue.send_in(&tx, &messages(2)).await.expect("send");
    tx.rollback().await.expect("a rollback");
    assert!(receive(&queue, 10, Duration::ZERO).await.is_empty(), "rolled back, nothing sent");

    let tx = session.begin().await.expect("a transaction");
    queue.send_in(&tx, &messages(2)).await.expect("send");
    assert!(receive(&queue, 10, Duration::ZERO).await.is_empty(), "not before the commit");
    tx.commit().await.expect("a commit");
    queue.wake([&name()]);
    let received = receive(&queue, 10, Duration::ZERO).await;
    assert_eq!(received.len(), 2);

    let tx = session.begin().await.expect("a transaction");
    let mut all = receipts(&received);
    all.push(Receipt("1:17".to_owned()));
    assert_eq!(queue.delete_in(&tx, &all).await.expect("delete"), 2, "the good receipts");
    tx.rollback().await.expect("a rollback");
    assert_eq!(queue.depth(&[name()]).await.expect("depth")[0].in_flight, 2, "nothing deleted");
}

#[tokio::test]
async fn a_batch_of_any_size_costs_the_same_number_of_statements() {
    let (_test, queue, database) = support::queue().await;
    let mut costs = Vec::new();
    for count in [1, 500] {
        let before = database.statements_sent();
        let mut session = database.session().await.expect("a session");
        let tx = session.begin().await.expect("a transaction");
        queue.send_in(&tx, &messages(count)).await.expect("send");
        assert_eq!(tx.statements(), 1);
        tx.commit().await.expect("a commit");
        let received = receive(&queue, 1000, Duration::ZERO).await;
        assert_eq!(received.len(), count);
        let changes = receipts(&received).into_iter().map(|one| (one, Duration::ZERO));
        queue.change_visibility(&name(), &changes.collect::<Vec<_>>()).await.expect("change");
        let received = receive(&queue, 1000, Duration::ZERO).await;
        let (some, others) = received.split_at(count / 2);
        queue.delete(&name(), &receipts(others)).await.expect("delete");
        let tx = session.begin().await.expect("a transaction");
        let receipts = if some.is_empty() { receipts(others) } else { receipts(some) };
        queue.delete_in(&tx, &receipts).await.expect("delete");
        tx.commit().await.expect("a commit");
        costs.push(database.statements_sent() - before);
    }
    assert_eq!(costs, [6, 6]);
}

#[tokio::test]
async fn another_process_is_woken() {
    let (test, here, _database) = support::queue().await;
    // Another pool and listener, as another process would have.
    let database = Database::connect(test.url(), Options::default()).await.expect("a database");
    let there = PostgresQueue::new(database, PostgresQueueOptions::default()).await;
    let there = there.expect("a queue");
    let waiting = tokio::spawn(async move { receive(&there, 1, Duration::from_secs(15)).await });
    // It has looked once and waits when it asks for the second time.
    tokio::task::yield_now().await;
    let began = Instant::now();
    here.send(messages(1)).await.expect("send");
    assert_eq!(waiting.await.expect("a receiver").len(), 1);
    assert!(began.elapsed() < Duration::from_secs(2), "took {:?}", began.elapsed());
}

#[tokio::test]
async fn setup_can_be_run_twice_and_together() {
    let test = fluxus_test_support::database().await;
    let database = Database::connect(test.url(), Options::default()).await.expect("a database");
    let (one, two) =
        futures::join!(PostgresQueue::setup(&database), PostgresQueue::setup(&database));
    one.and(two).expect("setup");
    PostgresQueue::setup(&database).await.expect("setup");
}

#[tokio::test]
async fn tables_of_an_older_version_get_room_for_larger_bodies() {
    let test = fluxus_test_support::database().await;
    let database = Database::connect(test.url(), Options::default()).await.expect("a database");
    let session = database.session().await.expect("a session");
    session.batch(include_str!("../src/postgres/migration.sql")).await.expect("old tables");
    PostgresQueue::setup(&database).await.expect("setup");
    let options = PostgresQueueOptions::default();
    let queue = PostgresQueue::new(database, options).await.expect("a queue");
    let largest = Outgoing::new(name(), "x".repeat(MAX_BODY_BYTES));
    queue.send(vec![largest]).await.expect("send");
}
