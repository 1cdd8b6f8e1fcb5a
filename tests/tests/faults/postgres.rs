//! The Postgres of a run, and what can be wrong with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fluxus_postgres::{Cluster, ClusterOptions, Database, Options};
use tokio::process::Command;

/// Connections that the server has: enough for all processes, and few enough to use them all up.
const CONNECTIONS: usize = 150;

/// Marks the connections of the tests.
const NAME: &str = "fault-harness";

const DATABASE: &str = "fluxus";

pub struct Server {
    /// None while it is down.
    cluster: Option<Cluster>,
    folder: PathBuf,
    url: String,
}

impl Server {
    pub async fn start(folder: &Path) -> Self {
        let mut server =
            Self { cluster: None, folder: folder.join("postgres"), url: String::new() };
        server.start_again().await;
        let cluster = server.cluster.as_ref().expect("it runs");
        cluster.create_database_if_missing(DATABASE).await.expect("a database");
        server
    }

    /// Starts it after it was killed; it may be at another port then.
    pub async fn start_again(&mut self) {
        // Commits wait as ever, but not for the disk: a kill leaves what the system has in memory.
        let settings = [
            ("max_connections", CONNECTIONS.to_string()),
            ("fsync", "off".to_owned()),
            ("full_page_writes", "off".to_owned()),
            // A server that comes back is looked at, not trusted.
            ("log_min_messages", "warning".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let options = ClusterOptions { settings, ephemeral: false };
        let cluster = Cluster::start(&self.folder, options).await.expect("Postgres starts");
        self.url = format!("{}?application_name={NAME}", cluster.url(DATABASE));
        self.cluster = Some(cluster);
    }

    /// Where it is, for the tests alone.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn address(&self) -> SocketAddr {
        let host = self.url.split(['@', '/']).nth(3).expect("a host and a port");
        host.parse().expect("an address")
    }

    /// Where it is for the processes: behind the proxy.
    pub fn url_through(&self, port: u16) -> String {
        let url = self.cluster.as_ref().expect("it runs").url(DATABASE);
        let own = self.address().port();
        format!("{}?sslmode=disable", url.replace(&format!(":{own}/"), &format!(":{port}/")))
    }

    /// `kill -9` for the postmaster.
    pub async fn kill(&mut self) {
        let pid = self.cluster.as_ref().map_or(0, Cluster::postmaster_pid);
        kill(&pid.to_string()).await;
        self.cluster = None;
    }

    /// `kill -9` for one of the processes that serve: all others then end too, and recover.
    pub async fn kill_backend(&self) {
        const PICK: &str = "SELECT pid::text FROM pg_stat_activity
             WHERE application_name = 'fluxus' AND pid <> pg_backend_pid() LIMIT 1";
        let pid = self.ask(PICK).await;
        if let Some(pid) = pid.first() {
            kill(pid).await;
        }
    }

    pub async fn read_only(&self, is_on: bool) {
        let value = if is_on { "on" } else { "off" };
        self.run(&format!("ALTER SYSTEM SET default_transaction_read_only = {value}")).await;
        self.run("SELECT pg_reload_conf()").await;
    }

    /// Ends all connections of the system and takes every one that there is, until dropped.
    pub async fn take_connections(&self) -> Vec<Database> {
        const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'fluxus'";
        let mut taken = Vec::new();
        for _ in 0..2 {
            while taken.len() < CONNECTIONS {
                match Database::connect(&self.url, Options::ONE).await {
                    Ok(one) => taken.push(one),
                    Err(_none_left) => break,
                }
            }
            if let Some(one) = taken.first()
                && let Ok(session) = one.session().await
            {
                let _ = session.batch(END).await;
            }
        }
        taken
    }

    /// A connection that holds every row of these tables locked, until dropped.
    pub async fn lock(&self, table: &str) -> Option<Database> {
        let one = Database::connect(&self.url, Options::ONE).await.ok()?;
        let session = one.session().await.ok()?;
        // Nobody commits: the lock goes with the connection.
        let locked = session.batch(&format!("BEGIN; LOCK TABLE {table}")).await;
        drop(session);
        locked.ok().map(|()| one)
    }

    /// Runs statements. What fails because Postgres is away is none of ours.
    pub async fn run(&self, sql: &str) {
        if let Ok(database) = Database::connect(&self.url, Options::ONE).await
            && let Ok(session) = database.session().await
        {
            let _ = session.batch(sql).await;
        }
    }

    /// Texts in the first column.
    pub async fn ask(&self, sql: &str) -> Vec<String> {
        let Ok(database) = Database::connect(&self.url, Options::ONE).await else {
            return Vec::new();
        };
        let Ok(session) = database.session().await else { return Vec::new() };
        let rows = session.query(sql, &[]).await.unwrap_or_default();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub async fn stop(mut self) {
        if let Some(cluster) = self.cluster.take() {
            cluster.stop().await.expect("Postgres stops");
        }
    }
}

async fn kill(pid: &str) {
    let mut kill = Command::new("kill");
    // It may have ended by itself meanwhile.
    let _ = kill.args(["-KILL", pid]).status().await.expect("kill runs");
}
