//! Claims that recipes started: how they came to be, and who waits for their end.

use std::sync::Arc;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Row, Transaction};
use fluxus_schema::{ClaimId, ClaimStatus, RecipeName, TaskToken, Tenant, Timestamp};
use serde::{Deserialize, Serialize};

use super::uuids;
use crate::columns::Columns;
use crate::error::StoreError;
use crate::payload::{self, Slot};

/// How a claim came to be that a recipe started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The claim whose recipe started it.
    pub parent: ClaimId,
    /// The recipe that fulfils it, whatever its type says.
    pub recipe: RecipeName,
    /// That recipe's version.
    pub version: i32,
    /// The name that the task gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many executions wait for it, one for the other.
    pub depth: u32,
}

/// A task that waits for the end of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The claim.
    pub claim_id: ClaimId,
    /// The task's token.
    pub token: TaskToken,
    /// Whose both are.
    pub tenant: Tenant,
    /// Whether the claim's input and output are told as JSON, not as text.
    pub as_json: bool,
}

/// What a task must know of a claim that has the name it asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Namesake {
    /// The claim.
    pub claim_id: ClaimId,
    /// Where it stands.
    pub status: ClaimStatus,
    /// Its input, as JSON text.
    pub body: Arc<str>,
    /// When it was accepted.
    pub received_at: Timestamp,
}

/// The claims among `ids`, which do not end before this transaction does. One statement.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn hold(tx: &Transaction<'_>, ids: &[ClaimId]) -> Result<Vec<Namesake>, StoreError> {
    const HOLD: &str = "-- hold claims
        SELECT claim_id, status, body::text, received_at FROM claim
         WHERE claim_id = ANY($1) ORDER BY claim_id FOR SHARE";
    let read = |row: &Row| {
        let row = Columns::new(row, "claim", &["claim_id"]);
        Ok(Namesake {
            claim_id: row.claim_id("claim_id")?,
            status: row.parse("status")?,
            body: row.get::<&str>("body")?.into(),
            received_at: row.timestamp("received_at")?,
        })
    };
    let rows = tx.query(HOLD, &[(&uuids(ids), Type::UUID_ARRAY)]).await?;
    let mut held: Vec<Namesake> = rows.iter().map(read).collect::<Result<_, StoreError>>()?;
    let slots = held.iter_mut().map(|one| (one.claim_id, Slot::Shared(&mut one.body)));
    payload::restore(tx, slots.collect()).await?;
    Ok(held)
}

/// Notes who waits for which claims. One statement.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn wait(tx: &Transaction<'_>, waiters: &[Waiter]) -> Result<(), StoreError> {
    const WAIT: &str = "-- insert waiters
        INSERT INTO waiter (claim_id, token, tenant, as_json)
        SELECT claim_id, token, tenant, as_json
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[])
               AS given (claim_id, token, tenant, as_json)
            ON CONFLICT DO NOTHING";
    let ids: Vec<_> = waiters.iter().map(|waiter| waiter.claim_id).collect();
    let tokens: Vec<_> = waiters.iter().map(|waiter| waiter.token.as_str()).collect();
    let tenants: Vec<_> = waiters.iter().map(|waiter| waiter.tenant.as_str()).collect();
    let as_json: Vec<_> = waiters.iter().map(|waiter| waiter.as_json).collect();
    let params = [
        (&uuids(&ids) as _, Type::UUID_ARRAY),
        (&tokens as _, Type::TEXT_ARRAY),
        (&tenants as _, Type::TEXT_ARRAY),
        (&as_json as _, Type::BOOL_ARRAY),
    ];
    tx.execute(WAIT, &params).await?;
    Ok(())
}

/// Takes those who wait for claims that end in this transaction, once the end is saved: one who
/// came before it is then seen. One statement.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn take_waiters(
    tx: &Transaction<'_>,
    ids: &[ClaimId],
) -> Result<Vec<Waiter>, StoreError> {
    const TAKE: &str = "-- take waiters
        DELETE FROM waiter WHERE claim_id = ANY($1)
        RETURNING claim_id, token, tenant, as_json";
    let read = |row: &Row| {
        let row = Columns::new(row, "waiter", &["claim_id", "token"]);
        Ok(Waiter {
            claim_id: row.claim_id("claim_id")?,
            token: TaskToken::from_text(row.get("token")?),
            tenant: row.parse("tenant")?,
            as_json: row.get("as_json")?,
        })
    };
    tx.query(TAKE, &[(&uuids(ids), Type::UUID_ARRAY)]).await?.iter().map(read).collect()
}

/// The column `origin`, in any row that has it.
pub(crate) fn origin(row: &Columns<'_>) -> Result<Option<Origin>, StoreError> {
    let text: Option<&str> = row.get("origin")?;
    let read = |text| serde_json::from_str(text).map_err(|error| row.corrupt("origin", error));
    text.map(read).transpose()
}
