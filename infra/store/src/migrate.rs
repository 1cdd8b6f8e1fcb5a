//! Migrations: they only go forward, one idea each, in `migrations/`.

use fluxus_postgres::Database;
use fluxus_postgres::types::Type;
use fluxus_schema::Timestamp;
use refinery::{Migration, Runner};

use crate::columns::Columns;
use crate::error::StoreError;
use crate::store::Store;

/// Every migration, oldest first: its name and its SQL. New ones go to the end; none ever changes.
pub const MIGRATIONS: [(&str, &str); 12] = [
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
];

/// Where refinery notes what it applied.
const APPLIED_TABLE: &str = "fluxus_migration";

/// Key of the advisory lock that lets one process migrate at a time: "fluxus" in ASCII.
const MIGRATION_LOCK: i64 = 0x666c_7578_7573;

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
    /// # Errors
    /// [`StoreError::Migration`] if one fails, or if an applied one was edited afterwards.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        const LOCK: &str = "-- wait for the migration lock\nSELECT pg_advisory_xact_lock($1)";
        let mut session = self.session().await?;
        let lock = session.begin().await?;
        lock.query(LOCK, &[(&MIGRATION_LOCK, Type::INT8)]).await?;
        let applied = apply(self.database()).await?;
        lock.commit().await?;
        Ok(applied)
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

/// Applies what is missing, on a connection of its own: refinery wants the driver's client.
async fn apply(database: &Database) -> Result<Vec<String>, StoreError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Migration { source };
    let parsed: Result<Vec<_>, _> =
        MIGRATIONS.iter().map(|(name, sql)| Migration::unapplied(name, sql)).collect();
    let mut runner = Runner::new(&parsed.map_err(|error| failed(error.into()))?)
        .set_abort_missing(false)
        .set_abort_divergent(true);
    runner.set_migration_table_name(APPLIED_TABLE);
    let mut dialed = database.dial().await?;
    let report = runner.run_async(&mut dialed.client).await;
    drop(dialed);
    let report = report.map_err(|error| failed(error.into()))?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
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
