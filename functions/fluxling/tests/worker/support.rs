//! A queue and a record that count their calls and can fail, and short ways to write a scenario.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fluxling::{Begin, Clock, Fluxling, Idempotency, IdempotencyError, MemoryIdempotency, Worker};
use fluxus_queue::{
    Burial, DeadLetter, DeadLetterId, Depth, LetterPlace, Letters, MemoryQueue, MessageId,
    Outgoing, Queue, QueueError, QueueName, Receipt, Receive, Received,
};
use fluxus_schema::message::{CORE_QUEUE, TaskMessage};
use fluxus_schema::{ClaimId, Json, TaskToken, Tenant, Timestamp};
use serde_json::{Value, json};

/// Counts calls by name, and lets as many of them fail as told.
#[derive(Default)]
pub struct Calls {
    counts: Mutex<BTreeMap<&'static str, u32>>,
    failing: Mutex<BTreeMap<&'static str, u32>>,
}

impl Calls {
    pub fn fail(&self, name: &'static str, times: u32) {
        self.failing.lock().unwrap().insert(name, times);
    }

    /// All counts since the last look, as text.
    pub fn take(&self) -> String {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap());
        let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        counts.join(", ")
    }

    fn count(&self, name: &'static str) -> bool {
        *self.counts.lock().unwrap().entry(name).or_default() += 1;
        match self.failing.lock().unwrap().get_mut(name) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        }
    }

    fn queue(&self, name: &'static str) -> Result<(), QueueError> {
        self.count(name).then_some(()).ok_or(QueueError::InvalidBody)
    }

    fn record(&self, name: &'static str) -> Result<(), IdempotencyError> {
        let source = "out of order";
        let failed = || IdempotencyError { action: name, source: source.into() };
        self.count(name).then_some(()).ok_or_else(failed)
    }
}

pub struct CountedQueue(pub MemoryQueue, pub Arc<Calls>);

#[async_trait]
impl Queue for CountedQueue {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        self.1.queue("send")?;
        self.0.send(messages).await
    }
    async fn receive(&self, queue: &QueueName, r: Receive) -> Result<Vec<Received>, QueueError> {
        self.1.queue("receive")?;
        self.0.receive(queue, r).await
    }
    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        self.1.queue("delete")?;
        self.0.delete(queue, receipts).await
    }
    async fn change_visibility(
        &self,
        queue: &QueueName,
        changes: &[(Receipt, Duration)],
    ) -> Result<(), QueueError> {
        self.1.queue("hide")?;
        self.0.change_visibility(queue, changes).await
    }
    async fn bury(&self, queue: &QueueName, burials: Vec<Burial>) -> Result<(), QueueError> {
        self.1.queue("bury")?;
        self.0.bury(queue, burials).await
    }
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, QueueError> {
        self.0.depth(queues).await
    }
    async fn dead_letters(
        &self,
        queues: &[QueueName],
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.0.dead_letters(queues, limit).await
    }
    async fn mark_reported(&self, letters: &[DeadLetterId]) -> Result<(), QueueError> {
        self.0.mark_reported(letters).await
    }
    async fn note_failures(
        &self,
        queue: &QueueName,
        failures: &[(Receipt, String)],
    ) -> Result<(), QueueError> {
        self.0.note_failures(queue, failures).await
    }
    async fn list_dead(
        &self,
        queue: &QueueName,
        after: Option<&LetterPlace>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.0.list_dead(queue, after, limit).await
    }
    async fn find_dead(
        &self,
        queue: &QueueName,
        messages: &[MessageId],
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.0.find_dead(queue, messages).await
    }
    async fn redrive(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError> {
        self.0.redrive(queue, letters).await
    }
    async fn purge(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError> {
        self.0.purge(queue, letters).await
    }
}

pub struct CountedRecord(pub MemoryIdempotency, pub Arc<Calls>);

#[async_trait]
impl Idempotency for CountedRecord {
    async fn begin(
        &self,
        tokens: &[TaskToken],
        lease: Duration,
    ) -> Result<Vec<Begin>, IdempotencyError> {
        self.1.record("begin")?;
        self.0.begin(tokens, lease).await
    }
    async fn extend(&self, tokens: &[TaskToken], lease: Duration) -> Result<(), IdempotencyError> {
        self.1.record("extend")?;
        self.0.extend(tokens, lease).await
    }
    async fn complete(&self, outcomes: &[(TaskToken, Json)]) -> Result<(), IdempotencyError> {
        self.1.record("complete")?;
        self.0.complete(outcomes).await
    }
    async fn release(&self, tokens: &[TaskToken]) -> Result<(), IdempotencyError> {
        self.1.record("release")?;
        self.0.release(tokens).await
    }
}

/// A worker with everything around it.
pub struct Bench {
    pub queue: Arc<CountedQueue>,
    pub record: Arc<CountedRecord>,
    pub worker: Worker,
    pub calls: Arc<Calls>,
    pub clock: Clock,
    pub name: QueueName,
}

/// How long messages stay hidden here.
pub const VISIBILITY: Duration = Duration::from_secs(30);

impl Bench {
    pub fn new(fluxling: Fluxling) -> Self {
        let calls = Arc::new(Calls::default());
        // The queue's clock follows tokio's, paused or not; so does the worker's through it.
        let clock = fluxus_queue::Clock::system();
        let queue = MemoryQueue::with_clock(clock.clone());
        let queue = Arc::new(CountedQueue(queue, Arc::clone(&calls)));
        let record = Arc::new(CountedRecord(MemoryIdempotency::new(), Arc::clone(&calls)));
        let clock = Clock::new(move || Timestamp::from_millis(clock.now_ms()));
        let name = fluxling.queue();
        let worker = Worker::new(fluxling, queue.clone(), record.clone())
            .visibility(VISIBILITY)
            .clock(clock.clone());
        Self { queue, record, worker, calls, clock, name }
    }

    pub async fn put(&self, tasks: impl IntoIterator<Item = TaskMessage>) {
        for task in tasks {
            self.put_text(serde_json::to_string(&task).unwrap()).await;
        }
    }

    pub async fn put_text(&self, body: impl Into<String>) {
        self.queue.0.send(vec![Outgoing::new(self.name.clone(), body)]).await.unwrap();
    }

    /// Receives what is ready, without counting.
    pub async fn receive(&self) -> Vec<Received> {
        let request = Receive { max: 100, wait: Duration::ZERO, visibility: VISIBILITY };
        self.queue.0.receive(&self.name, request).await.unwrap()
    }

    /// What the core got, without the reports, in the order of tokens.
    pub async fn answers(&self) -> Vec<Value> {
        let core = QueueName::new(CORE_QUEUE).unwrap();
        let request = Receive { max: 100, wait: Duration::ZERO, visibility: VISIBILITY };
        let received = self.queue.0.receive(&core, request).await.unwrap();
        let receipts: Vec<_> = received.iter().map(|message| message.receipt.clone()).collect();
        self.queue.0.delete(&core, &receipts).await.unwrap();
        let mut answers: Vec<Value> = Vec::new();
        for message in received {
            let mut answer: Value = serde_json::from_str(&message.body).unwrap();
            answer.as_object_mut().unwrap().remove("report");
            answers.push(answer);
        }
        answers.sort_by_key(|answer| answer["token"].to_string());
        answers
    }

    /// How many messages are (ready, in flight).
    pub async fn depth(&self) -> (u64, u64) {
        let depth = self.queue.0.depth(std::slice::from_ref(&self.name)).await.unwrap();
        (depth[0].ready, depth[0].in_flight)
    }
}

pub fn task(token: &str, capability: &str, input: Value) -> TaskMessage {
    TaskMessage {
        token: TaskToken::from_text(token),
        capability: capability.parse().unwrap(),
        input: Json::new(input),
        claim_id: ClaimId::new(Timestamp::from_millis(0), &[0; 10]),
        tenant: Tenant::default(),
        recipe: "recipe".parse().unwrap(),
        state: "State".into(),
        attempt: 0,
        scheduled_at: Timestamp::from_millis(0),
        deadline: None,
        heartbeat_ms: None,
        traceparent: None,
        priority: 0,
    }
}

pub fn succeeded(token: &str, output: Value) -> Value {
    json!({"type": "TaskSucceeded", "token": token, "output": output})
}

pub fn failed(token: &str, error: &str, cause: &str) -> Value {
    json!({"type": "TaskFailed", "token": token, "error": error, "cause": cause})
}

/// Counts what handlers do.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU32>);

impl Counter {
    pub fn up(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}
