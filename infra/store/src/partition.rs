//! The partitions of history: one for each day (UTC), made ahead, dropped when their time is up.

use std::time::Duration;

use fluxus_postgres::types::Type;
use fluxus_schema::Timestamp;

use crate::columns::{Columns, integer};
use crate::error::StoreError;
use crate::instant::stored;
use crate::store::Store;

/// How far ahead partitions should exist: time enough to notice that nobody makes them.
pub const DAYS_AHEAD: u32 = 7;

/// How old the youngest event of a partition must be at least before it can be dropped: what runs
/// now is never lost by a slip in the settings.
pub const MIN_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

impl Store {
    /// Makes the partitions from today to `days_ahead` days on that are missing; returns how many
    /// it made. Where the default partition has rows of these days, they move. Safe to call from
    /// several processes at once, and a no-op nearly always.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again. Until it succeeds, the default partition takes the rows.
    pub async fn ensure_partitions(
        &self,
        now: Timestamp,
        days_ahead: u32,
    ) -> Result<usize, StoreError> {
        const MISSING: &str = "-- look for missing history partitions
            SELECT day::text AS day
              FROM (SELECT ($1::timestamptz AT TIME ZONE 'UTC')::date + ahead AS day
                      FROM generate_series(0, $2::integer) AS ahead) AS days
             WHERE to_regclass('history_' || to_char(day, 'YYYYMMDD')) IS NULL";
        const MAKE: &str = "-- make a history partition
            SELECT history_make_partition($1::text::date) AS made";
        let session = self.session().await?;
        let params =
            [(&stored(now) as _, Type::TIMESTAMPTZ), (&integer(days_ahead) as _, Type::INT4)];
        let mut made = 0;
        for row in session.query(MISSING, &params).await? {
            let day: String = Columns::new(&row, "history", &[]).get("day")?;
            for row in session.query(MAKE, &[(&day, Type::TEXT)]).await? {
                made += usize::from(Columns::new(&row, "history", &[]).get::<bool>("made")?);
            }
        }
        Ok(made)
    }

    /// Drops the partitions of days that were over before `older_than`, and deletes such rows of
    /// the default partition; returns the names of those dropped. Nothing is dropped that is
    /// younger than [`MIN_RETENTION`].
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn drop_partitions(
        &self,
        now: Timestamp,
        older_than: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        const OLD: &str = "-- look for old history partitions
            SELECT relid::text AS name FROM pg_partition_tree('history')
             WHERE isleaf AND relid::text ~ '^history_[0-9]{8}$'
               AND relid::text < 'history_' || to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYYMMDD')
             ORDER BY 1";
        const CLEAR: &str = "-- clear the default history partition
            DELETE FROM history_default
             WHERE recorded_at < date_trunc('day', $1::timestamptz, 'UTC')";
        let retention = i64::try_from(MIN_RETENTION.as_millis()).unwrap_or(i64::MAX);
        let youngest = Timestamp::from_millis(now.as_millis().saturating_sub(retention));
        let older_than = stored(older_than.min(youngest));
        let session = self.session().await?;
        let mut dropped = Vec::new();
        for row in session.query(OLD, &[(&older_than, Type::TIMESTAMPTZ)]).await? {
            let name: String = Columns::new(&row, "history", &[]).get("name")?;
            // The name matches the pattern above, so it needs no quotes.
            session.batch(&format!("DROP TABLE IF EXISTS {name}")).await?;
            dropped.push(name);
        }
        session.execute(CLEAR, &[(&older_than, Type::TIMESTAMPTZ)]).await?;
        Ok(dropped)
    }
}
