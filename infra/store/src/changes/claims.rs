//! Claims that begin and end.

use std::collections::BTreeMap;

use fluxus_postgres::Statement;
use fluxus_postgres::types::Type;
use fluxus_schema::{ClaimId, ClaimStatus};

use super::{End, Redrive, Start, agreeing};
use crate::claim::uuids;
use crate::columns::{integer, storable};
use crate::instant::stored;

/// What becomes of one claim. It may start and end in one step.
#[derive(Default)]
struct Change<'a> {
    start: Option<&'a Start>,
    end: Option<&'a End>,
}

/// One statement for both. Also counts the ended ones, in the slot of this connection, for
/// [`crate::metrics`].
pub(super) fn start_and_end<'a>(
    start: impl Iterator<Item = &'a Start>,
    end: &'a [End],
) -> Option<Statement<'a>> {
    // A claim that starts must be `RECEIVED`; one that ends must not have ended.
    const CHANGE: &str = "-- start and end claims
        WITH changed AS (
            UPDATE claim
               SET status = coalesce(change.status, 'RUNNING'),
                   recipe = coalesce(change.recipe, claim.recipe),
                   recipe_version = coalesce(change.recipe_version, claim.recipe_version),
                   started_at = coalesce(change.started_at, claim.started_at),
                   output = change.output::json, error = change.error, cause = change.cause,
                   ended_at = change.ended_at
              FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::timestamptz[], $5::text[],
                          $6::text[], $7::text[], $8::text[], $9::timestamptz[])
                   AS change (claim_id, recipe, recipe_version, started_at, status, output, error,
                              cause, ended_at)
             WHERE claim.claim_id = change.claim_id
               AND (claim.status = 'RECEIVED'
                    OR (claim.status = 'RUNNING' AND change.started_at IS NULL))
            RETURNING claim.tenant, claim.claim_type, claim.status, claim.ended_at
        ), tallied AS (
            INSERT INTO claim_tally (tenant, claim_type, status, slot, ended)
            SELECT tenant, claim_type, status, pg_backend_pid() % 64, count(*)
              FROM changed WHERE ended_at IS NOT NULL
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
                ON CONFLICT (tenant, claim_type, status, slot)
                DO UPDATE SET ended = claim_tally.ended + excluded.ended
        )
        SELECT fluxus_agree(count(*), $10, 'claim', $11) FROM changed";
    let mut changes: BTreeMap<ClaimId, Change<'a>> = BTreeMap::new();
    for start in start {
        changes.entry(start.claim_id).or_default().start = Some(start);
    }
    for end in end {
        changes.entry(end.claim_id).or_default().end = Some(end);
    }
    let first = *changes.keys().next()?;
    let ids: Vec<_> = changes.keys().map(|id| id.0).collect();
    let starts = || changes.values().map(|change| change.start);
    let recipes: Vec<_> = starts().map(|start| Some(start?.recipe.as_str())).collect();
    let versions: Vec<_> = starts().map(|start| Some(start?.recipe_version)).collect();
    let started: Vec<_> = starts().map(|start| Some(stored(start?.started_at))).collect();
    let ends = || changes.values().map(|change| change.end);
    let statuses: Vec<_> = ends().map(|end| Some(end?.status.as_str())).collect();
    let outputs: Vec<_> = ends().map(|end| end?.output.as_deref()).collect();
    let errors: Vec<_> = ends().map(|end| end?.error.as_deref().map(storable)).collect();
    let causes: Vec<_> = ends().map(|end| end?.cause.as_deref().map(storable)).collect();
    let ended: Vec<_> = ends().map(|end| Some(stored(end?.ended_at))).collect();
    let statement = Statement::new(CHANGE)
        .with(ids, Type::UUID_ARRAY)
        .with(recipes, Type::TEXT_ARRAY)
        .with(versions, Type::INT4_ARRAY)
        .with(started, Type::TIMESTAMPTZ_ARRAY)
        .with(statuses, Type::TEXT_ARRAY)
        .with(outputs, Type::TEXT_ARRAY)
        .with(errors, Type::TEXT_ARRAY)
        .with(causes, Type::TEXT_ARRAY)
        .with(ended, Type::TIMESTAMPTZ_ARRAY);
    Some(agreeing(statement, changes.len(), &first))
}

/// Claims that go on, though they had ended. Their ends stay counted: there were so many.
pub(super) fn redrive(redrive: &[Redrive]) -> Option<Statement<'_>> {
    const REDRIVE: &str = "-- redrive claims
        WITH redriven AS (
        UPDATE claim
           SET status = 'RUNNING', error = NULL, cause = NULL, ended_at = NULL,
               redrive_count = new.redrive_count, redriven_at = new.redriven_at
          FROM unnest($1::uuid[], $2::integer[], $3::timestamptz[])
               AS new (claim_id, redrive_count, redriven_at)
         WHERE claim.claim_id = new.claim_id
           AND claim.status IN ('FAILED', 'TIMED_OUT', 'ABORTED')
           AND claim.started_at IS NOT NULL
           AND claim.redrive_count = new.redrive_count - 1
        RETURNING 1
        )
        SELECT fluxus_agree(count(*), $4, 'claim', $5) FROM redriven";
    let first = redrive.first()?;
    let ids: Vec<_> = redrive.iter().map(|one| one.claim_id.0).collect();
    let counts: Vec<_> = redrive.iter().map(|one| integer(one.redrive_count)).collect();
    let times: Vec<_> = redrive.iter().map(|one| stored(one.redriven_at)).collect();
    let statement = Statement::new(REDRIVE)
        .with(ids, Type::UUID_ARRAY)
        .with(counts, Type::INT4_ARRAY)
        .with(times, Type::TIMESTAMPTZ_ARRAY);
    Some(agreeing(statement, redrive.len(), &first.claim_id))
}

/// Deletes what ended claims leave behind: their timers, and where it was asked for, branches.
pub(super) fn clear_ended(end: &[End]) -> Option<Statement<'_>> {
    const CLEAR: &str = "-- clear up after ended claims
        WITH cleared AS (DELETE FROM branch WHERE claim_id = ANY($1))
        DELETE FROM timer WHERE claim_id = ANY($2)";
    // A claim that was refused never had either.
    let ran = |end: &&End| end.status != ClaimStatus::Rejected;
    let ended: Vec<ClaimId> = end.iter().filter(ran).map(|end| end.claim_id).collect();
    let cleared = |end: &&End| end.delete_branches;
    let whole: Vec<ClaimId> = end.iter().filter(cleared).map(|end| end.claim_id).collect();
    if ended.is_empty() && whole.is_empty() {
        return None;
    }
    let statement = Statement::new(CLEAR).with(uuids(&whole), Type::UUID_ARRAY);
    Some(statement.with(uuids(&ended), Type::UUID_ARRAY))
}
