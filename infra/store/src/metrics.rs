//! Numbers about the whole system, from the shared state: no process has to be asked.

use std::time::Duration;

use fluxus_postgres::Row;
use fluxus_postgres::types::Type;
use fluxus_schema::id::ClaimType;
use fluxus_schema::{Capability, ClaimStatus, Tenant, Timestamp};

use crate::columns::{Columns, limit};
use crate::error::StoreError;
use crate::instant::stored;
use crate::store::Store;

/// The most rows that one snapshot counts in any one table. Past it the number shown is this one:
/// what matters then is that it is large, and asking must not add to the load.
pub const MAX_COUNTED: usize = 100_000;

/// The state of the system at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Claims that have not ended, by type and status; up to [`MAX_COUNTED`] in all.
    pub open: Vec<ClaimCount>,
    /// Claims that ended since the beginning, by type and status. Exact; goes up only.
    pub ended: Vec<ClaimCount>,
    /// Age of the oldest claim that is not evaluated yet.
    pub oldest_received: Option<Duration>,
    /// Timers set; up to [`MAX_COUNTED`].
    pub timers: u64,
    /// Timers whose time has come; up to [`MAX_COUNTED`].
    pub timers_due: u64,
    /// For how long the earliest of them is overdue.
    pub timer_lag: Option<Duration>,
    /// Messages committed and not known to be sent; up to [`MAX_COUNTED`].
    pub outbox: u64,
    /// Age of the oldest of them.
    pub outbox_age: Option<Duration>,
    /// Tasks that wait because no fluxling offers the capability.
    pub unserved: Vec<UnservedCount>,
}

/// How many claims of a type have a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimCount {
    /// Whose.
    pub tenant: Tenant,
    /// The type.
    pub claim_type: ClaimType,
    /// The status.
    pub status: ClaimStatus,
    /// How many.
    pub count: u64,
}

/// How many tasks wait for a capability that no fluxling offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnservedCount {
    /// Whose.
    pub tenant: Tenant,
    /// The capability.
    pub capability: Capability,
    /// How many.
    pub count: u64,
}

impl Store {
    /// Counts everything; at most a few hundred thousand index entries, whatever the load.
    ///
    /// Open claims are counted in their partial index; ended ones were tallied when they ended.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn metrics(&self, now: Timestamp) -> Result<Metrics, StoreError> {
        const OPEN: &str = "-- count open claims
            SELECT tenant, claim_type, status, count(*) AS count, min(received_at) AS oldest
              FROM (SELECT tenant, claim_type, status, received_at FROM claim
                     WHERE ended_at IS NULL LIMIT $1) AS open
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
        const ENDED: &str = "-- count ended claims
            SELECT tenant, claim_type, status, sum(ended)::bigint AS count
              FROM claim_tally GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
        const WAITING: &str = "-- count timers and unsent messages
            SELECT (SELECT count(*) FROM (SELECT FROM timer LIMIT $1) AS t) AS timers,
                   (SELECT count(*) FROM (SELECT FROM timer WHERE due_at <= $2 LIMIT $1) AS t)
                       AS timers_due,
                   (SELECT min(due_at) FROM timer) AS next_due,
                   (SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS o) AS outbox,
                   (SELECT created_at FROM outbox ORDER BY outbox_id LIMIT 1) AS outbox_oldest";
        const UNSERVED: &str = "-- count unserved tasks
            SELECT tenant, unserved, count(*) AS count
              FROM (SELECT tenant, unserved FROM branch WHERE unserved IS NOT NULL LIMIT $1) AS b
             GROUP BY 1, 2 ORDER BY 1, 2";
        let session = self.session().await?;
        let (most, at) = (limit(MAX_COUNTED), stored(now));
        let most = (&most as _, Type::INT8);
        let mut metrics = Metrics::default();
        for row in session.query(OPEN, std::slice::from_ref(&most)).await? {
            let count = ClaimCount::read(&row)?;
            if count.status == ClaimStatus::Received {
                let oldest = Columns::new(&row, "claim", &[]).timestamp("oldest")?;
                metrics.oldest_received = metrics.oldest_received.max(Some(now.since(oldest)));
            }
            metrics.open.push(count);
        }
        let ended = session.query(ENDED, &[]).await?;
        metrics.ended = ended.iter().map(ClaimCount::read).collect::<Result<_, _>>()?;
        for row in session.query(WAITING, &[most.clone(), (&at, Type::TIMESTAMPTZ)]).await? {
            let row = Columns::new(&row, "timer", &[]);
            metrics.timers = row.count("timers")?;
            metrics.timers_due = row.count("timers_due")?;
            let due = row.timestamp_option("next_due")?.filter(|due| *due <= now);
            metrics.timer_lag = due.map(|due| now.since(due));
            metrics.outbox = row.count("outbox")?;
            metrics.outbox_age = row.timestamp_option("outbox_oldest")?.map(|at| now.since(at));
        }
        let unserved = session.query(UNSERVED, &[most]).await?;
        metrics.unserved = unserved.iter().map(UnservedCount::read).collect::<Result<_, _>>()?;
        Ok(metrics)
    }
}

impl ClaimCount {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let row = Columns::new(row, "claim", &["tenant", "claim_type"]);
        Ok(Self {
            tenant: row.parse("tenant")?,
            claim_type: row.parse("claim_type")?,
            status: row.parse("status")?,
            count: row.count("count")?,
        })
    }
}

impl UnservedCount {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let row = Columns::new(row, "branch", &["tenant"]);
        Ok(Self {
            tenant: row.parse("tenant")?,
            capability: row.parse("unserved")?,
            count: row.count("count")?,
        })
    }
}
