//! Claims: taking them in, finding them, and reading them for evaluation.

mod backlog;
mod insert;
mod list;
mod origin;

use std::collections::BTreeMap;
use std::sync::Arc;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Row, Transaction};
use fluxus_schema::id::ClaimType;
use fluxus_schema::{Claim, ClaimId, ClaimStatus, RecipeName, Tenant, Timestamp};

use crate::columns::Columns;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::payload::{self, Slot};
use crate::store::Store;

pub use insert::{Accepted, Inserted, Intake, find_known, insert};
pub use list::ClaimFilter;
pub(crate) use origin::origin;
pub use origin::{Namesake, Origin, Waiter, hold, take_waiters, wait};

/// All columns of a claim, as [`ClaimRow`] reads them.
macro_rules! claim_columns {
    () => {
        "claim_id, tenant, claim_type, status, subject, body::text, output::text, error, cause,
         recipe, recipe_version, idempotency_key, priority, deadline, attributes::text, traceparent,
         origin::text, seed, received_at, started_at, ended_at,
         redrive_count, redriven_at"
    };
}
use claim_columns;

/// A row of the table `claim`: what a [`Claim`] says, and what clients do not see.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRow {
    /// Its id.
    pub claim_id: ClaimId,
    /// Whose it is.
    pub tenant: Tenant,
    /// What kind of request or assertion it is.
    pub claim_type: ClaimType,
    /// Where it stands.
    pub status: ClaimStatus,
    /// Whom or what it is about.
    pub subject: Option<String>,
    /// The content, as JSON text.
    pub body: Arc<str>,
    /// What came of it, as JSON text; only once `SUCCEEDED`.
    pub output: Option<String>,
    /// Name of the error that ended it.
    pub error: Option<String>,
    /// What happened, in words.
    pub cause: Option<String>,
    /// The recipe that fulfils it.
    pub recipe: Option<RecipeName>,
    /// That recipe's version.
    pub recipe_version: Option<i32>,
    /// The client's own name for the request.
    pub idempotency_key: Option<String>,
    /// 0 to 9; among the tenant's claims higher goes first.
    pub priority: u8,
    /// When it ends as `TIMED_OUT` if nothing ended it before.
    pub deadline: Option<Timestamp>,
    /// Free keys and values to search by.
    pub attributes: BTreeMap<String, String>,
    /// W3C trace context it came with.
    pub traceparent: Option<String>,
    /// How it came to be, where a recipe started it.
    pub origin: Option<Origin>,
    /// The source of all randomness of the execution. Never shown to clients.
    pub seed: [u8; 16],
    /// When it was durably accepted.
    pub received_at: Timestamp,
    /// When its recipe began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How often it was redriven.
    pub redrive_count: u32,
    /// When it was redriven last.
    pub redriven_at: Option<Timestamp>,
}

impl ClaimRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let row = Columns::new(row, "claim", &["claim_id"]);
        Ok(Self {
            claim_id: row.claim_id("claim_id")?,
            tenant: row.parse("tenant")?,
            claim_type: row.parse("claim_type")?,
            status: row.parse("status")?,
            subject: row.get("subject")?,
            body: row.get::<&str>("body")?.into(),
            output: row.get("output")?,
            error: row.get("error")?,
            cause: row.get("cause")?,
            recipe: row.parse_option("recipe")?,
            recipe_version: row.get("recipe_version")?,
            idempotency_key: row.get("idempotency_key")?,
            priority: row.priority("priority")?,
            deadline: row.timestamp_option("deadline")?,
            attributes: row.json("attributes")?,
            traceparent: row.get("traceparent")?,
            origin: origin(&row)?,
            seed: seed(&row)?,
            received_at: row.timestamp("received_at")?,
            started_at: row.timestamp_option("started_at")?,
            ended_at: row.timestamp_option("ended_at")?,
            redrive_count: row.unsigned("redrive_count")?,
            redriven_at: row.timestamp_option("redriven_at")?,
        })
    }
}

impl TryFrom<ClaimRow> for Claim {
    type Error = StoreError;

    fn try_from(row: ClaimRow) -> Result<Self, StoreError> {
        let parse = |column, text: &str| {
            serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
                table: "claim",
                key: row.claim_id.to_string(),
                column,
                source: error.into(),
            })
        };
        Ok(Self {
            body: parse("body", &row.body)?,
            output: row.output.as_deref().map(|text| parse("output", text)).transpose()?,
            claim_id: row.claim_id,
            tenant: row.tenant,
            claim_type: row.claim_type,
            status: row.status,
            subject: row.subject,
            error: row.error,
            cause: row.cause,
            recipe: row.recipe,
            recipe_version: row.recipe_version,
            idempotency_key: row.idempotency_key,
            parent: row.origin.map(|origin| origin.parent),
            priority: row.priority.into(),
            deadline: row.deadline,
            attributes: row.attributes,
            received_at: row.received_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            redrive_count: row.redrive_count,
            redrive_date: row.redriven_at,
            redrive_status: None,
            redrive_status_reason: None,
            stuck: None,
        })
    }
}

/// The claim's seed, in any row that has the column.
pub(crate) fn seed(row: &Columns<'_>) -> Result<[u8; 16], StoreError> {
    let bytes: &[u8] = row.get("seed")?;
    bytes.try_into().map_err(|error| row.corrupt("seed", Box::new(error)))
}

/// The claims of the tenant among `ids`, by id.
///
/// # Errors
/// [`StoreError`]; an unknown id is not one, it is just not in the answer.
pub async fn find(
    on: &impl Connection,
    tenant: &Tenant,
    ids: &[ClaimId],
) -> Result<Vec<ClaimRow>, StoreError> {
    const FIND: &str = concat!(
        "-- find claims\nSELECT ",
        claim_columns!(),
        " FROM claim WHERE claim_id = ANY($1) AND tenant = $2 ORDER BY claim_id"
    );
    let params = [(&uuids(ids) as _, Type::UUID_ARRAY), (&tenant.as_str() as _, Type::TEXT)];
    let rows = on.query(FIND, &params).await?;
    restored(on, rows.iter().map(ClaimRow::read).collect::<Result<_, _>>()?).await
}

/// Puts the documents of claims together again.
async fn restored(
    on: &impl Connection,
    mut claims: Vec<ClaimRow>,
) -> Result<Vec<ClaimRow>, StoreError> {
    let slots = claims.iter_mut().flat_map(|claim| {
        let output = claim.output.as_mut().map(|output| (claim.claim_id, Slot::Own(output)));
        output.into_iter().chain([(claim.claim_id, Slot::Shared(&mut claim.body))])
    });
    payload::restore(on, slots.collect()).await?;
    Ok(claims)
}

/// Locks those of the claims that wait for evaluation, in the order of their ids, and reads them.
/// The others have been evaluated before: the message that named them is a duplicate.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn lock_received(
    tx: &Transaction<'_>,
    ids: &[ClaimId],
) -> Result<Vec<ClaimRow>, StoreError> {
    const LOCK: &str = concat!(
        "-- lock received claims\nSELECT ",
        claim_columns!(),
        " FROM claim WHERE claim_id = ANY($1) AND status = 'RECEIVED'
          ORDER BY claim_id FOR UPDATE"
    );
    let rows = tx.query(LOCK, &[(&uuids(ids), Type::UUID_ARRAY)]).await?;
    restored(tx, rows.iter().map(ClaimRow::read).collect::<Result<_, _>>()?).await
}

impl Store {
    /// A claim of the tenant.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn claim(
        &self,
        tenant: &Tenant,
        claim_id: ClaimId,
    ) -> Result<Option<Claim>, StoreError> {
        let found = find(&self.session().await?, tenant, &[claim_id]).await?;
        found.into_iter().next().map(Claim::try_from).transpose()
    }

    /// Those of the claims that have ended, by id: what somebody who waits for them asks.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn ended(&self, ids: &[ClaimId]) -> Result<Vec<Claim>, StoreError> {
        const ENDED: &str = concat!(
            "-- find ended claims\nSELECT ",
            claim_columns!(),
            " FROM claim WHERE claim_id = ANY($1) AND ended_at IS NOT NULL ORDER BY claim_id"
        );
        let session = self.session().await?;
        let rows = session.query(ENDED, &[(&uuids(ids), Type::UUID_ARRAY)]).await?;
        let rows = rows.iter().map(ClaimRow::read).collect::<Result<_, _>>()?;
        restored(&session, rows).await?.into_iter().map(Claim::try_from).collect()
    }
}

/// Ids as a parameter.
pub(crate) fn uuids(ids: &[ClaimId]) -> Vec<uuid::Uuid> {
    ids.iter().map(|id| id.0).collect()
}
