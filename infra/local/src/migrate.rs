//! Bringing a database's tables up to this version: the store's and the queues'.

use anyhow::Context as _;
use fluxus_postgres::Database;
use fluxus_queue::PostgresQueue;
use fluxus_store::Store;

/// Creates or completes the tables and returns the names of the migrations it applied. Safe to run
/// again, and in several processes at once.
///
/// # Errors
/// If a migration fails: those before it are applied, nothing of it is.
pub async fn migrate(database: &Database) -> anyhow::Result<Vec<String>> {
    let store = Store::new(database.clone());
    let applied = store.migrate().await.context("migrate the store")?;
    PostgresQueue::setup(database).await.context("create the queues")?;
    Ok(applied)
}
