//! The port that makes tasks effectively-once: a record of which tasks are begun and done.
//!
//! A worker asks [`begin`](Idempotency::begin) before it runs handlers and tells
//! [`complete`](Idempotency::complete) after. A message that is delivered again finds the record and
//! is answered from it; the handler does not run again. A worker that dies leaves a lease behind,
//! after which another may begin the task anew: handlers are run at least once, and more than once
//! only where a worker died between the handler's end and `complete`.

pub mod conformance;
#[cfg(feature = "aws")]
mod dynamo;
mod memory;

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use fluxus_schema::{Json, TaskToken};

#[cfg(feature = "aws")]
pub use dynamo::{DynamoIdempotency, IDEMPOTENCY_TABLE};
pub use memory::MemoryIdempotency;

/// What [`Idempotency::begin`] found for a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Begin {
    /// Nobody has it, or its holder's lease ran out: the caller holds it now.
    New,
    /// Somebody holds it.
    InProgress,
    /// It is done; this came of it.
    Done(Json),
}

/// A record of tasks begun and done. Every method takes a batch and must cost a constant number of
/// calls to what is behind it, or calls that are made side by side.
///
/// Outcomes must be kept for as long as a message can be delivered again: on SQS, 14 days at most.
#[async_trait]
pub trait Idempotency: Send + Sync + 'static {
    /// Takes each task that nobody holds for the length of `lease`, and says how each stands, in the
    /// order asked. A token is in `tokens` once.
    ///
    /// # Errors
    /// [`IdempotencyError`]; the caller leaves the messages for later. Some tasks may be held then,
    /// until the lease ends.
    async fn begin(
        &self,
        tokens: &[TaskToken],
        lease: Duration,
    ) -> Result<Vec<Begin>, IdempotencyError>;

    /// Prolongs the leases of tasks that are not done: each ends `lease` from now.
    ///
    /// # Errors
    /// [`IdempotencyError`]; the caller tries again before the leases end.
    async fn extend(&self, tokens: &[TaskToken], lease: Duration) -> Result<(), IdempotencyError>;

    /// Records what came of tasks. What was recorded first stays: a second outcome of the same task
    /// is ignored.
    ///
    /// # Errors
    /// [`IdempotencyError`]; the caller may complete again.
    async fn complete(&self, outcomes: &[(TaskToken, Json)]) -> Result<(), IdempotencyError>;

    /// Gives back tasks that are not done, so that they can be begun at once. Done ones stay done.
    ///
    /// # Errors
    /// [`IdempotencyError`]; the leases end on their own.
    async fn release(&self, tokens: &[TaskToken]) -> Result<(), IdempotencyError>;
}

/// The record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} in the idempotency record")]
pub struct IdempotencyError {
    /// What was attempted: `begin tasks`.
    pub action: &'static str,
    /// Why it failed.
    pub source: Box<dyn Error + Send + Sync>,
}

impl IdempotencyError {
    /// For `map_err`: names what was attempted.
    pub fn while_doing<E: Into<Box<dyn Error + Send + Sync>>>(
        action: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self { action, source: source.into() }
    }
}
