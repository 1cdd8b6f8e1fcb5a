//! Migrations: they only go forward, one idea each, in `migrations/`.
//!
//! They run while old and new processes work on the tables. Two things would stop those: a lock that
//! a migration waits for, because everybody who comes after it waits behind it; and a lock that it
//! holds for long. So each waits for a lock no longer than [`LOCK_WAIT`], then gives way and tries
//! again; and what takes long, such as the index of a large table, runs outside of a transaction,
//! where the first lines say [`ONLINE`]. `rules` holds the files to the rest.

#[cfg(test)]
mod rules;

use std::time::Duration;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, Transaction};
use fluxus_schema::Timestamp;
use refinery::{Migration, Runner, Target};
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::columns::Columns;
use crate::error::StoreError;
use crate::store::Store;

/// Every migration, oldest first: its name and its SQL. New ones go to the end; none ever changes.
pub const MIGRATIONS: [(&str, &str); 19] = [
    ("V1__claim", include_str!("../migrations/V1__claim.sql")),
    ("V2__branch", include_str!("../migrations/V2__branch.sql")),
    ("V3__history", include_str!("../migrations/V3__history.sql")),
    ("V4__timer", include_str!("../migrations/V4__timer.sql")),
    ("V5__outbox", include_str!("../migrations/V5__outbox.sql")),
    ("V6__recipe", include_str!("../migrations/V6__recipe.sql")),
    ("V7__fluxling", include_str!("../migrations/V7__fluxling.sql")),
    ("V8__idempotency", include_str!("../migrations/V8__idempotency.sql")),
    ("V9__nested", include_str!("../migrations/V9__nested.sql")),
    ("V10__claim_by_parent", include_str!("../migrations/V10__claim_by_parent.sql")),
    ("V11__core_queue", include_str!("../migrations/V11__core_queue.sql")),
    ("V12__timer_priority", include_str!("../migrations/V12__timer_priority.sql")),
    ("V14__payload", include_str!("../migrations/V14__payload.sql")),
    ("V15__retired", include_str!("../migrations/V15__retired.sql")),
    ("V16__redrive", include_str!("../migrations/V16__redrive.sql")),
    ("V17__dead_message", include_str!("../migrations/V17__dead_message.sql")),
    ("V18__branch_kept", include_str!("../migrations/V18__branch_kept.sql")),
    ("V19__agree", include_str!("../migrations/V19__agree.sql")),
    ("V20__fewer_checks", include_str!("../migrations/V20__fewer_checks.sql")),
];

/// Where refinery notes what it applied.
const APPLIED_TABLE: &str = "fluxus_migration";

/// Key of the advisory lock that lets one process migrate at a time: "fluxus" in ASCII.
const MIGRATION_LOCK: i64 = 0x666c_7578_7573;

/// How long a migration waits for a lock, with whoever needs the table after it waiting too. Short
/// beside what a client notices.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// Pause before the next try: those who waited behind the last one are through by then.
const LOCK_PAUSE: Duration = Duration::from_millis(300);

/// How long a migration is tried. Whoever holds a lock for longer has forgotten a transaction, and
/// should be looked for in `pg_stat_activity`.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The line by which a migration says that it runs outside of a transaction, statement by statement:
/// `CREATE INDEX CONCURRENTLY`, after a `DROP INDEX CONCURRENTLY IF EXISTS` of what an interrupted run
/// may have left.
const ONLINE: &str = "-- online: outside of a transaction";

/// One migration, and whether it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its file name without ending: `V1__claim`.
    pub name: String,
    /// When it was applied; none where it is still to come.
    pub applied_at: Option<Timestamp>,
}

impl Store {
    /// Brings the tables up to date and returns the names of the migrations it applied. Safe to
    /// call from several processes at once: one works, the others wait and find nothing to do.
    /// Migrations of a newer version of Fluxus are left as they are.
    ///
    /// Safe while others work on the tables: a migration that cannot have a lock at once gives way to
    /// those who wait behind it, and tries again.
    ///
    /// # Errors
    /// [`StoreError::Migration`] if one fails, if it got no lock for minutes, or if an applied one
    /// was edited afterwards.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.apply_migrations(&MIGRATIONS).await
    }

    /// Applies what is missing of these migrations: for tests of how they are applied.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate).
    #[doc(hidden)]
    pub async fn apply_migrations(
        &self,
        migrations: &[(&str, &str)],
    ) -> Result<Vec<String>, StoreError> {
        let parsed = parse(migrations)?;
        let mut session = self.session().await?;
        // Asked for again and again, each time anew, not waited for: an index that is built
        // concurrently waits for every transaction that has a snapshot, and that would be ours.
        loop {
            let lock = session.begin().await?;
            if try_lock(&lock).await? {
                // What the answer came through holds its snapshot until another takes its place.
                lock.batch("-- let go of the snapshot\nSELECT 1").await?;
                let applied = apply(self.database(), &parsed).await?;
                lock.commit().await?;
                return Ok(applied);
            }
            lock.rollback().await?;
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }

    /// All migrations that this version knows, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`]; safe to try again.
    pub async fn migration_status(&self) -> Result<Vec<MigrationStatus>, StoreError> {
        const EXISTS: &str =
            "-- look for migrations\nSELECT to_regclass('fluxus_migration') IS NOT NULL AS found";
        const APPLIED: &str = "-- list the applied migrations
            SELECT 'V' || version || '__' || name AS name, applied_on::timestamptz AS applied_at
              FROM fluxus_migration";
        let session = self.session().await?;
        let mut applied = std::collections::HashMap::new();
        let found = session.query(EXISTS, &[]).await?;
        if found.iter().any(|row| row.get::<_, bool>("found")) {
            for row in session.query(APPLIED, &[]).await? {
                let row = Columns::new(&row, APPLIED_TABLE, &["name"]);
                applied.insert(row.get::<String>("name")?, row.timestamp("applied_at")?);
            }
        }
        let status = |(name, _): (&str, _)| MigrationStatus {
            name: name.to_owned(),
            applied_at: applied.get(name).copied(),
        };
        Ok(MIGRATIONS.into_iter().map(status).collect())
    }
}

/// Applies what is missing, one after the other, on a connection of its own: refinery wants the
/// driver's client.
async fn apply(database: &Database, all: &[Migration]) -> Result<Vec<String>, StoreError> {
    let mut dialed = database.dial().await?;
    let mut applied = Vec::new();
    for migration in all {
        let sql = migration.sql().unwrap_or_default();
        let until = Instant::now() + PATIENCE;
        let report = loop {
            let report = if is_online(sql) {
                apply_online(&mut dialed.client, all, migration).await
            } else {
                apply_at_once(&mut dialed.client, all, migration).await
            };
            match report {
                Err(error) if is_contention(&*error) && Instant::now() < until => {
                    tracing::info!(%migration, "somebody holds a lock that it needs; trying again");
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                report => break report.map_err(|source| StoreError::Migration { source })?,
            }
        };
        applied.extend(report.applied_migrations().iter().map(ToString::to_string));
    }
    Ok(applied)
}

fn parse(migrations: &[(&str, &str)]) -> Result<Vec<Migration>, StoreError> {
    let parsed = migrations.iter().map(|(name, sql)| Migration::unapplied(name, sql));
    let parsed: Result<_, _> = parsed.collect();
    parsed.map_err(|error| StoreError::Migration { source: error.into() })
}

async fn try_lock(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    const TRY: &str =
        "-- try to have the migration lock\nSELECT pg_try_advisory_xact_lock($1) AS had";
    let rows = tx.query(TRY, &[(&MIGRATION_LOCK, Type::INT8)]).await?;
    Ok(rows.iter().any(|row| row.get("had")))
}

type Applied = Result<refinery::Report, Box<dyn std::error::Error + Send + Sync>>;

/// Applies a migration in a transaction, unless it is applied.
async fn apply_at_once(client: &mut Client, all: &[Migration], migration: &Migration) -> Applied {
    client.batch_execute(&format!("SET lock_timeout = {}", LOCK_WAIT.as_millis())).await?;
    let target = Target::Version(migration.version());
    Ok(runner(all).set_target(target).run_async(client).await?)
}

/// Runs the statements of a migration one by one, outside of a transaction, and notes then that it is
/// applied. What a killed process left half done is done anew.
async fn apply_online(client: &mut Client, all: &[Migration], migration: &Migration) -> Applied {
    // Applies nothing, and sees to it that there is a table to look at.
    let nothing = runner(all).set_target(Target::Version(0)).run_async(client).await?;
    let applied = runner(all).get_applied_migrations_async(client).await?;
    if applied.iter().any(|applied| applied.version() == migration.version()) {
        return Ok(nothing);
    }
    // It waits for others without keeping anybody waiting.
    client.batch_execute("SET lock_timeout = 0").await?;
    for statement in statements(migration.sql().unwrap_or_default()) {
        client.batch_execute(statement).await?;
    }
    runner(all).set_target(Target::FakeVersion(migration.version())).run_async(client).await?;
    Ok(refinery::Report::new(vec![migration.clone()]))
}

fn runner(all: &[Migration]) -> Runner {
    let mut runner = Runner::new(all).set_abort_missing(false).set_abort_divergent(true);
    runner.set_migration_table_name(APPLIED_TABLE);
    runner
}

/// Whether a migration says that it runs outside of a transaction.
fn is_online(sql: &str) -> bool {
    sql.lines().any(|line| line.trim() == ONLINE)
}

/// The statements of a migration that runs outside of a transaction. Such are plain: no text in them
/// ends a line with a semicolon.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n").map(str::trim).filter(|statement| {
        statement.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with("--"))
    })
}

/// Whether a migration failed because others hold what it needs, so that it may go through later.
fn is_contention(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = error.downcast_ref::<tokio_postgres::Error>().and_then(|error| error.code());
        if let Some(code) = code {
            return [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code);
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed() {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"));
        let mut names: Vec<_> = files
            .expect("the directory")
            .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
            .collect();
        let number = |name: &str| name[1..].split("__").next().and_then(|n| n.parse::<u32>().ok());
        names.sort_by_key(|name| number(name));
        let listed: Vec<_> = MIGRATIONS.iter().map(|(name, _)| format!("{name}.sql")).collect();
        assert_eq!(names, listed);
    }
}
