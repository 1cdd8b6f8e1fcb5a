//! Between groups, and by priority within one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{LONG, Subject, bodies, send, take, wait_for_one};
use crate::bounds::MAX_GROUPS_PER_RECEIVE;
use crate::{Outgoing, Queue, QueueName, Received};

/// A backlog of many receives.
const BACKLOG: usize = 400;

/// What one receive takes here.
const MAX: usize = 20;

fn backlog(name: &QueueName, group: &str) -> Vec<Outgoing> {
    (0..BACKLOG)
        .map(|at| Outgoing::new(name.clone(), format!("{group} {at}")).in_group(group))
        .collect()
}

async fn deleted(queue: &dyn Queue, name: &QueueName, received: Vec<Received>) -> Vec<String> {
    let receipts: Vec<_> = received.iter().map(|message| message.receipt.clone()).collect();
    queue.delete(name, &receipts).await.expect("delete");
    received.into_iter().map(|message| message.body).collect()
}

pub(super) async fn a_group_with_a_backlog_delays_no_other(subject: Subject) {
    if !subject.promises.fair_at_once {
        return;
    }
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    queue.send(backlog(&name, "large")).await.expect("send");
    // The order of groups must make no difference, nor must how they are looked for.
    for round in 0..3 {
        for small in ["a small one", "small", "zero"] {
            deleted(&*queue, &name, take(&*queue, &name, MAX).await).await;
            let single = format!("{small} {round}");
            let message = Outgoing::new(name.clone(), single.as_str()).in_group(small);
            queue.send(vec![message]).await.expect("send");
            let received = deleted(&*queue, &name, take(&*queue, &name, MAX).await).await;
            assert!(received.contains(&single), "{single} comes at once, before {received:?}");
            // What one group leaves is not wasted.
            assert!(received.len() > MAX / 2, "the other has the rest: {received:?}");
        }
    }
    queue.send(backlog(&name, "as large")).await.expect("send");
    let received = deleted(&*queue, &name, take(&*queue, &name, MAX).await).await;
    let of_one = received.iter().filter(|body| body.starts_with("large")).count();
    assert_eq!((of_one, received.len()), (MAX / 2, MAX), "half each: {received:?}");
}

pub(super) async fn every_group_has_its_turn_however_many_there_are(subject: Subject) {
    if !subject.promises.fair_at_once {
        return;
    }
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    let groups = 2 * MAX_GROUPS_PER_RECEIVE + 3;
    queue.send(backlog(&name, "large")).await.expect("send");
    let single = |at: usize| {
        let group = format!("group {at:03}");
        Outgoing::new(name.clone(), group.as_str()).in_group(group)
    };
    queue.send((0..groups).map(single).collect()).await.expect("send");
    let mut left: BTreeSet<String> = (0..groups).map(|at| format!("group {at:03}")).collect();
    // The first one need not know yet that there is more than one group. Then each looks at as many
    // groups as it takes messages, and the large one is among them once in each round.
    let enough = 1 + groups.div_ceil(MAX - 1) + 2;
    for _ in 0..enough {
        for body in deleted(&*queue, &name, take(&*queue, &name, MAX).await).await {
            left.remove(&body);
        }
    }
    assert!(left.is_empty(), "after {enough} receives these still wait: {left:?}");
}

pub(super) async fn within_a_group_the_higher_priority_goes_first(subject: Subject) {
    if !subject.promises.priorities {
        return;
    }
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    let order = [3, 0, 9, 3, 5, 9];
    let message = |(at, priority): (usize, &u8)| {
        let body = format!("{priority}, sent as {at}");
        Outgoing::new(name.clone(), body).in_group("acme").with_priority(*priority)
    };
    queue.send(order.iter().enumerate().map(message).collect()).await.expect("send");
    let mut received = Vec::new();
    for _ in order {
        received.extend(deleted(&*queue, &name, take(&*queue, &name, 1).await).await);
    }
    let expected = [
        "9, sent as 2",
        "9, sent as 5",
        "5, sent as 4",
        "3, sent as 0",
        "3, sent as 3",
        "0, sent as 1",
    ];
    assert_eq!(received, expected);
}

pub(super) async fn what_yields_goes_behind_the_others_of_its_priority(subject: Subject) {
    if !subject.promises.priorities {
        return;
    }
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    let to = |body: &str| Outgoing::new(name.clone(), body).in_group("acme");
    let messages = vec![
        to("3 begins").yielding(),
        to("2 goes on"),
        to("1 begins, urgent").with_priority(1).yielding(),
    ];
    queue.send(messages).await.expect("send");
    let mut received = Vec::new();
    for _ in 0..3 {
        received.extend(deleted(&*queue, &name, take(&*queue, &name, 1).await).await);
    }
    assert_eq!(received, ["1 begins, urgent", "2 goes on", "3 begins"]);
}

pub(super) async fn no_priority_comes_before_its_time(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    let later = Outgoing::new(name.clone(), "later").in_group("acme").with_priority(9);
    let delay = Duration::from_secs(1).max(subject.short());
    queue.send(vec![later.delayed(delay)]).await.expect("send");
    send(&*queue, &name, &["1", "2", "3"]).await;
    // A full receive, and one that shares out.
    let mut first = take(&*queue, &name, 2).await;
    first.extend(take(&*queue, &name, 2).await);
    assert_eq!(bodies(&first), ["1", "2", "3"]);
    assert_eq!(wait_for_one(&*queue, &name, LONG).await.body, "later");
}
