//! An audit: does everything the tables hold agree with itself?
//!
//! What a crash, a duplicate or a bug could spoil is looked at from both sides: a claim's status
//! and its history, a branch and its last recorded step, a task and the record of having done it,
//! what a claim waits for and the message or timer that will bring it. Nothing is changed.

mod ended;
mod errand;
mod load;
mod story;
mod waiting;

use std::collections::BTreeMap;
use std::fmt;

use fluxus_postgres::Transaction;
use fluxus_schema::ClaimId;

use crate::error::StoreError;
use crate::store::Store;
use errand::Errands;
use load::{Facts, Records};
use story::Story;

/// Claims that are looked at together: bounds the memory, whatever the size of the database.
const PAGE: usize = 500;

/// Most violations that are listed. More would not be read, and come of the same fault.
pub const MAX_VIOLATIONS: usize = 1_000;

/// Whether work may be under way while the audit looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// There may be messages on their way and tasks in hand. Holds at any moment, also right after
    /// a crash.
    UnderWay,
    /// Everything that can happen without somebody from outside has happened: no message is left,
    /// no task in hand, nothing in the outbox.
    Drained,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The claim it is about, if it is about one.
    pub claim_id: Option<ClaimId>,
    /// What is wrong, in words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.claim_id {
            Some(claim_id) => write!(f, "claim {claim_id}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Looks at everything in one snapshot, claim by claim, and lists what is wrong; nothing where all
/// is sound, [`MAX_VIOLATIONS`] at most.
///
/// Reads every row once, so it is for a moment when somebody wants to know, not for a schedule of
/// minutes. What a claim waits for is looked at only where the queues are in the same database.
/// Claims must have their whole history: those whose days were dropped are listed as lacking it.
///
/// # Errors
/// [`StoreError`], also for a row that cannot be read; safe to try again.
pub async fn audit(store: &Store, activity: Activity) -> Result<Vec<Violation>, StoreError> {
    const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    tx.execute(SNAPSHOT, &[]).await?;
    let mut findings = Findings::default();
    let errands = Errands::load(&tx, activity, &mut findings).await?;
    let records = Records::load(&tx).await?;
    let mut ended = BTreeMap::new();
    let mut after = None;
    loop {
        let page = load::claims(&tx, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.claim_id);
        check(&tx, page, activity, &errands, &records, &mut ended, &mut findings).await?;
    }
    for (name, tallied) in load::tallies(&tx).await? {
        let counted = ended.remove(&name).unwrap_or(0);
        if counted != tallied {
            findings.add(None, format!("{tallied} ends of {name} are tallied, not {counted}"));
        }
    }
    for (name, counted) in ended {
        findings.add(None, format!("{counted} ends of {name} are not tallied"));
    }
    for (table, claim_id) in load::orphans(&tx).await? {
        findings
            .add(Some(claim_id), format!("does not exist, and the table {table} has rows of it"));
    }
    Ok(findings.0)
}

/// Looks at one page of claims, and counts those that ended.
async fn check(
    tx: &Transaction<'_>,
    page: Vec<Facts>,
    activity: Activity,
    errands: &Errands,
    records: &Records,
    ended: &mut BTreeMap<String, u64>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let ids: Vec<ClaimId> = page.iter().map(|claim| claim.claim_id).collect();
    let mut histories = load::histories(tx, &ids).await?;
    let mut branches = load::branches(tx, &ids).await?;
    let mut timers = load::timers(tx, &ids).await?;
    let mut done = load::done(tx, &ids).await?;
    for claim in page {
        let id = claim.claim_id;
        let branches = branches.remove(&id).unwrap_or_default();
        let timers = timers.remove(&id).unwrap_or_default();
        let done = done.remove(&id).unwrap_or_default();
        let mut note = |what: String| findings.add(Some(id), what);
        let story = Story::read(histories.remove(&id).unwrap_or_default(), &mut note)?;
        ended::check_ends(&claim, &story, &mut note);
        story.check_attempts(claim.status, &mut note);
        records.check(&story, &done, activity, &mut note);
        for branch in &branches {
            story.check_branch(branch, &mut note);
        }
        // A claim that was redriven has been counted at each end before.
        for before in ended::ends_before(&claim, &story) {
            *ended.entry(claim.tally_name_of(before)).or_default() += 1;
        }
        if claim.status.has_ended() {
            *ended.entry(claim.tally_name()).or_default() += 1;
            ended::check_left_over(&claim, &branches, &timers, &mut note);
        } else if let Some(errands) = errands.of(id) {
            waiting::check(&claim, &story, &branches, &timers, errands, &mut note);
        }
    }
    Ok(())
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, claim_id: Option<ClaimId>, what: String) {
        if self.0.len() < MAX_VIOLATIONS {
            self.0.push(Violation { claim_id, what });
        }
    }
}
