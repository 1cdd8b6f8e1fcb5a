//! A small AWS in this process: the functions' own handlers, given batches as Lambda's event source
//! gives them, on a queue and a record that count.
//!
//! Postgres is real. The core has one connection, as it has on Lambda; the API has a few, since it
//! is not frozen between requests here.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use fluxling::{Fluxling, Worker};
use fluxus_api::ingest::Ingest;
use fluxus_api::{App, Auth, BacklogBounds, Hearing, Limits};
use fluxus_core::{Core, Sweeps};
use fluxus_postgres::{Database, Options};
use fluxus_queue::sqs_event::{SqsAttributes, SqsBatchResponse, SqsEvent, SqsMessage};
use fluxus_queue::{Outgoing, Queue, QueueName, Receive, Received};
use fluxus_schema::message::{CORE_QUEUE, INGEST_QUEUE};
use fluxus_schema::{Tenant, Timestamp};
use fluxus_store::{Outbound, STEPPING, Store};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::counted::{CountedQueue, CountedRecord, SQS_BATCH};

/// How often the schedule of `template.yaml` sweeps.
const SCHEDULE: Duration = Duration::from_secs(60);

/// What a function of the template may take.
const TIMEOUT: Duration = Duration::from_secs(28);

/// How long messages stay hidden: far longer than a batch takes.
const VISIBILITY: Duration = Duration::from_secs(300);

/// How long to wait for a message where none is ready, before it is looked after what is open.
const PATIENCE: Duration = Duration::from_millis(200);

/// Who works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Api,
    Ingest,
    Core,
    Fluxling,
}

/// What the invocations of one kind of function came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) invocations: u64,
    pub(super) messages: u64,
    pub(super) statements: u64,
    /// How often it waited for SQS, and for DynamoDB.
    pub(super) queue_waits: u64,
    pub(super) record_waits: u64,
    pub(super) cpu: Duration,
}

/// All tallies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tallies {
    pub(super) api: Tally,
    pub(super) ingest: Tally,
    pub(super) core: Tally,
    pub(super) fluxlings: Tally,
}

impl Tallies {
    fn of(&mut self, who: Who) -> &mut Tally {
        match who {
            Who::Api => &mut self.api,
            Who::Ingest => &mut self.ingest,
            Who::Core => &mut self.core,
            Who::Fluxling => &mut self.fluxlings,
        }
    }
}

/// The account.
pub(super) struct Account {
    /// What the API uses, and what all others use.
    asking: Database,
    database: Database,
    pub(super) store: Store,
    pub(super) queue: Arc<CountedQueue>,
    pub(super) record: Arc<CountedRecord>,
    core: Core,
    core_queue: QueueName,
    ingest: Ingest,
    workers: Vec<(QueueName, Worker)>,
    /// Where the API is.
    pub(super) url: String,
    /// Messages that an invocation gets at most.
    batch: usize,
    pub(super) tallies: Tallies,
    _serving: DropGuard,
}

impl Account {
    /// Sets everything up on this database, with these fluxlings.
    pub(super) async fn open(
        database_url: &str,
        fluxlings: Vec<Fluxling>,
        batch: usize,
    ) -> anyhow::Result<Self> {
        let asking = Database::connect(database_url, Options::default()).await?;
        fluxus_local::migrate(&asking).await?;
        let one = Options { settings: STEPPING, ..Options::ONE };
        let database = Database::connect(database_url, one).await?;
        let store = Store::stepping(database.clone());
        for fluxling in &fluxlings {
            let now = fluxling::Clock::system().now();
            store.register_fluxling(&Tenant::default(), &fluxling.manifest(), now).await?;
        }
        let queue = Arc::new(CountedQueue::default());
        let record = Arc::new(CountedRecord::default());
        let core_queue = QueueName::new(CORE_QUEUE)?;
        let relayed = |store: Store| Outbound::Relayed { queue: queue.clone(), store };
        let core = Core::start(fluxus_core::Parts {
            store: store.clone(),
            outbound: relayed(store.clone()),
            core_queue: core_queue.clone(),
            on_ended: Arc::new(|_| {}),
            sweeps: Sweeps::Every(SCHEDULE),
        });
        let core = core.await.context("start the core")?;
        let asked = Store::new(database.clone());
        let ingest = Ingest::new(
            asked.clone(),
            relayed(asked),
            core_queue.clone(),
            queue.clone(),
            QueueName::new(INGEST_QUEUE)?,
            BacklogBounds::default(),
        );
        let worker = |fluxling: Fluxling| {
            (fluxling.queue(), Worker::new(fluxling, queue.clone(), record.clone()))
        };
        let workers = fluxlings.into_iter().map(worker).collect();
        let api = Store::new(asking.clone());
        let (url, serving) = serve(api.clone(), relayed(api), core_queue.clone()).await?;
        Ok(Self {
            asking,
            database,
            store,
            queue,
            record,
            core,
            core_queue,
            ingest,
            workers,
            url,
            batch,
            tallies: Tallies::default(),
            _serving: serving,
        })
    }

    /// Has one request of the API count as an invocation of it.
    pub(super) async fn through_api(
        &mut self,
        request: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let before = self.reading();
        request.await?;
        self.tally(Who::Api, 1, before);
        Ok(())
    }

    /// Puts claims on the ingest queue, in requests of ten as a sender should.
    pub(super) async fn through_queue(&self, claims: Vec<String>) -> anyhow::Result<()> {
        let name = self.ingest.queue_name();
        let messages = claims.into_iter().map(|claim| Outgoing::new(name.clone(), claim));
        Ok(self.queue.send(messages.collect()).await?)
    }

    /// Invokes functions until nothing is left to do, or until `deadline`.
    pub(super) async fn work_off(&mut self, deadline: Instant) -> anyhow::Result<()> {
        loop {
            let mut worked = self.invoke(Who::Ingest, None).await?;
            worked |= self.invoke(Who::Core, None).await?;
            for at in 0..self.workers.len() {
                worked |= self.invoke(Who::Fluxling, Some(at)).await?;
            }
            if worked {
                continue;
            }
            let open = self.store.metrics(now()).await?.open;
            if open.iter().all(|count| count.count == 0) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "claims are still open: give them longer by --timeout, or a recipe that does \
                     not wait"
                );
            }
            self.core.sweep().await?;
            tokio::time::sleep(PATIENCE).await;
        }
    }

    /// One invocation, where there is something to do.
    async fn invoke(&mut self, who: Who, worker: Option<usize>) -> anyhow::Result<bool> {
        let name = match (who, worker.and_then(|at| self.workers.get(at))) {
            (_, Some((name, _))) => name.clone(),
            (Who::Ingest, None) => self.ingest.queue_name().clone(),
            _ => self.core_queue.clone(),
        };
        let received = self.receive(&name).await?;
        if received.is_empty() {
            return Ok(false);
        }
        let receipts: Vec<_> =
            received.iter().map(|one| (one.id.0.clone(), one.receipt.clone())).collect();
        let event = event(received);
        let until = tokio::time::Instant::now() + TIMEOUT;
        let before = self.reading();
        let answer = match (who, worker.and_then(|at| self.workers.get(at))) {
            (_, Some((_, worker))) => {
                fluxling::lambda::handle_event(worker, event, None, Some(until)).await
            }
            (Who::Ingest, None) => {
                fluxus_api::lambda::ingest_batch(&self.ingest, event, None, until).await
            }
            _ => fluxus_core::lambda::handle_batch(&self.core, event, None, until).await,
        };
        self.tally(who, receipts.len() as u64, before);
        let SqsBatchResponse { batch_item_failures } = answer;
        let is_done = |id: &str| !batch_item_failures.iter().any(|one| one.item_identifier == id);
        let done: Vec<_> = receipts
            .into_iter()
            .filter(|(id, _)| is_done(id))
            .map(|(_, receipt)| receipt)
            .collect();
        if !done.is_empty() {
            self.queue.delete(&name, &done).await?;
        }
        Ok(true)
    }

    /// What the event source gathers for one invocation: ten at a time.
    async fn receive(&self, name: &QueueName) -> anyhow::Result<Vec<Received>> {
        let mut gathered = Vec::new();
        while gathered.len() < self.batch {
            let max = SQS_BATCH.min(self.batch - gathered.len());
            let request = Receive { max, wait: Duration::ZERO, visibility: VISIBILITY };
            let some = self.queue.receive(name, request).await?;
            if some.is_empty() {
                break;
            }
            gathered.extend(some);
        }
        Ok(gathered)
    }

    fn reading(&self) -> Tally {
        Tally {
            invocations: 0,
            messages: 0,
            statements: self.database.statements_sent() + self.asking.statements_sent(),
            queue_waits: self.queue.requests.waits.load(Relaxed),
            record_waits: self.record.waits.load(Relaxed),
            cpu: cpu(),
        }
    }

    fn tally(&mut self, who: Who, messages: u64, before: Tally) {
        let now = self.reading();
        let tally = self.tallies.of(who);
        tally.invocations += 1;
        tally.messages += messages;
        tally.statements += now.statements - before.statements;
        tally.queue_waits += now.queue_waits - before.queue_waits;
        tally.record_waits += now.record_waits - before.record_waits;
        tally.cpu += now.cpu.saturating_sub(before.cpu);
    }
}

async fn serve(
    store: Store,
    outbound: Outbound,
    core_queue: QueueName,
) -> anyhow::Result<(String, DropGuard)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let app = App::start(fluxus_api::Parts {
        store,
        outbound,
        core_queue,
        auth: Auth::Open,
        limits: Limits::default(),
        backlog: BacklogBounds::default(),
        hearing: Hearing::Poll,
    });
    let app = app.await.context("start the API")?;
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    tokio::spawn(async move {
        if let Err(error) = fluxus_api::serve(app, listener, stop).await {
            tracing::error!(%error, "the API ended");
        }
    });
    Ok((url, guard))
}

/// A batch as Lambda hands it over.
fn event(received: Vec<Received>) -> SqsEvent {
    let records = received.into_iter().map(|one| SqsMessage {
        message_id: one.id.0,
        receipt_handle: one.receipt.0,
        body: one.body,
        attributes: SqsAttributes {
            approximate_receive_count: one.receive_count.to_string(),
            sent_timestamp: one.sent_at_ms.to_string(),
        },
    });
    SqsEvent { records: records.collect() }
}

fn now() -> Timestamp {
    fluxling::Clock::system().now()
}

/// CPU time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
