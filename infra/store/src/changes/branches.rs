//! Branches that begin, step and are joined.

use fluxus_postgres::Statement;
use fluxus_postgres::types::Type;
use fluxus_schema::{BranchId, Capability};

use super::agreeing;
use crate::branch::{BranchKey, BranchRow};
use crate::columns::integer;
use crate::instant::stored_hybrid;

pub(super) fn insert<'a>(rows: &[&'a BranchRow]) -> Option<Statement<'a>> {
    const INSERT: &str = "-- insert branches
        WITH inserted AS (
        INSERT INTO branch (claim_id, branch_id, tenant, parent, parent_revision, position, revision,
               status, failed, state, unserved, changed_at)
        SELECT claim_id, branch_id, tenant, parent, parent_revision, position, revision, status,
               failed, state::json, unserved, changed_at
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::integer[],
                      $7::integer[], $8::text[], $9::boolean[], $10::text[], $11::text[],
                      $12::timestamptz[])
               AS new (claim_id, branch_id, tenant, parent, parent_revision, position, revision,
                       status, failed, state, unserved, changed_at)
            ON CONFLICT DO NOTHING
            RETURNING 1
        )
        SELECT fluxus_agree(count(*), $13, 'branch', $14) FROM inserted";
    let first = rows.first()?;
    let column = Column(rows);
    let statement = Statement::new(INSERT)
        .with(column.of(|row| row.claim_id.0), Type::UUID_ARRAY)
        .with(column.of(|row| row.branch_id.as_str()), Type::TEXT_ARRAY)
        .with(column.of(|row| row.tenant.as_str()), Type::TEXT_ARRAY)
        .with(column.of(|row| row.parent.as_ref().map(BranchId::as_str)), Type::TEXT_ARRAY)
        .with(column.of(|row| integer(row.parent_revision)), Type::INT4_ARRAY)
        .with(column.of(|row| integer(row.position)), Type::INT4_ARRAY)
        .with(column.of(|row| integer(row.revision)), Type::INT4_ARRAY)
        .with(column.of(|row| row.status.as_str()), Type::TEXT_ARRAY)
        .with(column.of(|row| row.failed), Type::BOOL_ARRAY)
        .with(column.of(|row| row.state.as_str()), Type::TEXT_ARRAY)
        .with(column.of(|row| row.unserved.as_ref().map(Capability::as_str)), Type::TEXT_ARRAY)
        .with(column.of(|row| stored_hybrid(row.changed_at)), Type::TIMESTAMPTZ_ARRAY);
    Some(agreeing(statement, rows.len(), &first.key()))
}

/// Only what a step changes; a branch's place never does.
pub(super) fn update<'a>(rows: &[&'a BranchRow]) -> Option<Statement<'a>> {
    const UPDATE: &str = "-- update branches
        WITH updated AS (
        UPDATE branch
           SET revision = new.revision, status = new.status, failed = new.failed,
               state = new.state::json, unserved = new.unserved, changed_at = new.changed_at
          FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::boolean[], $6::text[],
                      $7::text[], $8::timestamptz[])
               AS new (claim_id, branch_id, revision, status, failed, state, unserved, changed_at)
         WHERE branch.claim_id = new.claim_id AND branch.branch_id = new.branch_id
           AND branch.revision < new.revision
        RETURNING 1
        )
        SELECT fluxus_agree(count(*), $9, 'branch', $10) FROM updated";
    let first = rows.first()?;
    let column = Column(rows);
    let statement = Statement::new(UPDATE)
        .with(column.of(|row| row.claim_id.0), Type::UUID_ARRAY)
        .with(column.of(|row| row.branch_id.as_str()), Type::TEXT_ARRAY)
        .with(column.of(|row| integer(row.revision)), Type::INT4_ARRAY)
        .with(column.of(|row| row.status.as_str()), Type::TEXT_ARRAY)
        .with(column.of(|row| row.failed), Type::BOOL_ARRAY)
        .with(column.of(|row| row.state.as_str()), Type::TEXT_ARRAY)
        .with(column.of(|row| row.unserved.as_ref().map(Capability::as_str)), Type::TEXT_ARRAY)
        .with(column.of(|row| stored_hybrid(row.changed_at)), Type::TIMESTAMPTZ_ARRAY);
    Some(agreeing(statement, rows.len(), &first.key()))
}

pub(super) fn delete<'a>(keys: &[&'a BranchKey]) -> Option<Statement<'a>> {
    const DELETE: &str = "-- delete branches
        DELETE FROM branch USING unnest($1::uuid[], $2::text[]) AS gone (claim_id, branch_id)
         WHERE branch.claim_id = gone.claim_id AND branch.branch_id = gone.branch_id";
    if keys.is_empty() {
        return None;
    }
    let ids: Vec<_> = keys.iter().map(|key| key.claim_id.0).collect();
    let branches: Vec<_> = keys.iter().map(|key| key.branch_id.as_str()).collect();
    let statement = Statement::new(DELETE).with(ids, Type::UUID_ARRAY);
    Some(statement.with(branches, Type::TEXT_ARRAY))
}

/// Branches with all that is below them, some of which nobody has loaded.
pub(super) fn delete_trees<'a>(keys: &[&'a BranchKey]) -> Option<Statement<'a>> {
    // The descendants of `/a` are the keys between `/a/` and `/a0`, the character after the slash.
    const DELETE: &str = "-- delete branches with what is below
        DELETE FROM branch USING unnest($1::uuid[], $2::text[]) AS gone (claim_id, branch_id)
         WHERE branch.claim_id = gone.claim_id
           AND (branch.branch_id = gone.branch_id
                OR (branch.branch_id >= rtrim(gone.branch_id, '/') || '/'
                    AND branch.branch_id < rtrim(gone.branch_id, '/') || '0'))";
    if keys.is_empty() {
        return None;
    }
    let ids: Vec<_> = keys.iter().map(|key| key.claim_id.0).collect();
    let branches: Vec<_> = keys.iter().map(|key| key.branch_id.as_str()).collect();
    let statement = Statement::new(DELETE).with(ids, Type::UUID_ARRAY);
    Some(statement.with(branches, Type::TEXT_ARRAY))
}

/// Rows by column, as `unnest` takes them.
struct Column<'r, 'a>(&'r [&'a BranchRow]);

impl<'a> Column<'_, 'a> {
    fn of<T>(&self, value: impl Fn(&'a BranchRow) -> T) -> Vec<T> {
        self.0.iter().map(|row| value(row)).collect()
    }
}
