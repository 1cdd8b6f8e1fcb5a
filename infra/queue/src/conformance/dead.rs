//! Dead letters and depth.

use std::sync::Arc;
use std::time::Duration;

use super::{LONG, PATIENCE, SHORT, Subject, send, take, wait_for_one};
use crate::bounds::{MAX_DELAY, MAX_REASON_CHARS, MAX_RECEIVES};
use crate::{Burial, DeadLetter, Outgoing, Queue, QueueName, Receive};

pub(super) async fn what_is_received_too_often_dies(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    send(&*queue, &name, &["poison"]).await;
    for count in 1..=MAX_RECEIVES {
        let received = wait_for_one(&*queue, &name, Duration::ZERO).await;
        assert_eq!(received.receive_count, count);
    }
    // One more receive finds it dead, and what is alive behind it.
    send(&*queue, &name, &["fine"]).await;
    let request = Receive { max: 1, wait: PATIENCE, visibility: LONG };
    let received = queue.receive(&name, request).await.expect("receive");
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body, "fine");
    // The same receive need not have buried it.
    assert!(take(&*queue, &name, 10).await.is_empty());

    let other = subject.fresh_queue().await;
    assert!(dead_letters(&*queue, &other).await.is_empty(), "of the queues that are asked about");
    let letters = dead_letters(&*queue, &name).await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.body.as_str(), letter.receive_count), ("poison", MAX_RECEIVES));
    assert!(letter.reason.contains(&MAX_RECEIVES.to_string()), "{}", letter.reason);
    assert!(letter.dead_at_ms > 0);
    queue.mark_reported(std::slice::from_ref(&letter.id)).await.expect("mark reported");
    assert!(dead_letters(&*queue, &name).await.is_empty(), "reported once");
    let depth = queue.depth(std::slice::from_ref(&name)).await.expect("depth");
    assert_eq!(depth[0].dead, 1, "and kept");
}

pub(super) async fn what_is_buried_is_dead_at_once(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    send(&*queue, &name, &["bad", "good"]).await;
    let mut received = take(&*queue, &name, 10).await;
    received.extend(take(&*queue, &name, 10).await);
    assert_eq!(received.len(), 2);
    let bad = received.into_iter().find(|one| one.body == "bad").expect("the bad one");
    let reason = format!("line 1\nis no claim\0: {}", "x".repeat(MAX_REASON_CHARS));
    let burial = Burial::new(bad.clone(), &reason);
    queue.bury(&name, vec![burial]).await.expect("bury");
    queue.bury(&name, Vec::new()).await.expect("none is nothing to do");

    let letters = dead_letters(&*queue, &name).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].body, "bad");
    assert!(letters[0].reason.starts_with("line 1 is no claim : xxx"), "{}", letters[0].reason);
    assert_eq!(letters[0].reason.chars().count(), MAX_REASON_CHARS);
    // It is gone from the queue: it cannot be made visible again.
    let changes = [(bad.receipt, Duration::ZERO)];
    queue.change_visibility(&name, &changes).await.expect("change visibility");
    assert!(take(&*queue, &name, 10).await.is_empty());
}

pub(super) async fn the_depth_tells_each_kind(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let (name, empty) = (subject.fresh_queue().await, subject.fresh_queue().await);
    let delayed = Outgoing::new(name.clone(), "delayed").delayed(MAX_DELAY);
    queue.send(vec![delayed]).await.expect("send");
    send(&*queue, &name, &["1", "2", "3"]).await;
    assert_eq!(take(&*queue, &name, 2).await.len(), 2);
    let depth = queue.depth(&[empty.clone(), name.clone()]).await.expect("depth");
    assert_eq!((&depth[0].queue, &depth[1].queue), (&empty, &name), "in the order asked");
    let counts = |at: usize| {
        let depth: &crate::Depth = &depth[at];
        (depth.ready, depth.in_flight, depth.delayed, depth.dead)
    };
    assert_eq!(counts(0), (0, 0, 0, 0));
    assert_eq!(depth[0].oldest_ready_age, None);
    assert_eq!(counts(1), (1, 2, 1, 0));
    if subject.promises.oldest_age {
        assert!(depth[1].oldest_ready_age.expect("an age") < PATIENCE + SHORT);
    }
}

async fn dead_letters(queue: &dyn Queue, name: &QueueName) -> Vec<DeadLetter> {
    let letters =
        queue.dead_letters(std::slice::from_ref(name), 10_000).await.expect("dead letters");
    assert!(letters.iter().all(|letter| letter.queue == *name), "nobody asked for others");
    letters
}
