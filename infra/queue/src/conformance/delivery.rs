//! Sending, receiving, deleting, waiting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LONG, PATIENCE, Subject, bodies, send, take, wait_for_one};
use crate::{Outgoing, Receipt, Receive};

pub(super) async fn what_is_sent_is_received_until_deleted(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    send(&*queue, &name, &[r#"{"a":1}"#]).await;
    let received = take(&*queue, &name, 10).await;
    assert_eq!(bodies(&received), [r#"{"a":1}"#]);
    assert_eq!(received[0].receive_count, 1);
    assert!(received[0].sent_at_ms > 0);
    assert!(take(&*queue, &name, 10).await.is_empty(), "a received message is hidden");

    queue.delete(&name, &[received[0].receipt.clone()]).await.expect("delete");
    // Neither again nor nonsense: the message is somebody else's business now.
    let receipts = [received[0].receipt.clone(), Receipt("no such receipt".to_owned())];
    queue.delete(&name, &receipts).await.expect("delete");
    let depth = queue.depth(std::slice::from_ref(&name)).await.expect("depth");
    assert_eq!((depth[0].ready, depth[0].in_flight), (0, 0), "a deleted message is gone");
}

pub(super) async fn a_batch_goes_to_many_queues(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let names = [subject.fresh_queue().await, subject.fresh_queue().await];
    let to = |at: usize, body: &str| Outgoing::new(names[at].clone(), body);
    let batch = vec![to(0, "1"), to(1, "2").in_group("acme"), to(0, "3")];
    queue.send(batch).await.expect("send");
    assert_eq!(bodies(&take(&*queue, &names[0], 10).await), ["1", "3"]);
    assert_eq!(bodies(&take(&*queue, &names[1], 10).await), ["2"]);
    queue.send(Vec::new()).await.expect("an empty batch is nothing to do");
}

pub(super) async fn a_receive_takes_no_more_than_asked(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    send(&*queue, &name, &["1", "2", "3", "4", "5"]).await;
    assert!(take(&*queue, &name, 0).await.is_empty());
    let mut received = take(&*queue, &name, 3).await;
    assert_eq!(received.len(), 3);
    received.extend(take(&*queue, &name, 3).await);
    assert_eq!(bodies(&received), ["1", "2", "3", "4", "5"]);
}

pub(super) async fn bodies_come_back_as_they_were(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    let large = format!("\"{}\"", "ä".repeat(100_000));
    let odd = "{\"text\": \"🦀 'quoted' \\\\ {a,b} \\u0001 \u{85}\"}\n";
    // The empty text is no JSON, so an adapter may refuse it.
    let empty = subject.promises.empty_bodies.then_some("");
    for body in [odd, large.as_str(), "NULL"].into_iter().chain(empty) {
        send(&*queue, &name, &[body]).await;
        let received = wait_for_one(&*queue, &name, LONG).await;
        assert_eq!(received.body, body);
        queue.delete(&name, &[received.receipt]).await.expect("delete");
    }
}

pub(super) async fn receivers_at_the_same_time_never_share_a_message(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    /// More than one receive takes, so that the receivers really compete.
    const MESSAGES: usize = 300;
    let name = subject.fresh_queue().await;
    let texts: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    send(&*queue, &name, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, name) = (queue.clone(), name.clone());
            tokio::spawn(async move {
                let mut all = Vec::new();
                loop {
                    let some = take(&*queue, &name, 7).await;
                    if some.is_empty() {
                        return all;
                    }
                    all.extend(some);
                }
            })
        })
        .collect();
    let mut received = Vec::new();
    for receiver in receivers {
        received.extend(receiver.await.expect("a receiver"));
    }
    // Rows that another receiver was looking at may have been passed over at the end.
    received.extend(take(&*queue, &name, MESSAGES).await);
    let distinct: BTreeSet<_> = received.iter().map(|message| &message.id).collect();
    assert_eq!((received.len(), distinct.len()), (MESSAGES, MESSAGES));
}

pub(super) async fn a_waiting_receiver_is_woken(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    let waiting = {
        let (queue, name) = (queue.clone(), name.clone());
        tokio::spawn(async move { wait_for_one(&*queue, &name, LONG).await })
    };
    // Let it begin to wait; that it does is no condition of the test.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let sent = Instant::now();
    send(&*queue, &name, &["1"]).await;
    assert_eq!(waiting.await.expect("a receiver").body, "1");
    let took = sent.elapsed();
    assert!(took < Duration::from_secs(2), "woken, not polled: it took {took:?}");
}

pub(super) async fn several_waiting_receivers_are_all_served(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let (queue, name) = (queue.clone(), name.clone());
            tokio::spawn(async move { wait_for_one(&*queue, &name, LONG).await })
        })
        .collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let sent = Instant::now();
    send(&*queue, &name, &["1", "2", "3", "4"]).await;
    let mut received = Vec::new();
    for receiver in waiting {
        received.push(receiver.await.expect("a receiver"));
    }
    assert_eq!(bodies(&received), ["1", "2", "3", "4"]);
    let took = sent.elapsed();
    assert!(took < Duration::from_secs(3), "woken, not polled: it took {took:?}");
}

pub(super) async fn an_empty_queue_ends_the_wait_empty(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let wait = Duration::from_millis(50);
    let request = Receive { max: 1, wait, visibility: LONG };
    let began = Instant::now();
    assert!(
        queue.receive(&subject.fresh_queue().await, request).await.expect("receive").is_empty()
    );
    assert!(began.elapsed() >= wait && began.elapsed() < PATIENCE);
}
