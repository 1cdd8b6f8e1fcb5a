//! The worker, on queues and a record in memory, under tokio's paused clock.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![allow(clippy::needless_pass_by_value, reason = "reads better with `json!`")]

mod batch;
mod failures;
mod lambda;
mod run;
mod support;
mod time;
