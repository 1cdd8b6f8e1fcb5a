//! The adapters that the environment names, built once for each cold start.

use std::env;
use std::sync::Arc;

use aws_config::BehaviorVersion;
use fluxus_queue::sqs::QUEUE_URL;
use fluxus_queue::{Bodies, Queue, SqsQueue};

use super::Error;
use crate::idempotency::IDEMPOTENCY_TABLE;
use crate::{DynamoIdempotency, Fluxling, Idempotency, MemoryIdempotency};

/// Set by Lambda.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// What a fluxling works with.
pub(super) struct Adapters {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) bodies: Option<Arc<dyn Bodies>>,
    pub(super) idempotency: Arc<dyn Idempotency>,
}

/// SQS and DynamoDB by the environment. An idempotent fluxling has no record.
pub(super) async fn adapters(fluxling: &Fluxling) -> Result<Adapters, Error> {
    check(fluxling, |name| env::var(name).ok())?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let queue = SqsQueue::from_env(&config)?;
    let bodies = queue.bodies();
    let idempotency: Arc<dyn Idempotency> = if fluxling.is_idempotent() {
        // Never asked.
        Arc::new(MemoryIdempotency::new())
    } else {
        let table = env::var(IDEMPOTENCY_TABLE)?;
        Arc::new(DynamoIdempotency::new(&config, &table, bodies.clone()))
    };
    Ok(Adapters { queue: Arc::new(queue), bodies, idempotency })
}

/// One error for everything that is missing.
fn check(fluxling: &Fluxling, value_of: impl Fn(&str) -> Option<String>) -> Result<(), Error> {
    let mut needed = vec![
        (RUNTIME_API, "set by AWS Lambda: outside of it, see `fluxling::run`"),
        (QUEUE_URL, "the queues' URL up to and including their prefix"),
    ];
    if !fluxling.is_idempotent() {
        needed.push((IDEMPOTENCY_TABLE, "the DynamoDB table of tasks begun and done"));
    }
    let is_missing = |name| value_of(name).is_none_or(|value| value.is_empty());
    needed.retain(|(name, _)| is_missing(name));
    let missing: Vec<_> =
        needed.iter().map(|(name, meaning)| format!("{name} ({meaning})")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let name = fluxling.name();
    let missing = missing.join(", ");
    Err(format!("fluxling `{name}` cannot start, the environment lacks {missing}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_names_everything_that_is_missing() {
        let missing = |is_idempotent: bool, set: &[&str]| {
            let fluxling = Fluxling::new("payments").idempotent(is_idempotent);
            let value_of = |name: &str| set.contains(&name).then(|| "set".to_owned());
            check(&fluxling, value_of).err().map(|error| error.to_string())
        };
        let error = missing(false, &[]).expect("an error");
        for name in [RUNTIME_API, QUEUE_URL, IDEMPOTENCY_TABLE] {
            assert!(error.contains(name), "{error}");
        }
        let error = missing(false, &[RUNTIME_API, QUEUE_URL]).expect("an error");
        assert!(error.contains(IDEMPOTENCY_TABLE) && !error.contains(QUEUE_URL), "{error}");
        assert_eq!(missing(true, &[RUNTIME_API, QUEUE_URL]), None, "it keeps no record");
        assert_eq!(missing(false, &[RUNTIME_API, QUEUE_URL, IDEMPOTENCY_TABLE]), None);
    }
}
