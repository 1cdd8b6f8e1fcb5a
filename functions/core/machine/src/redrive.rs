//! Redrive: an execution that ended without success goes on from the states that did not succeed.
//!
//! As on the service, a state is not entered again, it does its work again, with all its attempts.
//! A Parallel or Map that failed through its branches redrives those that did not succeed and keeps
//! the results of the others; one that failed by itself, with results too large for example, runs
//! all of them anew. Source: AWS Step Functions, "Restarting state machine executions with redrive".

use fluxus_schema::history::{Details, EventKey, EventKind};
use fluxus_schema::{Json, StateName};
use serde::{Deserialize, Serialize};

use crate::branch::{Status, Visit};
use crate::definition::Kind;
use crate::state::map;
use crate::step::{Go, Stepper};

/// Where a branch that ended without success goes on when its execution is redriven.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Resume {
    /// At its beginning: it had not begun.
    Begin {
        /// The state it begins with.
        start_at: StateName,
        /// What that state gets.
        input: Json,
    },
    /// In this state, which does its work again.
    State {
        /// The visit of it.
        visit: Visit,
    },
    /// In its branches: those that did not succeed are redriven.
    Branches {
        /// The visit of the Parallel or Map state.
        visit: Visit,
        /// How many branches there are.
        total: usize,
        /// The revision that created them.
        revision: u32,
    },
}

impl Resume {
    /// Where a branch that stands so goes on, if it is cut off here.
    pub(crate) fn of(status: &Status) -> Option<Box<Self>> {
        let resume = match status {
            Status::Pending { resume: Some(resume), .. } => return Some(resume.clone()),
            Status::Failed { resume, .. } | Status::Stopped { resume, .. } => {
                return resume.clone();
            }
            Status::Pending { start_at, input, resume: None } => {
                Self::Begin { start_at: start_at.clone(), input: input.clone() }
            }
            Status::AwaitingTask { visit, .. }
            | Status::AwaitingRetry { visit, .. }
            | Status::AwaitingTimer { visit, .. } => Self::State { visit: visit.clone() },
            Status::AwaitingBranches { visit, total, revision } => {
                Self::Branches { visit: visit.clone(), total: *total, revision: *revision }
            }
            Status::Succeeded { .. } => return None,
        };
        Some(Box::new(resume))
    }

    /// The branch as it waits for its turn to go on.
    pub(crate) fn in_turn(self) -> Status {
        match self {
            Self::Begin { start_at, input } => Status::Pending { start_at, input, resume: None },
            Self::State { ref visit } | Self::Branches { ref visit, .. } => Status::Pending {
                start_at: visit.state.clone(),
                input: visit.input.clone(),
                resume: Some(Box::new(self)),
            },
        }
    }
}

/// Goes on where the branch ended; `after` is the event that it follows now.
pub(crate) fn resume(
    stepper: &mut Stepper<'_>,
    resume: Resume,
    after: Option<EventKey>,
    afresh: bool,
) -> Go {
    if let Resume::Begin { .. } = resume {
        // It begins by an event of its own, which says what it follows.
        return Go::Await(resume.in_turn());
    }
    if after.is_some() {
        stepper.last = after;
    }
    if stepper.branch.begins_execution() {
        let count = u64::from(stepper.context.redrive_count);
        stepper.record(EventKind::ExecutionRedriven, Details::new().with("redriveCount", count));
    }
    match resume {
        Resume::Begin { .. } => Go::Await(resume.in_turn()),
        Resume::State { visit } => Go::Run(with_all_attempts(visit)),
        Resume::Branches { visit, .. } if afresh => Go::Run(with_all_attempts(visit)),
        Resume::Branches { visit, total, revision } => {
            let Some(state) = stepper.definition.state_named(&visit.state) else {
                return Go::Lost(visit.state);
            };
            if let Kind::Map(map) = &state.kind
                && let Some(distributed) = &map.distributed
            {
                let run = map::distributed::run_id(stepper, distributed, &visit);
                let count = u64::from(stepper.context.redrive_count);
                let details = Details::new().with("mapRunArn", &*run).with("redriveCount", count);
                stepper.record(EventKind::MapRunRedriven, details);
            }
            stepper.begin = map::at_a_time(stepper, state, &visit, total);
            let visit = with_all_attempts(visit);
            Go::Await(Status::AwaitingBranches { visit, total, revision })
        }
    }
}

/// Retries start anew.
fn with_all_attempts(visit: Visit) -> Visit {
    Visit { retries: Vec::new(), ..visit }
}
