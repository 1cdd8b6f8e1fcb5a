//! Operators: they look at a claim and cancel it, redrive it, or see to a task that waits.
//!
//! They ask as the API does: a message names what was seen, so that it comes too late where the claim went
//! on meanwhile, and it travels as all messages do. Cancelling, retrying and skipping say in words of
//! their own what they are about. The history repeats them, and `check` compares.

use std::collections::BTreeSet;

use fluxus_machine::{Branch, Status};
use fluxus_queue::Outgoing;
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{BranchId, ClaimId, ClaimStatus, Json};
use fluxus_store::{BranchRow, BranchStatus, ClaimRow, Message};
use serde_json::{Value, json};

use super::fluxling::Act;
use super::tables::Unsent;
use super::world::{CORE, Footing, World};

/// Most visits of operators in a schedule.
const MOST_VISITS: usize = 4;

/// How soon an operator may come, in milliseconds: while all goes on, while things are retried, after
/// most claims have ended.
const WITHIN: [i64; 3] = [200, 3_000, 60_000];

/// How long a request may be on its way to the queue, in milliseconds.
const MOST_DELAY: i64 = 5_000;

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Redrives, by their numbers.
    pub(super) redrives: BTreeSet<(ClaimId, u32)>,
}

/// What a request to cancel calls the run of the claim that it is about.
pub(super) fn run(redrive_count: u32) -> String {
    format!("run {redrive_count} is cancelled")
}

/// What a request calls the task that it is about.
pub(super) fn task(branch_id: &BranchId, revision: u32) -> String {
    format!("{branch_id}#{revision}")
}

/// What an operator writes as the output of a task.
pub(super) fn by_hand(branch_id: &BranchId, revision: u32) -> Value {
    json!({ "Output": { "by": "an operator", "of": task(branch_id, revision) } })
}

/// Whether a claim may be redriven, by its row.
pub(super) fn may_go_on(claim: &ClaimRow) -> bool {
    let failed = [ClaimStatus::Failed, ClaimStatus::TimedOut, ClaimStatus::Aborted];
    failed.contains(&claim.status) && claim.started_at.is_some()
}

impl World {
    /// Operators will come.
    pub(super) fn expect_operators(&mut self) {
        for _ in 0..self.chance.below(MOST_VISITS + 1) {
            let within = WITHIN[self.chance.below(WITHIN.len())];
            let at = self.now + self.chance.between(0, within);
            self.act(at, Act::Visit);
        }
    }

    /// An operator looks at a claim, and asks for something.
    pub(super) fn visit(&mut self) {
        let nth = self.chance.below(self.tables.claims.len());
        let Some(claim) = self.tables.claims.values().nth(nth).cloned() else { return };
        let asked = match claim.status {
            _ if may_go_on(&claim) => self.redriven(&claim),
            status if status.has_ended() => Vec::new(),
            _ if self.chances(3) => vec![cancelled(&claim)],
            ClaimStatus::Received => vec![CoreMessage::ClaimSubmitted { claim_id: claim.claim_id }],
            _ => self.seen_to(claim.claim_id),
        };
        let (transient, lost_answer) = (self.faults.transient, self.faults.lost_answer);
        for message in asked {
            self.note(|| format!("an operator asks for {message:?}"));
            if self.chances(transient) {
                self.note(|| "... and it is not committed".to_owned());
                self.meets("request that is not committed");
                continue;
            }
            if let CoreMessage::ClaimRedriven { claim_id, redrive_count } = message {
                self.requests.redrives.insert((claim_id, redrive_count));
            }
            // Whoever gets no answer asks again.
            let times = 1 + usize::from(self.chances(lost_answer));
            for _ in 0..times {
                let delay = if self.chances(2) { 0 } else { self.chance.between(0, MOST_DELAY) };
                self.act(self.now + delay, Act::Ask(message.clone()));
            }
        }
    }

    /// Sends a request, which is committed, to the core.
    pub(super) fn ask(&mut self, message: &CoreMessage) {
        let transient = self.faults.transient;
        if self.footing == Footing::Joined || !self.chances(transient) {
            self.tell(message);
            return;
        }
        let claim = message.about().and_then(|(id, _)| self.tables.claims.get(&id).cloned());
        let Some(claim) = claim else { return };
        self.note(|| "a request stays in the outbox".to_owned());
        let body = serde_json::to_string(message).expect("writes");
        let outgoing = Outgoing::new(CORE.clone(), body);
        let message = Message { claim_id: claim.claim_id, tenant: claim.tenant.clone(), outgoing };
        let created_at = fluxus_schema::Timestamp::from_millis(self.now);
        let id = self.outbox_id();
        self.tables.outbox.insert(id, Unsent { message, created_at });
    }

    fn redriven(&self, claim: &ClaimRow) -> Vec<CoreMessage> {
        let claim_id = claim.claim_id;
        let root = self.rows(claim_id).find(|row| row.branch_id.is_root()).map(read);
        let goes_on = root.is_some_and(|root| root.resume().is_some());
        let redrive_count = claim.redrive_count + 1;
        let redriven = CoreMessage::ClaimRedriven { claim_id, redrive_count };
        goes_on.then_some(redriven).into_iter().collect()
    }

    /// Dead letters about a claim are sent again; where there are none, it is told what nobody may have
    /// told it; else one of its tasks is retried or skipped.
    fn seen_to(&mut self, claim_id: ClaimId) -> Vec<CoreMessage> {
        let dead = self.dead_letters(|id| id == claim_id);
        if !dead.is_empty() {
            self.meets("dead letter that an operator sends again");
            return dead;
        }
        let rows: Vec<_> = self.rows(claim_id).filter(is_open).collect();
        let (mut tasks, mut others) = (Vec::new(), Vec::new());
        for row in &rows {
            let (branch, branch_id) = (read(row), row.branch_id.clone());
            match (branch.handles(), &branch.status) {
                (Some(handles), _) => tasks.push((branch_id, handles)),
                (None, Status::AwaitingTimer { due, .. }) if due.as_millis() <= self.now => {
                    let revision = branch.revision;
                    others.push(CoreMessage::TimerFired { claim_id, branch_id, revision });
                }
                (None, Status::AwaitingBranches { revision, .. })
                    if !rows.iter().any(|row| row.parent.as_ref() == Some(&branch_id)) =>
                {
                    let (parent, revision, failed) = (branch_id, *revision, None);
                    others.push(CoreMessage::BranchEnded { claim_id, parent, revision, failed });
                }
                _ => {}
            }
        }
        if !others.is_empty() {
            self.meets("claim that an operator tells what it waits for");
            return others;
        }
        if tasks.is_empty() {
            return Vec::new();
        }
        let (branch_id, handles) = tasks.swap_remove(self.chance.below(tasks.len()));
        let revision = handles.revision;
        let (by, reason) = (Some("ines".to_owned()), Some(task(&branch_id, revision)));
        let is_retried = self.chances(2);
        let asked = match is_retried {
            true if handles.can_retry => {
                CoreMessage::TaskRetried { claim_id, branch_id, revision, by, reason }
            }
            false if handles.can_skip => {
                let output = Json::new(by_hand(&branch_id, revision));
                CoreMessage::TaskSkipped { claim_id, branch_id, revision, output, by, reason }
            }
            _ => return Vec::new(),
        };
        vec![asked]
    }

    /// All dead letters of the core are sent again, claim by claim. The letters stay where they are.
    pub(super) fn send_dead_letters(&mut self) {
        for message in self.dead_letters(|_| true) {
            self.meets("dead letter that an operator sends again");
            self.ask(&message);
        }
    }

    /// What is in dead letters of the core about claims that are asked for.
    fn dead_letters(&self, is_asked: impl Fn(ClaimId) -> bool) -> Vec<CoreMessage> {
        let letters = self.queues.dead.values().filter(|(one, _)| one.queue == *CORE);
        let messages = letters.filter_map(|(one, _)| serde_json::from_str(&one.body).ok());
        let is_its = |message: &CoreMessage| message.about().is_some_and(|(id, _)| is_asked(id));
        messages.filter(is_its).collect()
    }

    /// The branches of a claim.
    fn rows(&self, claim_id: ClaimId) -> impl Iterator<Item = &BranchRow> {
        let rows = self.tables.branches.values().map(|row| &**row);
        rows.filter(move |row| row.claim_id == claim_id)
    }
}

fn cancelled(claim: &ClaimRow) -> CoreMessage {
    CoreMessage::Stopped {
        claim_id: claim.claim_id,
        status: ClaimStatus::Aborted,
        error: None,
        cause: Some(run(claim.redrive_count)),
        redrive_count: Some(claim.redrive_count),
    }
}

fn is_open(row: &&BranchRow) -> bool {
    row.status != BranchStatus::Ended
}

fn read(row: &BranchRow) -> Branch {
    serde_json::from_str(&row.state).expect("a branch")
}
