//! The system: everything in one process.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use fluxling::{Clock, Fluxling, Worker};
use fluxling_http::Allowed;
use fluxus_api::ingest::Ingest;
use fluxus_api::{App, Hearing, Limits, check_listen, serve};
use fluxus_core::{Core, Sweeps};
use fluxus_queue::{PostgresQueue, PostgresQueueOptions, QueueName};
use fluxus_schema::Tenant;
use fluxus_schema::message::{CORE_QUEUE, INGEST_QUEUE};
use fluxus_store::{Outbound, Store};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::options::{Options, Progress};
use crate::postgres::Postgres;
use crate::presence::Presence;
use crate::{StoreIdempotency, builtin, examples, migrate};

/// How long a fluxling's messages stay hidden unless they are renewed. After a `kill -9` its tasks
/// are taken up again when this is past, so it is short: here a renewal costs a statement, not a
/// request that is paid for.
const TASK_VISIBILITY: Duration = Duration::from_secs(10);

/// How long handlers may go on after a shutdown began. What is cut off goes back to its queue; a
/// person at a terminal waits.
const TASK_GRACE: Duration = Duration::from_secs(5);

/// How long the workers have to come to an end at a shutdown: the handlers' grace, and time for
/// the batches that are being committed. What is not done by then is done after the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// A running system.
///
/// Dropped without [`shutdown`](Self::shutdown) it ends at once, as by a `kill -9`: nothing is
/// lost, and the next start goes on.
pub struct System {
    address: SocketAddr,
    store: Store,
    stop_intake: CancellationToken,
    stop_work: CancellationToken,
    /// The tasks of the API and of the ingest; each gives its name, and what went wrong if something
    /// did.
    intake: JoinSet<String>,
    /// The core's and the fluxlings' tasks, likewise.
    work: JoinSet<String>,
    presence: Presence,
    /// Last, so that everything above lets go of it first.
    postgres: Postgres,
}

impl System {
    /// Starts everything and returns when claims can be submitted. The address is taken before
    /// anything else, so that one that is taken already costs nothing.
    ///
    /// # Errors
    /// In one line that says what to do. What was started is stopped again.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        check_listen(options.listen, &options.auth)?;
        let listener = listen(options.listen).await?;
        let postgres = Postgres::open(&options.database, &*options.progress).await?;
        match assemble(&options, listener, &postgres).await {
            Ok(parts) => {
                let Assembled { address, store, stop_intake, stop_work, intake, work, presence } =
                    parts;
                Ok(Self {
                    address,
                    store,
                    stop_intake,
                    stop_work,
                    intake,
                    work,
                    presence,
                    postgres,
                })
            }
            Err(error) => {
                if let Err(error) = postgres.close().await {
                    tracing::warn!("{error:#}");
                }
                Err(error)
            }
        }
    }

    /// Where the API is, seen from this machine: `http://127.0.0.1:7400`.
    pub fn url(&self) -> String {
        let mut address = self.address;
        match address.ip() {
            // What listens on all addresses is asked for at one of them.
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        format!("http://{address}")
    }

    /// Where the database is, password included: never log it.
    pub fn database_url(&self) -> &str {
        self.postgres.work.url()
    }

    /// The store, for what has no place in REST.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Waits until a part ends though nobody asked it to, which is a bug, and says which. Safe to
    /// cancel.
    pub async fn broken(&mut self) -> String {
        let ended = tokio::select! {
            Some(ended) = self.intake.join_next() => ended,
            Some(ended) = self.work.join_next() => ended,
            else => return std::future::pending().await,
        };
        ended.unwrap_or_else(|error| error.to_string())
    }

    /// Stops: first the intake, then the workers when what they have in hand is done, but no longer
    /// than some seconds, then Postgres if it is ours.
    ///
    /// # Errors
    /// If Postgres does not stop; nothing is lost all the same.
    pub async fn shutdown(self) -> anyhow::Result<()> {
        let Self {
            stop_intake, stop_work, mut intake, mut work, postgres, store, presence, ..
        } = self;
        stop_intake.cancel();
        // Bounded by the API's own grace for open requests.
        while intake.join_next().await.is_some() {}
        stop_work.cancel();
        let drained = async { while work.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("some work was cut off; it goes on after the next start");
            work.shutdown().await;
        }
        drop((store, presence));
        postgres.close().await
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why the API cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Somebody else does.
    #[error(
        "{address} is in use by another program: stop that one, or listen elsewhere; port 0 takes \
         any that is free"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The operating system refuses.
    #[error("cannot listen on {address}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A system but for its Postgres.
struct Assembled {
    address: SocketAddr,
    store: Store,
    stop_intake: CancellationToken,
    stop_work: CancellationToken,
    intake: JoinSet<String>,
    work: JoinSet<String>,
    presence: Presence,
}

async fn assemble(
    options: &Options,
    listener: TcpListener,
    postgres: &Postgres,
) -> anyhow::Result<Assembled> {
    let address = listener.local_addr().context("read the listener's address")?;
    let applied = migrate(&postgres.work).await?;
    (options.progress)(&Progress::Migrated { applied });
    let presence = Presence::announce(&postgres.work).await?;
    let store = Store::stepping(postgres.work.clone());
    let fluxlings = fluxlings(options, address);
    register(&store, options, &fluxlings).await?;
    tell_what_goes_on(&store, options).await?;

    // Other processes may work on the same database, so each tells the others what it sent. It
    // costs at most one statement in five milliseconds, which waits for nothing.
    let queue_options = PostgresQueueOptions::default();
    let queue = PostgresQueue::new(postgres.work.clone(), queue_options).await?;
    let outbound = Outbound::Joined(queue.clone());
    let core_queue = QueueName::new(CORE_QUEUE)?;
    let ingest_queue = QueueName::new(INGEST_QUEUE)?;
    let ingest = Ingest::new(
        Store::new(postgres.api.clone()),
        outbound.clone(),
        core_queue.clone(),
        Arc::new(queue.clone()),
        ingest_queue,
    );
    let app = App::start(fluxus_api::Parts {
        store: Store::new(postgres.api.clone()),
        outbound: outbound.clone(),
        core_queue: core_queue.clone(),
        auth: options.auth.clone(),
        limits: Limits::default(),
        hearing: Hearing::Listen,
    });
    let app = app.await.context("start the API")?;
    let waiters = app.waiters().clone();
    let core = Core::start(fluxus_core::Parts {
        store: store.clone(),
        outbound,
        core_queue: core_queue.clone(),
        on_ended: Arc::new(move || waiters.notify_ended()),
        sweeps: Sweeps::WhenDue,
    });
    let core = core.await.context("start the core")?;

    let (stop_intake, stop_work) = (CancellationToken::new(), CancellationToken::new());
    let (mut intake, mut work) = (JoinSet::new(), JoinSet::new());
    let serving = serve(app, listener, stop_intake.clone());
    intake.spawn(async move {
        match serving.await {
            Ok(()) => "the API".to_owned(),
            Err(error) => format!("the API: {:#}", anyhow!(error)),
        }
    });
    let stop = stop_intake.clone();
    intake.spawn(async move {
        ingest.run(stop).await;
        "the ingest".to_owned()
    });
    let (workers, stop) = (options.core_workers.max(1), stop_work.clone());
    work.spawn(async move {
        fluxus_core::worker::run(core, workers, stop).await;
        "the core".to_owned()
    });
    let idempotency = Arc::new(StoreIdempotency::new(store.clone()));
    for fluxling in fluxlings {
        let name = format!("the fluxling {}", fluxling.name());
        let worker = Worker::new(fluxling, Arc::new(queue.answering()), idempotency.clone())
            .core_queue(core_queue.clone())
            .visibility(TASK_VISIBILITY)
            .grace(TASK_GRACE);
        let stop = stop_work.clone();
        work.spawn(async move {
            worker.run(stop).await;
            name
        });
    }
    Ok(Assembled { address, store, stop_intake, stop_work, intake, work, presence })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        _ => ListenError::Other { address, source },
    })
}

fn fluxlings(options: &Options, address: SocketAddr) -> Vec<Fluxling> {
    let mut fluxlings = Vec::new();
    if options.builtin {
        let mut allow = options.http_allow.clone();
        if address.ip().is_loopback() {
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
        let registered = store.register_fluxling(&shared, &manifest, Clock::system().now());
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
    let open = store.metrics(Clock::system().now()).await?.open;
    let claims = open.iter().map(|count| count.count).sum();
    if claims > 0 {
        (options.progress)(&Progress::Resuming { claims });
    }
    Ok(())
}
