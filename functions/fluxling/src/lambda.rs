//! A fluxling as a Lambda function on its SQS queue.
//!
//! The event source mapping must have `ReportBatchItemFailures`: messages that are reported come
//! again, the others are deleted by the service.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fluxus_queue::{MessageId, Queue, Receipt, Received};
pub use lambda_runtime::Error;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{Fluxling, Idempotency, Worker};

/// How long before the function's own timeout its handlers are cut off, so that what is done is
/// still answered and reported.
const MARGIN: Duration = Duration::from_secs(2);

/// What SQS hands to a function.
///
/// Source: AWS Lambda developer guide, "Using Lambda with Amazon SQS", standard queue event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SqsEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<SqsMessage>,
}

/// One message, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsMessage {
    /// The same each time it is received.
    pub message_id: String,
    /// Another one each time.
    pub receipt_handle: String,
    /// The text.
    pub body: String,
    /// What the service says of it.
    #[serde(default)]
    pub attributes: SqsAttributes,
}

/// What the service says of a message: numbers as text.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SqsAttributes {
    /// How often it was received, this time included.
    pub approximate_receive_count: String,
    /// When it was sent, in milliseconds since 1970.
    pub sent_timestamp: String,
}

/// A partial batch response.
///
/// Source: AWS Lambda developer guide, "Reporting batch item failures".
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsBatchResponse {
    /// The messages that are to come again.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A message that is to come again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// Its message id.
    pub item_identifier: String,
}

impl From<SqsMessage> for Received {
    fn from(message: SqsMessage) -> Self {
        Self {
            id: MessageId(message.message_id),
            receipt: Receipt(message.receipt_handle),
            body: message.body,
            receive_count: message.attributes.approximate_receive_count.parse().unwrap_or(1),
            sent_at_ms: message.attributes.sent_timestamp.parse().unwrap_or_default(),
        }
    }
}

/// The `main` of a fluxling's own binary. With `--manifest` it prints the manifest, for
/// `fluxus fluxling register` and templates; otherwise it runs as this Lambda function.
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
