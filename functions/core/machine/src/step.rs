//! One step: a branch, an event, and what becomes of it.

use std::sync::Arc;

use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::history::{Details, Event, EventKey, EventKind};
use fluxus_schema::limits::MAX_TRANSITIONS_PER_STEP;
use fluxus_schema::message::TaskReport;
use fluxus_schema::{Json, TaskToken, Timestamp};
use serde_json::{Map, Value, json};

use crate::branch::{Branch, Failure, MapItem, Status, Variables, Visit};
use crate::context::ExecutionContext;
use crate::data_flow::{self, Evaluation, Failed};
use crate::definition::{Definition, Flow, Kind, State, StateId, Then};
use crate::effect::Effect;
use crate::entropy::{Entropy, Purpose};
use crate::operator::{self, Operator};
use crate::probe::Probe;
use crate::redrive::{self, Resume};
use crate::retry;
use crate::state::branches::{ChildEnd, OpenChild};
use crate::state::{self, branches, task};
use crate::test_state::InspectionData;

/// Something that happened to a branch.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// It is its turn to begin. An item of a Map that had to wait follows `after`, the last event
    /// of the item that made room for it.
    Begin {
        /// That event.
        after: Option<EventKey>,
    },
    /// Somebody took the task up.
    TaskStarted {
        /// The attempt's token.
        token: TaskToken,
        /// Who, where it said so: an activity's worker.
        worker: Option<String>,
    },
    /// The task was done, or the callback came.
    TaskSucceeded {
        /// The attempt's token, or its callback token.
        token: TaskToken,
        /// What came of it.
        output: Json,
        /// How it went.
        report: Option<TaskReport>,
    },
    /// The task failed.
    TaskFailed {
        /// The attempt's token, or its callback token.
        token: TaskToken,
        /// Why.
        failure: Failure,
        /// How it went.
        report: Option<TaskReport>,
    },
    /// The same, told by an event of its own: `TaskSubmitFailed`, `LambdaFunctionScheduleFailed`.
    TaskFailedAs {
        /// The attempt's token, or its callback token.
        token: TaskToken,
        /// That event.
        event: EventKind,
        /// Why.
        failure: Failure,
    },
    /// The request was handed over; what it asked for is not done. Only for tasks that wait for a
    /// job or a callback.
    TaskSubmitted {
        /// The attempt's token.
        token: TaskToken,
        /// What the request itself gave back.
        output: Json,
    },
    /// The task is still being worked on.
    TaskHeartbeat {
        /// The attempt's token, or its callback token.
        token: TaskToken,
    },
    /// A wait, a retry interval or a task's time is over.
    TimerFired {
        /// The branch's revision when the timer was set.
        revision: u32,
    },
    /// All branches ended, or one of them failed.
    BranchesEnded {
        /// The revision that created them.
        revision: u32,
        /// Those that ended.
        ended: Vec<ChildEnd>,
        /// Those that have not.
        open: Vec<OpenChild>,
    },
    /// The execution goes on from where it ended without success.
    Redriven {
        /// The event that what the branch does now follows; none for the root, which records it.
        after: Option<EventKey>,
        /// Whether a state that failed through its branches begins them anew.
        afresh: bool,
    },
    /// An operator has the task's attempt made again, or does not wait for the next one.
    TaskRetried {
        /// The branch's revision when it began to wait.
        revision: u32,
        /// Who asks for it, and why.
        by: Operator,
    },
    /// An operator ends the task in place of who should have done it.
    TaskSkipped {
        /// The branch's revision when it began to wait.
        revision: u32,
        /// What counts as come of it.
        output: Json,
        /// Who asks for it, and why.
        by: Operator,
    },
    /// The execution is to end now.
    Stopped {
        /// `ABORTED` or `TIMED_OUT`.
        status: ClaimStatus,
        /// Why.
        failure: Failure,
    },
}

/// What one step made.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The branch as it stands now.
    pub branch: Branch,
    /// Branches that it started, by index.
    pub children: Vec<Branch>,
    /// How many of them, from the first, begin at once; the others wait for room.
    pub begin: usize,
    /// What must happen outside.
    pub effects: Vec<Effect>,
    /// What is recorded, in order.
    pub events: Vec<Event>,
    /// The event that the next item of the same Map follows, where this was one that ended.
    pub handover: Option<EventKey>,
}

/// The event does not fit where the branch stands: a duplicate answer, an old timer, anything
/// after the end. Nothing changes; acknowledge the message and go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} does not fit a branch that is {status}")]
pub struct Rejected {
    event: &'static str,
    status: &'static str,
}

/// Moves a branch forward by one event, through all states that need no one else.
///
/// Pure: equal arguments give an equal [`Step`], so that redelivery and replay cannot diverge.
/// Source: States Language, "State Machine Structure", "Errors".
///
/// # Errors
/// [`Rejected`] if the event does not fit.
pub fn step(
    definition: &Definition,
    context: &ExecutionContext,
    branch: &Branch,
    input: Input,
    now: Timestamp,
) -> Result<Step, Rejected> {
    let mut stepper = Stepper::new(definition, context, branch, now);
    let rejected = rejected(&branch.status, &input);
    let go = match (branch.status.clone(), input) {
        (Status::Pending { resume: Some(resume), .. }, Input::Begin { after }) => {
            redrive::resume(&mut stepper, *resume, after, false)
        }
        (
            Status::Failed { resume: Some(resume), .. }
            | Status::Stopped { resume: Some(resume), .. },
            Input::Redriven { after, afresh },
        ) => redrive::resume(&mut stepper, *resume, after, afresh),
        (status, input @ (Input::TaskRetried { .. } | Input::TaskSkipped { .. })) => {
            match operator::on_request(&mut stepper, status, input) {
                Some(go) => go,
                None => return Err(rejected),
            }
        }
        (Status::Pending { start_at, input, resume: None }, Input::Begin { after }) => {
            stepper.begin(after);
            match definition.by_name.get(&start_at) {
                Some(start_at) => Go::Enter(*start_at, input),
                None => Go::Lost(start_at),
            }
        }
        (status, Input::Stopped { status: how, failure }) if !has_ended(&status) => {
            stepper.stop(how, failure)
        }
        (Status::AwaitingTask { visit, task }, event) => {
            match task::on_event(&mut stepper, visit, task, branch.revision, event) {
                Some(go) => go,
                None => return Err(rejected),
            }
        }
        // A timer can be early where the clocks of two processes differ: it is set once more.
        (
            status @ (Status::AwaitingRetry { due, .. } | Status::AwaitingTimer { due, .. }),
            Input::TimerFired { revision },
        ) if revision == branch.revision && now < due => {
            stepper.effects.push(Effect::Timer { due, watch: false });
            Go::Await(status)
        }
        (Status::AwaitingRetry { visit, .. }, Input::TimerFired { revision })
            if revision == branch.revision =>
        {
            Go::Run(visit)
        }
        (Status::AwaitingTimer { visit, .. }, Input::TimerFired { revision })
            if revision == branch.revision =>
        {
            Go::HandOn(visit)
        }
        (
            Status::AwaitingBranches { visit, revision: created, .. },
            Input::BranchesEnded { revision, ended, open },
        ) if revision == created => branches::join(&mut stepper, visit, ended, open),
        _ => return Err(rejected),
    };
    let status = stepper.settle(go);
    Ok(stepper.finish(branch, status))
}

/// Runs one state alone, from what `begin` says on, until it waits or is left; `probe` sees what
/// happens in it.
pub(crate) fn run_alone(
    definition: &Definition,
    context: &ExecutionContext,
    branch: &Branch,
    begin: impl FnOnce(&mut Stepper<'_>) -> Go,
    now: Timestamp,
    probe: &Probe,
) -> Step {
    let stepper = Stepper::new(definition, context, branch, now);
    let mut stepper = Stepper { probe: Some(probe), ..stepper };
    let go = begin(&mut stepper);
    let status = stepper.settle(go);
    stepper.finish(branch, status)
}

/// Fails a branch that went round through Parallel or Map states without ever waiting.
pub(crate) fn exhausted(
    definition: &Definition,
    context: &ExecutionContext,
    branch: &Branch,
    now: Timestamp,
) -> Step {
    let mut stepper = Stepper::new(definition, context, branch, now);
    let status = stepper.settle(endless());
    stepper.finish(branch, status)
}

fn endless() -> Go {
    let cause = format!(
        "{MAX_TRANSITIONS_PER_STEP} transitions without a task or a wait: a loop that would never \
         end"
    );
    Go::End(Failure::new("States.Runtime", cause), false)
}

fn has_ended(status: &Status) -> bool {
    matches!(status, Status::Succeeded { .. } | Status::Failed { .. } | Status::Stopped { .. })
}

impl Rejected {
    /// The event does not fit where `branch` stands.
    pub(crate) fn of(branch: &Branch, input: &Input) -> Self {
        rejected(&branch.status, input)
    }

    /// The event is for a branch that is gone: joined, aborted, or of an execution that ended.
    pub(crate) fn unknown(input: &Input) -> Self {
        Self { event: input.name(), status: "gone" }
    }
}

impl Input {
    fn name(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "Begin",
            Self::TaskStarted { .. } => "TaskStarted",
            Self::TaskSucceeded { .. } => "TaskSucceeded",
            Self::TaskFailed { .. } => "TaskFailed",
            Self::TaskFailedAs { .. } => "TaskFailedAs",
            Self::TaskSubmitted { .. } => "TaskSubmitted",
            Self::TaskHeartbeat { .. } => "TaskHeartbeat",
            Self::TimerFired { .. } => "TimerFired",
            Self::BranchesEnded { .. } => "BranchesEnded",
            Self::Redriven { .. } => "Redriven",
            Self::TaskRetried { .. } => "TaskRetried",
            Self::TaskSkipped { .. } => "TaskSkipped",
            Self::Stopped { .. } => "Stopped",
        }
    }
}

fn rejected(status: &Status, input: &Input) -> Rejected {
    let status = match status {
        Status::Pending { .. } => "pending",
        Status::AwaitingTask { .. } => "awaiting another answer",
        Status::AwaitingRetry { .. } => "awaiting its next attempt",
        Status::AwaitingTimer { .. } => "awaiting a timer",
        Status::AwaitingBranches { .. } => "awaiting its branches",
        Status::Succeeded { .. } | Status::Failed { .. } | Status::Stopped { .. } => "at its end",
    };
    Rejected { event: input.name(), status }
}

/// What to do next while a step settles.
pub(crate) enum Go {
    /// Enter a state with this input.
    Enter(StateId, Json),
    /// Do a state's work, again or for the first time.
    Run(Visit),
    /// A state without a result is done; its data flow is not.
    HandOn(Visit),
    /// A state's result is there; its data flow is not done.
    Result(Visit, Json),
    /// Leave a state with this output for what follows it.
    Leave(Visit, Json, Then),
    /// A state failed; its retriers and catchers decide.
    Fail(Visit, Failed),
    /// Wait for somebody else.
    Await(Status),
    /// The branch failed.
    End(Failure, bool),
    /// The definition has no state of that name: it is not the one this execution began with.
    Lost(fluxus_schema::StateName),
}

/// The working state of one step.
pub(crate) struct Stepper<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) context: &'a ExecutionContext,
    pub(crate) branch: &'a Branch,
    pub(crate) now: Timestamp,
    /// The revision that this step makes.
    pub(crate) revision: u32,
    pub(crate) entropy: Entropy<'a>,
    pub(crate) variables: Variables,
    /// What the state assigns that is being left.
    pub(crate) assigned: Map<String, Value>,
    /// Notes that the branches of the state failed, unless it begins them again.
    pub(crate) branches_failed: Option<EventKind>,
    /// Where the branch goes on if it fails now and is redriven later.
    pub(crate) resume: Option<Resume>,
    /// The event that the next one follows.
    pub(crate) last: Option<EventKey>,
    /// Number of the last event.
    pub(crate) count: u64,
    pub(crate) children: Vec<Branch>,
    pub(crate) begin: usize,
    pub(crate) effects: Vec<Effect>,
    /// Whoever tests the state; nobody in a real step.
    pub(crate) probe: Option<&'a Probe>,
    events: Vec<Event>,
    handover: Option<EventKey>,
}

impl<'a> Stepper<'a> {
    fn new(
        definition: &'a Definition,
        context: &'a ExecutionContext,
        branch: &'a Branch,
        now: Timestamp,
    ) -> Self {
        let revision = branch.revision.saturating_add(1);
        Self {
            definition,
            context,
            branch,
            now,
            revision,
            entropy: Entropy::new(context.seed, Purpose::Step, &branch.id, revision),
            variables: branch.variables.clone(),
            assigned: Map::new(),
            branches_failed: None,
            resume: None,
            last: branch.last.clone(),
            count: branch.events,
            children: Vec::new(),
            begin: 0,
            effects: Vec::new(),
            probe: None,
            events: Vec::new(),
            handover: None,
        }
    }

    /// Shows whoever tests the state how far its data has come.
    pub(crate) fn inspect(&self, show: impl FnOnce(&mut InspectionData)) {
        if let Some(probe) = self.probe {
            probe.inspect(show);
        }
    }

    /// The context object in a visit.
    pub(crate) fn context_object(
        &self,
        visit: &Visit,
        item: Option<&MapItem>,
        token: Option<&TaskToken>,
    ) -> Value {
        match self.probe {
            Some(probe) => probe.context_object(item, token),
            None => {
                let child = self.branch.execution.as_deref();
                self.context.object(Some(visit), child, item, token)
            }
        }
    }

    /// Records an event that follows the last one, and that the next one follows.
    pub(crate) fn record(&mut self, kind: EventKind, details: Details) -> EventKey {
        let key = self.note(kind, details, self.last.clone());
        self.last = Some(key.clone());
        key
    }

    /// Records an event beside the chain: the next one does not follow it.
    pub(crate) fn note(
        &mut self,
        kind: EventKind,
        details: Details,
        previous: Option<EventKey>,
    ) -> EventKey {
        let position = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        self.events.push(Event { kind, previous, details });
        // Causes name events by their number in the service's history, which has none of ours.
        self.count += u64::from(!kind.is_ours());
        EventKey { branch_id: self.branch.id.clone(), revision: self.revision, position }
    }

    fn begin(&mut self, after: Option<EventKey>) {
        if self.branch.id.is_root() {
            let details = Details::new()
                .with("input", self.context.input.clone())
                .with_some("roleArn", self.context.role_arn.clone());
            self.note(EventKind::ExecutionStarted, details, None);
        } else if let (true, Some(child)) = (self.branch.begins_execution(), &self.branch.execution)
        {
            let details = Details::new()
                .with("input", child.input.clone())
                .with_some("roleArn", self.context.role_arn.clone());
            self.note(EventKind::ExecutionStarted, details, None);
        } else if let Some(item) = self.branch.own_item()
            && self.last.is_none()
        {
            self.last = after;
            self.record(EventKind::MapIterationStarted, branches::iteration(item));
        }
    }

    /// Runs on until the branch waits or ends.
    fn settle(&mut self, mut go: Go) -> Status {
        let mut transitions = 0;
        loop {
            go = match go {
                Go::Enter(_, _) if transitions == MAX_TRANSITIONS_PER_STEP => endless(),
                Go::Enter(id, input) => {
                    transitions += 1;
                    let visit = self.enter(id, input);
                    Go::Run(visit)
                }
                Go::Run(visit) => match self.definition.state_named(&visit.state) {
                    Some(state) => state::run(self, state, visit),
                    None => Go::Lost(visit.state),
                },
                Go::HandOn(visit) => self.finish_visit(visit, None),
                Go::Result(visit, result) => self.finish_visit(visit, Some(result)),
                Go::Leave(visit, output, then) => {
                    self.resume = None;
                    self.exit(&visit, &output);
                    if let Some(probe) = self.probe {
                        probe.left(then);
                        return Status::Succeeded { output };
                    }
                    match then {
                        Then::Next(next) => Go::Enter(next, output),
                        Then::End => return self.succeed(output),
                    }
                }
                Go::Fail(visit, failed) => match self.definition.state_named(&visit.state) {
                    Some(state) => {
                        if self.resume.is_none() {
                            self.resume = Some(Resume::State { visit: visit.clone() });
                        }
                        let also = failed.also;
                        let failure = self.note_evaluation(state, &visit, failed);
                        if let Some(probe) = self.probe {
                            probe.failed(&failure);
                        }
                        retry::on_failure(self, state, visit, failure, also)
                    }
                    None => Go::Lost(visit.state),
                },
                Go::Await(status) => return status,
                Go::End(failure, in_task) => return self.fail(failure, in_task),
                Go::Lost(state) => {
                    let cause = format!("The definition has no state `{state}`");
                    Go::End(Failure::new("States.Runtime", cause), false)
                }
            };
        }
    }

    fn enter(&mut self, id: StateId, input: Json) -> Visit {
        let state = self.definition.state(id);
        let details = Details::new().with("input", input.clone()).with("name", state.name.clone());
        self.record(entered(&state.kind), details);
        Visit {
            state: state.name.clone(),
            input,
            entered_at: self.now,
            entered_event: self.count,
            can_retry: matches!(state.kind, Kind::Task(_) | Kind::Parallel { .. } | Kind::Map(_)),
            retries: Vec::new(),
        }
    }

    /// Takes a state's result, or its waited-out input, through the data flow and leaves it.
    fn finish_visit(&mut self, visit: Visit, result: Option<Json>) -> Go {
        let Some(state) = self.definition.state_named(&visit.state) else {
            return Go::Lost(visit.state);
        };
        let output = match &state.flow {
            Flow::Path(_) => None,
            Flow::Jsonata(flow) => flow.output.as_ref(),
        };
        match data_flow::leave(self, state, &visit, result, state.assign.as_ref(), output) {
            Ok(output) => Go::Leave(visit, output, state.then),
            Err(failed) => Go::Fail(visit, failed),
        }
    }

    /// Notes that an evaluation in JSONata failed, where that was it. What the service evaluates
    /// on entering a state, it tells of beside the entering: both follow the same event.
    pub(crate) fn note_evaluation(
        &mut self,
        state: &State,
        visit: &Visit,
        failed: Failed,
    ) -> Failure {
        let Failed { failure, evaluation, .. } = failed;
        let Some(Evaluation { location, is_late }) = evaluation else { return failure };
        let entered = self.events.last().filter(|_| self.count == visit.entered_event && !is_late);
        let previous = entered.map_or(self.last.clone(), |entered| entered.previous.clone());
        let details = failure_details(&failure)
            .with_some("location", location.as_deref())
            .with("state", visit.state.clone());
        self.last = Some(self.note(EventKind::EvaluationFailed, details, previous));
        if self.branches_failed.is_none() {
            self.branches_failed = match state.kind {
                Kind::Map(_) => Some(EventKind::MapStateFailed),
                Kind::Parallel { .. } => Some(EventKind::ParallelStateFailed),
                _ => None,
            };
        }
        failure
    }

    fn exit(&mut self, visit: &Visit, output: &Json) {
        if let Some(state) = self.definition.state_named(&visit.state)
            && let Some(kind) = exited(&state.kind)
        {
            let mut details =
                Details::new().with("name", state.name.clone()).with("output", output.clone());
            if !self.assigned.is_empty() {
                // History shows each value as JSON text, as the service does.
                let shown =
                    |(name, value): (&String, &Value)| (name.clone(), json!(value.to_string()));
                let shown: Map<_, _> = self.assigned.iter().map(shown).collect();
                details = details
                    .with("assignedVariables", Value::Object(shown))
                    .with("assignedVariablesDetails", json!({ "truncated": false }));
            }
            self.record(kind, details);
        }
        for (name, value) in std::mem::take(&mut self.assigned) {
            self.variables.insert(name, Arc::new(value));
        }
    }

    fn succeed(&mut self, output: Json) -> Status {
        if self.branch.begins_execution() {
            let details = Details::new().with("output", output.clone());
            self.record(EventKind::ExecutionSucceeded, details);
        } else if let Some(item) = self.branch.own_item() {
            self.handover = self.last.clone();
            self.record(EventKind::MapIterationSucceeded, branches::iteration(item));
        }
        Status::Succeeded { output }
    }

    fn fail(&mut self, failure: Failure, in_task: bool) -> Status {
        if self.branch.begins_execution() {
            self.record(EventKind::ExecutionFailed, failure_details(&failure));
        }
        let resume = self.resume.take().map(Box::new);
        Status::Failed { failure, in_task, resume }
    }

    fn stop(&mut self, how: ClaimStatus, failure: Failure) -> Go {
        let failure = failure.within_bounds();
        if self.branch.id.is_root() {
            let kind = match how {
                ClaimStatus::TimedOut => EventKind::ExecutionTimedOut,
                _ => EventKind::ExecutionAborted,
            };
            self.note(kind, failure_details(&failure), None);
        }
        let resume = Resume::of(&self.branch.status);
        Go::Await(Status::Stopped { status: how, failure, resume })
    }

    fn finish(self, before: &Branch, status: Status) -> Step {
        let branch = Branch {
            id: before.id.clone(),
            revision: self.revision,
            at: before.at.next(self.now),
            last: self.last,
            events: self.count,
            item: before.item.clone(),
            execution: before.execution.clone(),
            variables: self.variables,
            status,
        };
        Step {
            branch,
            children: self.children,
            begin: self.begin,
            effects: self.effects,
            events: self.events,
            handover: self.handover,
        }
    }
}

/// The detail fields of an event that tells of a failure.
pub(crate) fn failure_details(failure: &Failure) -> Details {
    Details::new()
        .with_some("error", failure.error.as_deref())
        .with_some("cause", failure.cause.as_deref().filter(|cause| !cause.is_empty()))
}

fn entered(kind: &Kind) -> EventKind {
    match kind {
        Kind::Pass { .. } => EventKind::PassStateEntered,
        Kind::Task(_) => EventKind::TaskStateEntered,
        Kind::Choice { .. } => EventKind::ChoiceStateEntered,
        Kind::Wait(_) => EventKind::WaitStateEntered,
        Kind::Succeed => EventKind::SucceedStateEntered,
        Kind::Fail { .. } => EventKind::FailStateEntered,
        Kind::Parallel { .. } => EventKind::ParallelStateEntered,
        Kind::Map(_) => EventKind::MapStateEntered,
    }
}

fn exited(kind: &Kind) -> Option<EventKind> {
    match kind {
        Kind::Pass { .. } => Some(EventKind::PassStateExited),
        Kind::Task(_) => Some(EventKind::TaskStateExited),
        Kind::Choice { .. } => Some(EventKind::ChoiceStateExited),
        Kind::Wait(_) => Some(EventKind::WaitStateExited),
        Kind::Succeed => Some(EventKind::SucceedStateExited),
        Kind::Fail { .. } => None,
        Kind::Parallel { .. } => Some(EventKind::ParallelStateExited),
        Kind::Map(_) => Some(EventKind::MapStateExited),
    }
}
