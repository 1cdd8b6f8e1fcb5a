//! Sending: one statement for any number of messages to any queues.

use std::time::Duration;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, DatabaseError, Param, Transaction};

use super::hand_over::Row;
use crate::{Outgoing, QueueError, Receipt};

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

/// The messages as the columns of [`SEND`].
struct Columns<'a> {
    queues: Vec<&'a str>,
    /// A message of no group is of the group without a name, which has its turn like any other.
    groups: Vec<&'a str>,
    ranks: Vec<i16>,
    bodies: Vec<&'a str>,
    delays_us: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn new(messages: &'a [Outgoing]) -> Result<Self, QueueError> {
        messages.iter().try_for_each(Outgoing::check)?;
        Ok(Self {
            queues: messages.iter().map(|one| one.queue.as_str()).collect(),
            groups: messages.iter().map(|one| one.group.as_deref().unwrap_or_default()).collect(),
            ranks: messages.iter().map(|one| one.rank().into()).collect(),
            bodies: messages.iter().map(|one| one.body.as_str()).collect(),
            delays_us: messages.iter().map(|one| super::state::micros(one.delay)).collect(),
        })
    }

    fn params(&self) -> [Param<'_>; 5] {
        [
            (&self.queues, Type::TEXT_ARRAY),
            (&self.groups, Type::TEXT_ARRAY),
            (&self.ranks, Type::INT2_ARRAY),
            (&self.bodies, Type::TEXT_ARRAY),
            (&self.delays_us, Type::INT8_ARRAY),
        ]
    }
}

pub(super) async fn send(database: &Database, messages: &[Outgoing]) -> Result<(), QueueError> {
    let columns = Columns::new(messages)?;
    if messages.is_empty() {
        return Ok(());
    }
    insert(database, &columns).await.map_err(QueueError::database("send messages"))
}

/// Hides those that are handed over, and returns what the table says of them.
pub(super) async fn send_in(
    tx: &Transaction<'_>,
    messages: &[Outgoing],
    hidden: Option<&[Option<Duration>]>,
) -> Result<Vec<Row>, QueueError> {
    let columns = Columns::new(messages)?;
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let action = QueueError::database("send messages");
    let Some(hidden) = hidden else {
        return tx.execute(SEND, &columns.params()).await.map(|_sent| Vec::new()).map_err(action);
    };
    let hidden_us: Vec<i64> =
        hidden.iter().map(|hidden| hidden.map_or(0, super::state::micros)).collect();
    let [queues, groups, ranks, bodies, delays] = columns.params();
    let params = [queues, groups, ranks, bodies, delays, (&hidden_us as _, Type::INT8_ARRAY)];
    let rows = tx.query(HAND_OVER, &params).await.map_err(action)?;
    let row = |row: &fluxus_postgres::Row| Row {
        message_id: row.get("message_id"),
        sent_at_ms: row.get("sent_at_ms"),
    };
    Ok(rows.iter().map(row).collect())
}

async fn insert(database: &Database, columns: &Columns<'_>) -> Result<(), DatabaseError> {
    database.session().await?.execute(SEND, &columns.params()).await?;
    Ok(())
}

pub(super) async fn answer(
    database: &Database,
    answers: &[Outgoing],
    answered: &[Receipt],
) -> Result<(), QueueError> {
    let columns = Columns::new(answers)?;
    let (ids, counts) = super::state::columns(answered);
    let [queues, groups, ranks, bodies, delays] = columns.params();
    let (ids, counts) = ((&ids as _, Type::INT8_ARRAY), (&counts as _, Type::INT4_ARRAY));
    let params = [queues, groups, ranks, bodies, delays, ids, counts];
    let run = async { database.session().await?.execute(ANSWER, &params).await };
    run.await.map(|_rows| ()).map_err(QueueError::database("answer messages"))
}
