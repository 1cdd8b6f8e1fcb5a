//! Branches that begin, step and are joined.

use fluxus_postgres::Transaction;
use fluxus_postgres::types::Type;
use fluxus_schema::{BranchId, Capability};

use crate::branch::{BranchKey, BranchRow};
use crate::columns::integer;
use crate::error::StoreError;
use crate::instant::stored_hybrid;

pub(super) async fn insert(tx: &Transaction<'_>, rows: &[&BranchRow]) -> Result<(), StoreError> {
    const INSERT: &str = "-- insert branches
        INSERT INTO branch (claim_id, branch_id, tenant, parent, parent_revision, position, revision,
               status, failed, state, unserved, changed_at)
        SELECT claim_id, branch_id, tenant, parent, parent_revision, position, revision, status,
               failed, state::json, unserved, changed_at
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::integer[],
                      $7::integer[], $8::text[], $9::boolean[], $10::text[], $11::text[],
                      $12::timestamptz[])
               AS new (claim_id, branch_id, tenant, parent, parent_revision, position, revision,
                       status, failed, state, unserved, changed_at)
            ON CONFLICT DO NOTHING";
    if rows.is_empty() {
        return Ok(());
    }
    let column = Column(rows);
    let inserted = tx
        .execute(
            INSERT,
            &[
                (&column.of(|row| row.claim_id.0), Type::UUID_ARRAY),
                (&column.of(|row| row.branch_id.as_str()), Type::TEXT_ARRAY),
                (&column.of(|row| row.tenant.as_str()), Type::TEXT_ARRAY),
                (&column.of(|row| row.parent.as_ref().map(BranchId::as_str)), Type::TEXT_ARRAY),
                (&column.of(|row| integer(row.parent_revision)), Type::INT4_ARRAY),
                (&column.of(|row| integer(row.position)), Type::INT4_ARRAY),
                (&column.of(|row| integer(row.revision)), Type::INT4_ARRAY),
                (&column.of(|row| row.status.as_str()), Type::TEXT_ARRAY),
                (&column.of(|row| row.failed), Type::BOOL_ARRAY),
                (&column.of(|row| row.state.as_str()), Type::TEXT_ARRAY),
                (&column.of(|row| row.unserved.as_ref().map(Capability::as_str)), Type::TEXT_ARRAY),
                (&column.of(|row| stored_hybrid(row.changed_at)), Type::TIMESTAMPTZ_ARRAY),
            ],
        )
        .await?;
    all_or_conflict(inserted, rows)
}

/// Only what a step changes; a branch's place never does.
pub(super) async fn update(tx: &Transaction<'_>, rows: &[&BranchRow]) -> Result<(), StoreError> {
    const UPDATE: &str = "-- update branches
        UPDATE branch
           SET revision = new.revision, status = new.status, failed = new.failed,
               state = new.state::json, unserved = new.unserved, changed_at = new.changed_at
          FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::boolean[], $6::text[],
                      $7::text[], $8::timestamptz[])
               AS new (claim_id, branch_id, revision, status, failed, state, unserved, changed_at)
         WHERE branch.claim_id = new.claim_id AND branch.branch_id = new.branch_id
           AND branch.revision < new.revision";
    if rows.is_empty() {
        return Ok(());
    }
    let column = Column(rows);
    let updated = tx
        .execute(
            UPDATE,
            &[
                (&column.of(|row| row.claim_id.0), Type::UUID_ARRAY),
                (&column.of(|row| row.branch_id.as_str()), Type::TEXT_ARRAY),
                (&column.of(|row| integer(row.revision)), Type::INT4_ARRAY),
                (&column.of(|row| row.status.as_str()), Type::TEXT_ARRAY),
                (&column.of(|row| row.failed), Type::BOOL_ARRAY),
                (&column.of(|row| row.state.as_str()), Type::TEXT_ARRAY),
                (&column.of(|row| row.unserved.as_ref().map(Capability::as_str)), Type::TEXT_ARRAY),
                (&column.of(|row| stored_hybrid(row.changed_at)), Type::TIMESTAMPTZ_ARRAY),
            ],
        )
        .await?;
    all_or_conflict(updated, rows)
}

pub(super) async fn delete(tx: &Transaction<'_>, keys: &[&BranchKey]) -> Result<(), StoreError> {
    const DELETE: &str = "-- delete branches
        DELETE FROM branch USING unnest($1::uuid[], $2::text[]) AS gone (claim_id, branch_id)
         WHERE branch.claim_id = gone.claim_id AND branch.branch_id = gone.branch_id";
    if keys.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = keys.iter().map(|key| key.claim_id.0).collect();
    let branches: Vec<_> = keys.iter().map(|key| key.branch_id.as_str()).collect();
    tx.execute(DELETE, &[(&ids, Type::UUID_ARRAY), (&branches, Type::TEXT_ARRAY)]).await?;
    Ok(())
}

/// Branches with all that is below them, some of which nobody has loaded.
pub(super) async fn delete_trees(
    tx: &Transaction<'_>,
    keys: &[&BranchKey],
) -> Result<(), StoreError> {
    // The descendants of `/a` are the keys between `/a/` and `/a0`, the character after the slash.
    const DELETE: &str = "-- delete branches with what is below
        DELETE FROM branch USING unnest($1::uuid[], $2::text[]) AS gone (claim_id, branch_id)
         WHERE branch.claim_id = gone.claim_id
           AND (branch.branch_id = gone.branch_id
                OR (branch.branch_id >= rtrim(gone.branch_id, '/') || '/'
                    AND branch.branch_id < rtrim(gone.branch_id, '/') || '0'))";
    if keys.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = keys.iter().map(|key| key.claim_id.0).collect();
    let branches: Vec<_> = keys.iter().map(|key| key.branch_id.as_str()).collect();
    tx.execute(DELETE, &[(&ids, Type::UUID_ARRAY), (&branches, Type::TEXT_ARRAY)]).await?;
    Ok(())
}

/// Rows by column, as `unnest` takes them.
struct Column<'a>(&'a [&'a BranchRow]);

impl<'a> Column<'a> {
    fn of<T>(&self, value: impl Fn(&'a BranchRow) -> T) -> Vec<T> {
        self.0.iter().map(|row| value(row)).collect()
    }
}

fn all_or_conflict(touched: u64, rows: &[&BranchRow]) -> Result<(), StoreError> {
    if touched == rows.len() as u64 {
        return Ok(());
    }
    let key = rows.first().map(|row| row.key().to_string()).unwrap_or_default();
    Err(StoreError::Conflict { table: "branch", key })
}
