//! The partitions of history: one for each day (UTC), made ahead. [`crate::Store::retire`] drops
//! them when their time is up.

use fluxus_postgres::types::Type;
use fluxus_schema::Timestamp;

use crate::columns::{Columns, integer};
use crate::error::StoreError;
use crate::instant::stored;
use crate::store::Store;

/// How far ahead partitions should exist: time enough to notice that nobody makes them.
pub const DAYS_AHEAD: u32 = 7;

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
}
