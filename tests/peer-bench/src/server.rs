//! The Postgres that the engines run on.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fluxus_postgres::{Cluster, ClusterOptions, Database, Options};
use serde::Serialize;

/// A private cluster that lives as long as the comparison.
pub struct Server {
    cluster: Cluster,
    database: Database,
    /// Where the cluster really is: an account without access to our folder gets another.
    folder: PathBuf,
    /// For what is no database: beside the cluster's folder that was asked for.
    scratch: PathBuf,
}

/// What decides how durable, and so how fast, a commit is.
#[derive(Debug, Serialize)]
pub struct Settings {
    pub server_version: String,
    pub fsync: String,
    pub synchronous_commit: String,
    pub full_page_writes: String,
}

impl Server {
    pub async fn start(folder: Option<&Path>) -> anyhow::Result<Self> {
        let folder = folder.map_or_else(default_folder, Path::to_owned);
        anyhow::ensure!(!folder.exists(), "`{}` exists: name another folder", folder.display());
        let cluster =
            Cluster::start(&folder, ClusterOptions::default()).await.context("start Postgres")?;
        let database = connect(&cluster.url("postgres")).await?;
        let data = show(&database, "data_directory").await?;
        let mut scratch = folder.clone().into_os_string();
        scratch.push("-scratch");
        let scratch = PathBuf::from(scratch);
        std::fs::create_dir_all(&scratch)
            .with_context(|| format!("create `{}`", scratch.display()))?;
        let folder = Path::new(&data).parent().unwrap_or(&folder).to_owned();
        Ok(Self { cluster, database, folder, scratch })
    }

    /// The URL of a new, empty database; the last one of this name goes.
    pub async fn fresh_database(&self, name: &str) -> anyhow::Result<String> {
        let session = self.database.session().await?;
        session.batch(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        drop(session);
        self.cluster.create_database_if_missing(name).await?;
        self.checkpoint().await?;
        Ok(self.cluster.url(name))
    }

    /// Has what earlier runs wrote go to disk, so that nobody pays for another's checkpoint.
    pub async fn checkpoint(&self) -> anyhow::Result<()> {
        Ok(self.database.session().await?.batch("CHECKPOINT").await?)
    }

    /// Runs statements on one of its databases.
    pub async fn run(&self, url: &str, statements: &str) -> anyhow::Result<()> {
        let database = connect(url).await?;
        let done = database.session().await?.batch(statements).await;
        database.close().await;
        Ok(done?)
    }

    /// A place for a file or folder that is no database, on the same disk.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    pub fn postmaster_pid(&self) -> u32 {
        self.cluster.postmaster_pid()
    }

    pub async fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings {
            server_version: show(&self.database, "server_version").await?,
            fsync: show(&self.database, "fsync").await?,
            synchronous_commit: show(&self.database, "synchronous_commit").await?,
            full_page_writes: show(&self.database, "full_page_writes").await?,
        })
    }

    pub async fn remove(self) -> anyhow::Result<()> {
        self.database.close().await;
        self.cluster.stop().await.context("stop Postgres")?;
        for folder in [&self.folder, &self.scratch] {
            let removed = std::fs::remove_dir_all(folder);
            removed.with_context(|| format!("remove `{}`", folder.display()))?;
        }
        Ok(())
    }
}

async fn connect(url: &str) -> anyhow::Result<Database> {
    Ok(Database::connect(url, Options { max_connections: 1, ..Options::default() }).await?)
}

async fn show(database: &Database, setting: &str) -> anyhow::Result<String> {
    let rows = database.session().await?.query(&format!("SHOW {setting}"), &[]).await?;
    let row = rows.first().with_context(|| format!("no answer to SHOW {setting}"))?;
    Ok(row.try_get(0)?)
}

/// On the disk of the checkout, since the folder for temporary files is often in memory.
fn default_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/cluster")
        .join(std::process::id().to_string())
}
