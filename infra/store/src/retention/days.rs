//! The days of history, one partition each: which are old, who keeps them, and dropping them.

use fluxus_postgres::types::Type;
use fluxus_postgres::{DatabaseError, Row};
use fluxus_schema::{ClaimId, Timestamp};

use super::KeptDay;
use crate::columns::Columns;
use crate::error::StoreError;
use crate::instant::stored;
use crate::store::Store;

/// The most claims that are counted of those who keep a day: one is reason enough.
const MAX_KEEPERS: u32 = 1_000;

/// How long dropping a day waits for those who read history. Whoever writes history waits behind it.
const LOCK_TIMEOUT_MS: u32 = 500;

/// What Postgres says when that time is over.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// A partition of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) partition: String,
    pub(super) first: Timestamp,
    pub(super) past: Timestamp,
    pub(super) bytes: u64,
}

impl Day {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let row = Columns::new(row, "history", &["partition"]);
        Ok(Self {
            partition: row.get("partition")?,
            first: row.timestamp("first")?,
            past: row.timestamp("past")?,
            bytes: row.count("bytes")?,
        })
    }
}

impl Store {
    /// Days that were over before this one, oldest first.
    pub(super) async fn old_days(&self, before: Timestamp) -> Result<Vec<Day>, StoreError> {
        const OLD: &str = "-- look for old days of history
            SELECT relid::text AS partition, pg_total_relation_size(relid) AS bytes,
                   to_date(right(relid::text, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC'
                       AS first,
                   (to_date(right(relid::text, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC'
                       AS past
              FROM pg_partition_tree('history')
             WHERE isleaf AND relid::text ~ '^history_[0-9]{8}$'
               AND relid::text
                   < 'history_' || to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYYMMDD')
             ORDER BY 1";
        let session = self.session().await?;
        let rows = session.query(OLD, &[(&stored(before), Type::TIMESTAMPTZ)]).await?;
        rows.iter().map(Day::read).collect()
    }

    /// Who keeps a day; none where nobody does.
    pub(super) async fn kept(
        &self,
        day: &Day,
        before: Timestamp,
    ) -> Result<Option<KeptDay>, StoreError> {
        // The partition's name matches the pattern above, so it needs no quotes. Claims that came in
        // later have nothing there; clocks may differ by a day.
        let sql = format!(
            "-- look who keeps a day of history
            SELECT count(*) AS claims, count(*) FILTER (WHERE ended_at IS NULL) AS open
              FROM (SELECT ended_at FROM claim
                     WHERE claim_id < $1 AND (ended_at IS NULL OR ended_at >= $2)
                       AND EXISTS (SELECT FROM {} AS told WHERE told.claim_id = claim.claim_id)
                     LIMIT {MAX_KEEPERS}) AS keepers",
            day.partition
        );
        let bound = ClaimId::new(day.past.plus(super::MIN_RETENTION), &[0; 10]).0;
        let params = [(&bound as _, Type::UUID), (&stored(before) as _, Type::TIMESTAMPTZ)];
        let session = self.session().await?;
        let rows = session.query(&sql, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let row = Columns::new(row, "claim", &[]);
        let (claims, open) = (row.count("claims")?, row.count("open")?);
        let Day { partition, bytes, .. } = day.clone();
        Ok((claims > 0).then_some(KeptDay { partition, bytes, claims, open, busy: false }))
    }

    /// Drops a day; false where somebody reads history for longer than writers should wait, or a
    /// claim that stays has come to keep it.
    pub(super) async fn drop_day(&self, day: &Day, before: Timestamp) -> Result<bool, StoreError> {
        if self.kept(day, before).await?.is_some() {
            return Ok(false);
        }
        let mut session = self.session().await?;
        let tx = session.begin().await?;
        tx.batch(&format!("SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")).await?;
        match tx.batch(&format!("DROP TABLE IF EXISTS {}", day.partition)).await {
            Ok(()) => {
                tx.commit().await?;
                Ok(true)
            }
            Err(error) if is_busy(&error) => {
                tx.rollback().await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn is_busy(error: &DatabaseError) -> bool {
    error.code().is_some_and(|code| code.code() == LOCK_NOT_AVAILABLE)
}
