//! What the core counts, where somebody listens: see [`fluxus_lambda::metrics`].

use std::collections::BTreeMap;
use std::time::Duration;

use fluxus_lambda::metrics::{count, is_on, took};
use fluxus_queue::{QueueName, Received};
use fluxus_schema::{ClaimStatus, Timestamp};
use fluxus_store::Changes;

use crate::registry::Answered;

/// The outcomes of the claims that end with these changes.
pub(crate) fn ends(changes: &Changes) -> Vec<ClaimStatus> {
    let ends = changes.end.iter().filter(|_| is_on());
    ends.map(|end| end.status).collect()
}

/// A batch was committed.
pub(crate) fn committed(ends: &[ClaimStatus], transitions: u64, answered: &[Answered]) {
    if !is_on() {
        return;
    }
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    ends.iter().for_each(|status| *outcomes.entry(status.as_str()).or_default() += 1);
    for (outcome, ended) in outcomes {
        count("ClaimsEnded", &[("Outcome", outcome)], ended);
    }
    count("Transitions", &[], transitions);
    for one in answered {
        if let Some(capability) = &one.capability {
            let time = Duration::from_secs_f64(one.latency_ms.max(0.0) / 1000.0);
            took("TaskLatency", &[("Capability", capability.as_str())], time);
        }
    }
}

/// A batch came in: how long its oldest message was on its way.
pub(crate) fn received(queue: &QueueName, batch: &[Received], now: Timestamp) {
    if let Some(oldest) = batch.iter().map(|message| message.sent_at_ms).min() {
        let age = now.since(Timestamp::from_millis(oldest));
        took("MessageAge", &[("Queue", queue.as_str())], age);
    }
}

/// Messages of a batch come again.
pub(crate) fn failed(queue: &QueueName, messages: usize) {
    count("MessagesFailed", &[("Queue", queue.as_str())], messages as u64);
}
