//! History and timers.

use fluxus_postgres::Transaction;
use fluxus_postgres::types::Type;
use fluxus_schema::ClaimId;

use super::HistoryRow;
use crate::columns::integer;
use crate::error::StoreError;
use crate::instant::{stored, stored_hybrid};
use crate::timer::TimerRow;

pub(super) async fn history(tx: &Transaction<'_>, rows: &[HistoryRow]) -> Result<(), StoreError> {
    const INSERT: &str = "-- record history
        INSERT INTO history (claim_id, recorded_at, branch_id, revision, part, tenant, events)
        SELECT claim_id, recorded_at, branch_id, revision, part, tenant, events::json
          FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::integer[], $5::integer[],
                      $6::text[], $7::text[])
               AS new (claim_id, recorded_at, branch_id, revision, part, tenant, events)";
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = rows.iter().map(|row| row.claim_id.0).collect();
    let recorded_at: Vec<_> = rows.iter().map(|row| stored_hybrid(row.at)).collect();
    let branches: Vec<_> = rows.iter().map(|row| row.branch_id.as_str()).collect();
    let revisions: Vec<_> = rows.iter().map(|row| integer(row.revision)).collect();
    let parts: Vec<_> = rows.iter().map(|row| integer(row.part)).collect();
    let tenants: Vec<_> = rows.iter().map(|row| row.tenant.as_str()).collect();
    let events: Vec<_> = rows.iter().map(|row| row.events.as_str()).collect();
    let params = [
        (&ids as _, Type::UUID_ARRAY),
        (&recorded_at as _, Type::TIMESTAMPTZ_ARRAY),
        (&branches as _, Type::TEXT_ARRAY),
        (&revisions as _, Type::INT4_ARRAY),
        (&parts as _, Type::INT4_ARRAY),
        (&tenants as _, Type::TEXT_ARRAY),
        (&events as _, Type::TEXT_ARRAY),
    ];
    tx.execute(INSERT, &params).await?;
    Ok(())
}

pub(super) async fn set_timers(tx: &Transaction<'_>, rows: &[&TimerRow]) -> Result<(), StoreError> {
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
        return Ok(());
    }
    let ids: Vec<_> = rows.iter().map(|row| row.claim_id.0).collect();
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
    let tenants: Vec<_> = rows.iter().map(|row| row.tenant.as_str()).collect();
    let due: Vec<_> = rows.iter().map(|row| stored(row.due_at)).collect();
    let queues: Vec<_> = rows.iter().map(|row| row.queue.as_str()).collect();
    let bodies: Vec<_> = rows.iter().map(|row| row.body.as_str()).collect();
    let priorities: Vec<_> = rows.iter().map(|row| i16::from(row.priority)).collect();
    let params = [
        (&ids as _, Type::UUID_ARRAY),
        (&keys as _, Type::TEXT_ARRAY),
        (&tenants as _, Type::TEXT_ARRAY),
        (&due as _, Type::TIMESTAMPTZ_ARRAY),
        (&queues as _, Type::TEXT_ARRAY),
        (&bodies as _, Type::TEXT_ARRAY),
        (&priorities as _, Type::INT2_ARRAY),
    ];
    tx.execute(SET, &params).await?;
    Ok(())
}

pub(super) async fn clear_timers(
    tx: &Transaction<'_>,
    keys: &[&(ClaimId, String)],
) -> Result<(), StoreError> {
    const CLEAR: &str = "-- clear timers
        DELETE FROM timer USING unnest($1::uuid[], $2::text[]) AS gone (claim_id, timer_key)
         WHERE timer.claim_id = gone.claim_id AND timer.timer_key = gone.timer_key";
    if keys.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = keys.iter().map(|(claim_id, _)| claim_id.0).collect();
    let names: Vec<_> = keys.iter().map(|(_, key)| key.as_str()).collect();
    tx.execute(CLEAR, &[(&ids, Type::UUID_ARRAY), (&names, Type::TEXT_ARRAY)]).await?;
    Ok(())
}
