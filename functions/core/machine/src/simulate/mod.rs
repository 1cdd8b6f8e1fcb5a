//! Runs a whole execution purely: mocks answer its tasks, and time is virtual, so waits cost
//! nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::history::{EventRow, HistoryEvent, number};
use fluxus_schema::items::ResultFile;
use fluxus_schema::{BranchId, Json, Timestamp};

use crate::branch::{Branch, Failure, Port, Status};
use crate::context::ExecutionContext;
use crate::definition::{Definition, Kind};
use crate::effect::{Dispatch, Effect};
use crate::execution::Execution;
use crate::step::Input;

mod batch;
mod case;
mod mocks;
pub(crate) mod validation;

pub use batch::run as run_case;
pub use case::Case;
pub use mocks::{Mock, Mocks, Throw, answer};
pub use validation::Call;

/// Most events that a simulation lets happen: a loop through a task would otherwise never end.
const MAX_EVENTS: usize = 10_000_000;

/// How a simulated execution ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    /// `SUCCEEDED`, `FAILED`, `TIMED_OUT`, or `RUNNING` where nothing can happen any more.
    pub status: ClaimStatus,
    /// What came of it.
    pub output: Option<Json>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Its whole history.
    pub events: Vec<HistoryEvent>,
    /// Tasks that wait for an answer that no mock gives.
    pub unanswered: Vec<String>,
    /// What distributed Maps wrote, file by file.
    pub written: Vec<ResultFile>,
}

/// Runs `definition` to its end.
pub fn simulate(definition: &Definition, context: &ExecutionContext, mocks: &Mocks) -> Simulated {
    let mut run = Simulation {
        execution: Execution::new(definition, context, usize::MAX).with_all_at_hand(),
        definition,
        mocks,
        attempts: BTreeMap::new(),
        now: context.started_at,
        scheduled: VecDeque::new(),
        timers: BinaryHeap::new(),
        set: 0,
        rows: Vec::new(),
        unanswered: Vec::new(),
        written: Vec::new(),
    };
    run.execution.begin(run.now);
    run.collect();
    let end = definition.timeout().map(|timeout| context.started_at.plus(timeout));
    let timed_out = run.until_quiet(end);
    if timed_out {
        let failure = Failure { error: Some("States.Timeout".into()), cause: None };
        // An execution that has ended meanwhile keeps its end.
        let _ = run.execution.stop(ClaimStatus::TimedOut, failure, run.now);
        run.collect();
    }
    run.finish()
}

struct Simulation<'a> {
    execution: Execution<'a>,
    definition: &'a Definition,
    mocks: &'a Mocks,
    /// Attempts so far, by state.
    attempts: BTreeMap<String, u32>,
    now: Timestamp,
    scheduled: VecDeque<(BranchId, Dispatch)>,
    timers: BinaryHeap<Reverse<(Timestamp, u64, BranchId, u32)>>,
    /// Timers set so far: those due at once fire in the order in which they were set.
    set: u64,
    rows: Vec<EventRow>,
    unanswered: Vec<String>,
    written: Vec<ResultFile>,
}

impl Simulation<'_> {
    /// Runs until nothing can happen any more; whether the execution ran out of time.
    fn until_quiet(&mut self, end: Option<Timestamp>) -> bool {
        let mut events = 0;
        while events < MAX_EVENTS {
            events += 1;
            if !self.scheduled.is_empty() {
                self.answer_scheduled();
                continue;
            }
            let Some(Reverse((due, _, branch, revision))) = self.timers.pop() else { break };
            if end.is_some_and(|end| end <= due) {
                self.now = end.unwrap_or(due);
                return true;
            }
            self.now = self.now.max(due);
            // A timer that is needed no more is rejected.
            let _ = self.execution.apply(&branch, Input::TimerFired { revision }, self.now);
            self.collect();
        }
        end.is_some_and(|end| end <= self.now)
    }

    /// Whoever takes tasks takes up all that are there, then answers them one by one.
    fn answer_scheduled(&mut self) {
        let taken: Vec<_> = self.scheduled.drain(..).collect();
        let mut answers = Vec::with_capacity(taken.len());
        for (branch, dispatch) in taken {
            let port = self.execution.branch(&branch).and_then(Branch::port).cloned();
            if let Some(port @ Port::Write { .. }) = &port {
                self.written.extend(port.files());
                let mock = answer(self.mocks, &dispatch.state, 1);
                let token = dispatch.token.clone();
                let input = mock.and_then(|mock| mock.failed(&token)).unwrap_or_else(|| {
                    Input::TaskSucceeded { token, output: Json::default(), report: None }
                });
                let _ = self.execution.apply(&branch, input, self.now);
                continue;
            }
            let attempt = self.attempts.entry(dispatch.state.to_string()).or_default();
            let mock = answer(self.mocks, &dispatch.state, *attempt);
            *attempt += 1;
            if mock.is_none_or(Mock::begins) {
                let started = Input::TaskStarted { token: dispatch.token.clone(), worker: None };
                let _ = self.execution.apply(&branch, started, self.now);
            }
            match (mock, port) {
                (Some(mock), Some(Port::Read { asked, .. })) => {
                    let input = mock.failed(&dispatch.token);
                    let input = input.unwrap_or_else(|| mock.read(&dispatch.token, &asked));
                    let _ = self.execution.apply(&branch, input, self.now);
                }
                (Some(mock), _) => answers.push((branch, dispatch, mock)),
                (None, _) => self.unanswered.push(dispatch.state.to_string()),
            }
        }
        for (branch, dispatch, mock) in answers {
            let callback = self.execution.branch(&branch).and_then(Branch::callback).cloned();
            let in_text = self.answers_in_text(&dispatch.state);
            for input in mock.inputs(&dispatch.token, callback, in_text) {
                // An attempt that a failed sibling aborted is answered for nothing.
                let _ = self.execution.apply(&branch, input, self.now);
            }
        }
        self.collect();
    }

    fn answers_in_text(&self, state: &str) -> bool {
        let state = self.definition.state_named(state);
        state.is_some_and(
            |state| matches!(&state.kind, Kind::Task(task) if task.resource.answers_in_text()),
        )
    }

    fn collect(&mut self) {
        let made = self.execution.take_made();
        self.rows.extend(made.rows);
        for (branch, revision, effect) in made.effects {
            match effect {
                Effect::Dispatch(dispatch) => self.scheduled.push_back((branch, dispatch)),
                Effect::Timer { due, .. } => {
                    self.set += 1;
                    self.timers.push(Reverse((due, self.set, branch, revision)));
                }
            }
        }
    }

    fn finish(self) -> Simulated {
        let root = self.execution.branch(&BranchId::root()).map(|root| root.status.clone());
        let (status, output, failure) = match root {
            Some(Status::Succeeded { output }) => (ClaimStatus::Succeeded, Some(output), None),
            Some(Status::Failed { failure, .. }) => (ClaimStatus::Failed, None, Some(failure)),
            Some(Status::Stopped { status, failure, .. }) => (status, None, Some(failure)),
            _ => (ClaimStatus::Running, None, None),
        };
        let events = number(self.rows, false);
        Simulated {
            status,
            output,
            failure,
            events,
            unanswered: self.unanswered,
            written: self.written,
        }
    }
}
