//! What came of messages.

use std::sync::Arc;
use std::time::Duration;

use fluxus_queue::{MessageId, Receipt, Received};

/// What came of a batch: every message of it is in one of the two lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchOutcome {
    /// Done with: deleted, or to be deleted where deleting is left to the caller.
    pub handled: Vec<Receipt>,
    /// Left on the queue. They come again and, after too many times, go to the dead letters.
    pub failed: Vec<NotHandled>,
}

/// A message that is left on the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct NotHandled {
    /// The message.
    pub id: MessageId,
    /// Its receipt.
    pub receipt: Receipt,
    /// Why.
    pub reason: Reason,
}

/// Why a message is left on the queue.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It is not a task message; no delivery will change that.
    #[error("the message is no task: {0}")]
    Unreadable(Arc<str>),
    /// Another delivery of the same task is being worked on.
    #[error("the task is in progress elsewhere")]
    InProgress,
    /// The idempotency record could not be asked whether the task was done before.
    #[error("{0}")]
    NotBegun(Arc<str>),
    /// The handler asked to be called again later.
    #[error("to be retried in {} ms: {error}", after.as_millis())]
    RetryLater {
        /// After how long.
        after: Duration,
        /// The handler's error.
        error: Arc<str>,
    },
    /// The answer could not be sent. It is recorded, unless the fluxling is idempotent, and sent when
    /// the message comes again.
    #[error("the answer could not be sent: {0}")]
    NotAnswered(Arc<str>),
    /// The worker's time was over before the handler was done.
    #[error("the worker stopped before the task was done")]
    CutOff,
}

impl Reason {
    /// Whether the message cannot be handled as it is: if it becomes a dead letter, somebody asks why.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            Self::Unreadable(_) | Self::NotBegun(_) | Self::NotAnswered(_) => true,
            Self::InProgress | Self::RetryLater { .. } | Self::CutOff => false,
        }
    }
}

/// A message, as far as it must be named again.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: MessageId,
    pub(super) receipt: Receipt,
}

impl Message {
    pub(super) fn of(received: &Received) -> Self {
        Self { id: received.id.clone(), receipt: received.receipt.clone() }
    }

    pub(super) fn not_handled(self, reason: Reason) -> NotHandled {
        NotHandled { id: self.id, receipt: self.receipt, reason }
    }
}

impl BatchOutcome {
    pub(super) fn extend(&mut self, other: Self) {
        self.handled.extend(other.handled);
        self.failed.extend(other.failed);
    }

    /// One line for each failure; messages that failed together share one.
    pub(crate) fn log(&self) {
        for together in self.failed.chunk_by(|a, b| a.reason == b.reason) {
            let (Some(first), count) = (together.first(), together.len()) else { continue };
            let (id, reason) = (&first.id.0, &first.reason);
            match reason {
                Reason::InProgress => {
                    tracing::debug!(message.id = id, count, "left `{id}`: {reason}");
                }
                Reason::RetryLater { .. } | Reason::CutOff => {
                    tracing::info!(message.id = id, count, "left `{id}`: {reason}");
                }
                Reason::Unreadable(_) | Reason::NotBegun(_) | Reason::NotAnswered(_) => {
                    tracing::warn!(message.id = id, count, "cannot handle `{id}`: {reason}");
                }
            }
        }
    }
}
