//! What an operator does to a task that waits: has it tried again, or ends it by hand.

use fluxus_schema::Json;
use fluxus_schema::history::{Details, EventKind};

use crate::branch::{Attempt, Status, Visit};
use crate::definition::Kind;
use crate::state::{map, task};
use crate::step::{Go, Input, Stepper};

/// Who asks for something that the recipe does not say, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operator {
    /// Who, as they call themselves.
    pub name: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
}

impl Operator {
    fn details(&self) -> Details {
        Details::new()
            .with_some("by", self.name.as_deref())
            .with_some("reason", self.reason.as_deref())
    }
}

/// What an operator can do about a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handles {
    /// The revision by which a request names what it is about.
    pub revision: u32,
    /// Whether the attempt can be made again.
    pub can_retry: bool,
    /// Whether the task can be ended by hand.
    pub can_skip: bool,
}

impl Handles {
    /// What can be done about a branch that stands so at `revision`; none where it waits for no
    /// task.
    pub(crate) fn of(status: &Status, revision: u32) -> Option<Self> {
        match status {
            Status::AwaitingTask { task, .. } => Some(Self {
                revision: scheduled_by(task)?,
                // The execution that it waits for would be started a second time.
                can_retry: task.execution.is_none(),
                // What a Map's own tasks answer is not for people to write.
                can_skip: task.port.is_none(),
            }),
            Status::AwaitingRetry { .. } => {
                Some(Self { revision, can_retry: true, can_skip: true })
            }
            _ => None,
        }
    }
}

/// The revision of the step that scheduled an attempt.
fn scheduled_by(task: &Attempt) -> Option<u32> {
    task.token.address().ok().map(|address| address.revision)
}

/// Does what an operator asks for; nothing if it does not fit.
///
/// A retry is another attempt with another token: an answer to the first one comes too late. It
/// counts as no retry of the recipe's.
pub(crate) fn on_request(stepper: &mut Stepper<'_>, status: Status, input: Input) -> Option<Go> {
    let handles = Handles::of(&status, stepper.branch.revision)?;
    match (status, input) {
        (status, Input::TaskRetried { revision, by })
            if revision == handles.revision && handles.can_retry =>
        {
            note(stepper, EventKind::TaskRetried, by.details());
            match status {
                Status::AwaitingTask { visit, task } => match task.port {
                    None => Some(Go::Run(visit)),
                    Some(port) => {
                        let state = stepper.definition.state_named(&visit.state)?;
                        map::port::again(stepper, state, visit, port)
                    }
                },
                Status::AwaitingRetry { visit, .. } => Some(Go::Run(visit)),
                _ => None,
            }
        }
        (status, Input::TaskSkipped { revision, output, by })
            if revision == handles.revision && handles.can_skip =>
        {
            match status {
                Status::AwaitingTask { visit, task } => {
                    note(stepper, EventKind::TaskSkipped, by.details());
                    answer(stepper, visit, task, output)
                }
                Status::AwaitingRetry { visit, .. } => {
                    let state = stepper.definition.state_named(&visit.state)?;
                    if !matches!(state.kind, Kind::Task(_)) {
                        return None;
                    }
                    note(stepper, EventKind::TaskSkipped, by.details());
                    Some(Go::Result(visit, output))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Takes the output as if whoever has the last word on the task had given it.
fn answer(stepper: &mut Stepper<'_>, visit: Visit, task: Attempt, output: Json) -> Option<Go> {
    let token = task.callback.clone().unwrap_or_else(|| task.token.clone());
    let answered = Input::TaskSucceeded { token, output, report: None };
    task::on_event(stepper, visit, task, stepper.branch.revision, answered)
}

/// Records it beside the service's events, none of which follows it.
fn note(stepper: &mut Stepper<'_>, kind: EventKind, details: Details) {
    let last = stepper.last.clone();
    stepper.note(kind, details, last);
}
