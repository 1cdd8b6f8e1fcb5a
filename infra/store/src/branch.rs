//! Branches: the strands of running executions, one row each.

mod children;
mod left;
mod lock;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Row, Transaction};
use fluxus_schema::id::ClaimType;
use fluxus_schema::{
    BranchId, Capability, ClaimId, ClaimStatus, HybridTime, RecipeName, Tenant, Timestamp,
};

use crate::claim::Origin;
use crate::columns::{Columns, limit};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::instant::stored;
use crate::payload::{self, Slot};
use crate::store::Store;

pub use children::{Children, Join, Pending, join, still_pending, take_pending};
pub use left::{Left, expect, expecting};
pub use lock::{lock, lock_kept};

/// All columns of a branch, as [`BranchRow`] reads them.
macro_rules! branch_columns {
    () => {
        "branch.claim_id, branch.branch_id, branch.tenant, branch.parent, branch.parent_revision,
         branch.position, branch.revision, branch.status, branch.failed, branch.state::text,
         branch.unserved, branch.changed_at"
    };
}
use branch_columns;

/// Names a branch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchKey {
    /// The claim.
    pub claim_id: ClaimId,
    /// The branch of it.
    pub branch_id: BranchId,
}

impl fmt::Display for BranchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.claim_id, self.branch_id)
    }
}

/// Where a branch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BranchStatus {
    /// Waits for its turn: a Map runs only so many items at a time.
    Pending,
    /// Runs, or waits for something.
    Open,
    /// Done; it waits for its parent to join it.
    Ended,
}

impl BranchStatus {
    /// The word for it, as stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Open => "OPEN",
            Self::Ended => "ENDED",
        }
    }
}

impl FromStr for BranchStatus {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Pending, Self::Open, Self::Ended];
        let known = all.into_iter().find(|status| status.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is not a branch status"))
    }
}

/// A row of the table `branch`.
#[derive(Clone, Debug, PartialEq)]
pub struct BranchRow {
    /// The claim.
    pub claim_id: ClaimId,
    /// The branch of it.
    pub branch_id: BranchId,
    /// Whose claim it is.
    pub tenant: Tenant,
    /// The branch that started it; none for the root.
    pub parent: Option<BranchId>,
    /// The parent's revision whose step started it; 0 for the root.
    pub parent_revision: u32,
    /// Index among its siblings.
    pub position: u32,
    /// Grows with every step.
    pub revision: u32,
    /// Where it stands.
    pub status: BranchStatus,
    /// Whether it ended with an error.
    pub failed: bool,
    /// The machine's document, as JSON text. It is written with references, and read without.
    pub state: String,
    /// The capability it waits for because no fluxling offers it.
    pub unserved: Option<Capability>,
    /// When its last event was recorded.
    pub changed_at: HybridTime,
}

impl BranchRow {
    /// Its key.
    pub fn key(&self) -> BranchKey {
        BranchKey { claim_id: self.claim_id, branch_id: self.branch_id.clone() }
    }

    /// By which rows are locked.
    pub fn order(&self) -> (ClaimId, &str) {
        (self.claim_id, self.branch_id.as_str())
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        let row = Columns::new(row, "branch", &["claim_id", "branch_id"]);
        Ok(Self {
            claim_id: row.claim_id("claim_id")?,
            branch_id: row.parse("branch_id")?,
            tenant: row.parse("tenant")?,
            parent: row.parse_option("parent")?,
            parent_revision: row.unsigned("parent_revision")?,
            position: row.unsigned("position")?,
            revision: row.unsigned("revision")?,
            status: row.parse("status")?,
            failed: row.get("failed")?,
            state: row.get("state")?,
            unserved: row.parse_option("unserved")?,
            changed_at: row.hybrid("changed_at")?,
        })
    }
}

/// A branch with what a step of it needs to know of its claim.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedBranch {
    /// The branch.
    pub row: BranchRow,
    /// Its claim, shared between the branches of one claim.
    pub claim: Arc<ClaimContext>,
}

/// What a step needs to know of a claim whose recipe has begun.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimContext {
    /// Its id.
    pub claim_id: ClaimId,
    /// Whose it is.
    pub tenant: Tenant,
    /// What kind of request or assertion it is.
    pub claim_type: ClaimType,
    /// Where it stands.
    pub status: ClaimStatus,
    /// The content, as JSON text.
    pub body: Arc<str>,
    /// The source of all randomness of the execution.
    pub seed: [u8; 16],
    /// The recipe that fulfils it.
    pub recipe: RecipeName,
    /// That recipe's version.
    pub recipe_version: i32,
    /// When the recipe began.
    pub started_at: Timestamp,
    /// When the claim was durably accepted.
    pub received_at: Timestamp,
    /// W3C trace context it came with.
    pub traceparent: Option<String>,
    /// How it came to be, where a recipe started it.
    pub origin: Option<Origin>,
    /// When it ends as `TIMED_OUT` if nothing ended it before.
    pub deadline: Option<Timestamp>,
    /// 0 to 9: what its messages are sent with.
    pub priority: u8,
    /// How often it was redriven.
    pub redrive_count: u32,
    /// When it was redriven last.
    pub redriven_at: Option<Timestamp>,
}

/// The document of one of the tenant's branches, while it is open.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn open_state(
    on: &impl Connection,
    tenant: &Tenant,
    key: &BranchKey,
) -> Result<Option<String>, StoreError> {
    const OPEN: &str = "-- find an open branch
        SELECT claim_id, branch_id, state::text FROM branch
         WHERE claim_id = $1 AND branch_id = $2 AND tenant = $3 AND status = 'OPEN'";
    let params = [
        (&key.claim_id.0 as _, Type::UUID),
        (&key.branch_id.as_str() as _, Type::TEXT),
        (&tenant.as_str() as _, Type::TEXT),
    ];
    let rows = on.query(OPEN, &params).await?;
    let state = |row| Columns::new(row, "branch", &["claim_id", "branch_id"]).get("state");
    let mut state: Option<String> = rows.first().map(state).transpose()?;
    let slots = state.iter_mut().map(|state| (key.claim_id, Slot::Own(state)));
    payload::restore(on, slots.collect()).await?;
    Ok(state)
}

/// A branch whose task nobody could be given.
#[derive(Clone, Debug, PartialEq)]
pub struct Unserved {
    /// The branch.
    pub key: BranchKey,
    /// Whose it is.
    pub tenant: Tenant,
    /// What its task asks for.
    pub capability: Capability,
}

/// Branches of any tenant that wait because no fluxling offered one of these capabilities, for
/// when one does.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn unserved(
    on: &impl Connection,
    capabilities: &[Capability],
    at_most: usize,
) -> Result<Vec<Unserved>, StoreError> {
    const UNSERVED: &str = "-- find unserved branches
        SELECT claim_id, branch_id, tenant, unserved FROM branch
         WHERE unserved = ANY($1)
         ORDER BY claim_id, branch_id LIMIT $2";
    let names: Vec<_> = capabilities.iter().map(Capability::as_str).collect();
    let params = [(&names as _, Type::TEXT_ARRAY), (&limit(at_most) as _, Type::INT8)];
    let read = |row: &Row| {
        let row = Columns::new(row, "branch", &["claim_id", "branch_id"]);
        let (claim_id, branch_id) = (row.claim_id("claim_id")?, row.parse("branch_id")?);
        Ok(Unserved {
            key: BranchKey { claim_id, branch_id },
            tenant: row.parse("tenant")?,
            capability: row.parse("unserved")?,
        })
    };
    on.query(UNSERVED, &params).await?.iter().map(read).collect()
}

/// Takes the first task of the tenant that waits for this capability, for a worker that polls for
/// it: its branch and document. Whoever takes it must tell the core in the same transaction.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn take_unserved(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    capability: &Capability,
) -> Result<Option<(BranchKey, String)>, StoreError> {
    const TAKE: &str = "-- take an unserved branch
        WITH found AS MATERIALIZED (
            SELECT claim_id, branch_id FROM branch
             WHERE unserved = $1 AND tenant = $2
             ORDER BY claim_id, branch_id LIMIT 1 FOR UPDATE SKIP LOCKED)
        UPDATE branch SET unserved = NULL FROM found
         WHERE branch.claim_id = found.claim_id AND branch.branch_id = found.branch_id
        RETURNING branch.claim_id, branch.branch_id, branch.state::text";
    let params = [(&capability.as_str() as _, Type::TEXT), (&tenant.as_str() as _, Type::TEXT)];
    let read = |row: &Row| {
        let row = Columns::new(row, "branch", &["claim_id", "branch_id"]);
        let (claim_id, branch_id) = (row.claim_id("claim_id")?, row.parse("branch_id")?);
        Ok::<_, StoreError>((BranchKey { claim_id, branch_id }, row.get("state")?))
    };
    let mut taken: Option<(BranchKey, String)> =
        tx.query(TAKE, &params).await?.first().map(read).transpose()?;
    let slots = taken.iter_mut().map(|(key, state)| (key.claim_id, Slot::Own(state)));
    payload::restore(tx, slots.collect()).await?;
    Ok(taken)
}

/// Puts the documents of branches together again.
async fn restored(
    on: &impl Connection,
    mut rows: Vec<BranchRow>,
) -> Result<Vec<BranchRow>, StoreError> {
    let slots = rows.iter_mut().map(|row| (row.claim_id, Slot::Own(&mut row.state)));
    payload::restore(on, slots.collect()).await?;
    Ok(rows)
}

/// The document of the root branch of a claim that ended without success, as long as it is kept.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn kept_root(
    on: &impl Connection,
    claim_id: ClaimId,
) -> Result<Option<String>, StoreError> {
    const ROOT: &str = "-- find a kept root branch
        SELECT claim_id, branch_id, state::text FROM branch
         WHERE claim_id = $1 AND branch_id = '/' AND status = 'ENDED'";
    let rows = on.query(ROOT, &[(&claim_id.0, Type::UUID)]).await?;
    let state = |row| Columns::new(row, "branch", &["claim_id", "branch_id"]).get("state");
    let mut state: Option<String> = rows.first().map(state).transpose()?;
    let slots = state.iter_mut().map(|state| (claim_id, Slot::Own(state)));
    payload::restore(on, slots.collect()).await?;
    Ok(state)
}

/// Every branch of the claim that has not ended, by id.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn open(on: &impl Connection, claim_id: ClaimId) -> Result<Vec<BranchRow>, StoreError> {
    const WAITING: &str = concat!(
        "-- list waiting branches\nSELECT ",
        branch_columns!(),
        " FROM branch WHERE claim_id = $1 AND status <> 'ENDED' ORDER BY branch_id"
    );
    let rows = on.query(WAITING, &[(&claim_id.0, Type::UUID)]).await?;
    restored(on, rows.iter().map(BranchRow::read).collect::<Result<_, _>>()?).await
}

/// Forgets the branches of claims that ended before `over` and are kept to be redriven; of so many
/// claims at most. How many rows those were.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub(crate) async fn forget_kept(
    on: &impl Connection,
    over: Timestamp,
    at_most: usize,
) -> Result<u64, StoreError> {
    const FORGET: &str = "-- forget kept branches
        WITH over AS MATERIALIZED (
            SELECT root.claim_id FROM branch AS root
              JOIN claim ON claim.claim_id = root.claim_id
             WHERE root.parent IS NULL AND root.status = 'ENDED' AND claim.ended_at < $1
             LIMIT $2
        )
        DELETE FROM branch USING over WHERE branch.claim_id = over.claim_id";
    let params = [(&stored(over) as _, Type::TIMESTAMPTZ), (&limit(at_most) as _, Type::INT8)];
    Ok(on.execute(FORGET, &params).await?)
}

impl Store {
    /// Every branch of the claim that has not ended, by id.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn waiting(&self, claim_id: ClaimId) -> Result<Vec<BranchRow>, StoreError> {
        open(&self.session().await?, claim_id).await
    }
}
