//! Dead letters: burying them, looking at them, putting them back.

use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, Param, Row};

use super::bodies;
use crate::message::writable;
use crate::{
    Burial, DeadLetter, DeadLetterId, DeliveryAttempt, LetterPlace, Letters, MessageId, QueueError,
    QueueName, Receipt,
};

/// How long it is remembered why a message could not be handled that was handled after all: as long
/// as SQS can keep a message at most.
const FAILURES_KEPT_DAYS: i32 = 14;

/// All that is read of a dead letter.
macro_rules! letter_columns {
    () => {
        "message_id, queue, body, receive_count, reason, failures::text,
         (extract(epoch FROM sent_at) * 1000)::bigint AS sent_at_ms,
         (extract(epoch FROM dead_at) * 1000)::bigint AS dead_at_ms,
         ARRAY(SELECT (extract(epoch FROM at) * 1000)::bigint FROM unnest(received_at) AS at)
             AS received_at_ms"
    };
}

/// Makes dead letters of messages whose receipt is still good.
const BURY: &str = "
    -- bury messages
    WITH gone AS (
        DELETE FROM fluxus_queue.message
         USING unnest($1::bigint[], $2::integer[], $3::text[])
               AS given (message_id, receive_count, reason)
         WHERE message.message_id = given.message_id
           AND message.receive_count = given.receive_count
        RETURNING message.message_id, queue, group_id, body, message.receive_count, given.reason,
                  sent_at, received_at
    )
    INSERT INTO fluxus_queue.dead_letter
           (message_id, queue, group_id, body, receive_count, reason, sent_at, dead_at, received_at,
            failures)
    SELECT message_id, queue, group_id, body, receive_count, reason, sent_at, statement_timestamp(),
           received_at,
           (SELECT jsonb_object_agg(failure.receive_count, failure.reason)
              FROM fluxus_queue.failure WHERE failure.message_id = gone.message_id)
      FROM gone";

pub(super) async fn bury(database: &Database, burials: &[Burial]) -> Result<(), QueueError> {
    if burials.is_empty() {
        return Ok(());
    }
    let mut parts: Vec<(i64, i32, &str)> = Vec::with_capacity(burials.len());
    for Burial { message, reason } in burials {
        let (id, count) = message.receipt.parts();
        parts.push((id, count, reason));
    }
    // In the order of their ids, so that no two of these wait for each other.
    parts.sort_unstable();
    let ids: Vec<i64> = parts.iter().map(|part| part.0).collect();
    let counts: Vec<i32> = parts.iter().map(|part| part.1).collect();
    let reasons: Vec<&str> = parts.iter().map(|part| part.2).collect();
    let params: [Param<'_>; 3] =
        [(&ids, Type::INT8_ARRAY), (&counts, Type::INT4_ARRAY), (&reasons, Type::TEXT_ARRAY)];
    let run = async { database.session().await?.execute(BURY, &params).await };
    run.await.map(|_rows| ()).map_err(QueueError::database("bury messages"))
}

/// Notes why messages could not be handled; those of long ago go meanwhile.
pub(super) async fn note_failures(
    database: &Database,
    failures: &[(Receipt, String)],
) -> Result<(), QueueError> {
    const NOTE: &str = "
        -- note why messages could not be handled
        WITH old AS (
            DELETE FROM fluxus_queue.failure
             WHERE noted_at < statement_timestamp() - $4 * interval '1 day'
        )
        INSERT INTO fluxus_queue.failure (message_id, receive_count, reason, noted_at)
        SELECT message_id, receive_count, reason, statement_timestamp()
          FROM unnest($1::bigint[], $2::integer[], $3::text[])
               AS given (message_id, receive_count, reason)
            ON CONFLICT DO NOTHING";
    if failures.is_empty() {
        return Ok(());
    }
    let parts = || failures.iter().map(|(receipt, _)| receipt.parts());
    let ids: Vec<i64> = parts().map(|part| part.0).collect();
    let counts: Vec<i32> = parts().map(|part| part.1).collect();
    let reasons: Vec<String> = failures.iter().map(|(_, reason)| writable(reason)).collect();
    let params: [Param<'_>; 4] = [
        (&ids, Type::INT8_ARRAY),
        (&counts, Type::INT4_ARRAY),
        (&reasons, Type::TEXT_ARRAY),
        (&FAILURES_KEPT_DAYS, Type::INT4),
    ];
    let run = async { database.session().await?.execute(NOTE, &params).await };
    run.await.map(|_rows| ()).map_err(QueueError::database("note why messages failed"))
}

pub(super) async fn unreported(
    database: &Database,
    queues: &[QueueName],
    limit: usize,
) -> Result<Vec<DeadLetter>, QueueError> {
    const UNREPORTED: &str = concat!(
        "-- read dead letters\nSELECT ",
        letter_columns!(),
        " FROM fluxus_queue.dead_letter
         WHERE reported_at IS NULL AND queue = ANY ($1)
         ORDER BY dead_at, message_id
         LIMIT $2"
    );
    let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let params: [Param<'_>; 2] = [(&names, Type::TEXT_ARRAY), (&limit, Type::INT8)];
    read(database, UNREPORTED, &params).await
}

/// Messages are numbered in the order in which they were sent, more or less.
pub(super) async fn list(
    database: &Database,
    queue: &QueueName,
    after: Option<&LetterPlace>,
    limit: usize,
) -> Result<Vec<DeadLetter>, QueueError> {
    const LIST: &str = concat!(
        "-- list dead letters\nSELECT ",
        letter_columns!(),
        " FROM fluxus_queue.dead_letter
         WHERE queue = $1 AND message_id > $2
         ORDER BY message_id
         LIMIT $3"
    );
    let after = after.and_then(|after| number(&after.message_id)).unwrap_or(0);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let params: [Param<'_>; 3] =
        [(&queue.as_str(), Type::TEXT), (&after, Type::INT8), (&limit, Type::INT8)];
    read(database, LIST, &params).await
}

pub(super) async fn find(
    database: &Database,
    queue: &QueueName,
    messages: &[MessageId],
) -> Result<Vec<DeadLetter>, QueueError> {
    const FIND: &str = concat!(
        "-- find dead letters\nSELECT ",
        letter_columns!(),
        " FROM fluxus_queue.dead_letter WHERE message_id = ANY ($1) AND queue = $2"
    );
    let ids: Vec<i64> = messages.iter().filter_map(number).collect();
    let params: [Param<'_>; 2] = [(&ids, Type::INT8_ARRAY), (&queue.as_str(), Type::TEXT)];
    read(database, FIND, &params).await
}

/// Each becomes a new message, so that its receives are counted anew.
pub(super) async fn redrive(
    database: &Database,
    queue: &QueueName,
    letters: Letters<'_>,
) -> Result<u64, QueueError> {
    const REDRIVE: &str = "
        -- redrive dead letters
        WITH gone AS (
            DELETE FROM fluxus_queue.dead_letter
             WHERE queue = $1 AND ($2::bigint[] IS NULL OR message_id = ANY ($2))
            RETURNING message_id, queue, group_id, body
        )
        INSERT INTO fluxus_queue.message (queue, group_id, body, visible_at, sent_at)
        SELECT queue, group_id, body, statement_timestamp(), statement_timestamp()
          FROM gone ORDER BY message_id";
    change(database, REDRIVE, queue, letters).await.map_err(QueueError::database("redrive"))
}

pub(super) async fn purge(
    database: &Database,
    queue: &QueueName,
    letters: Letters<'_>,
) -> Result<u64, QueueError> {
    const PURGE: &str = "
        -- purge dead letters
        DELETE FROM fluxus_queue.dead_letter
         WHERE queue = $1 AND ($2::bigint[] IS NULL OR message_id = ANY ($2))";
    change(database, PURGE, queue, letters).await.map_err(QueueError::database("purge"))
}

async fn change(
    database: &Database,
    sql: &str,
    queue: &QueueName,
    letters: Letters<'_>,
) -> Result<u64, fluxus_postgres::DatabaseError> {
    let ids: Option<Vec<i64>> = match letters {
        Letters::All => None,
        Letters::These(ids) => Some(ids.iter().filter_map(number).collect()),
    };
    let params: [Param<'_>; 2] = [(&queue.as_str(), Type::TEXT), (&ids, Type::INT8_ARRAY)];
    database.session().await?.execute(sql, &params).await
}

fn number(message: &MessageId) -> Option<i64> {
    message.0.parse().ok()
}

async fn read(
    database: &Database,
    sql: &str,
    params: &[Param<'_>],
) -> Result<Vec<DeadLetter>, QueueError> {
    let run = async { database.session().await?.query(sql, params).await };
    let rows = run.await.map_err(QueueError::database("read dead letters"))?;
    let letters = rows.iter().map(letter).collect::<Result<_, _>>()?;
    bodies::resolve(database, letters).await
}

fn letter(row: &Row) -> Result<DeadLetter, QueueError> {
    let id: i64 = row.get("message_id");
    let failures: Option<String> = row.get("failures");
    let failures: std::collections::BTreeMap<String, String> =
        failures.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let received: Vec<i64> = row.get("received_at_ms");
    let attempt = |(nth, at_ms): (usize, i64)| DeliveryAttempt {
        at_ms,
        failure: failures.get(&nth.to_string()).cloned(),
    };
    Ok(DeadLetter {
        id: DeadLetterId(id.to_string()),
        message_id: MessageId(id.to_string()),
        queue: QueueName::new(row.get("queue"))?,
        body: row.get("body"),
        receive_count: u32::try_from(row.get::<_, i32>("receive_count")).unwrap_or_default(),
        reason: row.get("reason"),
        sent_at_ms: row.get("sent_at_ms"),
        dead_at_ms: row.get("dead_at_ms"),
        attempts: (1..).zip(received).map(attempt).collect(),
    })
}

pub(super) async fn mark_reported(
    database: &Database,
    letters: &[DeadLetterId],
) -> Result<(), QueueError> {
    const MARK: &str = "
        -- mark dead letters as reported
        UPDATE fluxus_queue.dead_letter SET reported_at = statement_timestamp()
         WHERE message_id = ANY ($1) AND reported_at IS NULL";
    let ids: Vec<i64> = letters.iter().filter_map(|letter| letter.0.parse().ok()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let run = async { database.session().await?.execute(MARK, &[(&ids, Type::INT8_ARRAY)]).await };
    run.await.map(|_rows| ()).map_err(QueueError::database("mark dead letters as reported"))
}
