//! Adapters that count what AWS would be asked for: a queue with the requests of SQS, a record with
//! the writes of DynamoDB. Both keep everything in the process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use fluxling::{Begin, Idempotency, IdempotencyError, MemoryIdempotency};
use fluxus_queue::{
    Burial, DeadLetter, DeadLetterId, Depth, LetterPlace, Letters, MemoryQueue, MessageId,
    Outgoing, Queue, QueueError, QueueName, Receipt, Receive, Received,
};
use fluxus_schema::{Json, TaskToken};

/// Most messages in a request of SQS, and most bytes.
pub(super) const SQS_BATCH: usize = 10;
const SQS_BATCH_BYTES: usize = 1024 * 1024;

/// What SQS bills as one request.
const SQS_BILLED_BYTES: usize = 64 * 1024;

/// What DynamoDB bills as one write.
const DYNAMODB_BILLED_BYTES: usize = 1024;

/// Requests so far, and the times that somebody waited for one or several made side by side.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) sends: AtomicU64,
    pub(super) receives: AtomicU64,
    pub(super) deletes: AtomicU64,
    pub(super) changes: AtomicU64,
    /// Questions for how full queues are.
    pub(super) looks: AtomicU64,
    pub(super) waits: AtomicU64,
}

/// A queue with the semantics of SQS that counts its requests.
#[derive(Debug, Default)]
pub(super) struct CountedQueue {
    inner: MemoryQueue,
    pub(super) requests: Requests,
}

impl CountedQueue {
    fn waited(&self) {
        self.requests.waits.fetch_add(1, Relaxed);
    }
}

/// Requests for so many things, of which one takes ten.
fn tens(count: usize) -> u64 {
    count.div_ceil(SQS_BATCH) as u64
}

/// Requests that bodies of these sizes are billed as, sent or received together.
fn billed(sizes: impl IntoIterator<Item = usize>) -> u64 {
    let (mut requests, mut entries, mut bytes) = (0, 0, 0);
    for size in sizes {
        if entries == SQS_BATCH || (entries > 0 && bytes + size > SQS_BATCH_BYTES) {
            requests += bytes.div_ceil(SQS_BILLED_BYTES).max(1);
            (entries, bytes) = (0, 0);
        }
        entries += 1;
        bytes += size;
    }
    if entries > 0 {
        requests += bytes.div_ceil(SQS_BILLED_BYTES).max(1);
    }
    requests as u64
}

#[async_trait]
impl Queue for CountedQueue {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        let mut of_each: BTreeMap<&QueueName, Vec<usize>> = BTreeMap::new();
        for message in &messages {
            of_each.entry(&message.queue).or_default().push(message.body.len());
        }
        let requests = of_each.into_values().map(billed).sum();
        self.requests.sends.fetch_add(requests, Relaxed);
        self.waited();
        self.inner.send(messages).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        request: Receive,
    ) -> Result<Vec<Received>, QueueError> {
        let received = self.inner.receive(queue, request).await?;
        let requests = billed(received.iter().map(|message| message.body.len()));
        self.requests.receives.fetch_add(requests, Relaxed);
        Ok(received)
    }

    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        self.requests.deletes.fetch_add(tens(receipts.len()), Relaxed);
        self.inner.delete(queue, receipts).await
    }

    async fn change_visibility(
        &self,
        queue: &QueueName,
        changes: &[(Receipt, Duration)],
    ) -> Result<(), QueueError> {
        self.requests.changes.fetch_add(tens(changes.len()), Relaxed);
        self.waited();
        self.inner.change_visibility(queue, changes).await
    }

    async fn bury(&self, queue: &QueueName, burials: Vec<Burial>) -> Result<(), QueueError> {
        // Each is sent to the dead-letter queue.
        self.requests.sends.fetch_add(burials.len() as u64, Relaxed);
        self.waited();
        self.inner.bury(queue, burials).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, QueueError> {
        // One question for each queue, one for its dead letters.
        self.requests.looks.fetch_add(2 * queues.len() as u64, Relaxed);
        self.waited();
        self.inner.depth(queues).await
    }

    async fn dead_letters(
        &self,
        queues: &[QueueName],
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.inner.dead_letters(queues, limit).await
    }

    async fn mark_reported(&self, letters: &[DeadLetterId]) -> Result<(), QueueError> {
        self.inner.mark_reported(letters).await
    }

    // What follows nobody asks of a claim that goes well.

    async fn note_failures(
        &self,
        queue: &QueueName,
        failures: &[(Receipt, String)],
    ) -> Result<(), QueueError> {
        self.inner.note_failures(queue, failures).await
    }

    async fn list_dead(
        &self,
        queue: &QueueName,
        after: Option<&LetterPlace>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.inner.list_dead(queue, after, limit).await
    }

    async fn find_dead(
        &self,
        queue: &QueueName,
        messages: &[MessageId],
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.inner.find_dead(queue, messages).await
    }

    async fn redrive(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError> {
        self.inner.redrive(queue, letters).await
    }

    async fn purge(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError> {
        self.inner.purge(queue, letters).await
    }
}

/// A record of tasks that counts its writes.
#[derive(Debug, Default)]
pub(super) struct CountedRecord {
    inner: MemoryIdempotency,
    /// Write units so far.
    pub(super) units: AtomicU64,
    /// How often somebody waited for writes, which are made side by side.
    pub(super) waits: AtomicU64,
}

impl CountedRecord {
    fn write(&self, units: usize) {
        self.units.fetch_add(units as u64, Relaxed);
        self.waits.fetch_add(1, Relaxed);
    }
}

#[async_trait]
impl Idempotency for CountedRecord {
    async fn begin(
        &self,
        tokens: &[TaskToken],
        lease: Duration,
    ) -> Result<Vec<Begin>, IdempotencyError> {
        self.write(tokens.len());
        self.inner.begin(tokens, lease).await
    }

    async fn extend(&self, tokens: &[TaskToken], lease: Duration) -> Result<(), IdempotencyError> {
        self.write(tokens.len());
        self.inner.extend(tokens, lease).await
    }

    async fn complete(&self, outcomes: &[(TaskToken, Json)]) -> Result<(), IdempotencyError> {
        let bytes = |outcome: &Json| outcome.to_string().len();
        let units = |bytes: usize| bytes.div_ceil(DYNAMODB_BILLED_BYTES).max(1);
        self.write(outcomes.iter().map(|(_, outcome)| units(bytes(outcome))).sum());
        self.inner.complete(outcomes).await
    }

    async fn release(&self, tokens: &[TaskToken]) -> Result<(), IdempotencyError> {
        self.write(tokens.len());
        self.inner.release(tokens).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_billed_by_ten_messages_and_by_64_kib() {
        assert_eq!(billed([]), 0);
        assert_eq!(billed([100; 10]), 1);
        assert_eq!(billed([100; 11]), 2);
        assert_eq!(billed([65 * 1024]), 2);
        // Two of 600 KiB do not go together.
        assert_eq!(billed([600 * 1024; 2]), 20);
    }

    #[tokio::test]
    async fn messages_of_one_queue_go_together() {
        let queue = CountedQueue::default();
        let name = |name: &str| QueueName::new(name).expect("a name");
        let message = |name| Outgoing::new(name, "{}");
        let mut messages = vec![message(name("one")); 12];
        messages.push(message(name("other")));
        queue.send(messages).await.expect("send");
        let Requests { sends, waits, .. } = &queue.requests;
        assert_eq!((sends.load(Relaxed), waits.load(Relaxed)), (3, 1));
    }

    #[tokio::test]
    async fn a_task_is_two_writes_and_a_large_outcome_more() {
        let record = CountedRecord::default();
        let token = TaskToken::from_text("token");
        record.begin(std::slice::from_ref(&token), Duration::from_secs(1)).await.expect("begin");
        let outcome = Json::from(serde_json::json!("x".repeat(1500)));
        record.complete(&[(token, outcome)]).await.expect("complete");
        assert_eq!(record.units.load(Relaxed), 3);
    }
}
