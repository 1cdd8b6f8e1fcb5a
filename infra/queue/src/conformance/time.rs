//! Delays and visibility timeouts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LONG, Subject, send, take, wait_for_one};
use crate::Outgoing;

/// Clocks of different resolution may disagree by this much.
const SLACK: Duration = Duration::from_millis(20);

pub(super) async fn a_delayed_message_comes_in_time(subject: Subject) {
    let (queue, short) = (Arc::clone(&subject.queue), subject.short());
    let name = subject.fresh_queue().await;
    let began = Instant::now();
    let later = Outgoing::new(name.clone(), "later").delayed(short);
    queue.send(vec![later, Outgoing::new(name.clone(), "now")]).await.expect("send");
    assert_eq!(wait_for_one(&*queue, &name, LONG).await.body, "now");
    assert_eq!(wait_for_one(&*queue, &name, LONG).await.body, "later");
    let took = began.elapsed();
    assert!(took + SLACK >= short, "too early: {took:?}");
    assert!(took < short + Duration::from_secs(2), "too late: {took:?}");
}

pub(super) async fn what_is_not_deleted_comes_again(subject: Subject) {
    let (queue, short) = (Arc::clone(&subject.queue), subject.short());
    let name = subject.fresh_queue().await;
    send(&*queue, &name, &["1"]).await;
    let began = Instant::now();
    let first = wait_for_one(&*queue, &name, short).await;
    let second = wait_for_one(&*queue, &name, LONG).await;
    assert!(began.elapsed() + SLACK >= short, "hidden for as long as it was asked");
    assert_eq!((first.receive_count, second.receive_count), (1, 2));
    assert_eq!((&first.id, first.sent_at_ms), (&second.id, second.sent_at_ms));
    assert_ne!(first.receipt, second.receipt);
}

pub(super) async fn a_stale_receipt_does_nothing(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    send(&*queue, &name, &["1"]).await;
    let first = wait_for_one(&*queue, &name, Duration::ZERO).await;
    let second = wait_for_one(&*queue, &name, LONG).await;
    queue.delete(&name, std::slice::from_ref(&first.receipt)).await.expect("delete");
    let changes = [(first.receipt, Duration::ZERO)];
    queue.change_visibility(&name, &changes).await.expect("change visibility");
    assert!(take(&*queue, &name, 10).await.is_empty(), "still hidden for the second receiver");

    let changes = [(second.receipt, Duration::ZERO)];
    queue.change_visibility(&name, &changes).await.expect("change visibility");
    assert_eq!(take(&*queue, &name, 10).await.len(), 1, "and still there");
}

pub(super) async fn visibility_can_be_changed(subject: Subject) {
    let (queue, short) = (Arc::clone(&subject.queue), subject.short());
    let name = subject.fresh_queue().await;
    send(&*queue, &name, &["1"]).await;
    let first = wait_for_one(&*queue, &name, short).await;
    let longer = [(first.receipt.clone(), LONG)];
    queue.change_visibility(&name, &longer).await.expect("change visibility");
    // Whoever waits now would be woken by the end of the first timeout.
    let request = crate::Receive { max: 1, wait: short * 2, visibility: LONG };
    assert!(queue.receive(&name, request).await.expect("receive").is_empty(), "prolonged");

    let waiting = wait_for_one(&*queue, &name, LONG);
    let shorter = [(first.receipt.clone(), Duration::ZERO)];
    let changing = async {
        tokio::task::yield_now().await;
        queue.change_visibility(&name, &shorter).await.expect("change visibility");
    };
    let began = Instant::now();
    let (second, ()) = tokio::join!(waiting, changing);
    assert_eq!(second.receive_count, 2);
    assert!(began.elapsed() < Duration::from_secs(2), "a receiver is woken by it");
}
