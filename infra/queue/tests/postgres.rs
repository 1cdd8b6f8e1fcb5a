//! What only the Postgres adapter promises: transactions, constant cost, plans, other processes.

#![cfg(feature = "postgres")]
#![allow(clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use fluxus_postgres::{Database, Options, Transaction};
use fluxus_queue::bounds::MAX_BODY_BYTES;
use fluxus_queue::{
    Outgoing, PostgresQueue, PostgresQueueOptions, Queue, QueueName, Receipt, Receive, Received,
    Taken,
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
    let sent = queue.send_in(&tx, messages(2)).await.expect("send");
    drop(sent);
    tx.rollback().await.expect("a rollback");
    assert!(receive(&queue, 10, Duration::ZERO).await.is_empty(), "rolled back, nothing sent");

    let tx = session.begin().await.expect("a transaction");
    let sent = queue.send_in(&tx, messages(2)).await.expect("send");
    assert!(receive(&queue, 10, Duration::ZERO).await.is_empty(), "not before the commit");
    tx.commit().await.expect("a commit");
    queue.sent(sent);
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
        let sent = queue.send_in(&tx, messages(count)).await.expect("send");
        assert_eq!(tx.statements(), 1);
        tx.commit().await.expect("a commit");
        queue.sent(sent);
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

/// Takes from the table, as if it were committed.
async fn take(queue: &PostgresQueue, tx: &Transaction<'_>, most: usize) -> Taken {
    queue.wake([&name()]);
    let due = queue.due(&name(), most, Duration::from_secs(600)).expect("it is time to look");
    let taken = queue.take_in(tx, &due, most).await.expect("take");
    due.settle();
    taken
}

/// How many pages of the table and its indexes a statement has touched.
async fn pages(tx: &Transaction<'_>) -> i64 {
    // What this transaction did so far, as the server counts it for itself.
    let touched = "SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::bigint AS pages FROM pg_class
                    WHERE relnamespace = 'fluxus_queue'::regnamespace";
    tx.query(touched, &[]).await.expect("a count")[0].get("pages")
}

/// What taking a batch costs when one tenant has so many messages, and others one each.
async fn cost_of_a_fair_take(backlog: usize) -> i64 {
    let (_test, queue, database) = support::queue().await;
    for _ in 0..backlog / 2_000 {
        let some = messages(2_000).into_iter().map(|one| one.in_group("large"));
        queue.send(some.collect()).await.expect("send");
    }
    let others = (0..5).map(|at| Outgoing::new(name(), "{}").in_group(format!("small {at}")));
    queue.send(others.collect()).await.expect("send");
    let mut session = database.session().await.expect("a session");
    let tx = session.begin().await.expect("a transaction");
    // Full, so that the next one shares out.
    assert!(take(&queue, &tx, 100).await.more, "there is more");
    let before = pages(&tx).await;
    let messages = take(&queue, &tx, 100).await.messages;
    assert_eq!(messages.iter().filter(|message| message.body == "{}").count(), 5, "one of each");
    pages(&tx).await - before
}

#[tokio::test]
async fn fairness_costs_the_same_however_much_waits() {
    let (small, large) = (cost_of_a_fair_take(2_000).await, cost_of_a_fair_take(20_000).await);
    assert!(small > 0 && large <= small * 2, "{small} pages of 2,000, {large} pages of 20,000");
}

/// The statements of the version before fair turns, as far as they write.
mod older {
    pub const SEND: &str = "
        INSERT INTO fluxus_queue.message (queue, group_id, body, visible_at, sent_at)
        SELECT 'orders', 'acme', body, now() + delay * interval '1 second', now()
          FROM (VALUES ('\"at once\"', 0), ('\"later\"', 3600)) AS outgoing (body, delay)";
    pub const RECEIVE: &str = "
        UPDATE fluxus_queue.message
           SET receive_count = receive_count + 1, visible_at = now() + interval '1 hour'
         WHERE message_id IN (
               SELECT message_id FROM fluxus_queue.message
                WHERE queue = 'orders' AND visible_at <= now() ORDER BY visible_at LIMIT 1)
        RETURNING body";
}

#[tokio::test]
async fn a_program_of_the_version_before_works_on_the_same_tables() {
    let test = fluxus_test_support::database().await;
    let database = Database::connect(test.url(), Options::default()).await.expect("a database");
    let session = database.session().await.expect("a session");
    session.batch(include_str!("../src/postgres/migration.sql")).await.expect("old tables");
    session.batch(older::SEND).await.expect("what waits while the tables change");
    PostgresQueue::setup(&database).await.expect("setup");
    session.batch(older::SEND).await.expect("an old program sends");
    let options = PostgresQueueOptions::default();
    let queue = PostgresQueue::new(database.clone(), options).await.expect("a queue");
    let at_once = receive(&queue, 10, Duration::ZERO).await;
    let bodies: Vec<_> = at_once.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["\"at once\""; 2], "and nothing before its time");
    queue.delete(&name(), &receipts(&at_once)).await.expect("delete");

    let new = vec![Outgoing::new(name(), "\"new\"").in_group("acme").with_priority(9)];
    queue.send(new).await.expect("send");
    let taken = session.query(older::RECEIVE, &[]).await.expect("an old program receives");
    assert_eq!(taken[0].get::<_, String>("body"), "\"new\"");
    assert!(receive(&queue, 10, Duration::ZERO).await.is_empty(), "it has the message now");
    let mut other = database.session().await.expect("a session");
    let tx = other.begin().await.expect("a transaction");
    let taken = take(&queue, &tx, 10).await;
    assert!(taken.messages.is_empty(), "{taken:?}");
}

#[tokio::test]
async fn what_falls_due_while_much_is_ready_stands_in_line() {
    let (_test, queue, database) = support::queue().await;
    queue.send(messages(100).into_iter().map(Outgoing::yielding).collect()).await.expect("send");
    let due = vec![Outgoing::new(name(), "\"due\"").delayed(Duration::from_millis(1))];
    queue.send(due).await.expect("send");
    let past = "SELECT FROM fluxus_queue.message WHERE visible_at > clock_timestamp()";
    let session = database.session().await.expect("a session");
    while !session.query(past, &[]).await.expect("a look").is_empty() {}
    let first = receive(&queue, 10, Duration::ZERO).await;
    assert!(first.iter().all(|message| message.body != "\"due\""), "full of what is ready");
    let second = receive(&queue, 10, Duration::ZERO).await;
    assert!(second.iter().any(|message| message.body == "\"due\""), "before what yields");
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
    let received = receive(&queue, 1, Duration::ZERO).await;
    assert_eq!(received[0].body.len(), MAX_BODY_BYTES);
}

#[tokio::test]
async fn setup_gives_way_to_those_who_work_on_the_tables() {
    const WAITS: &str = "SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let test = fluxus_test_support::database().await;
    let database = Database::connect(test.url(), Options::default()).await.expect("a database");
    let session = database.session().await.expect("a session");
    session.batch(include_str!("../src/postgres/migration.sql")).await.expect("old tables");
    // A backup reads the table, for long.
    let mut reading = database.session().await.expect("a session");
    let reader = reading.begin().await.expect("begin");
    reader.batch("SELECT FROM fluxus_queue.message").await.expect("read");
    let setup = tokio::spawn({
        let database = database.clone();
        async move { PostgresQueue::setup(&database).await }
    });
    while session.query(WAITS, &[]).await.expect("look").is_empty() {
        tokio::task::yield_now().await;
    }
    // Whoever comes now waits behind the setup, until it gives way.
    let insert = "INSERT INTO fluxus_queue.message (visible_at, sent_at, queue, body)
        VALUES (now(), now(), 'work', '{}')";
    let inserted = tokio::time::timeout(Duration::from_secs(60), session.batch(insert)).await;
    inserted.expect("the setup gives way").expect("insert");
    assert!(!setup.is_finished(), "it tries on");
    reader.commit().await.expect("commit");
    setup.await.expect("no panic").expect("setup");
}

#[tokio::test]
async fn what_is_large_in_messages_is_stored_once_and_goes_after_them() {
    let (_test, queue, database) = support::queue().await;
    let list = "x".repeat(2_000_000);
    let body = |number: usize| format!(r#"{{"token":{number},"input":{{"list":"{list}"}}}}"#);
    let large: Vec<_> = (0..3).map(|number| Outgoing::new(name(), body(number))).collect();
    let before = database.statements_sent();
    queue.send(large.clone()).await.expect("send");
    queue.send(messages(1)).await.expect("send");
    assert_eq!(database.statements_sent() - before, 3, "one more for bodies, none for small ones");
    let count = async |sql: &str| {
        let session = database.session().await.expect("a session");
        session.query(sql, &[]).await.expect("a count")[0].get::<_, i64>(0)
    };
    const BODIES: &str = "SELECT count(*) FROM fluxus_queue.body";
    assert_eq!(count(BODIES).await, 1);
    const LARGEST: &str = "SELECT max(octet_length(body))::bigint FROM fluxus_queue.message";
    assert!(count(LARGEST).await < 500);

    let old = async || {
        let sql = "UPDATE fluxus_queue.body SET used_at = used_at - interval '2 minutes'";
        database.session().await.expect("a session").batch(sql).await.expect("an update");
    };
    old().await;
    assert_eq!(queue.purge_bodies().await.expect("purge"), 0, "messages need it");
    let received = receive(&queue, 10, Duration::ZERO).await;
    let whole: Vec<_> = received.iter().filter(|one| one.body.len() > 2_000_000).collect();
    assert_eq!(whole.len(), 3);
    assert!((0..3).all(|number| whole.iter().any(|one| one.body == body(number))));

    queue.delete(&name(), &receipts(&received)).await.expect("delete");
    // A send that needs it again keeps it.
    queue.send(large).await.expect("send");
    assert_eq!(queue.purge_bodies().await.expect("purge"), 0);
    let received = receive(&queue, 10, Duration::ZERO).await;
    queue.delete(&name(), &receipts(&received)).await.expect("delete");
    old().await;
    assert_eq!(queue.purge_bodies().await.expect("purge"), 1);
    assert_eq!(count(BODIES).await, 0);
}
