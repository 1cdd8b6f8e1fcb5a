//! What all Lambda functions share: logs, metrics, an orderly end, AWS
//! configuration, secrets.
//!
//! Nothing in here knows claims, queues or Postgres.

#![cfg_attr(test, allow(clippy::expect_used))]

#[cfg(feature = "aws")]
pub mod aws;
pub mod metrics;
mod shutdown;

pub use shutdown::until_shutdown;
use tracing_subscriber::EnvFilter;

/// Set by AWS Lambda, and by what stands in for it.
pub const RUNTIME_VARIABLE: &str = "AWS_LAMBDA_RUNTIME_API";

/// Whether this process is a Lambda function.
pub fn is_lambda() -> bool {
    std::env::var_os(RUNTIME_VARIABLE).is_some()
}

/// Starts to log: JSON for CloudWatch in a Lambda function, text for a terminal elsewhere.
/// `RUST_LOG` says what, `info` unless given.
pub fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // One that is set already, by a test or a caller, stays.
    let _ = if is_lambda() {
        // CloudWatch notes the time itself.
        log.json().flatten_event(true).without_time().try_init()
    } else {
        log.try_init()
    };
}
