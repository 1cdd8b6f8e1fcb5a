//! Requests of up to ten entries each: side by side, and what failed once more.

use std::error::Error;
use std::time::Duration;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
    DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry,
};
use futures::StreamExt;
use futures::stream;
use uuid::Uuid;

use super::{BATCH, CONCURRENT, INLINE_BYTES};
use crate::{QueueError, QueueName};

/// How often an entry is tried that fails while its request succeeds. The SDK repeats requests
/// that fail as a whole on its own.
const TRIES: u32 = 4;

/// The wait before the second try, doubled before each further one.
const BACKOFF: Duration = Duration::from_millis(50);

/// What the code of an error has in it that may be over later, although some of them have an HTTP
/// status that calls the request itself wrong.
///
/// Source: Amazon SQS API reference, "Common Errors"; Amazon S3 API reference, "Error Responses".
const PASSING: [&str; 7] = [
    "Throttl",
    "RequestLimitExceeded",
    "TooManyRequests",
    "SlowDown",
    "RequestTimeout",
    "Internal",
    "Unavailable",
];

/// An entry of a request, with an id that is its place among all that the caller gave.
pub(super) trait Entry: Clone {
    fn id(&self) -> &str;
    /// What counts towards the limit of one request.
    fn bytes(&self) -> usize;
}

impl Entry for SendMessageBatchRequestEntry {
    fn id(&self) -> &str {
        self.id()
    }
    fn bytes(&self) -> usize {
        self.message_body().len()
    }
}

impl Entry for DeleteMessageBatchRequestEntry {
    fn id(&self) -> &str {
        self.id()
    }
    fn bytes(&self) -> usize {
        0
    }
}

impl Entry for ChangeMessageVisibilityBatchRequestEntry {
    fn id(&self) -> &str {
        self.id()
    }
    fn bytes(&self) -> usize {
        0
    }
}

/// A request that failed as a whole.
pub(super) struct Broken {
    is_transient: bool,
    source: Box<dyn Error + Send + Sync>,
}

impl<E, R> From<SdkError<E, R>> for Broken
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        Self { is_transient: is_transient(&error), source: error.into() }
    }
}

impl Broken {
    pub(super) fn during(self, action: String) -> QueueError {
        QueueError::Service { action, is_transient: self.is_transient, source: self.source }
    }
}

/// Whether a request that failed may succeed later.
pub(super) fn is_transient<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or_default();
            // A refusal has a code that says why. What has none never reached the service itself.
            code.is_empty() || PASSING.iter().any(|part| code.contains(part))
        }
        _ => true,
    }
}

/// What the service says of one entry.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
struct Refused {
    code: String,
    message: String,
}

/// The entries that failed for good.
#[derive(Default)]
pub(super) struct Outcome {
    failed: Vec<Failed>,
}

struct Failed {
    ids: Vec<String>,
    /// Whether the entry is at fault, rather than the service.
    is_refusal: bool,
    is_transient: bool,
    source: Box<dyn Error + Send + Sync>,
}

impl Outcome {
    /// The same without what the service refused.
    pub(super) fn forgiving_refusals(mut self) -> Self {
        self.failed.retain(|failed| !failed.is_refusal);
        self
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.failed.extend(other.failed);
    }

    /// An error that names what failed, if anything did.
    pub(super) fn or_error(
        mut self,
        verb: &str,
        of: usize,
        place: impl std::fmt::Display,
    ) -> Result<(), QueueError> {
        let is_transient = self.failed.iter().all(|failed| failed.is_transient);
        let mut places: Vec<usize> = self
            .failed
            .iter()
            .flat_map(|failed| &failed.ids)
            .filter_map(|id| id.parse().ok())
            .collect();
        places.sort_unstable();
        // A refusal is the better reason: it does not go away.
        self.failed.sort_by_key(|failed| !failed.is_refusal);
        let Some(first) = self.failed.into_iter().next() else { return Ok(()) };
        let action =
            format!("{verb} {} of {of} messages ({}) {place}", places.len(), list(&places));
        Err(QueueError::Service { action, is_transient, source: first.source })
    }
}

/// The places from 1, not more than fit on a line.
fn list(places: &[usize]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<_> = places.iter().take(SHOWN).map(|place| format!("#{}", place + 1)).collect();
    let more = if places.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Makes as many requests as the entries need, and repeats those entries that fail by no fault of
/// their own.
pub(super) async fn run<E, F>(entries: Vec<E>, call: impl Fn(Vec<E>) -> F) -> Outcome
where
    E: Entry,
    F: Future<Output = Result<Vec<BatchResultErrorEntry>, Broken>>,
{
    let call = &call;
    let requests = batches(entries).into_iter().map(|batch| run_one(batch, call));
    let outcomes = stream::iter(requests).buffer_unordered(CONCURRENT);
    let all = outcomes.fold(Outcome::default(), |mut all, one| async move {
        all.extend(one);
        all
    });
    all.await
}

async fn run_one<E, F>(mut batch: Vec<E>, call: &impl Fn(Vec<E>) -> F) -> Outcome
where
    E: Entry,
    F: Future<Output = Result<Vec<BatchResultErrorEntry>, Broken>>,
{
    let mut outcome = Outcome::default();
    for tried in 1.. {
        let failed = match call(batch.clone()).await {
            Ok(failed) => failed,
            Err(Broken { is_transient, source }) => {
                let ids = batch.iter().map(|entry| entry.id().to_owned()).collect();
                outcome.failed.push(Failed { ids, is_refusal: false, is_transient, source });
                break;
            }
        };
        let (refused, again): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|one| one.sender_fault);
        outcome.failed.extend(refused.into_iter().map(Failed::from));
        batch.retain(|entry| again.iter().any(|one| one.id() == entry.id()));
        if batch.is_empty() {
            break;
        }
        if tried == TRIES {
            outcome.failed.extend(again.into_iter().map(Failed::from));
            break;
        }
        tokio::time::sleep(backoff(tried)).await;
    }
    outcome
}

impl From<BatchResultErrorEntry> for Failed {
    fn from(entry: BatchResultErrorEntry) -> Self {
        let is_refusal = entry.sender_fault;
        let message = entry.message.unwrap_or_default();
        let source = Box::new(Refused { code: entry.code, message });
        Self { ids: vec![entry.id], is_refusal, is_transient: !is_refusal, source }
    }
}

/// Longer after each try, and not the same for all who failed together.
fn backoff(tried: u32) -> Duration {
    let longest = BACKOFF * 2_u32.saturating_pow(tried - 1);
    // The low bits of such an id are random.
    let random = f64::from(Uuid::now_v7().as_bytes()[15]) / 255.0;
    longest.mul_f64(0.5 + random / 2.0)
}

fn batches<E: Entry>(entries: Vec<E>) -> Vec<Vec<E>> {
    let mut batches: Vec<Vec<E>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        bytes += entry.bytes();
        match batches.last_mut() {
            Some(last) if last.len() < BATCH && bytes <= INLINE_BYTES => last.push(entry),
            _ => {
                bytes = entry.bytes();
                batches.push(vec![entry]);
            }
        }
    }
    batches
}

/// The error of a request that is no batch.
pub(super) fn broken<E, R>(action: String) -> impl FnOnce(SdkError<E, R>) -> QueueError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    move |error| Broken::from(error).during(action)
}

/// Names a queue in an action: `core`.
pub(super) fn at(verb: &str, queue: &QueueName) -> String {
    format!("{verb} `{queue}`")
}
