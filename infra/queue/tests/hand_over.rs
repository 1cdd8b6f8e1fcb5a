//! Messages that go from hand to hand within a process: what it saves, and that nothing is lost.

#![cfg(feature = "postgres")]
#![allow(clippy::expect_used)]

mod support;

use std::time::Duration;

use fluxus_postgres::Database;
use fluxus_queue::{
    Outgoing, PostgresQueue, PostgresQueueOptions, Queue, QueueName, Receipt, Receive, Received,
};

const LONG: Duration = Duration::from_secs(600);

fn tasks() -> QueueName {
    QueueName::new("tasks").expect("a name")
}

fn core() -> QueueName {
    QueueName::new("core").expect("a name")
}

fn messages(count: usize) -> Vec<Outgoing> {
    (0..count).map(|number| Outgoing::new(tasks(), number.to_string())).collect()
}

fn receipts(received: &[Received]) -> Vec<Receipt> {
    received.iter().map(|message| message.receipt.clone()).collect()
}

async fn receive(
    queue: &PostgresQueue,
    max: usize,
    wait: Duration,
    visibility: Duration,
) -> Vec<Received> {
    queue.receive(&tasks(), Receive { max, wait, visibility }).await.expect("receive")
}

/// What another process finds.
async fn found_elsewhere(database: &Database) -> usize {
    let options = PostgresQueueOptions::default();
    let queue = PostgresQueue::new(database.clone(), options).await.expect("a queue");
    receive(&queue, 10, Duration::ZERO, LONG).await.len()
}

/// A receiver that got one message and has room for nine more.
async fn with_room(queue: &PostgresQueue, visibility: Duration) -> Vec<Received> {
    queue.send(messages(1)).await.expect("send");
    let first = receive(queue, 10, Duration::from_secs(20), visibility).await;
    assert_eq!(first.len(), 1);
    first
}

async fn send_in(queue: &PostgresQueue, database: &Database, count: usize) {
    let mut session = database.session().await.expect("a session");
    let tx = session.begin().await.expect("a transaction");
    let sent = queue.send_in(&tx, messages(count)).await.expect("send");
    tx.commit().await.expect("a commit");
    queue.sent(sent);
}

#[tokio::test]
async fn what_a_receiver_here_waits_for_costs_no_receive() {
    let (_test, queue, database) = support::queue().await;
    let first = with_room(&queue, LONG).await;
    // Of what was found there might have been more, so it is looked for once.
    assert!(receive(&queue, 10, Duration::ZERO, LONG).await.is_empty());
    let again = with_room(&queue, LONG).await;
    send_in(&queue, &database, 2).await;
    assert_eq!(found_elsewhere(&database).await, 0, "others do not see it");

    let got = receive(&queue, 10, Duration::from_secs(20), LONG).await;
    let bodies: Vec<_> = got.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["0", "1"], "in the order sent");
    assert!(got.iter().all(|message| message.receive_count == 1 && message.sent_at_ms > 0));
    let before = database.statements_sent();
    send_in(&queue, &database, 1).await;
    let more = receive(&queue, 10, Duration::from_secs(20), LONG).await;
    assert_eq!((more.len(), database.statements_sent() - before), (1, 1), "the insert alone");

    let depth = &queue.depth(&[tasks()]).await.expect("depth")[0];
    assert_eq!((depth.ready, depth.in_flight), (0, 5), "as if they were received");
    let all: Vec<_> = [first, again, got, more].concat();
    queue.delete(&tasks(), &receipts(&all)).await.expect("delete");
    let depth = &queue.depth(&[tasks()]).await.expect("depth")[0];
    assert_eq!(depth.in_flight, 0, "the receipts are good");
}

#[tokio::test]
async fn what_was_rolled_back_is_not_handed_over() {
    let (_test, queue, database) = support::queue().await;
    with_room(&queue, LONG).await;
    let mut session = database.session().await.expect("a session");
    let tx = session.begin().await.expect("a transaction");
    drop(queue.send_in(&tx, messages(9)).await.expect("send"));
    tx.rollback().await.expect("a rollback");
    send_in(&queue, &database, 9).await;
    assert_eq!(found_elsewhere(&database).await, 0, "all the room is free again");
    assert_eq!(receive(&queue, 10, Duration::ZERO, LONG).await.len(), 9);
}

#[tokio::test]
async fn what_is_not_fetched_comes_again_by_its_time() {
    let (_test, queue, database) = support::queue().await;
    let second = Duration::from_secs(1);
    let first = with_room(&queue, second).await;
    queue.delete(&tasks(), &receipts(&first)).await.expect("delete");
    send_in(&queue, &database, 1).await;
    // The process that it was handed over in is gone.
    drop(queue);
    let options = PostgresQueueOptions::default();
    let other = PostgresQueue::new(database.clone(), options).await.expect("a queue");
    let got = receive(&other, 10, Duration::from_secs(20), LONG).await;
    assert_eq!(got[0].receive_count, 2, "the hand-over counts");
}

#[tokio::test]
async fn where_messages_wait_the_others_wait_behind_them() {
    let (_test, queue, database) = support::queue().await;
    queue.send(messages(2)).await.expect("send");
    assert_eq!(receive(&queue, 1, Duration::from_secs(20), LONG).await.len(), 1);
    send_in(&queue, &database, 1).await;
    assert_eq!(found_elsewhere(&database).await, 2, "nothing was handed over");
}

#[tokio::test]
async fn nothing_is_handed_to_a_receiver_that_gave_up() {
    let (_test, queue, database) = support::queue().await;
    let request = Receive { max: 10, wait: Duration::from_secs(20), visibility: LONG };
    let here = tasks();
    let waiting = queue.receive(&here, request);
    assert!(tokio::time::timeout(Duration::from_millis(300), waiting).await.is_err());
    send_in(&queue, &database, 1).await;
    assert_eq!(found_elsewhere(&database).await, 1);
}

#[tokio::test]
async fn answers_to_the_core_beside_are_not_written() {
    let (_test, queue, database) = support::queue().await;
    let received = with_room(&queue, LONG).await;
    let _takes = queue.takes(&core());
    let before = database.statements_sent();
    let answer = vec![Outgoing::new(core(), "\"done\"")];
    queue.answer(&tasks(), answer, &receipts(&received)).await.expect("answers");
    assert_eq!(database.statements_sent() - before, 0);

    // A batch that fails leaves everything as it was.
    let mut session = database.session().await.expect("a session");
    for commits in [false, true] {
        let tx = session.begin().await.expect("a transaction");
        let due = queue.due(&core(), 10, LONG).expect("an answer");
        let taken = queue.take_in(&tx, &due, 10).await.expect("take");
        assert_eq!(taken.messages.len(), 1);
        assert_eq!(taken.messages[0].body, "\"done\"");
        assert_eq!(queue.delete_in(&tx, &due.receipts()).await.expect("delete"), 1);
        if commits {
            tx.commit().await.expect("a commit");
            due.settle();
        }
    }
    let depth = &queue.depth(&[tasks()]).await.expect("depth")[0];
    assert_eq!((depth.ready, depth.in_flight), (0, 0), "deleted with the commit");
    assert!(queue.due(&core(), 10, LONG).is_none(), "and nothing more is due");
}

#[tokio::test]
async fn answers_are_written_where_nobody_takes_them_here() {
    let (_test, queue, _database) = support::queue().await;
    let received = with_room(&queue, LONG).await;
    drop(queue.takes(&core()));
    let answer = vec![Outgoing::new(core(), "\"done\"")];
    queue.answer(&tasks(), answer, &receipts(&received)).await.expect("answers");
    let depth = queue.depth(&[tasks(), core()]).await.expect("depth");
    assert_eq!((depth[0].in_flight, depth[1].ready), (0, 1));
}

#[tokio::test]
async fn a_transaction_takes_what_was_handed_over() {
    let (_test, queue, database) = support::queue().await;
    let _takes = queue.takes(&tasks());
    let looks = queue.due(&tasks(), 3, LONG).expect("the first look");
    let mut session = database.session().await.expect("a session");
    let tx = session.begin().await.expect("a transaction");
    assert!(queue.take_in(&tx, &looks, 3).await.expect("take").messages.is_empty());
    looks.settle();
    drop(tx);
    send_in(&queue, &database, 2).await;
    assert_eq!(found_elsewhere(&database).await, 0, "others do not see them");
    for commits in [false, true] {
        let tx = session.begin().await.expect("a transaction");
        let due = queue.due(&tasks(), 3, LONG).expect("two messages");
        let taken = queue.take_in(&tx, &due, 3).await.expect("take");
        let bodies: Vec<_> = taken.messages.iter().map(|one| one.body.as_str()).collect();
        assert_eq!(bodies, ["0", "1"]);
        assert_eq!(queue.delete_in(&tx, &due.receipts()).await.expect("delete"), 2);
        if commits {
            tx.commit().await.expect("a commit");
            due.settle();
        }
    }
    // What nobody here can deal with is there for all.
    send_in(&queue, &database, 2).await;
    queue.give_back(Some(&tasks())).await.expect("gives back");
    assert_eq!(found_elsewhere(&database).await, 2);
}

#[tokio::test]
async fn a_process_that_ends_gives_back_what_it_has() {
    let (_test, queue, database) = support::queue().await;
    let received = with_room(&queue, LONG).await;
    send_in(&queue, &database, 2).await;
    let takes = queue.takes(&core());
    let answer = vec![Outgoing::new(core(), "\"done\"")];
    queue.answer(&tasks(), answer, &receipts(&received)).await.expect("answers");
    drop(takes);
    queue.give_back(None).await.expect("gives back");
    let depth = queue.depth(&[tasks(), core()]).await.expect("depth");
    assert_eq!((depth[0].ready, depth[0].in_flight, depth[1].ready), (2, 0, 1));
    assert_eq!(found_elsewhere(&database).await, 2);
}
