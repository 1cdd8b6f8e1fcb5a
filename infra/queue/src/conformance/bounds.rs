//! Bounds are errors that name them, and nothing is done.

use std::sync::Arc;
use std::time::Duration;

use super::{LONG, Subject, send, take};
use crate::bounds::{
    MAX_BODY_BYTES, MAX_DELAY, MAX_GROUP_CHARS, MAX_RECEIVE, MAX_VISIBILITY, MAX_WAIT,
};
use crate::{Outgoing, QueueError, Receive};

/// The least that is too much.
const MORE: Duration = Duration::from_millis(1);

pub(super) async fn past_a_bound_nothing_is_done(subject: Subject) {
    let queue = Arc::clone(&subject.queue);
    let name = subject.fresh_queue().await;
    let message = |body: String| Outgoing::new(name.clone(), body);
    let small = || message("{}".to_owned());
    let bad = [
        (message("x".repeat(MAX_BODY_BYTES + 1)), "MAX_BODY_BYTES"),
        (small().delayed(MAX_DELAY + MORE), "MAX_DELAY"),
        (small().in_group("g".repeat(MAX_GROUP_CHARS + 1)), "MAX_GROUP_CHARS"),
        (message("\0".to_owned()), "NUL"),
    ];
    for (bad, bound) in bad {
        names(queue.send(vec![small(), bad]).await, bound);
    }
    assert!(take(&*queue, &name, 10).await.is_empty(), "all or nothing");

    let good = Receive { max: 1, wait: Duration::ZERO, visibility: LONG };
    let bad = [
        (Receive { max: MAX_RECEIVE + 1, ..good }, "MAX_RECEIVE"),
        (Receive { wait: MAX_WAIT + MORE, ..good }, "MAX_WAIT"),
        (Receive { visibility: MAX_VISIBILITY + MORE, ..good }, "MAX_VISIBILITY"),
    ];
    for (bad, bound) in bad {
        names(queue.receive(&name, bad).await, bound);
    }

    send(&*queue, &name, &["{}"]).await;
    let receipt = take(&*queue, &name, 1).await.remove(0).receipt;
    let changes = [(receipt.clone(), Duration::ZERO), (receipt, MAX_VISIBILITY + MORE)];
    names(queue.change_visibility(&name, &changes).await, "MAX_VISIBILITY");
    assert!(take(&*queue, &name, 1).await.is_empty(), "nothing was changed");

    let largest = vec![message("x".repeat(MAX_BODY_BYTES))];
    queue.send(largest).await.expect("the bound itself is fine");
    assert_eq!(take(&*queue, &name, 1).await[0].body.len(), MAX_BODY_BYTES);
}

fn names<T>(result: Result<T, QueueError>, bound: &str) {
    let error = result.err().expect("an error");
    assert!(error.to_string().contains(bound), "`{error}` names {bound}");
    assert!(!error.is_transient());
}
