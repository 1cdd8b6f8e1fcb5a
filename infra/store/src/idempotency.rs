//! What fluxlings remember of their attempts, so that a task delivered twice runs once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use fluxus_postgres::types::Type;
use fluxus_schema::{Tenant, Timestamp};

use crate::columns::{Columns, limit};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::instant::stored;

/// What a record says when work is about to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The task token.
    pub token: String,
    /// What to do about it.
    pub outcome: Outcome,
}

/// Whether to do the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody does or did: do it, within the lease.
    New,
    /// Somebody does: come back later.
    InProgress,
    /// It is done. What came of it, as JSON text: answer with that again.
    Done(String),
}

/// Takes the lease on each token that nobody holds; answers in the order given. One statement.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn begin(
    on: &impl Connection,
    tokens: &[(&str, &Tenant)],
    lease: Duration,
    now: Timestamp,
) -> Result<Vec<Begin>, StoreError> {
    // A row that another transaction commits while this one runs is in neither half of the answer:
    // the work is in progress there, or was a moment ago.
    const BEGIN: &str = "-- begin tasks
        WITH given AS (
            SELECT DISTINCT ON (token) token, tenant
              FROM unnest($1::text[], $2::text[]) AS given (token, tenant) ORDER BY token
        ), taken AS (
            INSERT INTO idempotency (token, tenant, status, lease_until, created_at)
            SELECT token, tenant, 'STARTED', $3, $4 FROM given ORDER BY token
                ON CONFLICT (token) DO UPDATE SET lease_until = excluded.lease_until
             WHERE idempotency.status = 'STARTED' AND idempotency.lease_until <= $4
            RETURNING token
        )
        SELECT token, true AS taken, NULL AS outcome FROM taken
         UNION ALL
        SELECT token, false, outcome::text FROM given JOIN idempotency USING (token)
         WHERE idempotency.status = 'DONE'";
    let (texts, tenants): (Vec<&str>, Vec<&str>) =
        tokens.iter().map(|(token, tenant)| (*token, tenant.as_str())).unzip();
    let params = [
        (&texts as _, Type::TEXT_ARRAY),
        (&tenants as _, Type::TEXT_ARRAY),
        (&stored(now.plus(lease)) as _, Type::TIMESTAMPTZ),
        (&stored(now) as _, Type::TIMESTAMPTZ),
    ];
    let (mut taken, mut done) = (HashSet::new(), HashMap::new());
    for row in on.query(BEGIN, &params).await? {
        let row = Columns::new(&row, "idempotency", &["token"]);
        let token: String = row.get("token")?;
        match row.get::<Option<String>>("outcome")? {
            Some(outcome) => drop(done.insert(token, outcome)),
            None => drop(taken.insert(token)),
        }
    }
    // Of a token that is given twice, the second is in progress: in the first's hands.
    let outcome = |token: &str| match done.get(token) {
        Some(outcome) => Outcome::Done(outcome.clone()),
        None if taken.remove(token) => Outcome::New,
        None => Outcome::InProgress,
    };
    let mut outcome = outcome;
    Ok(texts
        .into_iter()
        .map(|token| Begin { token: token.to_owned(), outcome: outcome(token) })
        .collect())
}

/// Notes what came of the work, as JSON text. The first outcome stays, also of two in one call: work
/// whose lease was taken over may be done twice at the same time. Work whose record is gone, because it
/// was purged meanwhile, is noted as done all the same.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn complete(
    on: &impl Connection,
    outcomes: &[(&str, &Tenant, &str)],
    now: Timestamp,
) -> Result<(), StoreError> {
    const COMPLETE: &str = "-- complete tasks
        INSERT INTO idempotency (token, tenant, status, outcome, lease_until, created_at)
        SELECT DISTINCT ON (token) token, tenant, 'DONE', outcome::json, $4, $4
          FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
               AS new (token, tenant, outcome, number)
         ORDER BY token, number
            ON CONFLICT (token) DO UPDATE SET status = 'DONE', outcome = excluded.outcome
         WHERE idempotency.status = 'STARTED'";
    let tokens: Vec<_> = outcomes.iter().map(|(token, _, _)| *token).collect();
    let tenants: Vec<_> = outcomes.iter().map(|(_, tenant, _)| tenant.as_str()).collect();
    let documents: Vec<_> = outcomes.iter().map(|(_, _, document)| *document).collect();
    let params = [
        (&tokens as _, Type::TEXT_ARRAY),
        (&tenants as _, Type::TEXT_ARRAY),
        (&documents as _, Type::TEXT_ARRAY),
        (&stored(now) as _, Type::TIMESTAMPTZ),
    ];
    on.execute(COMPLETE, &params).await?;
    Ok(())
}

/// Prolongs the leases: the work goes on.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn extend(
    on: &impl Connection,
    tokens: &[&str],
    lease: Duration,
    now: Timestamp,
) -> Result<(), StoreError> {
    const EXTEND: &str = "-- extend leases
        UPDATE idempotency SET lease_until = $2 WHERE token = ANY($1) AND status = 'STARTED'";
    let until = stored(now.plus(lease));
    on.execute(EXTEND, &[(&tokens, Type::TEXT_ARRAY), (&until, Type::TIMESTAMPTZ)]).await?;
    Ok(())
}

/// Gives leases back: the work did not happen, and may begin again at once.
///
/// # Errors
/// [`StoreError`]; safe to try again, and harmless otherwise, because leases end.
pub async fn release(on: &impl Connection, tokens: &[&str]) -> Result<(), StoreError> {
    const RELEASE: &str = "-- release tasks
        DELETE FROM idempotency WHERE token = ANY($1) AND status = 'STARTED'";
    on.execute(RELEASE, &[(&tokens, Type::TEXT_ARRAY)]).await?;
    Ok(())
}

/// Forgets records made before `older_than`, at most so many; returns how many it forgot.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn purge_older(
    on: &impl Connection,
    older_than: Timestamp,
    at_most: usize,
) -> Result<u64, StoreError> {
    const PURGE: &str = "-- purge task records
        DELETE FROM idempotency WHERE token = ANY(ARRAY(
               SELECT token FROM idempotency WHERE created_at < $1
                ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
    let params =
        [(&stored(older_than) as _, Type::TIMESTAMPTZ), (&limit(at_most) as _, Type::INT8)];
    Ok(on.execute(PURGE, &params).await?)
}
