//! A fluxling as a Lambda function on its SQS queue.
//!
//! The event source mapping must have `ReportBatchItemFailures`: messages that are reported come
//! again, the others are deleted by the service.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use fluxus_queue::sqs_event::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use fluxus_queue::{MessageId, Queue, Received};
pub use lambda_runtime::Error;
use lambda_runtime::{LambdaEvent, service_fn};
use tokio::time::Instant;

use crate::{Fluxling, Idempotency, Worker};

/// How long before the function's own timeout its handlers are cut off, so that what is done is
/// still answered and reported.
const MARGIN: Duration = Duration::from_secs(2);

/// The `main` of a fluxling's own binary. With `--manifest` it prints the manifest, to
/// register it by; otherwise it runs as this Lambda function.
///
/// # Errors
/// Those of [`run`], and, until there are adapters to choose by the environment, always where it is
/// to run as a Lambda function: this is the one place to build SQS and DynamoDB in.
pub async fn start(fluxling: Fluxling) -> Result<(), Error> {
    if std::env::args().nth(1).as_deref() == Some("--manifest") {
        println!("{}", serde_json::to_string_pretty(&fluxling.manifest())?);
        return Ok(());
    }
    lambda_runtime::tracing::init_default_subscriber();
    let name = fluxling.name();
    Err(format!("fluxling `{name}` was built without the AWS adapters; see `fluxling::run`").into())
}

/// Runs a fluxling as the handler of this Lambda function.
///
/// # Errors
/// Where the Lambda runtime API cannot be reached: outside Lambda, above all.
pub async fn run(
    fluxling: Fluxling,
    queue: Arc<dyn Queue>,
    idempotency: Arc<dyn Idempotency>,
) -> Result<(), Error> {
    let worker = &Worker::new(fluxling, queue, idempotency);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        let time = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let until = Instant::now() + time.saturating_sub(MARGIN);
        Ok::<_, Error>(handle_event(worker, event.payload, Some(until)).await)
    }))
    .await
}

/// Handles one SQS batch, at the longest `until`. A message reported here comes back after its
/// visibility timeout and, after `maxReceiveCount` tries, goes to the dead-letter queue.
pub async fn handle_event(
    worker: &Worker,
    event: SqsEvent,
    until: Option<Instant>,
) -> SqsBatchResponse {
    let batch = event.records.into_iter().map(Received::from).collect();
    let outcome = worker.clone().leave_deleting().handle_batch_until(batch, until).await;
    outcome.log();
    let failure = |id: MessageId| BatchItemFailure { item_identifier: id.0 };
    let failed = outcome.failed.into_iter().map(|failed| failure(failed.id));
    SqsBatchResponse { batch_item_failures: failed.collect() }
}
