//! Branches that a process knows from its last step.

use fluxus_postgres::types::Type;
use fluxus_postgres::{Statement, Transaction};
use fluxus_schema::HybridTime;

use super::BranchKey;
use crate::changes::agreeing;
use crate::columns::integer;
use crate::error::StoreError;
use crate::instant::stored_hybrid;

/// As what a branch was left.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    /// The branch.
    pub key: BranchKey,
    /// Its revision.
    pub revision: u32,
    /// When it was stepped. With the revision it tells the branch from one that was there before or
    /// came after it under the same key.
    pub changed_at: HybridTime,
}

/// Locks branches, which are given in the order of their keys, if all of them are as they were left:
/// what is known of them and of their claims holds until the end of the transaction then.
///
/// # Errors
/// [`StoreError::Conflict`] if one of them changed or is gone: roll back, and [`lock`](super::lock)
/// them.
pub async fn expect(tx: &Transaction<'_>, left: &[Left]) -> Result<(), StoreError> {
    if let Some(statement) = expecting(left) {
        tx.run(&[statement]).await?;
    }
    Ok(())
}

/// What [`expect`] runs, for whoever sends more along.
pub fn expecting(left: &[Left]) -> Option<Statement<'_>> {
    // Locked one by one, in the order given: `LATERAL` admits no other plan.
    const EXPECT: &str = "-- look whether branches are as they were left
        WITH locked AS (
            SELECT FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::timestamptz[])
                        AS was (claim_id, branch_id, revision, changed_at)
             CROSS JOIN LATERAL (
                   SELECT FROM branch
                    WHERE branch.claim_id = was.claim_id AND branch.branch_id = was.branch_id
                      AND branch.revision = was.revision AND branch.changed_at = was.changed_at
                      FOR UPDATE) AS locked
        )
        SELECT fluxus_agree(count(*), $5, 'branch', $6) FROM locked";
    let first = left.first()?;
    let ids: Vec<_> = left.iter().map(|one| one.key.claim_id.0).collect();
    let branches: Vec<_> = left.iter().map(|one| one.key.branch_id.as_str()).collect();
    let revisions: Vec<_> = left.iter().map(|one| integer(one.revision)).collect();
    let changed_at: Vec<_> = left.iter().map(|one| stored_hybrid(one.changed_at)).collect();
    let statement = Statement::new(EXPECT)
        .with(ids, Type::UUID_ARRAY)
        .with(branches, Type::TEXT_ARRAY)
        .with(revisions, Type::INT4_ARRAY)
        .with(changed_at, Type::TIMESTAMPTZ_ARRAY);
    Some(agreeing(statement, left.len(), &first.key))
}
