//! What Parallel and Map share: starting branches, and joining them again.

use std::sync::Arc;

use fluxus_schema::history::{Details, EventKey, EventKind};
use fluxus_schema::{HybridTime, Json};
use serde_json::Value;

use crate::branch::{Branch, Failure, MapItem, Status, Visit};
use crate::definition::{Definition, Kind, StateId};
use crate::redrive::Resume;
use crate::state::map;
use crate::step::{Go, Stepper};

/// A branch that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildEnd {
    /// Its index.
    pub index: usize,
    /// What came of it.
    pub outcome: Result<Json, Failure>,
    /// Whether it failed in a Task.
    pub in_task: bool,
    /// The event that what comes of it follows.
    pub last: Option<EventKey>,
    /// When it ended.
    pub at: HybridTime,
    /// Number of its last event.
    pub events: u64,
}

/// A branch that is to be aborted, because a sibling failed.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenChild {
    /// Its index.
    pub index: usize,
    /// Whether it has begun.
    pub begun: bool,
    /// The event that says what it was in, where the service has one.
    pub aborted: Option<EventKind>,
}

impl OpenChild {
    /// What aborting `branch` will be noted as.
    pub fn of(definition: &Definition, branch: &Branch) -> Self {
        let state = match &branch.status {
            Status::AwaitingTask { visit, .. }
            | Status::AwaitingRetry { visit, .. }
            | Status::AwaitingTimer { visit, .. }
            | Status::AwaitingBranches { visit, .. } => definition.state_named(&visit.state),
            _ => None,
        };
        let aborted = state.and_then(|state| match state.kind {
            Kind::Task(_) => Some(EventKind::TaskStateAborted),
            Kind::Wait(_) => Some(EventKind::WaitStateAborted),
            Kind::Parallel { .. } => Some(EventKind::ParallelStateAborted),
            Kind::Map(_) => Some(EventKind::MapStateAborted),
            _ => None,
        });
        let begun = !matches!(branch.status, Status::Pending { .. });
        Self { index: branch.id.index(), begun, aborted }
    }
}

impl ChildEnd {
    /// How `branch` ended; nothing if it has not.
    pub fn of(branch: &Branch) -> Option<Self> {
        let (outcome, in_task) = match &branch.status {
            Status::Succeeded { output } => (Ok(output.clone()), false),
            Status::Failed { failure, in_task, .. } => (Err(failure.clone()), *in_task),
            _ => return None,
        };
        Some(Self {
            index: branch.id.index(),
            outcome,
            in_task,
            last: branch.last.clone(),
            at: branch.at,
            events: branch.events,
        })
    }
}

/// A branch that begins in `start`; it follows the last event so far. Without an item of its own
/// it is part of the work on the item above, if there is one.
pub(super) fn child(
    stepper: &Stepper<'_>,
    index: usize,
    start: StateId,
    input: Json,
    item: Option<MapItem>,
) -> Branch {
    let above = || stepper.branch.item.clone().map(|item| MapItem { is_above: true, ..item });
    Branch {
        id: stepper.branch.id.child(stepper.revision, index),
        revision: 0,
        at: stepper.branch.at.next(stepper.now),
        last: if item.is_some() { None } else { stepper.last.clone() },
        events: stepper.count,
        item: item.or_else(above),
        execution: stepper.branch.execution.clone(),
        variables: stepper.variables.clone(),
        status: Status::Pending {
            start_at: stepper.definition.state(start).name.clone(),
            input,
            resume: None,
        },
    }
}

/// Notes the beginning of the items that begin at once: the service notes all of them first.
pub(super) fn note_iterations(stepper: &mut Stepper<'_>) {
    for index in 0..stepper.begin {
        let Some(item) = stepper.children[index].item.clone() else { continue };
        let last = stepper.last.clone();
        let key = stepper.note(EventKind::MapIterationStarted, iteration(&item), last);
        stepper.children[index].last = Some(key);
    }
    let count = stepper.count;
    stepper.children.iter_mut().for_each(|child| child.events = count);
}

/// The visit waits until its branches have ended.
pub(super) fn wait(stepper: &Stepper<'_>, visit: Visit, total: usize) -> Go {
    Go::Await(Status::AwaitingBranches { visit, total, revision: stepper.revision })
}

/// Goes on with what came of the branches.
pub(crate) fn join(
    stepper: &mut Stepper<'_>,
    visit: Visit,
    mut ended: Vec<ChildEnd>,
    mut open: Vec<OpenChild>,
) -> Go {
    let state = stepper.definition.state_named(&visit.state);
    if let Some(state) = state
        && let Kind::Map(map) = &state.kind
        && let Some(distributed) = &map.distributed
    {
        return map::distributed::join(stepper, state, distributed, visit, ended);
    }
    let before = stepper.branch.events;
    stepper.count += ended.iter().map(|child| child.events.saturating_sub(before)).sum::<u64>();
    let is_map = state.is_some_and(|state| matches!(state.kind, Kind::Map(_)));
    let failed = ended.iter().filter(|child| child.outcome.is_err()).min_by_key(|child| child.at);
    if let Some(failed) = failed.cloned() {
        stepper.resume = Resume::of(&stepper.branch.status).map(|resume| *resume);
        open.sort_by_key(|child| child.index);
        note_failure(stepper, &visit, &failed, &open, is_map);
        let failure = failed.outcome.err().unwrap_or_default();
        return Go::Fail(visit, failure.into());
    }
    if let Some(last) = ended.iter().max_by_key(|child| child.at) {
        stepper.last = last.last.clone();
    }
    let succeeded =
        if is_map { EventKind::MapStateSucceeded } else { EventKind::ParallelStateSucceeded };
    stepper.note(succeeded, Details::new(), stepper.last.clone());
    ended.sort_by_key(|child| child.index);
    let outputs = ended.into_iter().filter_map(|child| child.outcome.ok());
    let outputs = outputs.map(Arc::unwrap_or_clone).collect();
    Go::Result(visit, Arc::new(Value::Array(outputs)))
}

fn note_failure(
    stepper: &mut Stepper<'_>,
    visit: &Visit,
    failed: &ChildEnd,
    open: &[OpenChild],
    is_map: bool,
) {
    stepper.last = failed.last.clone();
    let last = stepper.last.clone();
    let name = &visit.state;
    let numbered =
        |index: usize| Details::new().with("index", index as u64).with("name", name.clone());
    if is_map {
        stepper.note(EventKind::MapIterationFailed, numbered(failed.index), last.clone());
    }
    if failed.in_task {
        stepper.note(EventKind::TaskStateAborted, Details::new(), last.clone());
    }
    for child in open.iter().filter(|child| child.begun) {
        if is_map {
            stepper.note(EventKind::MapIterationAborted, numbered(child.index), last.clone());
        }
        if let Some(aborted) = child.aborted {
            stepper.note(aborted, Details::new(), last.clone());
        }
    }
    let kind = if is_map { EventKind::MapStateFailed } else { EventKind::ParallelStateFailed };
    stepper.branches_failed = Some(kind);
}

/// Details of the events of one Map item.
pub(crate) fn iteration(item: &MapItem) -> Details {
    Details::new().with("index", item.index as u64).with("name", item.state.clone())
}
