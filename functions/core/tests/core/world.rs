//! A core over a database of its own, driven by hand.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fluxus_core::{Core, Handled, Parts, Sweeps};
use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, Options};
use fluxus_queue::{
    MIGRATION, MemoryQueue, Outgoing, PostgresQueue, PostgresQueueOptions, Queue, QueueName,
    Receipt, Receive, Received,
};
use fluxus_schema::fluxling::{CapabilityManifest, Manifest};
use fluxus_schema::history::{EventKind, EventRow, HistoryEvent, number};
use fluxus_schema::message::{CORE_QUEUE, CoreMessage, TaskMessage};
use fluxus_schema::recipe::PutRecipe;
use fluxus_schema::{Claim, ClaimId, NewClaim, TaskToken, Tenant, Timestamp};
use fluxus_store::claim::Intake;
use fluxus_store::{BranchRow, Message, Outbound, Store, claim};
use fluxus_test_support::{TestDatabase, template_name};
use serde_json::{Value, json};

/// Where the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footing {
    /// In the same database.
    Joined,
    /// Elsewhere, behind the outbox.
    Relayed,
    /// Elsewhere, swept by a schedule, through one connection: as a Lambda function.
    Scheduled,
}

/// How often the schedule of [`Footing::Scheduled`] sweeps.
pub const RHYTHM: Duration = Duration::from_secs(60);

impl Footing {
    fn sweeps(self) -> Sweeps {
        match self {
            Self::Joined | Self::Relayed => Sweeps::WhenDue,
            Self::Scheduled => Sweeps::Every(RHYTHM),
        }
    }
}

pub struct World {
    pub core: Core,
    pub store: Store,
    pub database: Database,
    pub queue: Arc<dyn Queue>,
    pub outbound: Outbound,
    _test: TestDatabase,
}

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_millis(i64::try_from(since.as_millis()).expect("fits"))
}

pub fn core_queue() -> QueueName {
    QueueName::new(CORE_QUEUE).expect("a name")
}

async fn database() -> TestDatabase {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/store/migrations");
    let files = std::fs::read_dir(folder).expect("migrations");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    let mut texts: Vec<_> =
        files.iter().map(|file| std::fs::read_to_string(file).expect("reads")).collect();
    texts.push(MIGRATION.to_owned());
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let template = template_name("core", &texts);
    let migrate = |url: String| async move {
        let database = Database::connect(&url, Options::default()).await?;
        Store::new(database.clone()).migrate().await?;
        PostgresQueue::setup(&database).await?;
        database.close().await;
        Ok(())
    };
    TestDatabase::new(&template, migrate).await
}

impl World {
    /// A core that knows fluxlings for these capabilities, each of the same name.
    pub async fn new(footing: Footing, capabilities: &[&str]) -> Self {
        let test = database().await;
        let options = match footing {
            Footing::Joined | Footing::Relayed => Options::default(),
            Footing::Scheduled => Options::ONE,
        };
        let database = Database::connect(test.url(), options).await.expect("a database");
        let store = Store::new(database.clone());
        let (queue, outbound): (Arc<dyn Queue>, Outbound) = match footing {
            Footing::Joined => {
                let options =
                    PostgresQueueOptions { notify: false, ..PostgresQueueOptions::default() };
                let queue = PostgresQueue::new(database.clone(), options).await.expect("a queue");
                (Arc::new(queue.clone()), Outbound::Joined(queue))
            }
            Footing::Relayed | Footing::Scheduled => {
                let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new());
                (queue.clone(), Outbound::Relayed { queue, store: store.clone() })
            }
        };
        for name in capabilities {
            store
                .register_fluxling(&Tenant::default(), &manifest(name, name), now())
                .await
                .unwrap();
        }
        let core = start(&store, &outbound, footing.sweeps()).await;
        Self { core, store, database, queue, outbound, _test: test }
    }

    /// Another core on the same database and queue.
    pub async fn another_core(&self) -> Core {
        start(&self.store, &self.outbound, Sweeps::WhenDue).await
    }

    pub async fn register(&self, manifest: &Manifest) {
        self.store.register_fluxling(&Tenant::default(), manifest, now()).await.unwrap();
    }

    /// Puts a recipe that fulfils claims of the type of its name.
    pub async fn recipe(&self, name: &str, definition: Value) {
        let put = PutRecipe { definition, claim_types: vec![name.parse().unwrap()] };
        let tenant = Tenant::default();
        self.store.put_recipe(&tenant, &name.parse().unwrap(), &put, now()).await.unwrap();
    }

    pub async fn submit(&self, claim_type: &str, body: Value) -> ClaimId {
        self.submit_claim(json!({ "type": claim_type, "body": body })).await
    }

    /// Takes a claim in as the API does.
    pub async fn submit_claim(&self, claim: Value) -> ClaimId {
        let intake = intake(claim);
        let claim_id = intake.claim_id;
        let mut session = self.store.session().await.unwrap();
        let tx = session.begin().await.unwrap();
        claim::insert(&tx, &[intake]).await.unwrap();
        let body = serde_json::to_string(&CoreMessage::ClaimSubmitted { claim_id }).unwrap();
        let outgoing = Outgoing::new(core_queue(), body);
        let message = Message { claim_id, tenant: Tenant::default(), outgoing };
        let enqueued = self.outbound.enqueue(&tx, vec![message], now()).await.unwrap();
        tx.commit().await.unwrap();
        drop(session);
        self.outbound.committed(enqueued).await;
        claim_id
    }

    pub async fn send(&self, message: &CoreMessage) {
        let body = serde_json::to_string(message).unwrap();
        self.queue.send(vec![Outgoing::new(core_queue(), body)]).await.unwrap();
    }

    /// What is ready on a queue, hidden for a minute.
    pub async fn receive(&self, queue: &QueueName, max: usize) -> Vec<Received> {
        let visibility = Duration::from_secs(60);
        let request = Receive { max, wait: Duration::ZERO, visibility };
        self.queue.receive(queue, request).await.unwrap()
    }

    /// The tasks that are ready for a fluxling, taken off its queue.
    pub async fn tasks(&self, fluxling: &str) -> Vec<TaskMessage> {
        let queue = QueueName::new(fluxling).unwrap();
        let received = self.receive(&queue, 10_000).await;
        let receipts: Vec<Receipt> = received.iter().map(|one| one.receipt.clone()).collect();
        self.queue.delete(&queue, &receipts).await.unwrap();
        received.iter().map(|one| serde_json::from_str(&one.body).unwrap()).collect()
    }

    /// Hands messages to the core as the worker does.
    pub async fn handle(&self, batch: Vec<Received>) -> Handled {
        let handled = self.core.handle(batch).await;
        if !handled.deleted {
            self.queue.delete(&core_queue(), &handled.done).await.unwrap();
        }
        handled
    }

    /// Handles messages until none is ready; how many those were.
    pub async fn settle(&self) -> usize {
        let mut count = 0;
        loop {
            let batch = self.receive(&core_queue(), 500).await;
            if batch.is_empty() {
                return count;
            }
            count += batch.len();
            let handled = self.handle(batch).await;
            assert_eq!(handled.failed, vec![]);
        }
    }

    /// Sweeps until a timer was due.
    pub async fn sweep_timer(&self) {
        while self.core.sweep().await.unwrap().timers == 0 {
            tokio::task::yield_now().await;
        }
    }

    pub async fn claim(&self, id: ClaimId) -> Claim {
        self.store.claim(&Tenant::default(), id).await.unwrap().expect("a claim")
    }

    /// A claim's status, with its error where it has one.
    pub async fn status(&self, id: ClaimId) -> String {
        let claim = self.claim(id).await;
        match claim.error {
            Some(error) => format!("{} {error}", claim.status),
            None => claim.status.to_string(),
        }
    }

    pub async fn rows(&self, id: ClaimId) -> Vec<EventRow> {
        self.store.history(&Tenant::default(), id, None, usize::MAX).await.unwrap().rows
    }

    pub async fn history(&self, id: ClaimId) -> Vec<HistoryEvent> {
        number(self.rows(id).await, true)
    }

    /// The details of the claim's events of one kind.
    pub async fn details(&self, id: ClaimId, kind: EventKind) -> Vec<Value> {
        let events = self.history(id).await.into_iter().filter(|event| event.kind == kind);
        events.map(|event| event.details.get(kind.details_field()).cloned().unwrap()).collect()
    }

    pub async fn waiting(&self, id: ClaimId) -> Vec<BranchRow> {
        self.store.waiting(id).await.unwrap()
    }

    /// Rows of a table that belong to a claim.
    pub async fn count(&self, table: &str, id: ClaimId) -> i64 {
        let sql = format!("SELECT count(*) AS n FROM {table} WHERE claim_id = $1");
        let session = self.database.session().await.unwrap();
        session.query(&sql, &[(&id.0, Type::UUID)]).await.unwrap()[0].get("n")
    }

    /// Rows of a table.
    pub async fn total(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) AS n FROM {table}");
        let session = self.database.session().await.unwrap();
        session.query(&sql, &[]).await.unwrap()[0].get("n")
    }

    /// Messages on these queues, ready or not.
    pub async fn queued(&self, queues: &[&str]) -> u64 {
        let names: Vec<_> = queues.iter().map(|name| QueueName::new(name).unwrap()).collect();
        let depths = self.queue.depth(&names).await.unwrap();
        depths.iter().map(|depth| depth.ready + depth.in_flight + depth.delayed).sum()
    }
}

/// A claim that comes in.
pub fn intake(claim: Value) -> Intake {
    let claim: NewClaim = serde_json::from_value(claim).unwrap();
    Intake {
        claim_id: ClaimId::new(now(), &rand::random()),
        tenant: Tenant::default(),
        claim,
        seed: rand::random(),
        traceparent: None,
        origin: None,
        received_at: now(),
    }
}

async fn start(store: &Store, outbound: &Outbound, sweeps: Sweeps) -> Core {
    let parts = Parts {
        store: store.clone(),
        outbound: outbound.clone(),
        core_queue: core_queue(),
        on_ended: Arc::new(|_| {}),
        sweeps,
    };
    Core::start(parts).await.expect("starts")
}

/// A fluxling with one capability, whose queue has its name.
pub fn manifest(name: &str, capability: &str) -> Manifest {
    Manifest {
        name: name.parse().unwrap(),
        version: String::new(),
        description: String::new(),
        queue: name.to_owned(),
        capabilities: vec![CapabilityManifest {
            name: capability.parse().unwrap(),
            input_schema: Value::Null,
            output_schema: Value::Null,
        }],
        concurrency: 10_000,
        timeout_ms: 60_000,
        idempotent: true,
        labels: std::collections::BTreeMap::new(),
        weight: 100,
        cost: 0.0,
    }
}

pub fn succeeded(token: &TaskToken, output: Value) -> CoreMessage {
    CoreMessage::TaskSucceeded { token: token.clone(), output: output.into(), report: None }
}

pub fn failed(token: &TaskToken, error: &str) -> CoreMessage {
    let (error, cause) = (error.to_owned(), "because".to_owned());
    CoreMessage::TaskFailed { token: token.clone(), error, cause, report: None }
}

/// A message as if it had been received, though it is on no queue: a duplicate.
pub fn loose(message: &CoreMessage) -> Received {
    loose_text(serde_json::to_string(message).unwrap())
}

pub fn loose_text(body: String) -> Received {
    let n: u32 = rand::random();
    Received {
        id: fluxus_queue::MessageId(format!("loose-{n}")),
        receipt: Receipt(format!("loose-{n}")),
        body,
        receive_count: 1,
        sent_at_ms: 0,
    }
}

/// A state machine of these states; the first one begins.
#[allow(clippy::needless_pass_by_value)] // A definition reads better without references.
pub fn machine(states: Value) -> Value {
    let first = states.as_object().and_then(|states| states.keys().next()).cloned();
    json!({ "StartAt": first, "States": states })
}

/// A task that asks for `work`, with further fields.
pub fn task(fields: Value) -> Value {
    let mut task = json!({ "Type": "Task", "Resource": "fluxling:work" });
    if let (Some(task), Value::Object(fields)) = (task.as_object_mut(), fields) {
        task.extend(fields);
    }
    task
}

pub fn last_task() -> Value {
    task(json!({ "End": true }))
}
