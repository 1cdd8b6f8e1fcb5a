//! The functions of this crate on AWS Lambda: the API behind API Gateway, and the ingest on its
//! queue.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fluxus_lambda::metrics;
use fluxus_queue::sqs_event::{self, BatchItemFailure, SqsBatchResponse, SqsEvent};
use fluxus_queue::{Bodies, Receipt, Received, Resolved};
pub use lambda_http::Error;
use lambda_runtime::{Context, LambdaEvent, service_fn};
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::environment::Settings;
use crate::ingest::{Ingest, Ingested};
use crate::{App, router};

/// How long before the service ends an invocation the work is cut off: enough to answer.
const MARGIN: Duration = Duration::from_secs(1);

/// Serves the API behind API Gateway.
///
/// # Errors
/// What is missing or cannot be reached, the Lambda runtime API above all.
pub async fn run(settings: &Settings) -> Result<(), Error> {
    metrics::start("fluxus-api");
    let parts = settings.parts().await?;
    let store = parts.store.clone();
    let router = router(App::start(parts).await?);
    let serving = lambda_http::run(service_fn(|request: lambda_http::Request| {
        metrics::flushed(router.clone().oneshot(request))
    }));
    let served = fluxus_lambda::until_shutdown(serving).await;
    store.database().close().await;
    served
}

/// Takes claims in from the ingest queue.
///
/// # Errors
/// What is missing or cannot be reached, the Lambda runtime API above all.
pub async fn run_ingest() -> Result<(), Error> {
    metrics::start("fluxus-ingest");
    let (ingest, bodies) = &Settings::ingest_from_env()?.ingest().await?;
    let serving = lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| {
        let until = deadline(&event.context);
        metrics::flushed(async move {
            Ok::<_, Error>(ingest_batch(ingest, event.payload, bodies.as_deref(), until).await)
        })
    }));
    let served = fluxus_lambda::until_shutdown(serving).await;
    ingest.close().await;
    served
}

/// Handles one SQS batch of the ingest queue, at the longest `until`. A message reported here
/// comes back after its visibility timeout and, after `maxReceiveCount` tries, goes to the
/// dead-letter queue.
pub async fn ingest_batch(
    ingest: &Ingest,
    event: SqsEvent,
    bodies: Option<&dyn Bodies>,
    until: Instant,
) -> SqsBatchResponse {
    let Resolved { messages, unresolved } = sqs_event::resolve(event, bodies).await;
    let ids: Vec<_> = messages.iter().map(|one| (one.receipt.clone(), one.id.0.clone())).collect();
    let Ingested { failed, .. } = ingest.handle(messages, Some(until)).await;
    let id_of = |receipt: &Receipt| {
        ids.iter().find(|(known, _)| known == receipt).map(|(_, id)| id.clone())
    };
    let unresolved = unresolved.into_iter().map(|one: Received| one.id.0);
    let failed = failed.iter().filter_map(id_of).chain(unresolved);
    let failure = |item_identifier| BatchItemFailure { item_identifier };
    SqsBatchResponse { batch_item_failures: failed.map(failure).collect() }
}

fn deadline(context: &Context) -> Instant {
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.saturating_sub(MARGIN)
}

/// Where bodies lie that are too large for a message, if that is set.
pub(crate) type LargeBodies = Option<Arc<dyn Bodies>>;
