//! What a handler is given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fluxus_schema::message::TaskMessage;
use fluxus_schema::{
    Capability, ClaimId, Json, RecipeName, StateName, TaskToken, Tenant, Timestamp,
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// One attempt at one task, with its input.
#[derive(Debug)]
pub struct Task<I> {
    /// What to do it with.
    pub input: I,
    attempt: Arc<Attempt>,
}

/// What is the same for a task whatever its input's type.
pub(crate) struct Attempt {
    pub(crate) message: TaskMessage,
    /// When the handler is stopped.
    pub(crate) until: Instant,
    pub(crate) stop: CancellationToken,
    pub(crate) line: Option<Arc<dyn Line>>,
}

/// How a task reaches the core while it is worked on.
#[async_trait]
pub(crate) trait Line: Send + Sync {
    /// Says that the task is alive, and keeps it.
    async fn heartbeat(&self) -> Result<(), String>;
}

impl<I> Task<I> {
    pub(crate) fn new(input: I, attempt: Arc<Attempt>) -> Self {
        Self { input, attempt }
    }

    /// Names this attempt. Whoever holds it may answer for the task: it is not for outside services.
    pub fn token(&self) -> &TaskToken {
        &self.message().token
    }

    /// An idempotency key for calls to outside services: the same whenever this attempt is run
    /// again. It is the SHA-256 of the token, in hexadecimal, so that it does not give the token away.
    pub fn idempotency_key(&self) -> String {
        let digest = Sha256::digest(self.token().as_str());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What was asked for.
    pub fn capability(&self) -> &Capability {
        &self.message().capability
    }

    /// The claim it is for.
    pub fn claim_id(&self) -> ClaimId {
        self.message().claim_id
    }

    /// Whose claim that is.
    pub fn tenant(&self) -> &Tenant {
        &self.message().tenant
    }

    /// The recipe.
    pub fn recipe(&self) -> &RecipeName {
        &self.message().recipe
    }

    /// The state, by its name in the recipe.
    pub fn state(&self) -> &StateName {
        &self.message().state
    }

    /// 0 for the first attempt, one more for each retry by the recipe.
    pub fn attempt(&self) -> u32 {
        self.message().attempt
    }

    /// When the core stops waiting for an answer, if ever.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.message().deadline
    }

    /// The claim's W3C trace context, to hand on in calls.
    pub fn traceparent(&self) -> Option<&str> {
        self.message().traceparent.as_deref()
    }

    /// The input as it came.
    pub fn raw_input(&self) -> &Json {
        &self.message().input
    }

    /// How much time is left before the handler is stopped, by the task's deadline or the
    /// fluxling's timeout, whichever is first.
    pub fn remaining(&self) -> Duration {
        self.attempt.until.saturating_duration_since(Instant::now())
    }

    /// Tells the core at once that the task is alive, and keeps its message hidden from others.
    ///
    /// The worker does both on its own while the handler runs, unless the fluxling says
    /// [`manual_heartbeats`](crate::Fluxling::manual_heartbeats).
    ///
    /// # Errors
    /// A retryable one if the queue could not be reached; going on with the task is fine.
    pub async fn heartbeat(&self) -> Result<(), crate::TaskError> {
        let Some(line) = &self.attempt.line else { return Ok(()) };
        let failed = |cause| crate::TaskError::retryable(crate::error_name::TASK_FAILED, cause);
        line.heartbeat().await.map_err(failed)
    }

    /// Whether to stop: the worker is shutting down, or the attempt is over.
    pub fn is_cancelled(&self) -> bool {
        self.attempt.stop.is_cancelled()
    }

    /// Waits until [`is_cancelled`](Self::is_cancelled).
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.attempt.stop.cancelled()
    }

    /// For work that the handler gives to other tasks or threads: cancelled when the worker begins
    /// to shut down, and when the attempt is over, be it by its end or by its timeout.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.attempt.stop.clone()
    }

    /// The same task with another input, for handlers that are made of handlers.
    pub fn with_input<J>(&self, input: J) -> Task<J> {
        Task { input, attempt: Arc::clone(&self.attempt) }
    }

    fn message(&self) -> &TaskMessage {
        &self.attempt.message
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("message", &self.message).finish_non_exhaustive()
    }
}
