//! What an embedded run can be told.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fluxling::Fluxling;
use fluxling_http::Allowed;
use fluxus_api::{Auth, BacklogBounds};
use fluxus_schema::Tenant;

/// Core workers where nobody says how many. Each works on one batch at a time, and a batch mostly
/// waits for Postgres: a few overlap the waiting, more only make the batches smaller.
const DEFAULT_CORE_WORKERS: usize = 2;

/// What a process does of the whole. Processes on one database make up the system together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes claims in and answers questions: REST, and the ingest queue.
    Api,
    /// Steps executions and gives out their tasks.
    Core,
    /// Does tasks: the built-in fluxlings, and those of [`Options::fluxlings`].
    Fluxlings,
}

impl Role {
    /// All of them: the system in one process.
    pub const ALL: [Self; 3] = [Self::Api, Self::Core, Self::Fluxlings];
}

/// How to run the system. Begin with [`Options::new`].
#[derive(Clone)]
pub struct Options {
    /// Where the data is.
    pub database: DatabaseChoice,
    /// What this process does of the whole.
    pub roles: Vec<Role>,
    /// Whether to bring the tables up to date first. If not, tables that are too old are an error:
    /// where several processes run, whoever deploys them migrates once, before.
    pub migrate: bool,
    /// Where the API listens; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Who may ask. Without keys, only a loopback address is listened on.
    pub auth: Auth,
    /// Whose claims there are: the examples are registered for each.
    pub tenants: Vec<Tenant>,
    /// Whether to run the fluxlings of [`builtin`](crate::builtin).
    pub builtin: bool,
    /// Fluxlings to run besides.
    pub fluxlings: Vec<Fluxling>,
    /// Whether to register the recipes of [`examples`](crate::examples).
    pub examples: bool,
    /// What `http.request` may reach beside the public internet and the API itself.
    pub http_allow: Vec<Allowed>,
    /// The folder below which distributed Maps read items from files and write results to them.
    /// None refuses files.
    pub items_folder: Option<PathBuf>,
    /// How many batches the core works on at a time.
    pub core_workers: usize,
    /// How many claims may wait to be evaluated; past it clients are told to come again.
    pub backlog: BacklogBounds,
    /// How long ended claims and their history are kept; for ever, where not set.
    pub retention: Option<Duration>,
    /// Told how the start goes.
    pub progress: Arc<dyn Fn(&Progress) + Send + Sync>,
}

/// Where the data is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseChoice {
    /// In this database: `postgres://…`.
    Url(String),
    /// In a Postgres of our own, which keeps its files in this folder.
    Private(PathBuf),
}

/// How a start goes, step by step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A private cluster is being started, and that takes a while: it is created first, or has to
    /// recover.
    StartingPostgres {
        /// Its folder.
        dir: PathBuf,
    },
    /// Postgres answers.
    Postgres {
        /// Its version: `15.18`.
        version: String,
        /// The name of the database.
        database: String,
        /// The folder of a private cluster: as given, or where it had to go instead.
        dir: Option<PathBuf>,
        /// Whether a private cluster was still running, left behind by a process that was killed.
        was_running: bool,
        /// How long it took.
        took: Duration,
    },
    /// The tables are up to date.
    Migrated {
        /// The migrations applied just now.
        applied: Vec<String>,
    },
    /// There are claims from before, which go on now.
    Resuming {
        /// How many.
        claims: u64,
    },
}

impl Options {
    /// Everything there is, for the default tenant, open to this machine.
    pub fn new(database: DatabaseChoice, listen: SocketAddr) -> Self {
        Self {
            database,
            roles: Role::ALL.to_vec(),
            migrate: true,
            listen,
            auth: Auth::Open,
            tenants: vec![Tenant::default()],
            builtin: true,
            fluxlings: Vec::new(),
            examples: true,
            http_allow: Vec::new(),
            items_folder: None,
            core_workers: DEFAULT_CORE_WORKERS,
            backlog: BacklogBounds::default(),
            retention: None,
            progress: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for DatabaseChoice {
    /// Hides the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(_) => f.write_str("Url(…)"),
            Self::Private(dir) => f.debug_tuple("Private").field(dir).finish(),
        }
    }
}
