//! Retention: what ended long ago goes, with everything that belongs to it.
//!
//! Ended claims are deleted in bounded batches, each in a transaction of its own, with their
//! payloads, branches, waiters and keys. History goes by whole days, which costs no row a delete. A
//! day stays while a claim that stays has history in it: one that is open, or that ended later. What
//! deleted claims have in such a day is deleted with them.

mod days;

use std::time::Duration;

use fluxus_postgres::Transaction;
use fluxus_postgres::types::Type;
use fluxus_schema::{ClaimId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::claim::uuids;
use crate::columns::{Columns, limit};
use crate::error::StoreError;
use crate::instant::stored;
use crate::store::Store;

use days::Day;

/// How long ended claims are kept at least, whatever is asked for: what ended just now is never lost
/// by a slip in the settings.
pub const MIN_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Claims that one transaction deletes: it holds locks for some milliseconds, on rows that nobody
/// else writes any more.
const BATCH: usize = 500;

/// What to let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// What ended before the beginning of this moment's day (UTC).
    pub older_than: Timestamp,
    /// Whether only to look what would go.
    pub dry_run: bool,
    /// At most so many claims; the rest is for the next time. Days go once no claim is left.
    pub at_most: usize,
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retired {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Claims that ended before this went.
    #[serde(rename = "ended_before")]
    pub before: Timestamp,
    /// Claims.
    pub claims: u64,
    /// The room that their rows took, in bytes, payloads included.
    pub claim_bytes: u64,
    /// Payloads of these claims.
    pub payloads: u64,
    /// Days of history.
    pub days: Vec<RetiredDay>,
    /// Days of history that stay though they are old.
    pub kept_days: Vec<KeptDay>,
    /// Whether there is more to go than was allowed at once.
    pub more: bool,
}

/// A day of history that went, or would go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetiredDay {
    /// The partition: `history_20261123`.
    pub partition: String,
    /// The room it took, in bytes.
    pub bytes: u64,
}

/// A day of history that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptDay {
    /// The partition.
    pub partition: String,
    /// The room it takes, in bytes.
    pub bytes: u64,
    /// Claims that stay and have history of that day; those counted, where they are many.
    pub claims: u64,
    /// How many of them are open.
    pub open: u64,
    /// Whether it could not be dropped because somebody was reading it.
    pub busy: bool,
}

impl Store {
    /// Deletes what ended before a day, or tells what would go. Safe in several processes at once
    /// and safe to cut off: what is left goes the next time.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn retire(
        &self,
        now: Timestamp,
        retention: Retention,
    ) -> Result<Retired, StoreError> {
        let youngest = i64::try_from(MIN_RETENTION.as_millis()).unwrap_or(i64::MAX);
        let youngest = Timestamp::from_millis(now.as_millis().saturating_sub(youngest));
        let before = day_of(retention.older_than.min(youngest));
        let Retention { dry_run, at_most, .. } = retention;
        let mut retired = Retired { dry_run, before, ..Retired::default() };
        let days = self.old_days(before).await?;
        let (mut going, mut staying): (Vec<Day>, Vec<(Day, KeptDay)>) = (Vec::new(), Vec::new());
        for day in days {
            match self.kept(&day, before).await? {
                None => going.push(day),
                Some(kept) => staying.push((day, kept)),
            }
        }
        let kept: Vec<&Day> = staying.iter().map(|(day, _)| day).collect();
        self.retire_claims(before, &kept, at_most, &mut retired).await?;
        retired.kept_days.extend(staying.into_iter().map(|(_, kept)| kept));
        if retired.more && !dry_run {
            return Ok(retired);
        }
        for day in going {
            if dry_run || self.drop_day(&day, before).await? {
                retired.days.push(RetiredDay { partition: day.partition, bytes: day.bytes });
            } else {
                let Day { partition, bytes, .. } = day;
                let busy = KeptDay { partition, bytes, claims: 0, open: 0, busy: true };
                retired.kept_days.push(busy);
            }
        }
        retired.kept_days.sort_by(|a, b| a.partition.cmp(&b.partition));
        Ok(retired)
    }

    async fn retire_claims(
        &self,
        before: Timestamp,
        kept: &[&Day],
        at_most: usize,
        retired: &mut Retired,
    ) -> Result<(), StoreError> {
        let mut after = Uuid::nil();
        loop {
            let left = at_most.saturating_sub(usize::try_from(retired.claims).unwrap_or(at_most));
            let mut session = self.session().await?;
            let tx = session.begin().await?;
            let page = old_claims(&tx, after, before).await?;
            let Some(last) = page.last() else { break };
            after = last.claim_id.0;
            let mut ids: Vec<_> =
                page.iter().filter(|one| one.goes).map(|one| one.claim_id).collect();
            retired.more = ids.len() > left;
            ids.truncate(left);
            if !ids.is_empty() {
                let (payloads, bytes) = measure(&tx, &ids).await?;
                retired.payloads += payloads;
                retired.claim_bytes += bytes;
                retired.claims += match retired.dry_run {
                    true => ids.len() as u64,
                    false => delete(&tx, &ids, before, kept).await?,
                };
            }
            tx.commit().await?;
            if retired.more {
                break;
            }
        }
        Ok(())
    }
}

/// The beginning of its day.
fn day_of(at: Timestamp) -> Timestamp {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    Timestamp::from_millis(at.as_millis().div_euclid(DAY_MS).saturating_mul(DAY_MS))
}

struct Old {
    claim_id: ClaimId,
    goes: bool,
}

/// Claims that came in before, in the order of their ids, with whether they ended before too.
async fn old_claims(
    tx: &Transaction<'_>,
    after: Uuid,
    before: Timestamp,
) -> Result<Vec<Old>, StoreError> {
    const OLD: &str = "-- look for old claims
        SELECT claim_id, coalesce(ended_at < $3, false) AS goes FROM claim
         WHERE claim_id > $1 AND claim_id < $2 ORDER BY claim_id LIMIT $4";
    let bound = ClaimId::new(before, &[0; 10]).0;
    let params = [
        (&after as _, Type::UUID),
        (&bound as _, Type::UUID),
        (&stored(before) as _, Type::TIMESTAMPTZ),
        (&limit(BATCH) as _, Type::INT8),
    ];
    let rows = tx.query(OLD, &params).await?;
    let read = |row| {
        let row = Columns::new(row, "claim", &["claim_id"]);
        Ok(Old { claim_id: row.claim_id("claim_id")?, goes: row.get("goes")? })
    };
    rows.iter().map(read).collect()
}

/// How many payloads claims have, and the room that all their rows take.
async fn measure(tx: &Transaction<'_>, ids: &[ClaimId]) -> Result<(u64, u64), StoreError> {
    // What the columns take that vary; about as much again goes to the others and to indexes.
    const MEASURE: &str = "-- measure old claims
        SELECT (SELECT count(*) FROM payload WHERE claim_id = ANY($1)) AS payloads,
               coalesce((SELECT sum(pg_column_size(body) + 100)
                           FROM payload WHERE claim_id = ANY($1)), 0)::bigint
             + coalesce((SELECT sum(pg_column_size(body) + coalesce(pg_column_size(output), 0)
                                    + pg_column_size(attributes) + 500)
                           FROM claim WHERE claim_id = ANY($1)), 0)::bigint AS bytes";
    let rows = tx.query(MEASURE, &[(&uuids(ids), Type::UUID_ARRAY)]).await?;
    let Some(row) = rows.first() else { return Ok((0, 0)) };
    let row = Columns::new(row, "claim", &[]);
    Ok((row.count("payloads")?, row.count("bytes")?))
}

/// Deletes claims with everything that belongs to them, and returns how many. One statement. Those
/// that somebody holds are for the next time.
async fn delete(
    tx: &Transaction<'_>,
    ids: &[ClaimId],
    before: Timestamp,
    kept: &[&Day],
) -> Result<u64, StoreError> {
    const DELETE: &str = "-- delete old claims
        WITH gone AS MATERIALIZED (
            SELECT claim_id, received_at, ended_at FROM claim
             WHERE claim_id = ANY($1) AND ended_at < $2 ORDER BY claim_id FOR UPDATE SKIP LOCKED
        ), ids AS MATERIALIZED (
            SELECT array_agg(claim_id) AS ids FROM gone
        ), kept AS (
            SELECT first, past FROM unnest($3::timestamptz[], $4::timestamptz[])
                AS kept (first, past)
        ), payloads AS (
            DELETE FROM payload WHERE claim_id = ANY((SELECT ids FROM ids)::uuid[])
        ), branches AS (
            DELETE FROM branch WHERE claim_id = ANY((SELECT ids FROM ids)::uuid[])
        ), timers AS (
            DELETE FROM timer WHERE claim_id = ANY((SELECT ids FROM ids)::uuid[])
        ), waiters AS (
            DELETE FROM waiter WHERE claim_id = ANY((SELECT ids FROM ids)::uuid[])
        ), unplaced AS (
            DELETE FROM history_default WHERE claim_id = ANY((SELECT ids FROM ids)::uuid[])
        ), told AS (
            DELETE FROM history USING gone, kept
             WHERE history.claim_id = gone.claim_id
               AND history.recorded_at >= kept.first AND history.recorded_at < kept.past
               AND kept.past > gone.received_at - interval '1 day'
               AND kept.first < gone.ended_at + interval '1 day'
        ), deleted AS (
            DELETE FROM claim WHERE claim_id = ANY((SELECT ids FROM ids)::uuid[])
            RETURNING tenant, claim_type, status
        ), counted AS (
            INSERT INTO claim_retired (tenant, claim_type, status, retired)
            SELECT tenant, claim_type, status, count(*) FROM deleted GROUP BY 1, 2, 3
             ORDER BY 1, 2, 3
                ON CONFLICT (tenant, claim_type, status)
                DO UPDATE SET retired = claim_retired.retired + excluded.retired
        )
        SELECT count(*) AS deleted FROM deleted";
    // What was recorded at the end of the last day may have slipped into the next.
    let last = (before, before.plus(MIN_RETENTION));
    let days = || kept.iter().map(|day| (day.first, day.past)).chain([last]);
    let first: Vec<_> = days().map(|(first, _)| stored(first)).collect();
    let past: Vec<_> = days().map(|(_, past)| stored(past)).collect();
    let params = [
        (&uuids(ids) as _, Type::UUID_ARRAY),
        (&stored(before) as _, Type::TIMESTAMPTZ),
        (&first as _, Type::TIMESTAMPTZ_ARRAY),
        (&past as _, Type::TIMESTAMPTZ_ARRAY),
    ];
    let rows = tx.query(DELETE, &params).await?;
    rows.first().map_or(Ok(0), |row| Columns::new(row, "claim", &[]).count("deleted"))
}
