//! A fluxling as a Lambda function on its SQS queue.
//!
//! The event source mapping must have `ReportBatchItemFailures`: messages that are reported come
//! again, the others are deleted by the service. Invoked with `{"manifest": {}}`, the function
//! answers with its manifest, to register it by.

#[cfg(feature = "aws")]
mod environment;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use fluxus_queue::sqs_event::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use fluxus_queue::{Bodies, MessageId, Queue, sqs_event};
use fluxus_schema::fluxling::Manifest;
pub use lambda_runtime::Error;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{Fluxling, Idempotency, Worker};

/// How long before the function's own timeout its handlers are cut off, so that what is done is
/// still answered and reported.
const MARGIN: Duration = Duration::from_secs(2);

/// The `main` of a fluxling's own binary. With `--manifest` it prints the manifest, to
/// register it by; otherwise it runs as this Lambda function, on the queues, the bucket and the
/// table that the environment names.
///
/// # Errors
/// Those of [`run`], and one that names every variable that is missing. Without feature `aws` it
/// does not run as a Lambda function at all.
pub async fn start(fluxling: Fluxling) -> Result<(), Error> {
    if std::env::args().nth(1).as_deref() == Some("--manifest") {
        println!("{}", serde_json::to_string_pretty(&fluxling.manifest())?);
        return Ok(());
    }
    fluxus_lambda::log();
    start_on_aws(fluxling).await
}

#[cfg(feature = "aws")]
async fn start_on_aws(fluxling: Fluxling) -> Result<(), Error> {
    let environment::Adapters { queue, bodies, idempotency } =
        environment::adapters(&fluxling).await?;
    run(fluxling, queue, bodies, idempotency).await
}

#[cfg(not(feature = "aws"))]
async fn start_on_aws(fluxling: Fluxling) -> Result<(), Error> {
    let name = fluxling.name();
    Err(format!("fluxling `{name}` was built without feature `aws`; see `fluxling::run`").into())
}

/// What a fluxling's function is invoked with.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// An SQS batch.
    #[serde(rename = "Records")]
    records: Option<Vec<SqsMessage>>,
    /// The question for the manifest.
    manifest: Option<IgnoredAny>,
}

/// What it answers.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To an SQS batch.
    Batch(SqsBatchResponse),
    /// To the question for the manifest.
    Manifest(Manifest),
}

/// Runs a fluxling as the handler of this Lambda function, with large bodies in `bodies`.
///
/// # Errors
/// Where the Lambda runtime API cannot be reached: outside Lambda, above all.
pub async fn run(
    fluxling: Fluxling,
    queue: Arc<dyn Queue>,
    bodies: Option<Arc<dyn Bodies>>,
    idempotency: Arc<dyn Idempotency>,
) -> Result<(), Error> {
    let manifest = &fluxling.manifest();
    let worker = &Worker::new(fluxling, queue, idempotency);
    let bodies = bodies.as_deref();
    fluxus_lambda::metrics::start(manifest.name.as_str());
    let handle = move |event: LambdaEvent<Event>| async move {
        let LambdaEvent { payload, context } = event;
        let time = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let until = Instant::now() + time.saturating_sub(MARGIN);
        match payload {
            Event { records: Some(records), .. } => {
                let event = SqsEvent { records };
                Ok(Reply::Batch(handle_event(worker, event, bodies, Some(until)).await))
            }
            Event { manifest: Some(_), .. } => Ok(Reply::Manifest(manifest.clone())),
            _ => Err(Error::from("the event is neither an SQS batch nor `{\"manifest\": {}}`")),
        }
    };
    let flushed = move |event| fluxus_lambda::metrics::flushed(handle(event));
    fluxus_lambda::until_shutdown(lambda_runtime::run(service_fn(flushed))).await
}

/// Handles one SQS batch, at the longest `until`. A message reported here comes back after its
/// visibility timeout and, after `maxReceiveCount` tries, goes to the dead-letter queue.
pub async fn handle_event(
    worker: &Worker,
    event: SqsEvent,
    bodies: Option<&dyn Bodies>,
    until: Option<Instant>,
) -> SqsBatchResponse {
    let resolved = sqs_event::resolve(event, bodies).await;
    let outcome =
        worker.clone().leave_deleting().handle_batch_until(resolved.messages, until).await;
    outcome.log();
    let failure = |id: MessageId| BatchItemFailure { item_identifier: id.0 };
    let unresolved = resolved.unresolved.into_iter().map(|message| message.id);
    let failed = outcome.failed.into_iter().map(|failed| failed.id).chain(unresolved);
    SqsBatchResponse { batch_item_failures: failed.map(failure).collect() }
}
