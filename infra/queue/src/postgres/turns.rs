//! Whose turn it is: which ready messages a receive takes, in SQL.
//!
//! A receive that was not full has taken all there was, so there was nobody to be unfair to: it
//! takes by the order of the index ([`picked!`]). After a full one, the next shares out what it
//! takes among the groups that wait ([`picked_fairly!`]). Both cost as much as they take, however
//! much waits: groups are found by jumping along the index, not by reading their messages.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::QueueName;

/// What is ready, in the order of the index: by group, then rank, then age. `$1` is the queue, `$2`
/// how many. Rows that another receiver holds are passed over.
macro_rules! picked {
    () => {
        "picked AS MATERIALIZED (
            SELECT ctid AS place FROM fluxus_queue.message
             WHERE queue = $1 AND NOT parked AND visible_at <= statement_timestamp()
             ORDER BY group_id, rank, message_id
             LIMIT $2
               FOR UPDATE SKIP LOCKED
        )"
    };
}

/// The same, shared out evenly among the groups from `$3` on, at most `$4` of them. What a group
/// does not use goes to those that wait for more.
macro_rules! picked_fairly {
    () => {
        "waiting AS (
            SELECT 1 AS number, (
                       SELECT group_id FROM fluxus_queue.message
                        WHERE queue = $1 AND NOT parked AND group_id >= $3
                        ORDER BY group_id LIMIT 1) AS group_id
             UNION ALL
            SELECT number + 1, (
                       SELECT message.group_id FROM fluxus_queue.message
                        WHERE queue = $1 AND NOT parked AND message.group_id > waiting.group_id
                        ORDER BY message.group_id LIMIT 1)
              FROM waiting WHERE waiting.group_id IS NOT NULL AND number < $4
        ), share AS (
            SELECT group_id, number, greatest($2 / count(*) OVER (), 1) AS even
              FROM waiting WHERE group_id IS NOT NULL
        ), wish AS MATERIALIZED (
            SELECT group_id, even, (
                       SELECT count(*) FROM (
                           SELECT FROM fluxus_queue.message
                            WHERE queue = $1 AND NOT parked AND message.group_id = share.group_id
                            ORDER BY rank, message_id LIMIT share.even) AS ready) AS has
              FROM share
        ), quota AS (
            SELECT group_id, CASE WHEN has < even THEN has ELSE even +
                       ($2 - sum(has) OVER ())::bigint
                       / greatest(count(*) FILTER (WHERE has = even) OVER (), 1) END AS most
              FROM wish
        ), picked AS MATERIALIZED (
            SELECT mine.place FROM quota
             CROSS JOIN LATERAL (
                   SELECT ctid AS place FROM fluxus_queue.message
                    WHERE queue = $1 AND NOT parked AND message.group_id = quota.group_id
                      AND visible_at <= statement_timestamp()
                    ORDER BY rank, message_id
                    LIMIT quota.most
                      FOR UPDATE SKIP LOCKED) AS mine
        )"
    };
}

/// What has become ready by its time, the earliest first: as much as there is room for is taken
/// with what was picked, the rest is put in line with its group.
macro_rules! due {
    () => {
        "due AS MATERIALIZED (
            SELECT ctid AS place FROM fluxus_queue.message
             WHERE queue = $1 AND parked AND visible_at <= statement_timestamp()
             ORDER BY visible_at
             LIMIT $2
               FOR UPDATE SKIP LOCKED
        ), counted AS (
            SELECT place, row_number() OVER () <= $2 - (SELECT count(*) FROM picked) AS has_room
              FROM due
        ), put_in_line AS (
            UPDATE fluxus_queue.message SET parked = false, group_id = coalesce(group_id, '')
             WHERE ctid = ANY (ARRAY(SELECT place FROM counted WHERE NOT has_room))
        ), chosen AS (
            SELECT place FROM picked UNION ALL SELECT place FROM counted WHERE has_room
        )"
    };
}

/// How long until the next message is due, in microseconds.
macro_rules! next_in {
    () => {
        "(SELECT (extract(epoch FROM visible_at - clock_timestamp()) * 1000000)::bigint
            FROM fluxus_queue.message
           WHERE queue = $1 AND parked AND visible_at > statement_timestamp()
           ORDER BY visible_at
           LIMIT 1)"
    };
}

pub(super) use {due, next_in, picked, picked_fairly};

/// The last of so many groups as were looked for; null where there are fewer.
macro_rules! last_group {
    (fairly) => {
        "(SELECT group_id FROM share WHERE number = $4)"
    };
    (quickly) => {
        "NULL::text"
    };
}
pub(super) use last_group;

/// How the next receive from each queue is to go about it. As many entries as the program has
/// queues.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<QueueName, Turn>>);

/// How one receive goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// By the order of the index.
    Any,
    /// Shared out among the groups from this one on.
    From(String),
}

/// What one receive found.
pub(super) struct Seen {
    /// How many messages.
    pub(super) taken: usize,
    /// How many it might have taken.
    pub(super) max: usize,
    /// The last group, where there may be others after it.
    pub(super) last_group: Option<String>,
}

impl Turns {
    pub(super) fn next(&self, queue: &QueueName) -> Turn {
        self.turns().get(queue).cloned().unwrap_or(Turn::Any)
    }

    /// Notes what a turn came to. Returns whether there is probably more.
    pub(super) fn note(&self, queue: &QueueName, turn: &Turn, seen: Seen) -> bool {
        let Seen { taken, max, last_group } = seen;
        let next = match (turn, last_group) {
            // The first text after this group's own.
            (_, Some(group)) => Turn::From(group + "\u{1}"),
            (Turn::From(group), None) if !group.is_empty() => Turn::From(String::new()),
            // Some of what was shared out may have been in the hands of others.
            (Turn::From(_), None) if 2 * taken >= max => Turn::From(String::new()),
            (Turn::Any, None) if taken >= max => Turn::From(String::new()),
            (_, None) => Turn::Any,
        };
        let more = taken > 0 && next != Turn::Any;
        let mut turns = self.turns();
        match turns.get_mut(queue) {
            Some(turn) => *turn = next,
            None => drop(turns.insert(queue.clone(), next)),
        }
        more
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<QueueName, Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whether it passes over groups that may have something.
    pub(super) fn is_partial(&self) -> bool {
        matches!(self, Self::From(group) if !group.is_empty())
    }
}
