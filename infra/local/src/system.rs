//! The system: everything in one process, or what this process does of it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use fluxus_api::check_listen;
use fluxus_queue::PostgresQueue;
use fluxus_store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::options::{Options, Role};
use crate::parts::{Parts, assemble};
use crate::postgres::Postgres;
use crate::presence::Presence;

/// How long the workers have to come to an end at a shutdown: the handlers' grace, and time for
/// the batches that are being committed. What is not done by then is done after the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// A running system.
///
/// Dropped without [`shutdown`](Self::shutdown) it ends at once, as by a `kill -9`: nothing is
/// lost, and the next start goes on.
pub struct System {
    /// Where the API listens, where it is one of the parts.
    address: Option<SocketAddr>,
    store: Store,
    queue: PostgresQueue,
    stop_intake: CancellationToken,
    stop_work: CancellationToken,
    /// The tasks of the API and of the ingest; each gives its name, and what went wrong if something
    /// did.
    intake: JoinSet<String>,
    /// The core's and the fluxlings' tasks, likewise.
    work: JoinSet<String>,
    /// Keeps to the database's time.
    clock: JoinSet<()>,
    presence: Presence,
    /// Last, so that everything above lets go of it first.
    postgres: Postgres,
}

impl System {
    /// Starts the parts that are asked for and returns when they are at work: with the API among
    /// them, when claims can be submitted. The address is taken before anything else, so that one
    /// that is taken already costs nothing.
    ///
    /// # Errors
    /// In one line that says what to do. What was started is stopped again.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let listener = if options.roles.contains(&Role::Api) {
            check_listen(options.listen, &options.auth)?;
            Some(listen(options.listen).await?)
        } else {
            None
        };
        let postgres = Postgres::open(&options.database, &*options.progress).await?;
        match assemble(&options, listener, &postgres).await {
            Ok(parts) => {
                let Parts {
                    address,
                    store,
                    queue,
                    stop_intake,
                    stop_work,
                    intake,
                    work,
                    clock,
                    presence,
                } = parts;
                Ok(Self {
                    address,
                    store,
                    queue,
                    stop_intake,
                    stop_work,
                    intake,
                    work,
                    clock,
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

    /// Where the API is, seen from this machine: `http://127.0.0.1:7400`. Empty in a process that
    /// does without it: see [`api_url`](Self::api_url).
    pub fn url(&self) -> String {
        self.api_url().unwrap_or_default()
    }

    /// The same, where the API is one of this process's parts.
    pub fn api_url(&self) -> Option<String> {
        let mut address = self.address?;
        match address.ip() {
            // What listens on all addresses is asked for at one of them.
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Some(format!("http://{address}"))
    }

    /// Where the database is, password included: never log it.
    pub fn database_url(&self) -> &str {
        self.postgres.work.url()
    }

    /// The store, for what has no place in REST.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What it has asked of Postgres so far: for benchmarks.
    pub fn usage(&self) -> Usage {
        let statements = self.postgres.work.statements_sent() + self.postgres.api.statements_sent();
        Usage { statements, queue_requests: self.queue.requests() }
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
            stop_intake,
            stop_work,
            mut intake,
            mut work,
            postgres,
            store,
            clock,
            queue,
            presence,
            ..
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
        if let Err(error) = queue.give_back(None).await {
            tracing::warn!(%error, "some tasks wait for their visibility timeout");
        }
        drop((store, queue, clock, presence));
        postgres.close().await
    }
}

/// What a system has asked of Postgres since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Statements, `BEGIN` and `COMMIT` not counted.
    pub statements: u64,
    /// Requests made of the queues, which are statements too.
    pub queue_requests: u64,
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

async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        _ => ListenError::Other { address, source },
    })
}
