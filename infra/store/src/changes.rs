//! Saving what a batch of steps changed: all of it, or nothing.

mod branches;
mod claims;
mod records;

use std::collections::HashSet;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Statement, Transaction};
use fluxus_schema::payload::may_refer;
use fluxus_schema::{
    BranchId, Claim, ClaimId, ClaimStatus, HybridTime, RecipeName, Tenant, Timestamp,
};

use crate::branch::{BranchKey, BranchRow};
use crate::claim::Accepted;
use crate::columns::storable;
use crate::error::StoreError;
use crate::payload::{self, PayloadRow};
use crate::timer::TimerRow;

/// A claim that was evaluated and whose recipe begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The claim.
    pub claim_id: ClaimId,
    /// The recipe that fulfils it.
    pub recipe: RecipeName,
    /// That recipe's version.
    pub recipe_version: i32,
    /// Now.
    pub started_at: Timestamp,
}

/// A claim that ends. It may start in the same [`Changes`].
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// The claim.
    pub claim_id: ClaimId,
    /// Any status that has ended.
    pub status: ClaimStatus,
    /// What came of it, as JSON text with references; exactly where the status is `SUCCEEDED`.
    pub output: Option<String>,
    /// Name of the error that ended it.
    pub error: Option<String>,
    /// What happened, in words.
    pub cause: Option<String>,
    /// Now.
    pub ended_at: Timestamp,
    /// Whether all its branches go. Where they stay, those that had not ended must be among the
    /// updates, so that whoever waits for their locks sees that the claim is over.
    pub delete_branches: bool,
}

/// What a claim came to, for those who wait for it in the process that ended it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its end, as it is stored.
    pub end: End,
    /// The recipe that fulfilled it, the version, and when that began; none where it never did.
    pub began: Option<(RecipeName, i32, Timestamp)>,
    /// How often it was redriven, and when last.
    pub redriven: (u32, Option<Timestamp>),
}

impl Outcome {
    /// The claim, of which all was known but what came of it. None where what came of it is so large
    /// that it has to be read.
    pub fn of(self, known: Claim) -> Option<Claim> {
        let Self { end, began, redriven } = self;
        if end.output.as_deref().is_some_and(may_refer) {
            return None;
        }
        let output = end.output.map(|text| serde_json::from_str(&text)).transpose().ok()?;
        let (recipe, recipe_version, started_at) = match began {
            Some((recipe, version, at)) => (Some(recipe), Some(version), Some(at)),
            None => (None, None, None),
        };
        Some(Claim {
            status: end.status,
            output,
            error: end.error.as_deref().map(|text| storable(text).into_owned()),
            cause: end.cause.as_deref().map(|text| storable(text).into_owned()),
            recipe,
            recipe_version,
            started_at,
            ended_at: Some(end.ended_at),
            redrive_count: redriven.0,
            redrive_date: redriven.1,
            ..known
        })
    }
}

/// A claim that ended without success and goes on. It may end again in the same [`Changes`].
#[derive(Clone, Debug, PartialEq)]
pub struct Redrive {
    /// The claim.
    pub claim_id: ClaimId,
    /// How often it was redriven, this time included.
    pub redrive_count: u32,
    /// Now.
    pub redriven_at: Timestamp,
}

/// What a step recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    /// The claim.
    pub claim_id: ClaimId,
    /// Whose it is.
    pub tenant: Tenant,
    /// The branch that stepped.
    pub branch_id: BranchId,
    /// The revision that the step made.
    pub revision: u32,
    /// 0, 1, … where a step's events are spread over several rows.
    pub part: u32,
    /// When, ordered by cause; the same in all parts.
    pub at: HybridTime,
    /// The events: a JSON array of [`fluxus_schema::history::Event`], as text with references.
    pub events: String,
}

/// Everything a batch of steps changed. No branch is named in two of the lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Claims that come in and are dealt with at once.
    pub accept: Accepted,
    /// Claims that go on, though they had ended.
    pub redrive: Vec<Redrive>,
    /// Claims that begin.
    pub start: Vec<Start>,
    /// Claims that end. Their timers are cleared too.
    pub end: Vec<End>,
    /// New branches.
    pub insert: Vec<BranchRow>,
    /// Branches that stepped, with their new revision.
    pub update: Vec<BranchRow>,
    /// Branches that were joined.
    pub delete: Vec<BranchKey>,
    /// Branches that go with everything below them, as far as they are there.
    pub delete_trees: Vec<BranchKey>,
    /// What was recorded.
    pub history: Vec<HistoryRow>,
    /// Timers to set; one with a known key replaces it. Those of claims that end are passed over.
    pub set_timers: Vec<TimerRow>,
    /// Timers to clear, by claim and key; those that are not there are passed over.
    pub clear_timers: Vec<(ClaimId, String)>,
    /// What the documents above refer to ([`fluxus_schema::payload`]).
    pub payloads: Vec<PayloadRow>,
}

/// Saves the changes. At most eleven statements, however many changes there are, all sent together; a
/// list that is empty costs none.
///
/// # Errors
/// - [`StoreError::Conflict`]: a branch to update is gone or was saved with this revision or a
///   later one, a branch to insert is there, a claim has ended before, or one to be redriven has
///   not or was. Roll back, load again.
/// - [`StoreError::Database`]: safe to try again, because nothing was committed.
pub async fn save(tx: &Transaction<'_>, changes: &Changes) -> Result<(), StoreError> {
    tx.run(&statements(changes)).await?;
    Ok(())
}

/// What [`save`] runs, in this order, for whoever sends more along. A conflict fails the statement
/// that meets it.
pub fn statements(changes: &Changes) -> Vec<Statement<'_>> {
    // Branches that go with their claim are neither inserted nor updated before, and a timer that is
    // set is not cleared.
    let cleared = |end: &&End| end.delete_branches;
    let gone: HashSet<ClaimId> = changes.end.iter().filter(cleared).map(|e| e.claim_id).collect();
    let stay = |row: &&BranchRow| !gone.contains(&row.claim_id);
    let insert: Vec<_> = changes.insert.iter().filter(stay).collect();
    let update: Vec<_> = changes.update.iter().filter(stay).collect();
    let delete: Vec<_> =
        changes.delete.iter().filter(|key| !gone.contains(&key.claim_id)).collect();
    let ended: HashSet<ClaimId> = changes.end.iter().map(|end| end.claim_id).collect();
    let set: Vec<_> =
        changes.set_timers.iter().filter(|timer| !ended.contains(&timer.claim_id)).collect();
    let keys: HashSet<_> = set.iter().map(|timer| (timer.claim_id, &*timer.key)).collect();
    let clear: Vec<_> =
        changes.clear_timers.iter().filter(|(id, key)| !keys.contains(&(*id, &**key))).collect();
    let trees: Vec<_> =
        changes.delete_trees.iter().filter(|key| !gone.contains(&key.claim_id)).collect();
    // A claim that comes in is inserted as started, unless it ends at once.
    let accepted = changes.accept.ids();
    let start = changes
        .start
        .iter()
        .filter(|start| ended.contains(&start.claim_id) || !accepted.contains(&start.claim_id));
    [
        // Before the others: they are about them.
        changes
            .accept
            .inserting(changes.start.iter().filter(|start| !ended.contains(&start.claim_id))),
        // Before the others: what is redriven may end in the same step.
        claims::redrive(&changes.redrive),
        // Before the others: what goes with a tree may be named for itself too.
        branches::delete_trees(&trees),
        claims::start_and_end(start, &changes.end),
        claims::clear_ended(&changes.end),
        branches::insert(&insert),
        branches::update(&update),
        branches::delete(&delete),
        records::history(&changes.history),
        records::set_timers(&set),
        records::clear_timers(&clear),
        payload::putting(&changes.payloads),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The same with what it must agree with, for the function `fluxus_agree`: how many rows it is about,
/// and the first one's key.
pub(crate) fn agreeing<'a>(
    statement: Statement<'a>,
    rows: usize,
    first: &impl ToString,
) -> Statement<'a> {
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    statement.with(rows, Type::INT8).with(first.to_string(), Type::TEXT)
}
