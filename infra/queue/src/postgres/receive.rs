//! Receiving: taking what is ready, and waiting without polling for what is not.

use std::time::Duration;

use fluxus_postgres::types::Type;
use fluxus_postgres::{DatabaseError, Param, Row, Transaction};
use tokio::time::Instant;

use super::PostgresQueue;
use super::hand_over::HandOver;
use super::state::micros;
use super::turns::{Seen, Turn, Turns, due, last_group, next_in, picked, picked_fairly};
use crate::bounds::{MAX_GROUPS_PER_RECEIVE, MAX_RECEIVE};
use crate::{MessageId, QueueError, QueueName, Receipt, Receive, Received};

/// Hands out what is ready and gives up what was received too often, in one statement.
///
/// Rows that another receiver holds are passed over. Their places on disk cannot change while they
/// are locked, so they are gone to directly; through an array, not a join, so that no plan reads the
/// whole table. When nothing was delivered, one row says how many messages
/// were given up and when the next one is due.
macro_rules! receive {
    ($picked:expr, $last_group:expr, $visibility:literal, $max_receives:literal) => {
        concat!(
            "
    -- receive messages
    WITH RECURSIVE ",
            $picked,
            ", ",
            due!(),
            ", delivered AS (
        UPDATE fluxus_queue.message
           SET receive_count = receive_count + 1, parked = true,
               received_at = received_at || statement_timestamp(),
               visible_at = statement_timestamp() + ",
            $visibility,
            " * interval '1 microsecond'
         WHERE ctid = ANY (ARRAY(SELECT place FROM chosen)) AND receive_count < ",
            $max_receives,
            "
        RETURNING message_id, receive_count, body, sent_at
    ), given_up AS (
        DELETE FROM fluxus_queue.message
         WHERE ctid = ANY (ARRAY(SELECT place FROM chosen)) AND receive_count >= ",
            $max_receives,
            "
        RETURNING message_id, queue, group_id, body, receive_count, sent_at, received_at
    ), buried AS (
        INSERT INTO fluxus_queue.dead_letter
               (message_id, queue, group_id, body, receive_count, reason, sent_at, dead_at,
                received_at, failures)
        SELECT message_id, queue, group_id, body, receive_count,
               left('received ' || receive_count || ' times and never deleted'
                        || coalesce('; the last time: ' || said.last, ''), 1000),
               sent_at, statement_timestamp(), received_at, said.failures
          FROM given_up
         CROSS JOIN LATERAL (
               SELECT jsonb_object_agg(failure.receive_count, failure.reason) AS failures,
                      (array_agg(failure.reason ORDER BY failure.receive_count DESC))[1] AS last
                 FROM fluxus_queue.failure
                WHERE failure.message_id = given_up.message_id) AS said
    )
    SELECT message_id, receive_count, body,
           (extract(epoch FROM sent_at) * 1000)::bigint AS sent_at_ms, NULL::bigint AS next_in_us,
           ",
            $last_group,
            " AS last_group
      FROM delivered
    UNION ALL
    SELECT NULL, (SELECT count(*) FROM given_up)::integer, NULL, NULL, ",
            next_in!(),
            ", ",
            $last_group,
            "
     WHERE NOT EXISTS (SELECT FROM delivered)"
        )
    };
}

/// Takes what is ready out of the queue, for a transaction that deals with it: a rollback, or the
/// death of the process, puts it back at once. When there was nothing, one row says when the next
/// message is due.
macro_rules! take {
    ($picked:expr, $last_group:expr) => {
        concat!(
            "
    -- take messages
    WITH RECURSIVE ",
            $picked,
            ", ",
            due!(),
            ", taken AS (
        DELETE FROM fluxus_queue.message
         WHERE ctid = ANY (ARRAY(SELECT place FROM chosen))
        RETURNING message_id, receive_count, body, sent_at
    )
    SELECT message_id, receive_count, body,
           (extract(epoch FROM sent_at) * 1000)::bigint AS sent_at_ms, NULL::bigint AS next_in_us,
           ",
            $last_group,
            " AS last_group
      FROM taken
    UNION ALL
    SELECT NULL, 0, NULL, NULL, ",
            next_in!(),
            ", ",
            $last_group,
            "
     WHERE NOT EXISTS (SELECT FROM taken)"
        )
    };
}

pub(super) const RECEIVE: &str = receive!(picked!(), last_group!(quickly), "$3", "$4");
pub(super) const RECEIVE_FAIRLY: &str = receive!(picked_fairly!(), last_group!(fairly), "$5", "$6");
pub(super) const TAKE: &str = take!(picked!(), last_group!(quickly));
pub(super) const TAKE_FAIRLY: &str = take!(picked_fairly!(), last_group!(fairly));

/// What a look into the table found for a transaction.
pub(super) struct Found {
    /// Gone once the transaction commits; the oldest first.
    pub(super) messages: Vec<Received>,
    /// Whether there is probably more, of which nobody else was told.
    pub(super) more: bool,
    /// Where there was nothing: how long until the next one is due, if there is one.
    pub(super) next_in: Option<Duration>,
}

/// Each message is taken at most once, but one group's turn may come before another's: `turns`
/// remembers whose is next.
pub(super) async fn take_in(
    tx: &Transaction<'_>,
    turns: &Turns,
    queue: &QueueName,
    max: usize,
) -> Result<Found, QueueError> {
    let max = max.min(MAX_RECEIVE);
    let most = integer(max);
    loop {
        let turn = turns.next(queue);
        let (name, most): (Param<'_>, Param<'_>) =
            ((&queue.as_str(), Type::TEXT), (&most, Type::INT8));
        let rows = match &turn {
            Turn::Any => tx.query(TAKE, &[name, most]).await,
            Turn::From(group) => {
                let groups = groups(max);
                let (from, groups) = ((group as _, Type::TEXT), (&groups as _, Type::INT4));
                tx.query(TAKE_FAIRLY, &[name, most, from, groups]).await
            }
        };
        let rows = rows.map_err(QueueError::database("take messages"))?;
        let more = turns.note(queue, &turn, seen(&rows, max));
        return Ok(match found(&rows) {
            Look::Messages(messages) => Found { messages, more, next_in: None },
            Look::Nothing { .. } if turn.is_partial() => continue,
            Look::Nothing { next_in, .. } => Found { messages: Vec::new(), more: false, next_in },
        });
    }
}

/// Among how many groups to share out so many messages.
fn groups(max: usize) -> i32 {
    i32::try_from(max.clamp(1, MAX_GROUPS_PER_RECEIVE)).unwrap_or(i32::MAX)
}

fn integer(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn seen(rows: &[Row], max: usize) -> Seen {
    Seen {
        taken: rows.iter().filter(|row| is_message(row)).count(),
        max,
        last_group: rows.first().and_then(|row| row.get("last_group")),
    }
}

/// What one [`RECEIVE`] found.
enum Look {
    Messages(Vec<Received>),
    Nothing { given_up: usize, next_in: Option<Duration> },
}

/// Looks into the table when it is time to, and otherwise waits for what is handed over.
pub(super) async fn receive(
    of: &PostgresQueue,
    queue: &QueueName,
    request: Receive,
) -> Result<Vec<Received>, QueueError> {
    if request.max == 0 {
        return Ok(Vec::new());
    }
    let deadline = Instant::now() + request.wait;
    let bell = of.wakers.of(queue);
    let mut room = Room { hand_over: &of.hand_over, queue, request: &request, keeps_open: false };
    // Whoever does not wait wants to know what there is, and may not come again.
    let mut must_look = request.wait.is_zero();
    loop {
        let most = request.max.saturating_sub(room.open(request.max));
        if most > 0 && (bell.is_time() || must_look) {
            must_look = false;
            // What this look finds needs the room.
            of.hand_over.close(queue);
            let turn = of.turns.next(queue);
            let seen = look(of, &turn, queue, Receive { max: most, ..request }).await;
            let seen = seen.inspect_err(|_| bell.ring());
            match seen.map_err(QueueError::database("receive messages"))? {
                Look::Messages(mut messages) => {
                    bell.found();
                    let rest = request.max - messages.len();
                    messages.extend(taken(of, queue, rest));
                    if of.turns.next(queue) == Turn::Any {
                        room.keep_open(request.max - messages.len());
                    } else {
                        // There is probably more, and whoever waits was not told.
                        bell.ring();
                    }
                    return Ok(messages);
                }
                // Something alive may be behind the dead.
                Look::Nothing { given_up, .. } if given_up == most => {
                    bell.found();
                    continue;
                }
                Look::Nothing { .. } if turn.is_partial() => {
                    bell.found();
                    continue;
                }
                Look::Nothing { next_in, .. } => bell.found_nothing(next_in),
            }
            room.open(request.max);
        }
        let handed = taken(of, queue, request.max);
        if !handed.is_empty() {
            room.keep_open(request.max - handed.len());
            return Ok(handed);
        }
        if Instant::now() >= deadline {
            return Ok(Vec::new());
        }
        bell.wait(Some(deadline)).await;
    }
}

fn taken(of: &PostgresQueue, queue: &QueueName, at_most: usize) -> Vec<Received> {
    of.hand_over.take(queue, at_most).into_iter().map(|handed| handed.message).collect()
}

/// Room that is open as long as somebody waits, and afterwards as far as it was not used: whoever
/// received less than there was room for comes again at once.
struct Room<'a> {
    hand_over: &'a HandOver,
    queue: &'a QueueName,
    request: &'a Receive,
    keeps_open: bool,
}

impl Room<'_> {
    /// Returns how much lies there already.
    fn open(&self, for_so_many: usize) -> usize {
        let asked = if self.request.wait.is_zero() { 0 } else { for_so_many };
        self.hand_over.open(self.queue, asked, self.request.visibility)
    }

    fn keep_open(&mut self, for_so_many: usize) {
        self.open(for_so_many);
        self.keeps_open = true;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if !self.keeps_open {
            self.hand_over.close(self.queue);
        }
    }
}

async fn look(
    of: &PostgresQueue,
    turn: &Turn,
    queue: &QueueName,
    request: Receive,
) -> Result<Look, DatabaseError> {
    of.count();
    let (max, visibility_us) = (integer(request.max), micros(request.visibility));
    let max_receives = i32::try_from(of.max_receives).unwrap_or(i32::MAX);
    let name: Param<'_> = (&queue.as_str(), Type::TEXT);
    let most: Param<'_> = (&max, Type::INT8);
    let visibility: Param<'_> = (&visibility_us, Type::INT8);
    let at_most: Param<'_> = (&max_receives, Type::INT4);
    let session = of.relaxed.session().await?;
    let rows = match turn {
        Turn::Any => session.query(RECEIVE, &[name, most, visibility, at_most]).await?,
        Turn::From(group) => {
            let groups = groups(request.max);
            let (from, groups) = ((group as _, Type::TEXT), (&groups as _, Type::INT4));
            let params = [name, most, from, groups, visibility, at_most];
            session.query(RECEIVE_FAIRLY, &params).await?
        }
    };
    of.turns.note(queue, turn, seen(&rows, request.max));
    Ok(found(&rows))
}

fn is_message(row: &Row) -> bool {
    row.get::<_, Option<i64>>("message_id").is_some()
}

fn found(rows: &[Row]) -> Look {
    match rows.first() {
        Some(row) if !is_message(row) => nothing(row),
        _ => {
            let mut messages: Vec<Received> = rows.iter().map(received).collect();
            // By age; the statement returns them in any order.
            messages.sort_by_key(|message| (message.sent_at_ms, message.receipt.parts()));
            Look::Messages(messages)
        }
    }
}

fn nothing(row: &Row) -> Look {
    let given_up: i32 = row.get("receive_count");
    let next_in: Option<i64> = row.get("next_in_us");
    Look::Nothing {
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
