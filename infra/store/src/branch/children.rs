//! Parents and their children: joining those that ended, starting those that wait their turn.

use std::collections::HashSet;

use fluxus_postgres::Transaction;
use fluxus_postgres::types::Type;
use fluxus_schema::{BranchId, ClaimId};

use super::{BranchRow, branch_columns, restored};
use crate::columns::{Columns, integer};
use crate::error::StoreError;
use crate::store::Store;

/// The children that one step of a branch started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Join {
    /// The claim.
    pub claim_id: ClaimId,
    /// The branch that started them.
    pub parent: BranchId,
    /// Its revision when it did.
    pub parent_revision: u32,
}

/// A Map's pending items that may begin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pending {
    /// The claim.
    pub claim_id: ClaimId,
    /// The branch that waits for its items.
    pub parent: BranchId,
    /// Its revision when it started them.
    pub parent_revision: u32,
    /// At most so many.
    pub how_many: u32,
}

/// How many children a step started, and how many of them have not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// The branch that started them.
    pub parent: BranchId,
    /// Its revision when it did.
    pub parent_revision: u32,
    /// Those that have not ended.
    pub open: u64,
    /// All of them.
    pub total: u64,
}

/// All children of each parent that has none left which is not ended, in order; of the other
/// parents, nothing. Lock the parents first, so that no other batch joins them too.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn join(tx: &Transaction<'_>, parents: &[Join]) -> Result<Vec<BranchRow>, StoreError> {
    // Children of `/a` by its revision 3 lie between the keys `/a/3.` and `/a/3/`, the character
    // after the dot; their own descendants, if any were left, lie there too.
    const JOIN: &str = concat!(
        "-- join branches
        SELECT ",
        branch_columns!(),
        " FROM (SELECT DISTINCT claim_id, parent, revision
                  FROM unnest($1::uuid[], $2::text[], $3::integer[])
                       AS given (claim_id, parent, revision)) AS given
         CROSS JOIN LATERAL (
               SELECT branch.* FROM branch
                WHERE branch.claim_id = given.claim_id
                  AND branch.branch_id >= rtrim(given.parent, '/') || '/' || given.revision || '.'
                  AND branch.branch_id < rtrim(given.parent, '/') || '/' || given.revision || '/'
                  AND branch.parent = given.parent
                  AND branch.parent_revision = given.revision
               OFFSET 0) AS branch
         WHERE NOT EXISTS (
               SELECT FROM branch AS other
                WHERE other.claim_id = given.claim_id AND other.parent = given.parent
                  AND other.parent_revision = given.revision AND other.status <> 'ENDED')
         ORDER BY branch.claim_id, branch.parent, branch.position"
    );
    let ids: Vec<_> = parents.iter().map(|join| join.claim_id.0).collect();
    let branches: Vec<_> = parents.iter().map(|join| join.parent.as_str()).collect();
    let revisions: Vec<_> = parents.iter().map(|join| integer(join.parent_revision)).collect();
    let params = [
        (&ids as _, Type::UUID_ARRAY),
        (&branches as _, Type::TEXT_ARRAY),
        (&revisions as _, Type::INT4_ARRAY),
    ];
    let rows = tx.query(JOIN, &params).await?;
    let rows = rows.iter().map(BranchRow::read).collect::<Result<_, _>>()?;
    restored(tx, rows).await
}

/// Opens pending children, the lowest positions first, and returns them as they are now. Those
/// that another transaction holds are passed over. Most often it opens or ends them itself, but not
/// always: see [`still_pending`].
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn take_pending(
    tx: &Transaction<'_>,
    wanted: &[Pending],
) -> Result<Vec<BranchRow>, StoreError> {
    const TAKE: &str = concat!(
        "-- take pending branches
        WITH taken AS MATERIALIZED (
            SELECT pending.claim_id, pending.branch_id
              FROM (SELECT claim_id, parent, revision, max(how_many) AS how_many
                      FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::integer[])
                           AS given (claim_id, parent, revision, how_many)
                     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3) AS wanted
             CROSS JOIN LATERAL (
                   SELECT branch.claim_id, branch.branch_id FROM branch
                    WHERE branch.claim_id = wanted.claim_id AND branch.parent = wanted.parent
                      AND branch.parent_revision = wanted.revision
                      AND branch.status = 'PENDING' AND branch.status <> 'ENDED'
                    ORDER BY branch.position LIMIT wanted.how_many
                      FOR UPDATE SKIP LOCKED) AS pending
        ), branch AS (
            UPDATE branch SET status = 'OPEN' FROM taken
             WHERE branch.claim_id = taken.claim_id AND branch.branch_id = taken.branch_id
            RETURNING branch.*
        )
        SELECT ",
        branch_columns!(),
        " FROM branch ORDER BY branch.claim_id, branch.parent, branch.position"
    );
    let ids: Vec<_> = wanted.iter().map(|pending| pending.claim_id.0).collect();
    let branches: Vec<_> = wanted.iter().map(|pending| pending.parent.as_str()).collect();
    let revisions: Vec<_> = wanted.iter().map(|pending| integer(pending.parent_revision)).collect();
    let how_many: Vec<_> = wanted.iter().map(|pending| integer(pending.how_many)).collect();
    let params = [
        (&ids as _, Type::UUID_ARRAY),
        (&branches as _, Type::TEXT_ARRAY),
        (&revisions as _, Type::INT4_ARRAY),
        (&how_many as _, Type::INT4_ARRAY),
    ];
    let rows = tx.query(TAKE, &params).await?;
    let rows = rows.iter().map(BranchRow::read).collect::<Result<_, _>>()?;
    restored(tx, rows).await
}

/// Of these, those whose children are not all begun, as far as this transaction can see: where it was
/// given fewer than it wanted, somebody holds the others.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn still_pending(
    tx: &Transaction<'_>,
    wanted: Vec<Pending>,
) -> Result<Vec<Pending>, StoreError> {
    const LOOK: &str = "-- look for pending branches
        SELECT given.number
          FROM unnest($1::uuid[], $2::text[], $3::integer[]) WITH ORDINALITY
               AS given (claim_id, parent, revision, number)
         CROSS JOIN LATERAL (
               SELECT FROM branch
                WHERE branch.claim_id = given.claim_id AND branch.parent = given.parent
                  AND branch.parent_revision = given.revision
                  AND branch.status = 'PENDING' AND branch.status <> 'ENDED'
                LIMIT 1) AS pending";
    let ids: Vec<_> = wanted.iter().map(|pending| pending.claim_id.0).collect();
    let branches: Vec<_> = wanted.iter().map(|pending| pending.parent.as_str()).collect();
    let revisions: Vec<_> = wanted.iter().map(|pending| integer(pending.parent_revision)).collect();
    let params = [
        (&ids as _, Type::UUID_ARRAY),
        (&branches as _, Type::TEXT_ARRAY),
        (&revisions as _, Type::INT4_ARRAY),
    ];
    let rows = tx.query(LOOK, &params).await?;
    let number = |row| Columns::new(row, "branch", &[]).count("number");
    let found = rows.iter().map(number).collect::<Result<HashSet<u64>, _>>()?;
    let numbered = (1_u64..).zip(wanted);
    Ok(numbered.filter(|(number, _)| found.contains(number)).map(|(_, one)| one).collect())
}

impl Store {
    /// How many children the branches of a claim wait for.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn children(&self, claim_id: ClaimId) -> Result<Vec<Children>, StoreError> {
        const COUNT: &str = "-- count children
            SELECT parent, parent_revision, count(*) FILTER (WHERE status <> 'ENDED') AS open,
                   count(*) AS total
              FROM branch WHERE claim_id = $1 AND parent IS NOT NULL
             GROUP BY parent, parent_revision ORDER BY parent, parent_revision";
        let session = self.session().await?;
        let rows = session.query(COUNT, &[(&claim_id.0, Type::UUID)]).await?;
        let read = |row| {
            let row = Columns::new(row, "branch", &["parent", "parent_revision"]);
            Ok(Children {
                parent: row.parse("parent")?,
                parent_revision: row.unsigned("parent_revision")?,
                open: row.count("open")?,
                total: row.count("total")?,
            })
        };
        rows.iter().map(read).collect()
    }
}
