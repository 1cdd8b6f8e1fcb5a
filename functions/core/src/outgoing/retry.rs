//! Retries that wait for their turn.

use fluxus_machine::{Entropy, Purpose, Status};
use fluxus_queue::bounds::MAX_DELAY;
use fluxus_schema::history::{Details, EventKind, EventRow};
use fluxus_schema::{BranchId, Timestamp};

use super::{Out, note};
use crate::prepared::Subject;

impl Out<'_> {
    /// When a task is tried again: when its recipe asks for it, or later, where too many tasks of its
    /// capability failed. The history says so.
    pub(super) fn retry(
        &mut self,
        subject: &Subject,
        (branch_id, revision): (&BranchId, u32),
        due: Timestamp,
        rows: &mut [EventRow],
    ) -> Timestamp {
        let before = subject.branches.iter().find(|(row, _)| row.branch_id == *branch_id);
        let Some((_, before)) = before else { return due };
        let Status::AwaitingTask { task, .. } = &before.status else { return due };
        let Some(capability) = &task.capability else { return due };
        let entropy = Entropy::new(subject.context.seed, Purpose::Retry, branch_id, revision);
        let draw = || entropy.fraction();
        let mut delay = self.retries.take(&subject.tenant, capability, self.now, draw);
        let asked = due.since(self.now);
        if asked <= MAX_DELAY {
            // What rides on a message goes on doing so: its branch remembers no row.
            delay = delay.min(MAX_DELAY.saturating_sub(asked));
        }
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        if delay_ms == 0 {
            return due;
        }
        fluxus_lambda::metrics::count("RetriesDelayed", &[("Capability", capability.as_str())], 1);
        let details = Details::new()
            .with("capability", capability.as_str())
            .with("delay_ms", delay_ms)
            .with("reason", "tasks of this capability fail faster than they may be tried again");
        note(rows, branch_id, revision, EventKind::RetryDelayed, details);
        due.plus(delay)
    }
}
