//! The one server of all tests, found or started.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use fluxus_postgres::{Cluster, ClusterOptions};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::connect;

/// What a test database's name begins with; the rest tells when it was made.
const PREFIX: &str = "fluxus_test_";

/// A database older than this was left behind by a test that was killed.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(60 * 60);

/// The URL of the server's own database, from which others are created.
pub(crate) async fn url() -> anyhow::Result<String> {
    static URL: OnceCell<String> = OnceCell::const_new();
    let url = URL.get_or_try_init(|| async {
        let url = match std::env::var("FLUXUS_TEST_DATABASE_URL") {
            Ok(url) if !url.is_empty() => url,
            _ => start().await?,
        };
        drop_left_behind(&url).await.context("tidy up the test server")?;
        anyhow::Ok(url)
    });
    url.await.cloned()
}

/// Starts the server or finds it running. One process at a time: tests run in many.
async fn start() -> anyhow::Result<String> {
    let folder = folder();
    let lock = File::create(folder.with_extension("lock")).context("create the test lock")?;
    let _lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    let options = ClusterOptions { ephemeral: true, ..ClusterOptions::default() };
    let cluster = Cluster::start(&folder, options).await?;
    let url = cluster.url("postgres");
    cluster.leave_running();
    Ok(url)
}

/// In cargo's target folder, which outlives a run and goes with `cargo clean`; else among the
/// temporary files.
fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.map_or_else(std::env::temp_dir, Path::to_owned).join("fluxus-test-postgres")
}

pub(crate) fn new_name() -> String {
    format!("{PREFIX}{}", Uuid::now_v7().simple())
}

/// The same URL with another database.
pub(crate) fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, q)| (base, Some(q)));
    let host = base.find("://").map_or(0, |at| at + 3);
    let end = base[host..].find('/').map_or(base.len(), |at| host + at);
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{}/{name}{query}", &base[..end])
}

pub(crate) async fn batch(url: &str, sql: &str) -> anyhow::Result<()> {
    let database = connect(url).await?;
    let done = async { database.session().await?.batch(sql).await }.await;
    database.close().await;
    Ok(done?)
}

pub(crate) async fn drop_database(url: &str, name: &str) -> anyhow::Result<()> {
    batch(url, &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).await
}

async fn drop_left_behind(url: &str) -> anyhow::Result<()> {
    let database = connect(url).await?;
    let rows =
        async { database.session().await?.query("SELECT datname FROM pg_database", &[]).await };
    let rows = rows.await;
    database.close().await;
    for name in rows?.iter().map(|row| row.get::<_, String>(0)).filter(|name| is_left_behind(name))
    {
        // Another process may be at it too.
        let _best_effort = drop_database(url, &name).await;
    }
    Ok(())
}

fn is_left_behind(name: &str) -> bool {
    let id = name.strip_prefix(PREFIX).and_then(|id| Uuid::try_parse(id).ok());
    let Some(made) = id.and_then(|id| id.get_timestamp()) else { return false };
    let (seconds, _) = made.to_unix();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_secs(seconds)) > LEFT_BEHIND_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gets_another_database() {
        let check = |url, expected: &str| assert_eq!(with_database(url, "x"), expected);
        check("postgres://me:pw@host:1/postgres", "postgres://me:pw@host:1/x");
        check("postgres://host", "postgres://host/x");
        check("postgres://host/a?sslmode=disable", "postgres://host/x?sslmode=disable");
    }

    #[test]
    fn only_old_databases_of_tests_are_left_behind() {
        assert!(!is_left_behind(&new_name()));
        assert!(!is_left_behind("postgres"));
        assert!(is_left_behind("fluxus_test_01890000000070008000000000000000"));
    }
}
