//! Everything but sending and receiving: deleting, hiding, counting.

use std::time::Duration;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, DatabaseError, Param, Row, SqlState, Statement, Transaction};
use tokio::time::Instant;

use super::{ATTEMPTS, BODIES, FAIR_TURNS, FEWER_CHECKS, LARGER_BODIES, MIGRATION};
use crate::{Depth, QueueError, QueueName, Receipt};

/// Any number that no other user of advisory locks picks: "fluxqueu" in ASCII.
const SETUP_LOCK: i64 = 0x666c_7578_7175_6575;

/// How long the setup waits for a lock, with whoever needs the queues after it waiting too. Short
/// beside what a client notices.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// Pause before the next try: those who waited behind the last one are through by then.
const LOCK_PAUSE: Duration = Duration::from_millis(300);

/// How long the setup is tried. Whoever holds a lock for longer has forgotten a transaction, and should
/// be looked for in `pg_stat_activity`.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Deletes messages whose receipt is still good.
pub(super) const DELETE: &str = "
    -- delete messages
    DELETE FROM fluxus_queue.message
     USING unnest($1::bigint[], $2::integer[]) AS done (message_id, receive_count)
     WHERE message.message_id = done.message_id AND message.receive_count = done.receive_count";

/// Hides messages whose receipt is still good for another time.
pub(super) const CHANGE: &str = "
    -- change the visibility of messages
    UPDATE fluxus_queue.message
       SET visible_at = statement_timestamp() + change.visibility_us * interval '1 microsecond',
           parked = true
      FROM unnest($1::bigint[], $2::integer[], $3::bigint[])
           AS change (message_id, receive_count, visibility_us)
     WHERE message.message_id = change.message_id
       AND message.receive_count = change.receive_count";

/// Microseconds for SQL. All durations here are within bounds that fit.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Creates the queues' tables, or adds what they lack. Safe while others work on them: where it cannot
/// have a lock at once it gives way to those who wait behind it, and tries again.
pub(super) async fn setup(database: &Database) -> Result<(), DatabaseError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match set_up(database).await {
            Err(error) if is_contention(&error) && Instant::now() < until => {
                tracing::info!("somebody holds a lock that the queues' tables need; trying again");
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// Whether others held what a statement needed.
fn is_contention(error: &DatabaseError) -> bool {
    let codes = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| codes.contains(code))
}

/// Does it in one transaction, so that it is done wholly or not at all.
async fn set_up(database: &Database) -> Result<(), DatabaseError> {
    const HAS_LARGER_BODIES: &str = "
        SELECT FROM pg_constraint
         WHERE conname = 'message_body_check'
           AND conrelid = 'fluxus_queue.message'::regclass
           AND pg_get_constraintdef(oid) LIKE '%6291456%'";
    const HAS_FAIR_TURNS: &str = "
        SELECT FROM pg_attribute
         WHERE attrelid = 'fluxus_queue.message'::regclass AND attname = 'parked'";
    const HAS_BODIES: &str = "
        SELECT FROM pg_tables WHERE schemaname = 'fluxus_queue' AND tablename = 'body'";
    const HAS_ATTEMPTS: &str = "
        SELECT FROM pg_class WHERE oid = to_regclass('fluxus_queue.failure')";
    const HAS_FEWER_CHECKS: &str = "
        SELECT WHERE NOT EXISTS (
            SELECT FROM pg_constraint
             WHERE conname = 'message_rank_check'
               AND conrelid = 'fluxus_queue.message'::regclass)";
    let mut session = database.session().await?;
    let tx = session.begin().await?;
    let lock: Param<'_> = (&SETUP_LOCK, Type::INT8);
    tx.query("SELECT pg_advisory_xact_lock($1)", &[lock]).await?;
    let is_there = tx.query("SELECT FROM pg_tables WHERE schemaname = 'fluxus_queue'", &[]).await?;
    if is_there.is_empty() {
        tx.batch(MIGRATION).await?;
        return tx.commit().await;
    }
    // Each waits for whoever writes, so only where it is missing; not one setup for the other.
    tx.batch(&format!("SET LOCAL lock_timeout = {}", LOCK_WAIT.as_millis())).await?;
    for (asked, missing) in [
        (HAS_LARGER_BODIES, LARGER_BODIES),
        (HAS_FAIR_TURNS, FAIR_TURNS),
        (HAS_BODIES, BODIES),
        (HAS_ATTEMPTS, ATTEMPTS),
        (HAS_FEWER_CHECKS, FEWER_CHECKS),
    ] {
        if tx.query(asked, &[]).await?.is_empty() {
            tx.batch(missing).await?;
        }
    }
    tx.commit().await
}

/// Receipts as columns, in the order of their ids, so that no two deletes wait for each other.
pub(super) fn columns(receipts: &[Receipt]) -> (Vec<i64>, Vec<i32>) {
    let mut parts: Vec<(i64, i32)> = receipts.iter().map(Receipt::parts).collect();
    parts.sort_unstable();
    parts.into_iter().unzip()
}

pub(super) async fn delete(database: &Database, receipts: &[Receipt]) -> Result<(), QueueError> {
    if receipts.is_empty() {
        return Ok(());
    }
    let run = async {
        let (ids, counts) = columns(receipts);
        let params: [Param<'_>; 2] = [(&ids, Type::INT8_ARRAY), (&counts, Type::INT4_ARRAY)];
        database.session().await?.execute(DELETE, &params).await
    };
    run.await.map(|_rows| ()).map_err(QueueError::database("delete messages"))
}

/// What deletes messages whose receipt is still good.
pub(super) fn deleting(receipts: &[Receipt]) -> Statement<'static> {
    let (ids, counts) = columns(receipts);
    Statement::new(DELETE).with(ids, Type::INT8_ARRAY).with(counts, Type::INT4_ARRAY)
}

pub(super) async fn delete_in(
    tx: &Transaction<'_>,
    receipts: &[Receipt],
) -> Result<u64, QueueError> {
    if receipts.is_empty() {
        return Ok(0);
    }
    let (ids, counts) = columns(receipts);
    let params: [Param<'_>; 2] = [(&ids, Type::INT8_ARRAY), (&counts, Type::INT4_ARRAY)];
    tx.execute(DELETE, &params).await.map_err(QueueError::database("delete messages"))
}

pub(super) async fn change_visibility(
    database: &Database,
    changes: &[(Receipt, Duration)],
) -> Result<(), QueueError> {
    if changes.is_empty() {
        return Ok(());
    }
    let run = async {
        let mut parts: Vec<(i64, i32, i64)> = Vec::with_capacity(changes.len());
        for (receipt, visibility) in changes {
            let (id, count) = receipt.parts();
            parts.push((id, count, micros(*visibility)));
        }
        parts.sort_unstable();
        let ids: Vec<i64> = parts.iter().map(|part| part.0).collect();
        let counts: Vec<i32> = parts.iter().map(|part| part.1).collect();
        let visibilities: Vec<i64> = parts.iter().map(|part| part.2).collect();
        let params: [Param<'_>; 3] = [
            (&ids, Type::INT8_ARRAY),
            (&counts, Type::INT4_ARRAY),
            (&visibilities, Type::INT8_ARRAY),
        ];
        database.session().await?.execute(CHANGE, &params).await
    };
    run.await.map(|_rows| ()).map_err(QueueError::database("change the visibility of messages"))
}

/// Counts by reading every message of the queues: for a look every few seconds, not for a hot path.
pub(super) async fn depth(
    database: &Database,
    queues: &[QueueName],
) -> Result<Vec<Depth>, QueueError> {
    const DEPTH: &str = "
        -- measure queues
        SELECT ready.messages, ready.oldest_us, hidden.in_flight, hidden.delayed, dead.letters
          FROM unnest($1::text[]) WITH ORDINALITY AS asked (queue, position),
               LATERAL (
                   SELECT count(*) AS messages,
                          (extract(epoch FROM statement_timestamp() - min(visible_at)) * 1000000
                          )::bigint AS oldest_us
                     FROM (SELECT visible_at FROM fluxus_queue.message
                            WHERE message.queue = asked.queue AND NOT parked
                              AND visible_at <= statement_timestamp()
                            UNION ALL
                           SELECT visible_at FROM fluxus_queue.message
                            WHERE message.queue = asked.queue AND parked
                              AND visible_at <= statement_timestamp()) AS message
               ) AS ready,
               LATERAL (
                   SELECT count(*) FILTER (WHERE receive_count > 0) AS in_flight,
                          count(*) FILTER (WHERE receive_count = 0) AS delayed
                     FROM (SELECT receive_count FROM fluxus_queue.message
                            WHERE message.queue = asked.queue AND NOT parked
                              AND visible_at > statement_timestamp()
                            UNION ALL
                           SELECT receive_count FROM fluxus_queue.message
                            WHERE message.queue = asked.queue AND parked
                              AND visible_at > statement_timestamp()) AS message
               ) AS hidden,
               LATERAL (
                   SELECT count(*) AS letters
                     FROM fluxus_queue.dead_letter
                    WHERE dead_letter.queue = asked.queue
               ) AS dead
         ORDER BY asked.position";
    let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    let run = async {
        let names: Param<'_> = (&names, Type::TEXT_ARRAY);
        database.session().await?.query(DEPTH, &[names]).await
    };
    let rows = run.await.map_err(QueueError::database("measure queues"))?;
    Ok(queues.iter().zip(&rows).map(|(queue, row)| measured(queue.clone(), row)).collect())
}

fn measured(queue: QueueName, row: &Row) -> Depth {
    let oldest_us: Option<i64> = row.get("oldest_us");
    Depth {
        queue,
        ready: count(row, "messages"),
        in_flight: count(row, "in_flight"),
        delayed: count(row, "delayed"),
        dead: count(row, "letters"),
        oldest_ready_age: oldest_us
            .map(|us| Duration::from_micros(u64::try_from(us).unwrap_or_default())),
    }
}

fn count(row: &Row, column: &str) -> u64 {
    u64::try_from(row.get::<_, i64>(column)).unwrap_or_default()
}
