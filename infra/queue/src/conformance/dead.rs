//! Dead letters and depth.

use std::sync::Arc;
use std::time::Duration;

use super::{LONG, PATIENCE, SHORT, Subject, send, take, wait_for_one};
use crate::bounds::{MAX_DELAY, MAX_REASON_CHARS, MAX_RECEIVES};
use crate::{Burial, DeadLetter, Letters, MessageId, Outgoing, Queue, QueueName, Receive};

pub(super) async fn what_is_received_too_often_dies(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    send(&*queue, &name, &["poison"]).await;
    for count in 1..=MAX_RECEIVES {
        let received = wait_for_one(&*queue, &name, Duration::ZERO).await;
        assert_eq!(received.receive_count, count);
        if count != 2 {
            let failure = [(received.receipt, format!("failure {count}"))];
            queue.note_failures(&name, &failure).await.expect("note failures");
        }
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
    assert!(letter.dead_at_ms > 0 && letter.dead_at_ms >= letter.sent_at_ms);
    if subject.promises.attempts {
        let said: Vec<_> = letter.attempts.iter().map(|one| one.failure.as_deref()).collect();
        let expected: Vec<_> = (1..=MAX_RECEIVES).map(|n| format!("failure {n}")).collect();
        let expected = expected.iter().enumerate();
        let expected: Vec<_> = expected.map(|(at, said)| (at != 1).then_some(&**said)).collect();
        assert_eq!(said, expected);
        assert!(letter.attempts.is_sorted_by_key(|attempt| attempt.at_ms), "{letter:?}");
        assert!(letter.reason.ends_with("failure 5"), "{}", letter.reason);
    }
    queue.mark_reported(std::slice::from_ref(&letter.id)).await.expect("mark reported");
    assert!(dead_letters(&*queue, &name).await.is_empty(), "reported once");
    let listed = queue.list_dead(&name, None, 10).await.expect("list");
    assert_eq!(listed.len(), 1, "a person sees it too");
    assert_eq!((&listed[0].message_id, &listed[0].body), (&letter.message_id, &letter.body));
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

/// Puts messages among the dead letters.
async fn bury(queue: &dyn Queue, name: &QueueName, bodies: &[&str]) {
    send(queue, name, bodies).await;
    let mut received = Vec::new();
    while received.len() < bodies.len() {
        received.push(wait_for_one(queue, name, LONG).await);
    }
    let burials = received.into_iter().map(|one| Burial::new(one, "buried by the test"));
    queue.bury(name, burials.collect()).await.expect("bury");
}

async fn list(queue: &dyn Queue, name: &QueueName) -> Vec<DeadLetter> {
    queue.list_dead(name, None, 1_000).await.expect("list dead letters")
}

pub(super) async fn dead_letters_are_listed_page_by_page(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let (name, other) = (subject.fresh_queue().await, subject.fresh_queue().await);
    bury(&*queue, &name, &["1", "2", "3"]).await;
    bury(&*queue, &other, &["4"]).await;
    let mut bodies = Vec::new();
    let mut after = None;
    loop {
        let page = queue.list_dead(&name, after.as_ref(), 2).await.expect("list");
        assert!(page.len() <= 2 && page.iter().all(|letter| letter.queue == name));
        let Some(last) = page.last() else { break };
        after = Some(last.place());
        bodies.extend(page.into_iter().map(|letter| letter.body));
    }
    bodies.sort();
    assert_eq!(bodies, ["1", "2", "3"], "each once, and none of another queue");

    let letters = list(&*queue, &name).await;
    let letter = &letters[0];
    assert_eq!(letter.receive_count, 1);
    assert!(letter.reason.contains("buried by the test") && letter.sent_at_ms > 0);
    let none = MessageId("not-a-message".to_owned());
    let wanted = [letters[0].message_id.clone(), none, letters[1].message_id.clone()];
    let found = queue.find_dead(&name, &wanted).await.expect("find");
    let mut found: Vec<_> = found.into_iter().map(|found| found.body).collect();
    found.sort();
    let mut bodies = [letters[0].body.clone(), letters[1].body.clone()];
    bodies.sort();
    assert_eq!(found, bodies, "those that there are");
    let found = queue.find_dead(&other, &wanted).await.expect("find");
    assert_eq!(found, [], "they are in another queue");
}

pub(super) async fn a_dead_letter_is_put_back(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    bury(&*queue, &name, &["1", "2", "3"]).await;
    let letters = list(&*queue, &name).await;
    let second = letters.iter().find(|letter| letter.body == "2").expect("a letter");
    let these = [second.message_id.clone(), MessageId("unknown".to_owned())];
    let count = queue.redrive(&name, Letters::These(&these)).await.expect("redrive");
    assert_eq!(count, 1);
    let received = wait_for_one(&*queue, &name, LONG).await;
    assert_eq!((received.body.as_str(), received.receive_count), ("2", 1), "counted anew");
    assert_eq!(list(&*queue, &name).await.len(), 2, "the others stay");
    assert_eq!(queue.redrive(&name, Letters::These(&these)).await.expect("redrive"), 0, "once");

    assert_eq!(queue.redrive(&name, Letters::All).await.expect("redrive"), 2);
    let mut rest = vec![wait_for_one(&*queue, &name, LONG).await.body];
    rest.push(wait_for_one(&*queue, &name, LONG).await.body);
    rest.sort();
    assert_eq!(rest, ["1", "3"]);
    assert!(list(&*queue, &name).await.is_empty());
}

pub(super) async fn dead_letters_are_purged(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let (name, other) = (subject.fresh_queue().await, subject.fresh_queue().await);
    bury(&*queue, &name, &["1", "2", "3"]).await;
    bury(&*queue, &other, &["4"]).await;
    let first = list(&*queue, &name).await.remove(0);
    let these = [first.message_id];
    assert_eq!(queue.purge(&name, Letters::These(&these)).await.expect("purge"), 1);
    assert_eq!(list(&*queue, &name).await.len(), 2);
    assert_eq!(queue.purge(&name, Letters::All).await.expect("purge"), 2);
    assert!(list(&*queue, &name).await.is_empty());
    assert!(take(&*queue, &name, 10).await.is_empty(), "gone for good");
    assert_eq!(list(&*queue, &other).await.len(), 1, "of no other queue");
}

async fn dead_letters(queue: &dyn Queue, name: &QueueName) -> Vec<DeadLetter> {
    let letters =
        queue.dead_letters(std::slice::from_ref(name), 10_000).await.expect("dead letters");
    assert!(letters.iter().all(|letter| letter.queue == *name), "nobody asked for others");
    letters
}
