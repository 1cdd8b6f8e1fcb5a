//! The outbox: messages committed with a step, for queues that are not in this database.

use fluxus_postgres::types::Type;
use fluxus_postgres::{Row, Statement, Transaction};
use fluxus_schema::{ClaimId, Tenant, Timestamp};

use crate::columns::{Columns, integer, limit};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::instant::stored;

/// A message to send after the commit.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    /// Whose claim it is about.
    pub tenant: Tenant,
    /// The claim.
    pub claim_id: ClaimId,
    /// The queue it goes to.
    pub queue: String,
    /// The message.
    pub body: String,
    /// How long the queue shall hold it back, in milliseconds.
    pub delay_ms: u32,
}

/// A message that was committed and is not known to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsent {
    /// Names it, for [`delete`].
    pub outbox_id: i64,
    /// The message.
    pub row: OutboxRow,
    /// When it was committed.
    pub created_at: Timestamp,
}

/// Writes messages; returns their ids in the order given. After the commit send them, and
/// [`delete`] those that are sent.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn insert(
    tx: &Transaction<'_>,
    rows: &[OutboxRow],
    now: Timestamp,
) -> Result<Vec<i64>, StoreError> {
    let Some(statement) = inserting(rows, now) else { return Ok(Vec::new()) };
    let rows = tx.run(&[statement]).await?;
    inserted(rows.first().map_or(&[], Vec::as_slice))
}

/// What [`insert`] runs, for whoever sends more along.
pub(crate) fn inserting(rows: &[OutboxRow], now: Timestamp) -> Option<Statement<'_>> {
    // Ids are drawn in the order of `number`, so sorting them gives that order back.
    const INSERT: &str = "-- write to the outbox
        INSERT INTO outbox (tenant, claim_id, queue, body, delay_ms, created_at)
        SELECT tenant, claim_id, queue, body, delay_ms, $6
          FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::integer[])
               WITH ORDINALITY AS new (tenant, claim_id, queue, body, delay_ms, number)
         ORDER BY number
        RETURNING outbox_id";
    if rows.is_empty() {
        return None;
    }
    let tenants: Vec<_> = rows.iter().map(|row| row.tenant.as_str()).collect();
    let ids: Vec<_> = rows.iter().map(|row| row.claim_id.0).collect();
    let queues: Vec<_> = rows.iter().map(|row| row.queue.as_str()).collect();
    let bodies: Vec<_> = rows.iter().map(|row| row.body.as_str()).collect();
    let delays: Vec<_> = rows.iter().map(|row| integer(row.delay_ms)).collect();
    Some(
        Statement::new(INSERT)
            .with(tenants, Type::TEXT_ARRAY)
            .with(ids, Type::UUID_ARRAY)
            .with(queues, Type::TEXT_ARRAY)
            .with(bodies, Type::TEXT_ARRAY)
            .with(delays, Type::INT4_ARRAY)
            .with(stored(now), Type::TIMESTAMPTZ),
    )
}

/// The ids in what [`inserting`] gave.
pub(crate) fn inserted(rows: &[Row]) -> Result<Vec<i64>, StoreError> {
    let id = |row| Columns::new(row, "outbox", &[]).get("outbox_id");
    let mut ids = rows.iter().map(id).collect::<Result<Vec<i64>, _>>()?;
    ids.sort_unstable();
    Ok(ids)
}

/// Locks messages that were committed before `older_than`, the oldest first: their sender has
/// probably died. Send and [`delete`] them before the commit. Safe in several processes at once.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn take_unsent(
    tx: &Transaction<'_>,
    older_than: Timestamp,
    at_most: usize,
) -> Result<Vec<Unsent>, StoreError> {
    const TAKE: &str = "-- take unsent messages
        SELECT outbox_id, tenant, claim_id, queue, body, delay_ms, created_at
          FROM outbox WHERE created_at < $1
         ORDER BY outbox_id LIMIT $2 FOR UPDATE SKIP LOCKED";
    let params =
        [(&stored(older_than) as _, Type::TIMESTAMPTZ), (&limit(at_most) as _, Type::INT8)];
    let read = |row| {
        let row = Columns::new(row, "outbox", &["outbox_id"]);
        Ok(Unsent {
            outbox_id: row.get("outbox_id")?,
            created_at: row.timestamp("created_at")?,
            row: OutboxRow {
                tenant: row.parse("tenant")?,
                claim_id: row.claim_id("claim_id")?,
                queue: row.get("queue")?,
                body: row.get("body")?,
                delay_ms: row.unsigned("delay_ms")?,
            },
        })
    };
    tx.query(TAKE, &params).await?.iter().map(read).collect()
}

/// Forgets messages that are sent.
///
/// # Errors
/// [`StoreError`]; they are then sent once more, which every receiver bears.
pub async fn delete(on: &impl Connection, ids: &[i64]) -> Result<(), StoreError> {
    const DELETE: &str = "-- clear the outbox\nDELETE FROM outbox WHERE outbox_id = ANY($1)";
    if !ids.is_empty() {
        on.execute(DELETE, &[(&ids, Type::INT8_ARRAY)]).await?;
    }
    Ok(())
}
