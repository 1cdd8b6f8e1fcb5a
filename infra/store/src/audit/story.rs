//! A claim's history, put together and checked: each step once, none missing, causes first.

use std::collections::{BTreeMap, HashMap};

use fluxus_schema::history::{Event, EventKey, EventKind, EventRow, number};
use fluxus_schema::{BranchId, ClaimStatus, HybridTime};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::load::{Branch, Part};
use crate::branch::BranchStatus;
use crate::error::StoreError;

/// One event, with its details at hand.
#[derive(Debug, Deserialize)]
pub(super) struct Recorded {
    #[serde(rename = "type")]
    pub(super) kind: EventKind,
    #[serde(default, rename = "d")]
    pub(super) details: Map<String, Value>,
}

impl Recorded {
    /// A detail that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.details.get(name).and_then(Value::as_str)
    }

    fn has(&self, name: &str) -> bool {
        self.details.contains_key(name)
    }
}

/// One attempt at a task.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) branch_id: BranchId,
    /// The branch's revision when it was scheduled: part of its token.
    pub(super) revision: u32,
    pub(super) at: HybridTime,
    /// Who got it.
    pub(super) fluxling: Option<String>,
    /// The event of its result, and the error if it has one.
    pub(super) result: Option<(EventKind, Option<String>)>,
    /// Whether a fluxling handed the request over, so that a callback is waited for.
    pub(super) is_submitted: bool,
    /// Whether the callback, not the fluxling, brings the result.
    pub(super) has_callback: bool,
    /// Whether somebody outside is to do it, or was told to.
    pub(super) waits_for_outside: bool,
    /// Whether its time is bounded.
    pub(super) has_timeout: bool,
    /// Whether an execution that was started brings the result, with its end.
    is_sync: bool,
    /// Heartbeats make revisions that record nothing.
    pub(super) has_heartbeat: bool,
}

/// What one branch recorded.
#[derive(Debug, Default)]
struct Strand {
    revision: u32,
    /// Whether its last step may have been followed by one that recorded nothing.
    may_be_silent: bool,
    last: Option<EventKind>,
    attempts: Vec<Attempt>,
    /// Whether a failed sibling of its children aborted those that were open.
    aborted_children: bool,
}

/// The history of one claim.
#[derive(Debug, Default)]
pub(super) struct Story {
    steps: Vec<Step>,
    strands: BTreeMap<BranchId, Strand>,
    /// Whether the execution went on after an end: what was cut off by then made a step that recorded
    /// nothing, and so did what waited for its turn to go on.
    was_redriven: bool,
}

#[derive(Debug)]
struct Step {
    branch_id: BranchId,
    revision: u32,
    at: HybridTime,
    events: Vec<Recorded>,
}

impl Story {
    /// Puts the rows together, in the order in which they are read, and checks that order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for events that cannot be read.
    pub(super) fn read(
        parts: Vec<Part>,
        note: &mut impl FnMut(String),
    ) -> Result<Self, StoreError> {
        let mut story = Self::default();
        let mut rows: Vec<EventRow> = Vec::new();
        let mut seen: HashMap<(BranchId, u32, u32), HybridTime> = HashMap::new();
        for Part { branch_id, revision, part, at, events, recorded } in parts {
            if let Some(before) = seen.insert((branch_id.clone(), revision, part), at) {
                let (before, at) = (before.timestamp(), at.timestamp());
                note(format!("step {branch_id}#{revision} is recorded at {before} and at {at}"));
            }
            let is_next = part > 0
                && seen.get(&(branch_id.clone(), revision, part - 1)) == Some(&at)
                && rows.last().is_some_and(|row| row.branch_id == branch_id);
            match (story.steps.last_mut(), rows.last_mut()) {
                (Some(step), Some(row)) if is_next => {
                    step.events.extend(recorded);
                    row.events.extend(events);
                }
                _ => {
                    if part > 0 {
                        note(format!(
                            "step {branch_id}#{revision} lacks what precedes part {part}"
                        ));
                    }
                    rows.push(EventRow { branch_id: branch_id.clone(), revision, at, events });
                    story.steps.push(Step { branch_id, revision, at, events: recorded });
                }
            }
        }
        check_causes(&rows, note);
        check_numbers(rows, note);
        story.follow(note);
        Ok(story)
    }

    /// All events, in order.
    pub(super) fn events(&self) -> impl Iterator<Item = &Recorded> {
        self.steps.iter().flat_map(|step| &step.events)
    }

    /// The ends of the claim's own execution, in order.
    pub(super) fn ends(&self) -> impl Iterator<Item = EventKind> {
        let of_root = self.steps.iter().filter(|step| step.branch_id.is_root());
        of_root.flat_map(|step| &step.events).map(|one| one.kind).filter(|one| one.ends_execution())
    }

    /// Whether the execution went on after an end.
    pub(super) fn was_redriven(&self) -> bool {
        self.was_redriven
    }

    /// The last event of the root branch.
    pub(super) fn last_of_root(&self) -> Option<EventKind> {
        self.strands.get(&BranchId::root()).and_then(|strand| strand.last)
    }

    /// The attempt that a branch waits for.
    pub(super) fn open_attempt(&self, branch_id: &BranchId) -> Option<&Attempt> {
        let attempt = self.strands.get(branch_id)?.attempts.last()?;
        attempt.result.is_none().then_some(attempt)
    }

    /// Every attempt.
    pub(super) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.strands.values().flat_map(|strand| &strand.attempts)
    }

    /// Whether an attempt may have been left without a result: its branch was aborted.
    pub(super) fn may_be_cut_off(&self, attempt: &Attempt) -> bool {
        let stopped = matches!(
            self.last_of_root(),
            Some(EventKind::ExecutionAborted | EventKind::ExecutionTimedOut)
        );
        let aborted = self
            .strands
            .iter()
            .any(|(id, strand)| strand.aborted_children && attempt.branch_id.is_below(id));
        stopped || aborted
    }

    /// Whether every attempt of a claim that ended has its result.
    pub(super) fn check_attempts(&self, status: ClaimStatus, note: &mut impl FnMut(String)) {
        if !status.has_ended() {
            return;
        }
        for attempt in self.attempts().filter(|attempt| attempt.result.is_none()) {
            if !self.may_be_cut_off(attempt) {
                let Attempt { branch_id, revision, .. } = attempt;
                note(format!("is {status}, and the task of {branch_id}#{revision} has no result"));
            }
        }
    }

    /// Whether a branch stands where its last step left it.
    pub(super) fn check_branch(&self, branch: &Branch, note: &mut impl FnMut(String)) {
        let Branch { branch_id, revision, .. } = branch;
        let recorded = self.strands.get(branch_id);
        let last = recorded.map_or(0, |strand| strand.revision);
        let silent = recorded.is_some_and(|strand| strand.may_be_silent);
        // What a failed sibling or the end of the claim cut off is kept, and recorded nothing.
        let silent = silent || self.was_redriven || branch.status == BranchStatus::Ended;
        if *revision < last || (*revision > last && !silent) {
            note(format!("branch {branch_id} is at revision {revision}; {last} is recorded"));
        }
    }

    /// Follows each branch from step to step.
    fn follow(&mut self, note: &mut impl FnMut(String)) {
        for step in &self.steps {
            let Step { branch_id, revision, at, events } = step;
            let known = self.strands.contains_key(branch_id);
            let first = u32::from(!branch_id.is_root());
            let goes_on = events.iter().any(|event| event.kind == EventKind::ExecutionRedriven);
            if goes_on && branch_id.is_root() {
                self.was_redriven = true;
                for strand in self.strands.values_mut() {
                    strand.give_up();
                }
            }
            let redriven = self.was_redriven;
            if !known && *revision != first && !redriven {
                note(format!("branch {branch_id} begins with revision {revision}, not {first}"));
            }
            let strand = self.strands.entry(branch_id.clone()).or_default();
            let next = strand.revision.saturating_add(1);
            let fits =
                *revision == next || (*revision > next && (strand.may_be_silent || redriven));
            if known && !fits {
                let before = strand.revision;
                note(format!("branch {branch_id} goes from revision {before} to {revision}"));
            }
            strand.revision = *revision;
            for event in events {
                strand.take(branch_id, *revision, *at, event, note);
            }
            if events.is_empty() {
                note(format!("step {branch_id}#{revision} recorded no event"));
            }
        }
    }
}

impl Strand {
    /// An attempt whose result does not count any more.
    fn give_up(&mut self) {
        if let Some(open) = self.attempts.last_mut().filter(|attempt| attempt.result.is_none()) {
            open.result = Some((EventKind::TaskStateAborted, None));
        }
    }

    fn take(
        &mut self,
        branch_id: &BranchId,
        revision: u32,
        at: HybridTime,
        event: &Recorded,
        note: &mut impl FnMut(String),
    ) {
        if event.kind == EventKind::TaskRetried {
            self.give_up();
        }
        let open = self.attempts.last_mut().filter(|attempt| attempt.result.is_none());
        let here = || format!("{} at {branch_id}#{revision}", event.kind.as_str());
        match (role(event.kind), open) {
            (Role::Scheduled, None) => {
                self.attempts.push(Attempt::new(branch_id.clone(), revision, at, event));
            }
            (Role::Scheduled, Some(open)) => {
                note(format!("{} while that of #{} has no result", here(), open.revision));
            }
            (Role::Delegated, Some(open)) => {
                open.fluxling = event.text("fluxling").map(str::to_owned);
            }
            (Role::Submitted, Some(open)) if !open.is_submitted => {
                open.is_submitted = true;
                open.waits_for_outside = !open.is_sync;
            }
            (Role::Result, Some(open)) => {
                open.result = Some((event.kind, event.text("error").map(str::to_owned)));
            }
            (Role::Submitted, Some(_)) => note(format!("{}, a second time", here())),
            (Role::Delegated | Role::Submitted | Role::Result, None) => {
                note(format!("{} of no task: it has a result already", here()));
            }
            (Role::AbortsChildren, _) => self.aborted_children = true,
            (Role::Other, _) => {}
        }
        if !event.kind.is_ours() {
            self.last = Some(event.kind);
        }
        // A heartbeat, and a retry of a state that failed before it began its work, are steps too.
        let beats =
            self.attempts.last().is_some_and(|one| one.result.is_none() && one.has_heartbeat);
        let entered = matches!(
            self.last,
            Some(
                EventKind::TaskStateEntered
                    | EventKind::MapStateEntered
                    | EventKind::ParallelStateEntered
            )
        );
        self.may_be_silent = beats || entered;
    }
}

impl Attempt {
    fn new(branch_id: BranchId, revision: u32, at: HybridTime, event: &Recorded) -> Self {
        let resource = event.text("resource").unwrap_or_default();
        Self {
            branch_id,
            revision,
            at,
            fluxling: None,
            result: None,
            is_submitted: false,
            has_callback: resource.ends_with(".waitForTaskToken"),
            waits_for_outside: event.kind == EventKind::ActivityScheduled,
            is_sync: resource.ends_with(".sync") || resource.ends_with(".sync:2"),
            has_timeout: event.has("timeoutInSeconds"),
            has_heartbeat: event.has("heartbeatInSeconds"),
        }
    }
}

/// What an event says of an attempt.
enum Role {
    Scheduled,
    Delegated,
    Submitted,
    Result,
    AbortsChildren,
    Other,
}

fn role(kind: EventKind) -> Role {
    use EventKind as Kind;
    match kind {
        Kind::TaskScheduled | Kind::LambdaFunctionScheduled | Kind::ActivityScheduled => {
            Role::Scheduled
        }
        Kind::TaskDelegated => Role::Delegated,
        Kind::TaskSubmitted => Role::Submitted,
        Kind::TaskSucceeded
        | Kind::TaskFailed
        | Kind::TaskTimedOut
        | Kind::LambdaFunctionSucceeded
        | Kind::LambdaFunctionFailed
        | Kind::LambdaFunctionTimedOut
        | Kind::ActivitySucceeded
        | Kind::ActivityFailed
        | Kind::ActivityTimedOut
        | Kind::TaskSubmitFailed => Role::Result,
        Kind::ParallelStateFailed | Kind::MapStateFailed => Role::AbortsChildren,
        _ => Role::Other,
    }
}

/// Whether each event's cause is there and was recorded before it, and within a branch each step
/// after the one before.
fn check_causes(rows: &[EventRow], note: &mut impl FnMut(String)) {
    let mut known: HashMap<EventKey, bool> = HashMap::new();
    let mut times: HashMap<&BranchId, HybridTime> = HashMap::new();
    for EventRow { branch_id, revision, at, events } in rows {
        if times.insert(branch_id, *at).is_some_and(|before| before >= *at) {
            note(format!("step {branch_id}#{revision} is recorded no later than the one before"));
        }
        for (position, event) in (0u32..).zip(events) {
            let key = EventKey { branch_id: branch_id.clone(), revision: *revision, position };
            let kind = event.kind.as_str();
            match event.previous.as_ref().map(|cause| (cause, known.get(cause))) {
                Some((cause, None)) => {
                    note(format!("{kind} {key} follows {cause}, which is not there before it"));
                }
                Some((cause, Some(true))) if !event.kind.is_ours() => {
                    note(format!("{kind} {key} follows {cause}, which the service does not have"));
                }
                _ => {}
            }
            known.insert(key, event.kind.is_ours());
        }
    }
}

/// Whether the ids that readers see are in the order of causes.
fn check_numbers(rows: Vec<EventRow>, note: &mut impl FnMut(String)) {
    let caused = |event: &Event| event.previous.is_some();
    let has_cause: usize =
        rows.iter().map(|row| row.events.iter().filter(|e| caused(e)).count()).sum();
    let numbered = number(rows, true);
    let before = numbered.iter().filter(|event| event.previous_event_id != 0).count();
    for event in numbered.iter().filter(|event| event.previous_event_id >= event.id) {
        note(format!("event {} follows event {}", event.id, event.previous_event_id));
    }
    if before != has_cause {
        note(format!("{has_cause} events have a cause, and {before} are numbered after one"));
    }
}
