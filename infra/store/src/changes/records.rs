//! History and timers.

use fluxus_postgres::Statement;
use fluxus_postgres::types::Type;
use fluxus_schema::ClaimId;

use super::HistoryRow;
use crate::columns::integer;
use crate::instant::{stored, stored_hybrid};
use crate::timer::TimerRow;

pub(super) fn history<'a>(rows: &'a [HistoryRow]) -> Option<Statement<'a>> {
    const INSERT: &str = "-- record history
        INSERT INTO history (claim_id, recorded_at, branch_id, revision, part, tenant, events)
        SELECT claim_id, recorded_at, branch_id, revision, part, tenant, events::json
          FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::integer[], $5::integer[],
                      $6::text[], $7::text[])
               AS new (claim_id, recorded_at, branch_id, revision, part, tenant, events)";
    if rows.is_empty() {
        return None;
    }
    let ids: Vec<_> = rows.iter().map(|row| row.claim_id.0).collect();
    let recorded_at: Vec<_> = rows.iter().map(|row| stored_hybrid(row.at)).collect();
    let branches: Vec<_> = rows.iter().map(|row| row.branch_id.as_str()).collect();
    let revisions: Vec<_> = rows.iter().map(|row| integer(row.revision)).collect();
    let parts: Vec<_> = rows.iter().map(|row| integer(row.part)).collect();
    let tenants: Vec<_> = rows.iter().map(|row| row.tenant.as_str()).collect();
    let events: Vec<_> = rows.iter().map(|row| row.events.as_str()).collect();
    Some(
        Statement::new(INSERT)
            .with(ids, Type::UUID_ARRAY)
            .with(recorded_at, Type::TIMESTAMPTZ_ARRAY)
            .with(branches, Type::TEXT_ARRAY)
            .with(revisions, Type::INT4_ARRAY)
            .with(parts, Type::INT4_ARRAY)
            .with(tenants, Type::TEXT_ARRAY)
            .with(events, Type::TEXT_ARRAY),
    )
}

pub(super) fn set_timers<'a>(rows: &[&'a TimerRow]) -> Option<Statement<'a>> {
    const SET: &str = "-- set timers
        INSERT INTO timer (claim_id, timer_key, tenant, due_at, queue, body, priority)
        SELECT DISTINCT ON (claim_id, timer_key) claim_id, timer_key, tenant, due_at, queue, body,
               priority
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[],
                      $7::smallint[]) WITH ORDINALITY
               AS new (claim_id, timer_key, tenant, due_at, queue, body, priority, number)
         ORDER BY claim_id, timer_key, number DESC
            ON CONFLICT (claim_id, timer_key)
            DO UPDATE SET due_at = excluded.due_at, queue = excluded.queue, body = excluded.body,
                          priority = excluded.priority";
    if rows.is_empty() {
        return None;
    }
    let ids: Vec<_> = rows.iter().map(|row| row.claim_id.0).collect();
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
    let tenants: Vec<_> = rows.iter().map(|row| row.tenant.as_str()).collect();
    let due: Vec<_> = rows.iter().map(|row| stored(row.due_at)).collect();
    let queues: Vec<_> = rows.iter().map(|row| row.queue.as_str()).collect();
    let bodies: Vec<_> = rows.iter().map(|row| row.body.as_str()).collect();
    let priorities: Vec<_> = rows.iter().map(|row| i16::from(row.priority)).collect();
    Some(
        Statement::new(SET)
            .with(ids, Type::UUID_ARRAY)
            .with(keys, Type::TEXT_ARRAY)
            .with(tenants, Type::TEXT_ARRAY)
            .with(due, Type::TIMESTAMPTZ_ARRAY)
            .with(queues, Type::TEXT_ARRAY)
            .with(bodies, Type::TEXT_ARRAY)
            .with(priorities, Type::INT2_ARRAY),
    )
}

pub(super) fn clear_timers<'a>(keys: &[&'a (ClaimId, String)]) -> Option<Statement<'a>> {
    const CLEAR: &str = "-- clear timers
        DELETE FROM timer USING unnest($1::uuid[], $2::text[]) AS gone (claim_id, timer_key)
         WHERE timer.claim_id = gone.claim_id AND timer.timer_key = gone.timer_key";
    if keys.is_empty() {
        return None;
    }
    let ids: Vec<_> = keys.iter().map(|(claim_id, _)| claim_id.0).collect();
    let names: Vec<_> = keys.iter().map(|(_, key)| key.as_str()).collect();
    Some(Statement::new(CLEAR).with(ids, Type::UUID_ARRAY).with(names, Type::TEXT_ARRAY))
}
