//! Templates: migrated once, copied for every test.

use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, Session};

use crate::connect;
use crate::server::with_database;

/// A name that changes with the contents it is made from: `queue_1f2e…` for the texts of the
/// migrations.
pub fn template_name(prefix: &str, contents: &[&str]) -> String {
    // FNV-1a over all texts, each ended by a byte that UTF-8 does not have.
    let bytes = contents.iter().flat_map(|text| text.bytes().chain([0xff]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{prefix}_{hash:016x}")
}

/// Makes a template unless it is there. A database is one only once it is complete and marked.
pub(crate) async fn ensure<M, F>(server: &str, name: &str, migrate: M) -> anyhow::Result<()>
where
    M: FnOnce(String) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    let database = connect(server).await?;
    let made = make(&database, server, name, migrate).await;
    // Ends the connection and with it the lock.
    database.close().await;
    made
}

async fn make<M, F>(database: &Database, server: &str, name: &str, migrate: M) -> anyhow::Result<()>
where
    M: FnOnce(String) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    let session = database.session().await?;
    if is_ready(&session, name).await? {
        return Ok(());
    }
    session.query("SELECT pg_advisory_lock(hashtext($1))", &[(&name, Type::TEXT)]).await?;
    if is_ready(&session, name).await? {
        return Ok(());
    }
    session.batch(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).await?;
    session.batch(&format!("CREATE DATABASE \"{name}\"")).await?;
    migrate(with_database(server, name)).await?;
    // Nobody may be connected to what is copied, and what `migrate` opened may still be closing.
    let close = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    session.batch(&format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS false")).await?;
    session.query(close, &[(&name, Type::TEXT)]).await?;
    session.batch(&format!("ALTER DATABASE \"{name}\" IS_TEMPLATE true")).await?;
    Ok(())
}

async fn is_ready(session: &Session, name: &str) -> anyhow::Result<bool> {
    let sql = "SELECT FROM pg_database WHERE datname = $1 AND datistemplate";
    Ok(!session.query(sql, &[(&name, Type::TEXT)]).await?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_changes_with_every_content() {
        let name = template_name("queue", &["a", "b"]);
        assert!(name.starts_with("queue_") && name.len() == "queue_".len() + 16);
        assert_ne!(name, template_name("queue", &["ab", ""]));
        assert_eq!(name, template_name("queue", &["a", "b"]));
    }
}
