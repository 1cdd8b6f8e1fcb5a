//! What a batch comes to: pure, given what was loaded. Duplicates, late and reordered messages
//! are told by the machine and change nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use fluxus_machine::{Execution, Failure, Input, Notice, Operator, Status};
use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::history::EventKey;
use fluxus_schema::message::{CoreMessage, TaskReport};
use fluxus_schema::{BranchId, ClaimId, FluxlingName, TaskToken, Tenant, Timestamp};
use fluxus_store::branch::Pending;
use fluxus_store::changes::Outcome;
use fluxus_store::{BranchRow, Changes, Message};

use crate::at_hand::Waits;
use crate::delegate::Peer;
use crate::error::CoreError;
use crate::inbox::Item;
use crate::nested::{Ended, Outcomes, Start};
use crate::outgoing::{self, Out};
use crate::prepared::{Prepared, Subject, read};
use crate::registry::Answered;
use crate::retries::Retries;

/// Most branches that one state begins in one transaction. Each is a row, a history row and maybe
/// a task; more would keep the batch's other claims waiting. The rest follow by messages.
pub(crate) const BEGIN_AT_MOST: usize = 500;

/// When room is told of again whose items somebody held: most transactions are over by then.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

/// What the SDK answers where a task's input is not what the fluxling takes.
const INVALID_INPUT: &str = "Fluxling.InvalidInput";

/// What a batch comes to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) changes: Changes,
    pub(crate) messages: Vec<Message>,
    /// Tasks given out, by fluxling.
    pub(crate) given: Vec<(FluxlingName, i64)>,
    pub(crate) answered: Vec<Answered>,
    /// What became of claims that ended.
    pub(crate) ended: Vec<Outcome>,
    /// Those of the claims that ended which a task started.
    pub(crate) nested_ended: Vec<Ended>,
    /// States that were entered.
    pub(crate) transitions: u64,
    /// Branches that wait for a task.
    pub(crate) waits: Vec<Waits>,
}

/// The claims of a batch while their messages are dealt with.
pub(crate) struct Planner<'a> {
    runs: BTreeMap<ClaimId, Run<'a>>,
    peers: BTreeMap<Tenant, Vec<Peer>>,
    retries: &'a Retries,
    answered: Vec<Answered>,
    now: Timestamp,
    /// See [`Core::rides`](crate::Core::rides).
    rides: Option<Duration>,
}

struct Run<'a> {
    subject: &'a Subject,
    /// None for a claim that was refused or stopped before it began.
    execution: Option<Execution<'a>>,
    /// An end without an execution.
    end: Option<(ClaimStatus, Failure)>,
    submitted: bool,
    redriven: bool,
    room: Vec<(BranchId, u32, EventKey)>,
    /// Room for items that somebody held.
    again: Vec<CoreMessage>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        prepared: &'a Prepared,
        retries: &'a Retries,
        peers: impl Fn(&Tenant) -> Vec<Peer>,
        now: Timestamp,
        (rides, begin_at_most): (Option<Duration>, usize),
    ) -> Self {
        let run = |subject: &'a Subject| {
            let execution = subject.definition.as_ref().map(|definition| {
                let mut execution = Execution::new(definition, &subject.context, begin_at_most);
                subject.branches.iter().for_each(|(_, branch)| execution.load(branch.clone()));
                execution
            });
            Run {
                subject,
                execution,
                end: None,
                submitted: false,
                redriven: false,
                room: Vec::new(),
                again: Vec::new(),
            }
        };
        let runs: BTreeMap<_, _> =
            prepared.iter().map(|(id, subject)| (*id, run(subject))).collect();
        let mut by_tenant = BTreeMap::new();
        for subject in prepared.values() {
            by_tenant.entry(subject.tenant.clone()).or_insert_with(|| peers(&subject.tenant));
        }
        Self { runs, peers: by_tenant, retries, answered: Vec::new(), now, rides }
    }

    /// Deals with messages in their order; but a claim that was stopped does not begin, though both came
    /// at once.
    pub(crate) fn apply_all(&mut self, items: &[Item]) {
        let is_stop = |item: &&Item| matches!(item.message, CoreMessage::Stopped { .. });
        for item in items.iter().filter(is_stop) {
            let run = item.claim_id().and_then(|id| self.runs.get(&id));
            if run.is_some_and(Run::is_unbegun) {
                self.apply(item);
            }
        }
        items.iter().for_each(|item| self.apply(item));
    }

    /// Deals with one message. What does not fit any more is passed over: it was dealt with.
    fn apply(&mut self, item: &Item) {
        let now = self.now;
        let Some(run) = item.claim_id().and_then(|id| self.runs.get_mut(&id)) else {
            tracing::debug!(message = ?item.message, "nothing waits for this any more");
            return;
        };
        let applied = match (&item.message, &item.address) {
            (CoreMessage::ClaimSubmitted { .. }, _) => {
                run.submit(now);
                return;
            }
            (CoreMessage::TaskSucceeded { token, output, report }, Some(at)) => {
                let input = Input::TaskSucceeded {
                    token: token.clone(),
                    output: output.clone(),
                    report: report.clone(),
                };
                run.answer(&at.branch_id, token, input, report.as_ref(), None, now)
            }
            (CoreMessage::TaskFailed { token, error, cause, report }, Some(at)) => {
                let given = |text: &String| (!text.is_empty()).then(|| text.clone());
                let failure = Failure { error: given(error), cause: given(cause) };
                let (token_of, report_of) = (token.clone(), report.clone());
                let input = Input::TaskFailed { token: token_of, failure, report: report_of };
                run.answer(&at.branch_id, token, input, report.as_ref(), Some(error), now)
            }
            (CoreMessage::TaskHeartbeat { token }, Some(at)) => {
                run.apply(&at.branch_id, Input::TaskHeartbeat { token: token.clone() }, now)
            }
            (CoreMessage::TaskStarted { token, worker }, Some(at)) => {
                let started = Input::TaskStarted { token: token.clone(), worker: worker.clone() };
                run.apply(&at.branch_id, started, now)
            }
            (CoreMessage::TimerFired { branch_id, revision, .. }, _) => {
                run.apply(branch_id, Input::TimerFired { revision: *revision }, now)
            }
            (CoreMessage::BranchEnded { parent, revision, failed, .. }, _) => {
                run.join(parent, *revision, failed.as_ref(), now)
            }
            (CoreMessage::ClaimRedriven { redrive_count, .. }, _) => {
                run.redrive(*redrive_count, now)
            }
            (CoreMessage::TaskRetried { branch_id, revision, by, reason, .. }, _) => {
                let by = Operator { name: by.clone(), reason: reason.clone() };
                run.apply(branch_id, Input::TaskRetried { revision: *revision, by }, now)
            }
            (CoreMessage::TaskSkipped { branch_id, revision, output, by, reason, .. }, _) => {
                let by = Operator { name: by.clone(), reason: reason.clone() };
                let (revision, output) = (*revision, output.clone());
                run.apply(branch_id, Input::TaskSkipped { revision, output, by }, now)
            }
            (CoreMessage::Stopped { status, error, cause, redrive_count, .. }, _) => {
                let failure = Failure { error: error.clone(), cause: cause.clone() };
                run.stop(*status, failure, *redrive_count, now)
            }
            // What it asks for is done by `begin`, and by the second round of delegation.
            (CoreMessage::MapHasRoom { .. } | CoreMessage::FluxlingAvailable { .. }, _) => Ok(None),
            // A token that Fluxus never gave out.
            (_, None) => Ok(None),
        };
        match applied {
            Ok(answered) => self.answered.extend(answered),
            Err(rejected) => tracing::debug!(%rejected, message = ?item.message, "passed over"),
        }
    }

    /// Items of Maps that may begin now: those asked for by message, and those that the ends of
    /// others made room for.
    pub(crate) fn wanted(&mut self, items: &[Item]) -> Vec<Pending> {
        let mut wanted: BTreeMap<(ClaimId, BranchId, u32), u32> = BTreeMap::new();
        for item in items {
            if let CoreMessage::MapHasRoom { claim_id, parent, revision, room } = &item.message
                && self.waits_for(*claim_id, parent, *revision)
            {
                *wanted.entry((*claim_id, parent.clone(), *revision)).or_default() += room;
            }
        }
        for (claim_id, run) in &mut self.runs {
            let Some(execution) = &mut run.execution else { continue };
            for notice in execution.take_notices() {
                match notice {
                    Notice::Room { parent, revision, room, after: Some(after) } => {
                        *wanted.entry((*claim_id, parent.clone(), revision)).or_default() += room;
                        run.room.push((parent, revision, after));
                    }
                    other => execution.put_notice(other),
                }
            }
        }
        let pending = |((claim_id, parent, parent_revision), how_many)| Pending {
            claim_id,
            parent,
            parent_revision,
            how_many,
        };
        wanted.into_iter().map(pending).collect()
    }

    fn waits_for(&self, claim_id: ClaimId, parent: &BranchId, revision: u32) -> bool {
        let execution = self.runs.get(&claim_id).and_then(|run| run.execution.as_ref());
        execution.and_then(|execution| execution.branch(parent)).is_some_and(|branch| {
            matches!(branch.status, Status::AwaitingBranches { revision: of, .. } if of == revision)
        })
    }

    /// Begins items that were taken.
    pub(crate) fn begin(&mut self, taken: &[BranchRow]) -> Result<(), CoreError> {
        for row in taken {
            let Some(run) = self.runs.get_mut(&row.claim_id) else { continue };
            let branch = read(row)?;
            let family = (branch.id.parent(), branch.id.parent_revision());
            let after = run.room.iter().position(|(parent, revision, _)| {
                (Some(parent), *revision) == (family.0.as_ref(), family.1)
            });
            let after = after.map(|index| run.room.swap_remove(index).2);
            let Some(execution) = &mut run.execution else { continue };
            let id = branch.id.clone();
            execution.load(branch);
            if let Err(rejected) = execution.apply(&id, Input::Begin { after }, self.now) {
                tracing::debug!(%rejected, branch = %id, "an item had begun already");
            }
        }
        Ok(())
    }

    /// Has the core told again of room for items that others held while they were to be taken. Whoever
    /// holds one may leave it as it is: a late message for it locks it too.
    pub(crate) fn ask_again(&mut self, held: Vec<Pending>) {
        for Pending { claim_id, parent, parent_revision: revision, how_many: room } in held {
            if let Some(run) = self.runs.get_mut(&claim_id) {
                run.again.push(CoreMessage::MapHasRoom { claim_id, parent, revision, room });
            }
        }
    }

    /// Tasks that start executions.
    pub(crate) fn starts(&self) -> Vec<Start> {
        let starts = self.runs.values().filter_map(|run| {
            let execution = run.execution.as_ref()?;
            Some(execution.nested().map(|(dispatch, nested)| run.subject.start(dispatch, nested)))
        });
        starts.flatten().collect()
    }

    /// Puts together what the batch comes to. `outcomes` says what became of the executions to be
    /// started. Gives out tasks that nobody could be given before, where somebody can be now.
    pub(crate) fn finish(mut self, items: &[Item], outcomes: &Outcomes) -> Result<Plan, CoreError> {
        let (peers, times) = (std::mem::take(&mut self.peers), (self.now, self.rides));
        let mut out = Out::new(times, (peers, self.retries), outcomes);
        for item in items {
            if let CoreMessage::FluxlingAvailable { claim_id, branch_id } = &item.message
                && let Some(run) = self.runs.get_mut(claim_id)
                && let Some(execution) = &mut run.execution
            {
                out.serve_held(run.subject, execution, branch_id)?;
            }
        }
        for run in self.runs.values_mut() {
            for message in &run.again {
                out.message(run.subject, message, ROOM_AGAIN)?;
            }
            match (&mut run.execution, run.end.take()) {
                (_, Some((status, failure))) => out.end_unbegun(run.subject, status, failure)?,
                (Some(execution), None) => {
                    if run.redriven {
                        out.redrive(run.subject)?;
                    }
                    out.claim(run.subject, execution, run.submitted)?;
                }
                (None, None) => {}
            }
        }
        let outgoing::Done { changes, messages, given, nested_ended, transitions, waits, ended } =
            out.done();
        let answered = self.answered;
        Ok(Plan { changes, messages, given, answered, ended, nested_ended, transitions, waits })
    }
}

/// What is missing of those that were wanted.
pub(crate) fn missing(mut wanted: Vec<Pending>, taken: &[BranchRow]) -> Vec<Pending> {
    for one in &mut wanted {
        let is_its = |row: &&BranchRow| {
            row.claim_id == one.claim_id
                && row.parent.as_ref() == Some(&one.parent)
                && row.parent_revision == one.parent_revision
        };
        let taken = u32::try_from(taken.iter().filter(is_its).count()).unwrap_or(u32::MAX);
        one.how_many = one.how_many.saturating_sub(taken);
    }
    wanted.retain(|one| one.how_many > 0);
    wanted
}

type Applied = Result<Option<Answered>, fluxus_machine::Rejected>;

impl Run<'_> {
    fn is_unbegun(&self) -> bool {
        self.subject.received.is_some() && !self.submitted
    }

    fn submit(&mut self, now: Timestamp) {
        let Some((_, verdict)) = &self.subject.received else { return };
        if self.submitted || self.end.is_some() {
            return;
        }
        self.submitted = true;
        match (verdict, &mut self.execution) {
            (crate::evaluate::Verdict::Rejected { error, cause, .. }, _) => {
                self.end = Some((ClaimStatus::Rejected, Failure::new(*error, cause.clone())));
            }
            (_, Some(execution)) => execution.begin(now),
            (_, None) => {}
        }
    }

    fn redrive(&mut self, count: u32, now: Timestamp) -> Applied {
        // Another number is that of a redrive which was done already; this one may have been in this
        // batch, and the claim have ended again since.
        let is_next = self.subject.redrive == Some(count) && !self.redriven;
        if let (Some(execution), true) = (&mut self.execution, is_next) {
            execution.redrive(now)?;
            self.redriven = true;
        }
        Ok(None)
    }

    fn apply(&mut self, id: &BranchId, input: Input, now: Timestamp) -> Applied {
        match &mut self.execution {
            Some(execution) => execution.apply(id, input, now).map(|()| None),
            None => Ok(None),
        }
    }

    fn answer(
        &mut self,
        id: &BranchId,
        token: &TaskToken,
        input: Input,
        report: Option<&TaskReport>,
        error: Option<&String>,
        now: Timestamp,
    ) -> Applied {
        let branch = self.execution.as_ref().and_then(|execution| execution.branch(id));
        let task = branch.and_then(|branch| match &branch.status {
            Status::AwaitingTask { task, .. } if branch.awaits(token) => {
                Some((task.scheduled_at, task.capability.clone()))
            }
            _ => None,
        });
        self.apply(id, input, now)?;
        Ok(report.zip(task).map(|(report, (scheduled_at, capability))| Answered {
            capability,
            tenant: self.subject.tenant.clone(),
            fluxling: report.fluxling.clone(),
            failed: error.is_some_and(|error| is_the_fluxlings(error)),
            succeeded: error.is_none(),
            latency_ms: now.since(scheduled_at).as_secs_f64() * 1000.0,
        }))
    }

    fn join(
        &mut self,
        parent: &BranchId,
        revision: u32,
        failed: Option<&BranchId>,
        now: Timestamp,
    ) -> Applied {
        let Some(execution) = &mut self.execution else { return Ok(None) };
        // Nothing to join where a sibling is still open: its own end will come.
        if !execution.can_join(parent, revision, failed) {
            return Ok(None);
        }
        execution.join(parent, revision, now).map(|()| None)
    }

    fn stop(
        &mut self,
        status: ClaimStatus,
        failure: Failure,
        redrive_count: Option<u32>,
        now: Timestamp,
    ) -> Applied {
        if self.is_unbegun() {
            self.end = self.end.take().or(Some((status, failure)));
            return Ok(None);
        }
        // It was to end before it was redriven, and has ended since. A deadline of that time that does
        // not say so shows by not being due.
        let is_late = match redrive_count {
            Some(count) => count != self.subject.context.redrive_count,
            None => status == ClaimStatus::TimedOut && !self.subject.is_out_of_time(now),
        };
        if is_late {
            return Ok(None);
        }
        match &mut self.execution {
            Some(execution) => execution.stop(status, failure, now).map(|()| None),
            None => Ok(None),
        }
    }
}

/// Whether an error says that the fluxling failed, rather than that its work came out badly, or
/// that it was asked badly: a recipe that gives wrong input must not close a fluxling to others.
fn is_the_fluxlings(error: &str) -> bool {
    if error == INVALID_INPUT {
        return false;
    }
    error == "States.Timeout" || error.starts_with("Fluxling.") || error.starts_with("Fluxus.")
}
