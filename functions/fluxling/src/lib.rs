//! The SDK that every fluxling is written with.
//!
//! A fluxling is a set of capabilities, each with a handler, under one name:
//!
//! ```
//! use fluxling::{Fluxling, Task, TaskError};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Refund {
//!     order: String,
//!     cents: u64,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Refunded {
//!     receipt: String,
//! }
//!
//! async fn refund(task: Task<Refund>) -> Result<Refunded, TaskError> {
//!     if task.input.cents == 0 {
//!         return Err(TaskError::fatal("Payments.Declined", "there is nothing to refund"));
//!     }
//!     // The provider makes a repeated call harmless by the key.
//!     Ok(Refunded { receipt: format!("{}/{}", task.input.order, task.idempotency_key()) })
//! }
//!
//! let payments = Fluxling::new("payments").capability("payments.refund", refund).concurrency(16);
//! assert_eq!(payments.manifest().capabilities.len(), 1);
//! ```
//!
//! The SDK does the rest. It takes [`TaskMessage`](fluxus_schema::message::TaskMessage)s off the
//! fluxling's queue, runs each task once however often its message is delivered ([`Idempotency`]),
//! bounds it in time, keeps its message hidden and its heartbeat going meanwhile, and answers on the
//! core's queue. [`run`] does so as a worker in a long-lived process, [`lambda`] as a Lambda function
//! on SQS batches.
//!
//! What the core and the recipe get to see when no handler could answer:
//!
//! | error name | when |
//! | --- | --- |
//! | `Fluxling.InvalidInput` | the input does not fit the handler's type; the cause names the place |
//! | `Fluxling.UnknownCapability` | the fluxling does not have the capability |
//! | `Fluxling.Panic` | the handler panicked |
//! | `Fluxling.InvalidOutput` | the output cannot be written as JSON |
//! | `States.Timeout` | the handler was stopped at the task's deadline or the fluxling's timeout |
//! | `States.DataLimitExceeded` | the output is past `MAX_PAYLOAD_BYTES` |
//! | `States.TaskFailed` | the handler failed without naming the error |

mod clock;
mod error;
mod fluxling;
mod handler;
pub mod idempotency;
pub mod lambda;
mod task;
mod worker;

pub use clock::Clock;
pub use error::TaskError;
pub use fluxling::Fluxling;
#[cfg(feature = "aws")]
pub use idempotency::DynamoIdempotency;
pub use idempotency::{Begin, Idempotency, IdempotencyError, MemoryIdempotency};
pub use task::Task;
pub use worker::{BatchOutcome, NotHandled, Reason, Worker, run};

/// Error names that the SDK itself answers with.
pub mod error_name {
    /// The input does not fit the handler's type.
    pub const INVALID_INPUT: &str = "Fluxling.InvalidInput";
    /// The output cannot be written as JSON.
    pub const INVALID_OUTPUT: &str = "Fluxling.InvalidOutput";
    /// The fluxling does not have the capability.
    pub const UNKNOWN_CAPABILITY: &str = "Fluxling.UnknownCapability";
    /// The handler panicked.
    pub const PANIC: &str = "Fluxling.Panic";
    /// The handler was stopped because its time was over.
    pub const TIMEOUT: &str = "States.Timeout";
    /// The output is too large.
    pub const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
    /// The handler failed without naming the error.
    pub const TASK_FAILED: &str = "States.TaskFailed";
}
