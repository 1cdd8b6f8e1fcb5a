//! Finding or starting Postgres, and the pools on it.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fluxus_postgres::{
    Cluster, ClusterError, ClusterOptions, Database, DatabaseError, Options as PoolOptions,
};

use crate::options::{DatabaseChoice, Progress};

/// Connections for the core, the queues and the fluxlings, and as many again for what need not wait
/// for the disk. A batch holds one, and those under way are about as many as core workers and busy
/// fluxlings; each costs three megabytes, idle or not.
const WORK_CONNECTIONS: usize = 10;

/// Connections for requests. They have their own, so that however many come in, the work goes on.
const API_CONNECTIONS: usize = 8;

/// How long a person waits without wondering.
const WONDER: Duration = Duration::from_secs(1);

/// The database in a private cluster.
const DATABASE: &str = "fluxus";

/// Postgres, ready.
pub(crate) struct Postgres {
    /// Ours, where we started it.
    pub(crate) cluster: Option<Cluster>,
    /// What the core, the queues and the fluxlings use.
    pub(crate) work: Database,
    /// What requests use.
    pub(crate) api: Database,
}

impl Postgres {
    /// Connects, or starts a cluster and connects.
    ///
    /// # Errors
    /// In one line that says what to do.
    pub(crate) async fn open(
        choice: &DatabaseChoice,
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> anyhow::Result<Self> {
        let began = Instant::now();
        let (cluster, url) = match choice {
            DatabaseChoice::Url(url) => (None, url.clone()),
            DatabaseChoice::Private(dir) => {
                let cluster = start(dir, progress).await.context("start Postgres")?;
                cluster.create_database_if_missing(DATABASE).await.context("start Postgres")?;
                let url = cluster.url(DATABASE);
                (Some(cluster), url)
            }
        };
        let work = connect(&url, WORK_CONNECTIONS).await?;
        let api = connect(&url, API_CONNECTIONS).await?;
        let dir = match choice {
            DatabaseChoice::Private(dir) => Some(dir.as_path()),
            DatabaseChoice::Url(_) => None,
        };
        progress(&ready(&work, dir, began).await?);
        Ok(Self { cluster, work, api })
    }

    /// Closes the connections, and stops the cluster if it is ours.
    ///
    /// # Errors
    /// If the cluster does not stop; nothing is lost all the same.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.work.close().await;
        self.api.close().await;
        match self.cluster {
            Some(cluster) => cluster.stop().await.context("stop Postgres"),
            None => Ok(()),
        }
    }
}

async fn connect(url: &str, max_connections: usize) -> Result<Database, DatabaseError> {
    let options = PoolOptions { max_connections, ..PoolOptions::default() };
    Database::connect(url, options).await
}

/// Starts a cluster, and says so where it takes long enough for somebody to wonder.
async fn start(
    dir: &Path,
    progress: &(dyn Fn(&Progress) + Send + Sync),
) -> Result<Cluster, ClusterError> {
    let mut starting = pin!(Cluster::start(dir, ClusterOptions::default()));
    tokio::select! {
        started = &mut starting => return started,
        () = tokio::time::sleep(WONDER) => {}
    }
    progress(&Progress::StartingPostgres { dir: dir.to_owned() });
    starting.await
}

/// What there is, as Postgres itself says it.
async fn ready(
    database: &Database,
    dir: Option<&Path>,
    began: Instant,
) -> Result<Progress, DatabaseError> {
    const ASK: &str = "-- ask about the server
        SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
               current_database()::text AS database,
               (extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) * 1000)::bigint
                   AS up_ms";
    // Only a superuser may ask, which we are in our own cluster.
    const ASK_WHERE: &str = "-- ask where the data is
        SELECT current_setting('data_directory') AS data";
    let session = database.session().await?;
    let rows = session.query(ASK, &[]).await?;
    let (version, name, up_ms) = match rows.first() {
        Some(row) => (row.get("version"), row.get("database"), row.get("up_ms")),
        None => (String::new(), String::new(), 0_i64),
    };
    let dir = match dir {
        None => None,
        Some(given) => {
            let rows = session.query(ASK_WHERE, &[]).await?;
            let data = rows.first().map(|row| PathBuf::from(row.get::<_, String>("data")));
            let home = data.as_deref().and_then(Path::parent).map(Path::to_owned);
            let is_there = home.as_deref() == given.canonicalize().ok().as_deref();
            Some(home.filter(|_| !is_there).unwrap_or_else(|| given.to_owned()))
        }
    };
    let took = began.elapsed();
    let was_running =
        dir.is_some() && i128::from(up_ms) > i128::try_from(took.as_millis()).unwrap_or(0);
    Ok(Progress::Postgres { version, database: name, dir, was_running, took })
}
