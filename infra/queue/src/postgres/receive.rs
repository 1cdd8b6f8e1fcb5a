//! Receiving: taking what is ready, and waiting without polling for what is not.

use std::time::Duration;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, DatabaseError, Param, Row, Transaction};
use tokio::time::Instant;

use super::state::micros;
use super::wake::{FALLBACK_POLL, Wakers};
use crate::bounds::MAX_RECEIVE;
use crate::{MessageId, QueueError, QueueName, Receipt, Receive, Received};

/// Takes what is ready and gives up what was received too often, in one statement.
///
/// Rows that another receiver holds are passed over. Their places on disk cannot change while they
/// are locked, so they are gone to directly; through an array, not a join, so that no plan reads the
/// whole table. When nothing was delivered, one row says how many messages
/// were given up and when the next one is due.
pub(super) const RECEIVE: &str = "
    -- receive messages
    WITH taken AS MATERIALIZED (
        SELECT ctid AS place, receive_count
          FROM fluxus_queue.message
         WHERE queue = $1 AND visible_at <= statement_timestamp()
         ORDER BY visible_at
         LIMIT $2
           FOR UPDATE SKIP LOCKED
    ), delivered AS (
        UPDATE fluxus_queue.message
           SET receive_count = receive_count + 1,
               visible_at = statement_timestamp() + $3 * interval '1 microsecond'
         WHERE ctid = ANY (ARRAY(SELECT place FROM taken WHERE receive_count < $4))
        RETURNING message_id, receive_count, body, sent_at
    ), given_up AS (
        DELETE FROM fluxus_queue.message
         WHERE ctid = ANY (ARRAY(SELECT place FROM taken WHERE receive_count >= $4))
        RETURNING message_id, queue, group_id, body, receive_count, sent_at
    ), buried AS (
        INSERT INTO fluxus_queue.dead_letter
               (message_id, queue, group_id, body, receive_count, reason, sent_at, dead_at)
        SELECT message_id, queue, group_id, body, receive_count,
               'received ' || receive_count || ' times and never deleted', sent_at,
               statement_timestamp()
          FROM given_up
    )
    SELECT message_id, receive_count, body,
           (extract(epoch FROM sent_at) * 1000)::bigint AS sent_at_ms, NULL::bigint AS next_in_us
      FROM delivered
    UNION ALL
    SELECT NULL, (SELECT count(*) FROM given_up)::integer, NULL, NULL, (
               SELECT (extract(epoch FROM visible_at - clock_timestamp()) * 1000000)::bigint
                 FROM fluxus_queue.message
                WHERE queue = $1 AND visible_at > statement_timestamp()
                ORDER BY visible_at
                LIMIT 1)
     WHERE NOT EXISTS (SELECT FROM delivered)";

/// Takes what is ready out of the queue, for a transaction that deals with it: a rollback, or the
/// death of the process, puts it back at once. When there was nothing, one row says when the next
/// message is due.
pub(super) const TAKE: &str = "
    -- take messages
    WITH taken AS (
        DELETE FROM fluxus_queue.message
         WHERE ctid = ANY (ARRAY(
                   SELECT ctid FROM fluxus_queue.message
                    WHERE queue = $1 AND visible_at <= statement_timestamp()
                    ORDER BY visible_at
                    LIMIT $2
                      FOR UPDATE SKIP LOCKED))
        RETURNING message_id, receive_count, body, sent_at
    )
    SELECT message_id, receive_count, body,
           (extract(epoch FROM sent_at) * 1000)::bigint AS sent_at_ms, NULL::bigint AS next_in_us
      FROM taken
    UNION ALL
    SELECT NULL, 0, NULL, NULL, (
               SELECT (extract(epoch FROM visible_at - clock_timestamp()) * 1000000)::bigint
                 FROM fluxus_queue.message
                WHERE queue = $1 AND visible_at > statement_timestamp()
                ORDER BY visible_at
                LIMIT 1)
     WHERE NOT EXISTS (SELECT FROM taken)";

/// What a transaction took.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Messages, the oldest first. They are gone once the transaction commits.
    Messages(Vec<Received>),
    /// None was ready.
    Nothing {
        /// How long until the next one is, if there is one.
        next_in: Option<Duration>,
    },
}

pub(super) async fn take_in(
    tx: &Transaction<'_>,
    queue: &QueueName,
    max: usize,
) -> Result<Taken, QueueError> {
    let max = i64::try_from(max.min(MAX_RECEIVE)).unwrap_or(i64::MAX);
    let params: [Param<'_>; 2] = [(&queue.as_str(), Type::TEXT), (&max, Type::INT8)];
    let rows = tx.query(TAKE, &params).await.map_err(QueueError::database("take messages"))?;
    Ok(match found(&rows) {
        Found::Messages(messages) => Taken::Messages(messages),
        Found::Nothing { next_in, .. } => Taken::Nothing { next_in },
    })
}

/// Waits until somebody sends to the queue, the next message is due, or it is time to look again.
pub(super) async fn idle(wakers: &Wakers, queue: &QueueName, next_in: Option<Duration>) {
    let waker = wakers.of(queue);
    let pause = next_in.map_or(FALLBACK_POLL, |next_in| next_in.min(FALLBACK_POLL));
    // Either way it is time to look.
    let _ = tokio::time::timeout(pause, waker.notified()).await;
}

/// What one [`RECEIVE`] found.
enum Found {
    Messages(Vec<Received>),
    Nothing { given_up: usize, next_in: Option<Duration> },
}

pub(super) async fn receive(
    database: &Database,
    wakers: &Wakers,
    max_receives: u32,
    queue: &QueueName,
    request: Receive,
) -> Result<Vec<Received>, QueueError> {
    if request.max == 0 {
        return Ok(Vec::new());
    }
    let deadline = Instant::now() + request.wait;
    let waker = wakers.of(queue);
    loop {
        let found = take(database, max_receives, queue, request).await;
        let next_in = match found.map_err(QueueError::database("receive messages"))? {
            Found::Messages(messages) => {
                if messages.len() == request.max {
                    // There is probably more, and whoever waits was not told: one wakes the next.
                    waker.notify_one();
                }
                return Ok(messages);
            }
            // Something alive may be behind the dead.
            Found::Nothing { given_up, .. } if given_up == request.max => continue,
            Found::Nothing { next_in, .. } => next_in,
        };
        let now = Instant::now();
        if now >= deadline {
            return Ok(Vec::new());
        }
        let pause = next_in.map_or(FALLBACK_POLL, |next_in| next_in.min(FALLBACK_POLL));
        let until = deadline.min(now + pause);
        tokio::select! {
            () = waker.notified() => {}
            () = tokio::time::sleep_until(until) => {
                if until == deadline {
                    return Ok(Vec::new());
                }
            }
        }
    }
}

async fn take(
    database: &Database,
    max_receives: u32,
    queue: &QueueName,
    request: Receive,
) -> Result<Found, DatabaseError> {
    let max = i64::try_from(request.max).unwrap_or(i64::MAX);
    let visibility_us = micros(request.visibility);
    let max_receives = i32::try_from(max_receives).unwrap_or(i32::MAX);
    let params: [Param<'_>; 4] = [
        (&queue.as_str(), Type::TEXT),
        (&max, Type::INT8),
        (&visibility_us, Type::INT8),
        (&max_receives, Type::INT4),
    ];
    let rows = database.session().await?.query(RECEIVE, &params).await?;
    Ok(found(&rows))
}

fn found(rows: &[Row]) -> Found {
    match rows.first() {
        Some(row) if row.get::<_, Option<i64>>("message_id").is_none() => nothing(row),
        _ => {
            let mut messages: Vec<Received> = rows.iter().map(received).collect();
            // By age; the statement returns them in any order.
            messages.sort_by_key(|message| (message.sent_at_ms, message.receipt.parts()));
            Found::Messages(messages)
        }
    }
}

fn nothing(row: &Row) -> Found {
    let given_up: i32 = row.get("receive_count");
    let next_in: Option<i64> = row.get("next_in_us");
    Found::Nothing {
        given_up: usize::try_from(given_up).unwrap_or_default(),
        next_in: next_in.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or_default())),
    }
}

fn received(row: &Row) -> Received {
    let id: i64 = row.get("message_id");
    let receive_count: i32 = row.get("receive_count");
    Received {
        id: MessageId(id.to_string()),
        receipt: Receipt::numbered(id, receive_count),
        body: row.get("body"),
        receive_count: u32::try_from(receive_count).unwrap_or_default(),
        sent_at_ms: row.get("sent_at_ms"),
    }
}
