//! Timers: messages that are due later than a queue can delay them. Set and cleared with the step
//! that asks for it ([`crate::changes::save`]).

use fluxus_postgres::types::Type;
use fluxus_postgres::{Row, Transaction};
use fluxus_schema::{ClaimId, Tenant, Timestamp};

use crate::columns::{Columns, limit};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::instant::stored;

/// A row of the table `timer`.
#[derive(Clone, Debug, PartialEq)]
pub struct TimerRow {
    /// The claim.
    pub claim_id: ClaimId,
    /// Names the timer within its claim.
    pub key: String,
    /// Whose claim it is.
    pub tenant: Tenant,
    /// When the message is due.
    pub due_at: Timestamp,
    /// The queue it goes to.
    pub queue: String,
    /// The message.
    pub body: String,
    /// The priority it is sent with.
    pub priority: u8,
}

impl TimerRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let row = Columns::new(row, "timer", &["claim_id", "timer_key"]);
        Ok(Self {
            claim_id: row.claim_id("claim_id")?,
            key: row.get("timer_key")?,
            tenant: row.parse("tenant")?,
            due_at: row.timestamp("due_at")?,
            queue: row.get("queue")?,
            body: row.get("body")?,
            priority: row.priority("priority")?,
        })
    }
}

/// Takes timers that are due, the earliest first, out of the table: send their messages in the
/// same commit, or put them in the outbox. Safe in several processes at once: each takes others.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn take_due(
    tx: &Transaction<'_>,
    now: Timestamp,
    at_most: usize,
) -> Result<Vec<TimerRow>, StoreError> {
    const TAKE: &str = "-- take due timers
        WITH due AS MATERIALIZED (
            SELECT claim_id, timer_key FROM timer WHERE due_at <= $1
             ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ), taken AS (
            DELETE FROM timer USING due
             WHERE timer.claim_id = due.claim_id AND timer.timer_key = due.timer_key
            RETURNING timer.*
        )
        SELECT claim_id, timer_key, tenant, due_at, queue, body, priority FROM taken
         ORDER BY due_at, claim_id, timer_key";
    let params = [(&stored(now) as _, Type::TIMESTAMPTZ), (&limit(at_most) as _, Type::INT8)];
    tx.query(TAKE, &params).await?.iter().map(TimerRow::read).collect()
}

/// When the next timer is due; none if there is none.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn next_due(on: &impl Connection) -> Result<Option<Timestamp>, StoreError> {
    const NEXT: &str = "-- find the next timer\nSELECT min(due_at) AS due_at FROM timer";
    match on.query(NEXT, &[]).await?.first() {
        Some(row) => Columns::new(row, "timer", &[]).timestamp_option("due_at"),
        None => Ok(None),
    }
}
