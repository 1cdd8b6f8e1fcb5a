//! The parts of a system, put together around one Postgres.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use fluxling::{Clock, Fluxling, Worker};
use fluxling_http::Allowed;
use fluxus_api::ingest::Ingest;
use fluxus_api::{App, Begin, Hearing, Limits, serve};
use fluxus_core::environment::notifier;
use fluxus_core::{Core, OnEnded, Sweeps};
use fluxus_queue::{PostgresQueue, PostgresQueueOptions, QueueName};
use fluxus_schema::Tenant;
use fluxus_schema::message::{CORE_QUEUE, INGEST_QUEUE};
use fluxus_store::{Inserted, Intake, Outbound, Store};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::options::{Options, Progress, Role};
use crate::postgres::Postgres;
use crate::presence::Presence;
use crate::{StoreIdempotency, builtin, examples, migrate, retention};

/// How long a fluxling's messages stay hidden unless they are renewed. After a `kill -9` its tasks
/// are taken up again when this is past, so it is short: here a renewal costs a statement, not a
/// request that is paid for.
const TASK_VISIBILITY: Duration = Duration::from_secs(10);

/// How long handlers may go on after a shutdown began. What is cut off goes back to its queue; a
/// person at a terminal waits.
const TASK_GRACE: Duration = Duration::from_secs(5);

/// A system but for its Postgres.
pub(crate) struct Parts {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) store: Store,
    pub(crate) queue: PostgresQueue,
    pub(crate) stop_intake: CancellationToken,
    pub(crate) stop_work: CancellationToken,
    /// The tasks of the API and of the ingest; each gives its name, and what went wrong if something
    /// did.
    pub(crate) intake: JoinSet<String>,
    /// The core's and the fluxlings' tasks, likewise.
    pub(crate) work: JoinSet<String>,
    /// Keeps to the database's time; ends when dropped.
    pub(crate) clock: JoinSet<()>,
    pub(crate) presence: Presence,
}

/// Puts together what this process does. The API is among it where there is a listener.
pub(crate) async fn assemble(
    options: &Options,
    listener: Option<TcpListener>,
    postgres: &Postgres,
) -> anyhow::Result<Parts> {
    let address = listener.as_ref().map(TcpListener::local_addr).transpose();
    let address = address.context("read the listener's address")?;
    if options.migrate {
        let applied = migrate(&postgres.work).await?;
        (options.progress)(&Progress::Migrated { applied });
    } else {
        check_migrated(&Store::new(postgres.work.clone())).await?;
    }
    fluxus_store::clock::agree(&postgres.work.session().await?)
        .await
        .context("ask the database for the time")?;
    let presence = Presence::announce(&postgres.work).await?;
    let store = Store::stepping(postgres.work.clone());
    let has = |role| options.roles.contains(&role);
    let fluxlings = if has(Role::Fluxlings) { fluxlings(options, address) } else { Vec::new() };
    register(&store, options, &fluxlings).await?;
    tell_what_goes_on(&store, options).await?;

    // Other processes may work on the same database, so each tells the others what it sent. It
    // costs at most one statement in five milliseconds, which waits for nothing.
    let queue_options = PostgresQueueOptions::default();
    let queue = PostgresQueue::new(postgres.work.clone(), queue_options).await?;
    let (stop_intake, stop_work) = (CancellationToken::new(), CancellationToken::new());
    let (intake, work) = (JoinSet::new(), JoinSet::new());
    let clock = JoinSet::new();
    let mut parts = Parts {
        address,
        store,
        queue: queue.clone(),
        stop_intake,
        stop_work,
        intake,
        work,
        clock,
        presence,
    };
    parts.clock.spawn(fluxus_store::clock::keep(postgres.work.relaxed()));
    let mut app = None;
    if let Some(listener) = listener {
        app = Some(parts.add_api(options, postgres, &queue, listener).await?);
    }
    if has(Role::Core) {
        parts.add_core(options, postgres, &queue, app).await?;
    }
    parts.add_fluxlings(fluxlings, &queue)?;
    Ok(parts)
}

impl Parts {
    async fn add_api(
        &mut self,
        options: &Options,
        postgres: &Postgres,
        queue: &PostgresQueue,
        listener: TcpListener,
    ) -> anyhow::Result<App> {
        let outbound = Outbound::Joined(queue.clone());
        let core_queue = QueueName::new(CORE_QUEUE)?;
        let ingest = Ingest::new(
            Store::new(postgres.api.clone()),
            outbound.clone(),
            core_queue.clone(),
            Arc::new(queue.clone()),
            QueueName::new(INGEST_QUEUE)?,
            options.backlog,
        );
        let app = App::start(fluxus_api::Parts {
            store: Store::new(postgres.api.clone()),
            outbound,
            core_queue,
            auth: options.auth.clone(),
            limits: Limits::default(),
            backlog: options.backlog,
            hearing: Hearing::Listen,
        });
        let app = app.await.context("start the API")?;
        let serving = serve(app.clone(), listener, self.stop_intake.clone());
        self.intake.spawn(async move {
            match serving.await {
                Ok(()) => "the API".to_owned(),
                Err(error) => format!("the API: {:#}", anyhow!(error)),
            }
        });
        let stop = self.stop_intake.clone();
        self.intake.spawn(async move {
            ingest.run(stop).await;
            "the ingest".to_owned()
        });
        Ok(app)
    }

    async fn add_core(
        &mut self,
        options: &Options,
        postgres: &Postgres,
        queue: &PostgresQueue,
        app: Option<App>,
    ) -> anyhow::Result<()> {
        let notify = notifier(&postgres.work);
        let on_ended: OnEnded = match &app {
            Some(app) => {
                let (waiters, others) = (app.waiters().clone(), self.presence.others());
                Arc::new(move |ended| {
                    waiters.tell(ended);
                    // Somebody may wait at the API of another process. It is told that claims ended,
                    // not which.
                    if others.are_there() {
                        notify(Vec::new());
                    }
                })
            }
            None => notify,
        };
        let core = Core::start(fluxus_core::Parts {
            store: self.store.clone(),
            outbound: Outbound::Joined(queue.clone()),
            core_queue: QueueName::new(CORE_QUEUE)?,
            on_ended,
            sweeps: Sweeps::WhenDue,
        });
        let core = core.await.context("start the core")?;
        if let Some(app) = app {
            app.begin_with(Arc::new(Beginner(core.clone())));
        }
        let (workers, stop) = (options.core_workers.max(1), self.stop_work.clone());
        self.work.spawn(async move {
            fluxus_core::worker::run(core, workers, stop).await;
            "the core".to_owned()
        });
        if let Some(age) = options.retention {
            let (store, stop) = (self.store.clone(), self.stop_work.clone());
            self.work.spawn(async move {
                retention::run(&store, age, &stop).await;
                "the retention".to_owned()
            });
        }
        Ok(())
    }

    fn add_fluxlings(
        &mut self,
        fluxlings: Vec<Fluxling>,
        queue: &PostgresQueue,
    ) -> anyhow::Result<()> {
        let core_queue = QueueName::new(CORE_QUEUE)?;
        let idempotency = Arc::new(StoreIdempotency::new(self.store.clone()));
        for fluxling in fluxlings {
            let name = format!("the fluxling {}", fluxling.name());
            let worker = Worker::new(fluxling, Arc::new(queue.answering()), idempotency.clone())
                .core_queue(core_queue.clone())
                .clock(Clock::new(fluxus_store::clock::now))
                .visibility(TASK_VISIBILITY)
                .grace(TASK_GRACE);
            let stop = self.stop_work.clone();
            self.work.spawn(async move {
                worker.run(stop).await;
                name
            });
        }
        Ok(())
    }
}

/// The core, as the API asks it to begin what comes in.
struct Beginner(Core);

#[async_trait]
impl Begin for Beginner {
    fn is_ready(&self) -> bool {
        self.0.keeps_up()
    }

    async fn take_in(
        &self,
        rows: &[Intake],
    ) -> Result<Vec<Inserted>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.take_in(rows).await?)
    }
}

/// Whether the tables are as new as this version, or newer.
async fn check_migrated(store: &Store) -> anyhow::Result<()> {
    let status = store.migration_status().await.context("look for migrations")?;
    let missing = status.iter().filter(|one| one.applied_at.is_none());
    let missing: Vec<_> = missing.map(|one| one.name.as_str()).collect();
    if !missing.is_empty() {
        bail!("the tables lack {}: run `fluxus migrate` first", missing.join(", "));
    }
    Ok(())
}

fn fluxlings(options: &Options, address: Option<SocketAddr>) -> Vec<Fluxling> {
    let mut fluxlings = Vec::new();
    if options.builtin {
        let mut allow = options.http_allow.clone();
        if let Some(address) = address.filter(|address| address.ip().is_loopback()) {
            // Whoever can submit a claim can ask the API himself: nothing is opened by this.
            let own = [address.to_string(), format!("localhost:{}", address.port())];
            allow.extend(own.iter().filter_map(|endpoint| endpoint.parse::<Allowed>().ok()));
        }
        fluxlings = builtin(allow, options.items_folder.clone());
    }
    fluxlings.extend(options.fluxlings.iter().cloned());
    fluxlings
}

async fn register(store: &Store, options: &Options, fluxlings: &[Fluxling]) -> anyhow::Result<()> {
    // Those of the default tenant work for all tenants.
    let shared = Tenant::default();
    for fluxling in fluxlings {
        let manifest = fluxling.manifest();
        let registered = store.register_fluxling(&shared, &manifest, fluxus_store::clock::now());
        let registered = registered.await;
        registered.with_context(|| format!("register the fluxling {}", manifest.name))?;
    }
    if options.examples {
        for tenant in &options.tenants {
            examples::register(store, tenant).await?;
        }
    }
    Ok(())
}

async fn tell_what_goes_on(store: &Store, options: &Options) -> anyhow::Result<()> {
    let open = store.metrics(fluxus_store::clock::now()).await?.open;
    let claims = open.iter().map(|count| count.count).sum();
    if claims > 0 {
        (options.progress)(&Progress::Resuming { claims });
    }
    Ok(())
}
