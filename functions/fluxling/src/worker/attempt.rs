//! One attempt: the handler, bounded in time, its panic caught, its output measured.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fluxus_schema::Json;
use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use fluxus_schema::message::{CoreMessage, TaskMessage, TaskReport};
use futures::FutureExt;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Worker;
use super::holding::{HoldId, Holding};
use super::intake::{Finished, Taken, Verdict, Whose};
use crate::error::Kind;
use crate::task::{Attempt, Line};
use crate::{TaskError, error_name};

/// What an attempt needs of its surroundings.
pub(super) struct Work {
    pub(super) worker: Worker,
    pub(super) holding: Arc<Holding>,
    pub(super) hold: HoldId,
    pub(super) stop: CancellationToken,
}

impl Work {
    /// Waits for a slot unless there is one, then does the task.
    pub(super) async fn finish(self, taken: Taken, slot: Option<OwnedSemaphorePermit>) -> Finished {
        // A closed semaphore is none of ours; going on without a permit would be harmless.
        let own = match &slot {
            Some(_) => None,
            None => Arc::clone(&self.worker.slots).acquire_owned().await.ok(),
        };
        let Taken { task, messages, receive_count } = taken;
        let span = tracing::info_span!(
            "task",
            capability = %task.capability,
            claim_id = %task.claim_id,
            state = &*task.state,
            attempt = task.attempt,
            traceparent = task.traceparent,
        );
        let hold = Some(self.hold);
        let verdict = self.verdict(task, receive_count).instrument(span).await;
        drop(own);
        Finished { messages, hold, verdict, slot }
    }

    async fn verdict(self, task: TaskMessage, receive_count: u32) -> Verdict {
        let worker = self.worker.clone();
        let started_at = worker.clock.now();
        let mut time = worker.fluxling.task_timeout();
        if let Some(deadline) = task.deadline {
            if deadline <= started_at {
                return Verdict::Expired;
            }
            time = time.min(deadline.since(started_at));
        }
        let began = Instant::now();
        let (token, whose) = (task.token.clone(), Whose::of(&task));
        let stop = self.stop.clone();
        let capability = task.capability.clone();
        let result = self.run(task, time).await;
        let took = began.elapsed();
        let outcome = if result.is_ok() { "succeeded" } else { "failed" };
        fluxus_lambda::metrics::task(capability.as_str(), outcome, took);
        let report = Some(TaskReport {
            fluxling: worker.fluxling.name().clone(),
            started_at,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        let answer = match result {
            Ok(output) => CoreMessage::TaskSucceeded { token: token.clone(), output, report },
            Err(error) => {
                let again_after = match error.kind() {
                    Kind::Fatal => None,
                    Kind::Retryable => stop.is_cancelled().then_some(Duration::ZERO),
                    Kind::Later(after) => Some(after.min(fluxus_queue::bounds::MAX_VISIBILITY)),
                };
                if let Some(after) = again_after.filter(|_| receive_count < worker.max_receives) {
                    return Verdict::Later { token, after, error: error.to_string().into() };
                }
                tracing::info!(error = error.name(), cause = error.cause(), "the task failed");
                let (error, cause) = error.into_name_and_cause();
                CoreMessage::TaskFailed { token: token.clone(), error, cause, report }
            }
        };
        match serde_json::to_value(answer) {
            Ok(answer) => Verdict::Answer { token, whose, answer: Json::new(answer) },
            Err(error) => {
                Verdict::Later { token, after: Duration::ZERO, error: error.to_string().into() }
            }
        }
    }

    async fn run(self, message: TaskMessage, time: Duration) -> Result<Json, TaskError> {
        let handler = self.worker.fluxling.handler(&message.capability)?.clone();
        let until = Instant::now() + time;
        // Cancelled when this returns or is dropped, so that nothing the handler left behind goes on.
        let stop = self.stop.child_token();
        let _over = stop.clone().drop_guard();
        let line: Option<Arc<dyn Line>> = Some(Arc::new(self));
        let attempt = Arc::new(Attempt { message, until, stop, line });
        let call = AssertUnwindSafe(async move { handler.call(attempt).await }).catch_unwind();
        let output = match tokio::time::timeout_at(until, call).await {
            Ok(Ok(result)) => result?,
            Ok(Err(panic)) => return Err(TaskError::fatal(error_name::PANIC, words(&*panic))),
            Err(_elapsed) => {
                let cause = format!("the handler was stopped after {} ms", time.as_millis());
                return Err(TaskError::fatal(error_name::TIMEOUT, cause));
            }
        };
        measure(&output)?;
        Ok(Json::new(output))
    }
}

#[async_trait]
impl Line for Work {
    async fn heartbeat(&self) -> Result<(), String> {
        let due = self.holding.due_of(self.hold, self.worker.visibility);
        self.worker.keep(due).await
    }
}

fn measure(output: &Value) -> Result<(), TaskError> {
    let bytes = written_bytes(output);
    if bytes <= MAX_PAYLOAD_BYTES {
        return Ok(());
    }
    let cause =
        format!("the output has {bytes} bytes, past MAX_PAYLOAD_BYTES = {MAX_PAYLOAD_BYTES}");
    Err(TaskError::fatal(error_name::DATA_LIMIT_EXCEEDED, cause))
}

/// The length of a document as JSON text, without writing it out.
fn written_bytes(document: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Neither a document nor the counter can fail.
    let _ = serde_json::to_writer(&mut count, document);
    count.0
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
