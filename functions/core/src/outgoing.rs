//! From what the machine made to rows and messages.

mod nested;
mod retry;

use std::collections::BTreeMap;
use std::time::Duration;

use fluxus_machine::{
    Branch, Dispatch, Effect, Entropy, Execution, Failure, Made, Notice, Purpose, Status,
};
use fluxus_queue::bounds::MAX_DELAY;
use fluxus_queue::{Outgoing, QueueName};
use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::delegation::Delegation;
use fluxus_schema::history::{Details, Event, EventKey, EventKind, EventRow};
use fluxus_schema::message::{CORE_QUEUE, CoreMessage, TaskMessage};
use fluxus_schema::{BranchId, Capability, FluxlingName, Tenant, Timestamp};
use fluxus_store::changes::Outcome;
use fluxus_store::{
    BranchKey, BranchRow, BranchStatus, Changes, End, HistoryRow, Message, Redrive, Start, TimerRow,
};

use crate::at_hand::Waits;
use crate::delegate::{Decision, Peer, delegate};
use crate::documents::Documents;
use crate::error::CoreError;
use crate::nested::{Ended, Outcomes};
use crate::prepared::Subject;
use crate::retries::Retries;

/// Key of the timer that ends a claim that is out of time.
const DEADLINE_TIMER: &str = "deadline";

/// What a task is recorded to ask for that names no capability.
const UNSUPPORTED: &str = "unsupported";

/// Where events of entering a state have their details; it tells them from all others.
const STATE_ENTERED: &str = "stateEnteredEventDetails";

/// Collects what a batch comes to.
pub(crate) struct Out<'a> {
    now: Timestamp,
    /// How near the deadline of a task must be to ride on a delayed message.
    rides: Option<Duration>,
    /// States that were entered.
    transitions: u64,
    /// What became of the executions that tasks start.
    outcomes: &'a Outcomes,
    nested_ended: Vec<Ended>,
    peers: BTreeMap<Tenant, Vec<Peer>>,
    retries: &'a Retries,
    given: BTreeMap<FluxlingName, i64>,
    changes: Changes,
    documents: Documents,
    messages: Vec<Message>,
    waits: Vec<Waits>,
    ended: Vec<Outcome>,
}

/// What was collected.
pub(crate) struct Done {
    pub(crate) changes: Changes,
    pub(crate) messages: Vec<Message>,
    pub(crate) given: Vec<(FluxlingName, i64)>,
    /// Claims that tasks started and that ended.
    pub(crate) nested_ended: Vec<Ended>,
    /// States that were entered.
    pub(crate) transitions: u64,
    /// Branches that wait for a task, as far as they may be at hand when it is answered.
    pub(crate) waits: Vec<Waits>,
    /// What became of claims that ended.
    pub(crate) ended: Vec<Outcome>,
}

impl<'a> Out<'a> {
    pub(crate) fn new(
        (now, rides): (Timestamp, Option<Duration>),
        (peers, retries): (BTreeMap<Tenant, Vec<Peer>>, &'a Retries),
        outcomes: &'a Outcomes,
    ) -> Self {
        Self {
            now,
            rides,
            transitions: 0,
            outcomes,
            nested_ended: Vec::new(),
            peers,
            retries,
            given: BTreeMap::new(),
            changes: Changes::default(),
            documents: Documents::default(),
            messages: Vec::new(),
            waits: Vec::new(),
            ended: Vec::new(),
        }
    }

    pub(crate) fn done(self) -> Done {
        let given = self.given.into_iter().collect();
        let Self {
            mut changes, documents, messages, nested_ended, transitions, waits, ended, ..
        } = self;
        changes.payloads = documents.payloads();
        Done { changes, messages, given, nested_ended, transitions, waits, ended }
    }

    /// A claim that ended before its recipe began.
    pub(crate) fn end_unbegun(
        &mut self,
        subject: &Subject,
        status: ClaimStatus,
        failure: Failure,
    ) -> Result<(), CoreError> {
        if let Some((claim, verdict)) = &subject.received {
            let event = match status {
                ClaimStatus::Rejected => verdict.event(claim),
                ClaimStatus::TimedOut => stopped(EventKind::ExecutionTimedOut, &failure),
                _ => stopped(EventKind::ExecutionAborted, &failure),
            };
            self.verdict(subject, vec![event])?;
        }
        self.end(subject, status, None, failure, false);
        Ok(())
    }

    /// What the execution of a claim made.
    pub(crate) fn claim(
        &mut self,
        subject: &Subject,
        execution: &mut Execution<'_>,
        begins: bool,
    ) -> Result<(), CoreError> {
        let Made { mut inserted, mut updated, deleted, deleted_trees, mut rows, effects, notices } =
            execution.take_made();
        if begins && let Some((claim, verdict)) = &subject.received {
            self.verdict(subject, vec![verdict.event(claim)])?;
            self.begin(subject)?;
        }
        let mut held: BTreeMap<BranchId, Dispatch> = BTreeMap::new();
        let mut timed: Vec<BranchId> = Vec::new();
        for (branch_id, revision, effect) in effects {
            if !execution.stands(&branch_id, revision) {
                continue;
            }
            match effect {
                Effect::Dispatch(dispatch) if let Some(nested) = dispatch.nested => {
                    let of_step = |row: &&mut EventRow| {
                        row.branch_id == branch_id && row.revision == revision
                    };
                    let row = rows.iter_mut().rev().find(of_step);
                    let mut made = inserted.iter_mut().chain(&mut updated);
                    let branch = made.find(|branch| branch.id == branch_id);
                    self.started(subject, (&dispatch, nested), row, branch)?;
                }
                Effect::Dispatch(dispatch) => {
                    let (given, record) = self.give(subject, (&branch_id, revision), &dispatch)?;
                    let polled = dispatch.capability.as_ref().is_some_and(Capability::is_activity);
                    // That workers are to poll for it is no decision.
                    if given || !polled {
                        note_decision(&mut rows, &branch_id, revision, details(&record));
                    }
                    if !given {
                        held.insert(branch_id, dispatch);
                    }
                }
                Effect::Timer { due, watch } => {
                    let after = execution.branch(&branch_id).map(|branch| &branch.status);
                    let is_retry = matches!(after, Some(Status::AwaitingRetry { .. }));
                    let due = match is_retry {
                        true => self.retry(subject, (&branch_id, revision), due, &mut rows),
                        false => due,
                    };
                    if self.timer(subject, &branch_id, revision, due, watch)? {
                        timed.push(branch_id);
                    }
                }
            }
        }
        self.abandon(subject, execution, &rows)?;
        self.clear_timers(subject, &updated, &deleted, &timed);
        for row in rows {
            self.history(subject, &row)?;
        }
        for notice in notices {
            self.notice(subject, notice)?;
        }
        if let Some(root) = inserted.iter().chain(&updated).find(|branch| branch.id.is_root()) {
            self.root_end(subject, root);
        }
        for branch in inserted {
            let row = self.row(subject, branch, &mut held)?;
            self.changes.insert.push(row);
        }
        for branch in updated {
            let row = self.row(subject, branch, &mut held)?;
            self.changes.update.push(row);
        }
        let claim_id = subject.claim_id;
        let keys = deleted.into_iter().map(|branch_id| BranchKey { claim_id, branch_id });
        self.changes.delete.extend(keys);
        let keys = deleted_trees.into_iter().map(|branch_id| BranchKey { claim_id, branch_id });
        self.changes.delete_trees.extend(keys);
        Ok(())
    }

    /// Gives out a task that a branch holds, if somebody can take it by now.
    pub(crate) fn serve_held(
        &mut self,
        subject: &Subject,
        execution: &mut Execution<'_>,
        branch_id: &BranchId,
    ) -> Result<(), CoreError> {
        let Some(branch) = execution.branch(branch_id) else { return Ok(()) };
        let (Some(dispatch), revision) = (branch.held(), branch.revision) else { return Ok(()) };
        let (given, record) = self.give(subject, (branch_id, revision + 1), &dispatch)?;
        if given {
            execution.serve(branch_id, details(&record), self.now);
        }
        Ok(())
    }

    /// Delegates a task and sends it; false if nobody can take it. With the record of the decision.
    fn give(
        &mut self,
        subject: &Subject,
        (branch_id, revision): (&BranchId, u32),
        dispatch: &Dispatch,
    ) -> Result<(bool, Delegation), CoreError> {
        let (Some(capability), Some((recipe, _))) = (&dispatch.capability, &subject.recipe) else {
            return Ok((false, unsupported(dispatch)?));
        };
        let peers = self.peers.entry(subject.tenant.clone()).or_default();
        let entropy = Entropy::new(subject.context.seed, Purpose::Delegation, branch_id, revision);
        let draw = || entropy.fraction();
        let Decision { chosen, record } =
            delegate(peers, capability, &dispatch.labels, self.now, draw);
        let Some(chosen) = chosen else { return Ok((false, record)) };
        let peer = &mut peers[chosen];
        peer.in_flight += 1;
        let manifest = &peer.fluxling.manifest;
        *self.given.entry(manifest.name.clone()).or_default() += 1;
        let queue = QueueName::new(&manifest.queue)?;
        let message = TaskMessage {
            token: dispatch.token.clone(),
            capability: capability.clone(),
            input: dispatch.input.clone(),
            claim_id: subject.claim_id,
            tenant: subject.tenant.clone(),
            recipe: recipe.clone(),
            state: dispatch.state.clone(),
            attempt: dispatch.attempt,
            scheduled_at: self.now,
            deadline: dispatch.deadline,
            heartbeat_ms: dispatch.heartbeat_s.map(|seconds| seconds.saturating_mul(1000)),
            traceparent: subject.traceparent.clone(),
            priority: subject.priority,
        };
        let body = serde_json::to_string(&message)?;
        self.send(subject, Outgoing::new(queue, body));
        Ok((true, record))
    }

    /// Sets a timer; true if it is a row. Waits up to the queue's longest delay ride on a delayed
    /// message. A task's timer is a row all the same: most are never needed, and a row can be
    /// taken back. Unless it is due so soon that the sweep might come too late.
    fn timer(
        &mut self,
        subject: &Subject,
        branch_id: &BranchId,
        revision: u32,
        due: Timestamp,
        watch: bool,
    ) -> Result<bool, CoreError> {
        let claim_id = subject.claim_id;
        let fired = CoreMessage::TimerFired { claim_id, branch_id: branch_id.clone(), revision };
        let delay = due.since(self.now);
        if delay <= MAX_DELAY && (!watch || self.is_near(delay)) {
            self.message(subject, &fired, delay)?;
            return Ok(false);
        }
        self.set_timer(subject, branch_id.to_string(), due, &fired)?;
        Ok(true)
    }

    /// Whether a deadline comes before two sweeps have passed.
    fn is_near(&self, delay: Duration) -> bool {
        self.rides.is_some_and(|rides| delay <= rides)
    }

    fn set_timer(
        &mut self,
        subject: &Subject,
        key: String,
        due_at: Timestamp,
        message: &CoreMessage,
    ) -> Result<(), CoreError> {
        self.changes.set_timers.push(TimerRow {
            claim_id: subject.claim_id,
            key,
            tenant: subject.tenant.clone(),
            due_at,
            queue: CORE_QUEUE.to_owned(),
            body: serde_json::to_string(message)?,
            priority: subject.priority,
        });
        Ok(())
    }

    /// Takes back the timer rows of branches that wait for them no more.
    fn clear_timers(
        &mut self,
        subject: &Subject,
        updated: &[Branch],
        deleted: &[BranchId],
        timed: &[BranchId],
    ) {
        let had_row = |id: &&BranchId| {
            let before = subject.branches.iter().find(|(row, _)| row.branch_id == **id);
            before.is_some_and(|(_, branch)| match &branch.status {
                Status::AwaitingTask { task, .. } => task.due().is_some(),
                _ => branch.timer().is_some_and(|due| due.since(branch.at.timestamp()) > MAX_DELAY),
            })
        };
        let changed = updated.iter().map(|branch| &branch.id).chain(deleted);
        for id in changed.filter(had_row).filter(|id| !timed.contains(id)) {
            self.changes.clear_timers.push((subject.claim_id, id.to_string()));
        }
    }

    fn begin(&mut self, subject: &Subject) -> Result<(), CoreError> {
        let Some((recipe, recipe_version)) = subject.recipe.clone() else { return Ok(()) };
        let (claim_id, started_at) = (subject.claim_id, self.now);
        self.changes.start.push(Start { claim_id, recipe, recipe_version, started_at });
        self.watch_claim(subject, started_at)
    }

    /// A claim goes on that had ended.
    pub(crate) fn redrive(&mut self, subject: &Subject) -> Result<(), CoreError> {
        let Some(redrive_count) = subject.redrive else { return Ok(()) };
        let (claim_id, redriven_at) = (subject.claim_id, self.now);
        self.changes.redrive.push(Redrive { claim_id, redrive_count, redriven_at });
        self.watch_claim(subject, redriven_at)
    }

    /// Sets the timer that ends the claim, where its time is bounded.
    fn watch_claim(&mut self, subject: &Subject, began_at: Timestamp) -> Result<(), CoreError> {
        let claim_id = subject.claim_id;
        if let Some(due) = subject.due(began_at) {
            let stopped = CoreMessage::Stopped {
                claim_id,
                status: ClaimStatus::TimedOut,
                error: Some("States.Timeout".to_owned()),
                cause: Some(format!("The claim had not ended by {due}")),
                redrive_count: Some(subject.context.redrive_count),
            };
            let delay = due.since(self.now);
            if self.is_near(delay) {
                self.message(subject, &stopped, delay)?;
            } else {
                self.set_timer(subject, DEADLINE_TIMER.to_owned(), due, &stopped)?;
            }
        }
        Ok(())
    }

    fn root_end(&mut self, subject: &Subject, root: &Branch) {
        match &root.status {
            Status::Succeeded { output } => {
                let output = Some(output.to_string());
                self.end(subject, ClaimStatus::Succeeded, output, Failure::default(), true);
            }
            Status::Failed { failure, .. } => {
                self.end(subject, ClaimStatus::Failed, None, failure.clone(), true);
            }
            Status::Stopped { status, failure, .. } => {
                self.end(subject, *status, None, failure.clone(), true);
            }
            _ => {}
        }
    }

    fn end(
        &mut self,
        subject: &Subject,
        status: ClaimStatus,
        output: Option<String>,
        failure: Failure,
        has_begun: bool,
    ) {
        // What goes on if it is redriven stays; nothing does of one that never began.
        let delete_branches = status == ClaimStatus::Succeeded || !has_begun;
        let (claim_id, ended_at) = (subject.claim_id, self.now);
        self.note_end(subject, status, output.as_ref(), &failure);
        let Failure { error, cause } = failure;
        let output = output.map(|text| self.documents.text(claim_id, &subject.tenant, text));
        let end = End { claim_id, status, output, error, cause, ended_at, delete_branches };
        let context = &subject.context;
        let began = subject.recipe.clone().filter(|_| has_begun);
        self.ended.push(Outcome {
            end: end.clone(),
            began: began.map(|(recipe, version)| (recipe, version, context.started_at)),
            redriven: (context.redrive_count, context.redriven_at),
        });
        self.changes.end.push(end);
    }

    fn notice(&mut self, subject: &Subject, notice: Notice) -> Result<(), CoreError> {
        let claim_id = subject.claim_id;
        let message = match notice {
            Notice::BranchEnded { parent, revision, failed } => {
                CoreMessage::BranchEnded { claim_id, parent, revision, failed }
            }
            Notice::Room { parent, revision, room, .. } => {
                CoreMessage::MapHasRoom { claim_id, parent, revision, room }
            }
        };
        self.message(subject, &message, Duration::ZERO)
    }

    pub(crate) fn message(
        &mut self,
        subject: &Subject,
        message: &CoreMessage,
        delay: Duration,
    ) -> Result<(), CoreError> {
        let body = serde_json::to_string(message)?;
        self.send(subject, Outgoing::new(QueueName::new(CORE_QUEUE)?, body).delayed(delay));
        Ok(())
    }

    fn send(&mut self, subject: &Subject, outgoing: Outgoing) {
        self.messages.push(Message {
            claim_id: subject.claim_id,
            tenant: subject.tenant.clone(),
            outgoing: outgoing.in_group(subject.tenant.as_str()).with_priority(subject.priority),
        });
    }

    fn verdict(&mut self, subject: &Subject, events: Vec<Event>) -> Result<(), CoreError> {
        let at = fluxus_schema::HybridTime::default().next(self.now);
        let at = fluxus_schema::HybridTime::from_micros(at.as_micros() - 1);
        self.history(subject, &EventRow { branch_id: BranchId::root(), revision: 0, at, events })
    }

    fn history(&mut self, subject: &Subject, row: &EventRow) -> Result<(), CoreError> {
        let entered = |event: &&Event| event.kind.details_field() == STATE_ENTERED;
        self.transitions += row.events.iter().filter(entered).count() as u64;
        self.changes.history.push(HistoryRow {
            claim_id: subject.claim_id,
            tenant: subject.tenant.clone(),
            branch_id: row.branch_id.clone(),
            revision: row.revision,
            part: 0,
            at: row.at,
            events: self.documents.events(subject.claim_id, &subject.tenant, &row.events)?,
        });
        Ok(())
    }

    fn row(
        &mut self,
        subject: &Subject,
        mut branch: Branch,
        held: &mut BTreeMap<BranchId, Dispatch>,
    ) -> Result<BranchRow, CoreError> {
        let mut unserved = None;
        if let Some(dispatch) = held.remove(&branch.id) {
            unserved = dispatch.capability;
            branch.hold(dispatch.input);
        } else if let Some(dispatch) = branch.held() {
            unserved = dispatch.capability;
        }
        // One that calls back takes its time.
        if let (Status::AwaitingTask { task, .. }, Some(claim)) = (&branch.status, &subject.claim)
            && task.callback.is_none()
        {
            let key = BranchKey { claim_id: subject.claim_id, branch_id: branch.id.clone() };
            self.waits.push(Waits { key, token: task.token.clone(), claim: claim.clone() });
        }
        let status = match &branch.status {
            Status::Pending { .. } => BranchStatus::Pending,
            _ if branch.has_ended() => BranchStatus::Ended,
            _ => BranchStatus::Open,
        };
        Ok(BranchRow {
            claim_id: subject.claim_id,
            tenant: subject.tenant.clone(),
            parent: branch.id.parent(),
            parent_revision: branch.id.parent_revision(),
            position: u32::try_from(branch.id.index()).unwrap_or(u32::MAX),
            revision: branch.revision,
            status,
            failed: branch.has_failed_all(),
            state: self.documents.text(
                subject.claim_id,
                &subject.tenant,
                serde_json::to_string(&branch)?,
            ),
            unserved,
            changed_at: branch.at,
            branch_id: branch.id,
        })
    }
}

/// Puts the decision beside the event that scheduled the task, which is the step's last.
fn note_decision(rows: &mut [EventRow], branch_id: &BranchId, revision: u32, details: Details) {
    note(rows, branch_id, revision, EventKind::TaskDelegated, details);
}

/// Puts an event of ours behind the last of a step.
fn note(
    rows: &mut [EventRow],
    branch_id: &BranchId,
    revision: u32,
    kind: EventKind,
    details: Details,
) {
    let of_step = |row: &&mut EventRow| row.branch_id == *branch_id && row.revision == revision;
    if let Some(row) = rows.iter_mut().rev().find(of_step) {
        let position = u32::try_from(row.events.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let previous = Some(EventKey { branch_id: branch_id.clone(), revision, position });
        row.events.push(Event { kind, previous, details });
    }
}

/// The event of a claim that was stopped before it was evaluated.
fn stopped(kind: EventKind, failure: &Failure) -> Event {
    let details = Details::new()
        .with_some("error", failure.error.as_deref())
        .with_some("cause", failure.cause.as_deref());
    Event { kind, previous: None, details }
}

/// The record for a task that no fluxling stands for: such a recipe is refused when it is put.
fn unsupported(dispatch: &Dispatch) -> Result<Delegation, CoreError> {
    Ok(Delegation {
        capability: UNSUPPORTED.parse()?,
        fluxling: None,
        reason: format!("no fluxling stands for the resource of `{}`", dispatch.state),
        candidates: Vec::new(),
    })
}

fn details(record: &Delegation) -> Details {
    serde_json::to_value(record).and_then(serde_json::from_value).unwrap_or_default()
}
