//! Sending: one statement for any number of messages to any queues.

use std::time::Duration;

use fluxus_postgres::Statement;
use fluxus_postgres::types::Type;

use super::hand_over::Row;
use crate::{Outgoing, Receipt};

macro_rules! send {
    () => {
        "INSERT INTO fluxus_queue.message (queue, group_id, rank, body, parked, visible_at, sent_at)
         SELECT queue, group_id, rank, body, delay_us > 0,
                statement_timestamp() + delay_us * interval '1 microsecond', statement_timestamp()
           FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::bigint[])
                AS outgoing (queue, group_id, rank, body, delay_us)"
    };
}

const SEND: &str = concat!("-- send messages\n", send!());

/// The same, but those that are hidden for a while (`$6`, 0 for the others) are as if they had been
/// received just now. Returns the ids of these, in the order given.
pub(super) const HAND_OVER: &str = "-- send messages and hand some over
    WITH outgoing AS MATERIALIZED (
        SELECT nextval('fluxus_queue.message_message_id_seq') AS message_id, given.*
          FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::bigint[], $6::bigint[])
               WITH ORDINALITY
               AS given (queue, group_id, rank, body, delay_us, hidden_us, number)
    ), sent AS (
        INSERT INTO fluxus_queue.message (message_id, queue, group_id, rank, body, parked, visible_at,
               sent_at, receive_count, received_at)
        OVERRIDING SYSTEM VALUE
        SELECT message_id, queue, group_id, rank, body, delay_us > 0 OR hidden_us > 0,
               statement_timestamp() + (delay_us + hidden_us) * interval '1 microsecond',
               statement_timestamp(), (hidden_us > 0)::integer,
               CASE WHEN hidden_us > 0 THEN ARRAY[statement_timestamp()] END
          FROM outgoing
    )
    SELECT message_id, (extract(epoch FROM statement_timestamp()) * 1000)::bigint AS sent_at_ms
      FROM outgoing WHERE hidden_us > 0 ORDER BY number";

/// Sends answers and deletes what they answer, whose receipts are still good: one commit for both.
pub(super) const ANSWER: &str = concat!(
    "-- answer messages
    WITH answered AS (
        DELETE FROM fluxus_queue.message
         USING unnest($6::bigint[], $7::integer[]) AS done (message_id, receive_count)
         WHERE message.message_id = done.message_id AND message.receive_count = done.receive_count
    ) ",
    send!()
);

/// What writes messages, which were checked. Hides those that are handed over.
pub(super) fn sending<'a>(
    messages: &'a [Outgoing],
    hidden: Option<&[Option<Duration>]>,
) -> Statement<'a> {
    let Some(hidden) = hidden else { return columns(SEND, messages) };
    let hidden_us: Vec<i64> =
        hidden.iter().map(|hidden| hidden.map_or(0, super::state::micros)).collect();
    columns(HAND_OVER, messages).with(hidden_us, Type::INT8_ARRAY)
}

/// What writes answers, which were checked, and deletes what they answer.
pub(super) fn answering<'a>(answers: &'a [Outgoing], answered: &[Receipt]) -> Statement<'a> {
    let (ids, counts) = super::state::columns(answered);
    columns(ANSWER, answers).with(ids, Type::INT8_ARRAY).with(counts, Type::INT4_ARRAY)
}

/// What the table says of messages that were handed over.
pub(super) fn handed(rows: &[fluxus_postgres::Row]) -> Vec<Row> {
    let row = |row: &fluxus_postgres::Row| Row {
        message_id: row.get("message_id"),
        sent_at_ms: row.get("sent_at_ms"),
    };
    rows.iter().map(row).collect()
}

/// A statement with the messages as its first columns, which are those of [`SEND`].
fn columns<'a>(sql: &'static str, messages: &'a [Outgoing]) -> Statement<'a> {
    let queues: Vec<&str> = messages.iter().map(|one| one.queue.as_str()).collect();
    // A message of no group is of the group without a name, which has its turn like any other.
    let groups: Vec<&str> =
        messages.iter().map(|one| one.group.as_deref().unwrap_or_default()).collect();
    let ranks: Vec<i16> = messages.iter().map(|one| one.rank().into()).collect();
    let bodies: Vec<&str> = messages.iter().map(|one| one.body.as_str()).collect();
    let delays_us: Vec<i64> = messages.iter().map(|one| super::state::micros(one.delay)).collect();
    Statement::new(sql)
        .with(queues, Type::TEXT_ARRAY)
        .with(groups, Type::TEXT_ARRAY)
        .with(ranks, Type::INT2_ARRAY)
        .with(bodies, Type::TEXT_ARRAY)
        .with(delays_us, Type::INT8_ARRAY)
}
