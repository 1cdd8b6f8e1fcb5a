//! Loading branches to step them.

use std::sync::Arc;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Row, Transaction};
use fluxus_schema::ClaimId;

use super::{BranchKey, BranchRow, ClaimContext, LoadedBranch, branch_columns};
use crate::claim::{origin, seed, uuids};
use crate::columns::Columns;
use crate::error::StoreError;
use crate::payload::{self, Slot};

/// Reads the branches that `branch` locked, each with its claim; the body with the first of a claim.
macro_rules! locked_columns {
    () => {
        concat!(
            "SELECT ",
            branch_columns!(),
            ",     claim.claim_type, claim.status AS claim_status, claim.seed, claim.recipe,
               claim.recipe_version, claim.started_at, claim.received_at, claim.traceparent,
               claim.deadline, claim.priority, claim.redrive_count, claim.redriven_at, claim.origin::text,
               CASE WHEN row_number() OVER (PARTITION BY branch.claim_id
                                            ORDER BY branch.branch_id) = 1
                    THEN claim.body::text END AS body
          FROM branch JOIN claim ON claim.claim_id = branch.claim_id
         ORDER BY branch.claim_id, branch.branch_id"
        )
    };
}

/// Locks branches in the order of their keys and reads them, each with its claim.
///
/// The second list also brings every descendant that has not ended: with the root, the whole
/// claim. A branch that is not there (joined, or its claim succeeded) is not in the answer. One
/// statement, and one more where a document is large; a claim's body is sent once, not once per
/// branch.
///
/// The claim is read as it was when the statement began, while a branch is the newest version that
/// the wait for its lock led to. So whoever ends a claim must, in the same commit, change or delete
/// its branches that have not ended ([`crate::changes::save`]); a batch that waited then sees it.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn lock(
    tx: &Transaction<'_>,
    keys: &[BranchKey],
    with_descendants: &[BranchKey],
) -> Result<Vec<LoadedBranch>, StoreError> {
    // The descendants of `/a` are the keys between `/a/` and `/a0`, the character after the slash.
    // Locked one by one, in the order of `wanted`: `LATERAL` admits no other plan.
    const LOCK: &str = concat!(
        "-- lock branches
        WITH given AS (
            SELECT claim_id, branch_id, number > cardinality($1::uuid[]) AS whole
              FROM unnest($1::uuid[] || $3::uuid[], $2::text[] || $4::text[]) WITH ORDINALITY
                   AS given (claim_id, branch_id, number)
        ), wanted AS (
            SELECT claim_id, branch_id, true AS named FROM given
             UNION
            SELECT below.claim_id, below.branch_id, false
              FROM given
             CROSS JOIN LATERAL (
                   SELECT claim_id, branch_id FROM branch
                    WHERE branch.claim_id = given.claim_id
                      AND branch.branch_id >= rtrim(given.branch_id, '/') || '/'
                      AND branch.branch_id < rtrim(given.branch_id, '/') || '0'
                      AND branch.status <> 'ENDED'
                   OFFSET 0) AS below
             WHERE given.whole
        ), once AS (
            SELECT claim_id, branch_id COLLATE \"C\" AS branch_id, bool_or(named) AS named
              FROM wanted GROUP BY 1, 2 ORDER BY 1, 2
        ), branch AS MATERIALIZED (
            SELECT locked.* FROM once
             CROSS JOIN LATERAL (
                   SELECT branch.* FROM branch
                    WHERE branch.claim_id = once.claim_id AND branch.branch_id = once.branch_id
                      AND (once.named OR branch.status <> 'ENDED')
                      FOR UPDATE) AS locked
        )
        ",
        locked_columns!()
    );
    let (ids, branches) = columns(keys);
    let (whole_ids, whole_branches) = columns(with_descendants);
    let params = [
        (&ids as _, Type::UUID_ARRAY),
        (&branches as _, Type::TEXT_ARRAY),
        (&whole_ids as _, Type::UUID_ARRAY),
        (&whole_branches as _, Type::TEXT_ARRAY),
    ];
    restored(tx, &tx.query(LOCK, &params).await?).await
}

/// Locks all branches of these claims, those that ended too, in the order of their keys, and reads
/// them: what a claim that ended without success goes on with. None where it was forgotten.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn lock_kept(
    tx: &Transaction<'_>,
    claims: &[ClaimId],
) -> Result<Vec<LoadedBranch>, StoreError> {
    const LOCK: &str = concat!(
        "-- lock kept branches
        WITH branch AS MATERIALIZED (
            SELECT * FROM branch WHERE claim_id = ANY($1)
             ORDER BY claim_id, branch_id FOR UPDATE
        )
        ",
        locked_columns!()
    );
    restored(tx, &tx.query(LOCK, &[(&uuids(claims) as _, Type::UUID_ARRAY)]).await?).await
}

/// Branches with their claims, all documents put together again.
async fn restored(tx: &Transaction<'_>, rows: &[Row]) -> Result<Vec<LoadedBranch>, StoreError> {
    let mut branches: Vec<BranchRow> = Vec::with_capacity(rows.len());
    let mut claims: Vec<ClaimContext> = Vec::new();
    for row in rows {
        let branch = BranchRow::read(row)?;
        if claims.last().is_none_or(|last| last.claim_id != branch.claim_id) {
            claims.push(context(row)?);
        }
        branches.push(branch);
    }
    let bodies = claims.iter_mut().map(|claim| (claim.claim_id, Slot::Shared(&mut claim.body)));
    let states = branches.iter_mut().map(|row| (row.claim_id, Slot::Own(&mut row.state)));
    payload::restore(tx, bodies.chain(states).collect()).await?;
    let mut claims = claims.into_iter().map(Arc::new).peekable();
    let mut loaded: Vec<LoadedBranch> = Vec::with_capacity(branches.len());
    // Both are in the order of the claims' ids.
    for row in branches {
        while claims.next_if(|claim| claim.claim_id < row.claim_id).is_some() {}
        let Some(claim) = claims.peek().cloned() else { break };
        loaded.push(LoadedBranch { row, claim });
    }
    Ok(loaded)
}

fn columns(keys: &[BranchKey]) -> (Vec<uuid::Uuid>, Vec<&str>) {
    let ids: Vec<_> = keys.iter().map(|key| key.claim_id).collect();
    (uuids(&ids), keys.iter().map(|key| key.branch_id.as_str()).collect())
}

/// The claim in the first row of its branches, the one that has the body.
fn context(row: &Row) -> Result<ClaimContext, StoreError> {
    let row = Columns::new(row, "claim", &["claim_id"]);
    Ok(ClaimContext {
        claim_id: row.claim_id("claim_id")?,
        tenant: row.parse("tenant")?,
        claim_type: row.parse("claim_type")?,
        status: row.parse("claim_status")?,
        body: row.get::<&str>("body")?.into(),
        seed: seed(&row)?,
        recipe: row.parse("recipe")?,
        recipe_version: row.get("recipe_version")?,
        started_at: row.timestamp("started_at")?,
        received_at: row.timestamp("received_at")?,
        traceparent: row.get("traceparent")?,
        origin: origin(&row)?,
        deadline: row.timestamp_option("deadline")?,
        priority: row.priority("priority")?,
        redrive_count: row.unsigned("redrive_count")?,
        redriven_at: row.timestamp_option("redriven_at")?,
    })
}
