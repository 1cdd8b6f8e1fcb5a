//! Queues of Amazon SQS: standard queues, each with its dead-letter queue beside it.
//!
//! The queue `NAME` is `PREFIX` + `NAME` in SQS, its dead-letter queue `PREFIX` + `NAME` + `-dlq`.
//! They are made with the stack, with a redrive policy of
//! [`MAX_RECEIVES`](crate::bounds::MAX_RECEIVES). What differs from the other adapters:
//!
//! - Delays, waits and visibility timeouts are rounded up to whole seconds.
//! - A body is JSON text: an empty one is refused. U+FFFE and U+FFFF, which SQS does not carry, are
//!   sent as JSON escapes.
//! - Bodies past [`INLINE_BYTES`] go by reference (see [`bodies`](crate::bodies)).
//! - A send is not all or nothing: an error says which messages were not sent.
//! - Dead letters are reported again by another process, and by the same one after some minutes.
//! - Why a message could not be handled is not kept, unless it is buried. Of its attempts only the
//!   first is known.

mod batch;
mod bodies;
mod dead;
mod depth;
mod receive;
mod send;

use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};

use crate::bodies::Bodies;
use crate::bounds::MAX_WAIT;
use crate::message::check_visibility;
use crate::sqs_event::{self, SqsEvent};
use crate::{
    Burial, DeadLetter, DeadLetterId, Depth, LetterPlace, Letters, MessageId, Outgoing, Queue,
    QueueError, QueueName, Receipt, Receive, Received, Resolved,
};

pub use bodies::S3Bodies;

/// The environment variable with the queues' URL up to and including their prefix:
/// `https://sqs.eu-central-1.amazonaws.com/123456789012/fluxus-prod-`.
pub const QUEUE_URL: &str = "FLUXUS_QUEUE_URL";

/// The environment variable with the bucket for large bodies. Without it, a body past
/// [`INLINE_BYTES`] is an error.
pub const BODY_BUCKET: &str = "FLUXUS_BODY_BUCKET";

/// The largest body that goes in the message: SQS's limit for a message, and for all messages of one
/// request, less some room for what else is counted.
pub const INLINE_BYTES: usize = 1024 * 1024 - 4096;

/// The most messages in one request: what SQS allows.
const BATCH: usize = 10;

/// Requests at the same time on behalf of one call: enough to hide the way to the service, few
/// enough to stay within what one connection pool and SQS bear.
const CONCURRENT: usize = 8;

/// The longest time for one try of a request: what a long poll takes, and some more.
const ATTEMPT_TIMEOUT: Duration = MAX_WAIT.saturating_add(Duration::from_secs(10));

/// Queues of Amazon SQS. Clones share their connections.
#[derive(Clone)]
pub struct SqsQueue {
    client: Client,
    url: Arc<str>,
    bodies: Option<Arc<dyn Bodies>>,
    reported: Arc<dead::Reported>,
}

/// [`QUEUE_URL`] is not set.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{QUEUE_URL} is not set: the queues' URL up to and including their prefix")]
pub struct NoQueueUrl;

impl SqsQueue {
    /// The queues whose URLs begin so, with large bodies in `bodies`.
    pub fn new(config: &SdkConfig, url: &str, bodies: Option<Arc<dyn Bodies>>) -> Self {
        let timeouts = config.timeout_config().map(TimeoutConfig::to_builder).unwrap_or_default();
        let timeouts = timeouts.operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
        let config = aws_sdk_sqs::config::Builder::from(config).timeout_config(timeouts).build();
        let (client, reported) = (Client::from_conf(config), Arc::default());
        Self { client, url: url.into(), bodies, reported }
    }

    /// The queues of [`QUEUE_URL`], with large bodies in the bucket of [`BODY_BUCKET`].
    ///
    /// # Errors
    /// [`NoQueueUrl`].
    pub fn from_env(config: &SdkConfig) -> Result<Self, NoQueueUrl> {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let url = set(QUEUE_URL).ok_or(NoQueueUrl)?;
        let bodies = set(BODY_BUCKET)
            .map(|bucket| Arc::new(S3Bodies::new(config, &bucket)) as Arc<dyn Bodies>);
        Ok(Self::new(config, &url, bodies))
    }

    /// Where large bodies lie.
    pub fn bodies(&self) -> Option<Arc<dyn Bodies>> {
        self.bodies.clone()
    }

    /// The messages of an event that Lambda's event source hands over, with the bodies that they
    /// refer to. Report those that are not resolved as failed, so that they come again.
    pub async fn read_event(&self, event: SqsEvent) -> Resolved {
        sqs_event::resolve(event, self.bodies.as_deref()).await
    }

    fn url_of(&self, queue: &QueueName) -> String {
        format!("{}{queue}", self.url)
    }

    fn dead_letter_url_of(&self, queue: &QueueName) -> String {
        format!("{}{queue}-dlq", self.url)
    }
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SqsQueue({}*)", self.url)
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        send::send(self, messages).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        request: Receive,
    ) -> Result<Vec<Received>, QueueError> {
        request.check()?;
        receive::receive(self, queue, request).await
    }

    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        delete(self, &self.url_of(queue), receipts).await.or_error(
            "delete",
            receipts.len(),
            format_args!("from `{queue}`"),
        )
    }

    async fn change_visibility(
        &self,
        queue: &QueueName,
        changes: &[(Receipt, Duration)],
    ) -> Result<(), QueueError> {
        changes.iter().try_for_each(|(_, visibility)| check_visibility(*visibility))?;
        change_visibility(self, &self.url_of(queue), changes).await.or_error(
            "change the visibility of",
            changes.len(),
            format_args!("in `{queue}`"),
        )
    }

    async fn bury(&self, queue: &QueueName, burials: Vec<Burial>) -> Result<(), QueueError> {
        let receipts: Vec<_> = burials.iter().map(|one| one.message.receipt.clone()).collect();
        // The letter first: a message that comes again is better than one that is gone.
        dead::bury(self, queue, burials).await?;
        self.delete(queue, &receipts).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, QueueError> {
        depth::depth(self, queues).await
    }

    async fn dead_letters(
        &self,
        queues: &[QueueName],
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        dead::dead_letters(self, queues, limit).await
    }

    async fn mark_reported(&self, letters: &[DeadLetterId]) -> Result<(), QueueError> {
        dead::mark_reported(self, letters).await
    }

    async fn note_failures(
        &self,
        _queue: &QueueName,
        _failures: &[(Receipt, String)],
    ) -> Result<(), QueueError> {
        Ok(())
    }

    async fn list_dead(
        &self,
        queue: &QueueName,
        after: Option<&LetterPlace>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        dead::list(self, queue, after, limit).await
    }

    async fn find_dead(
        &self,
        queue: &QueueName,
        messages: &[MessageId],
    ) -> Result<Vec<DeadLetter>, QueueError> {
        dead::find(self, queue, messages).await
    }

    async fn redrive(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError> {
        dead::take(self, queue, letters, true).await
    }

    async fn purge(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError> {
        dead::take(self, queue, letters, false).await
    }
}

/// Deletes messages of one queue of SQS. What the service refuses are void receipts.
async fn delete(queue: &SqsQueue, url: &str, receipts: &[Receipt]) -> batch::Outcome {
    let entry = |(at, receipt): (usize, &Receipt)| {
        let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
        entry.receipt_handle(&receipt.0).build().ok()
    };
    let entries = receipts.iter().enumerate().filter_map(entry).collect();
    let outcome = batch::run(entries, |some| async {
        let request = queue.client.delete_message_batch().queue_url(url);
        Ok(request.set_entries(Some(some)).send().await?.failed)
    });
    outcome.await.forgiving_refusals()
}

/// Hides messages of one queue of SQS. What the service refuses are void receipts.
async fn change_visibility(
    queue: &SqsQueue,
    url: &str,
    changes: &[(Receipt, Duration)],
) -> batch::Outcome {
    let entry = |(at, (receipt, visibility)): (usize, &(Receipt, Duration))| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string());
        let entry = entry.receipt_handle(&receipt.0).visibility_timeout(seconds(*visibility));
        entry.build().ok()
    };
    let entries = changes.iter().enumerate().filter_map(entry).collect();
    let outcome = batch::run(entries, |some| async {
        let request = queue.client.change_message_visibility_batch().queue_url(url);
        Ok(request.set_entries(Some(some)).send().await?.failed)
    });
    outcome.await.forgiving_refusals()
}

/// Whole seconds, as SQS counts: never less than asked.
fn seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}
