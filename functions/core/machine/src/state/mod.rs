//! What each type of state does: one file for each.

pub mod branches;
mod choice;
mod fail;
pub(crate) mod map;
mod parallel;
mod pass;
pub(crate) mod task;
mod wait;

use crate::branch::Visit;
use crate::data_flow::Failed;
use crate::definition::{Kind, State};
use crate::step::{Go, Stepper};

/// Does a state's work.
pub(crate) fn run(stepper: &mut Stepper<'_>, state: &State, visit: Visit) -> Go {
    match &state.kind {
        Kind::Pass { result } => pass::run(stepper, state, visit, result.as_ref()),
        Kind::Task(task) => task::run(stepper, state, task, visit),
        Kind::Choice { choices, default } => choice::run(stepper, state, visit, choices, *default),
        Kind::Wait(wait) => wait::run(stepper, state, visit, wait),
        Kind::Succeed => Go::HandOn(visit),
        Kind::Fail { error, cause } => fail::run(stepper, visit, error.as_ref(), cause.as_ref()),
        Kind::Parallel { branches } => parallel::run(stepper, state, visit, branches),
        Kind::Map(map) => map::run(stepper, state, map, visit),
    }
}

/// Runs what may fail, and turns a failure into the state's own.
fn or_fail(visit: Visit, attempt: impl FnOnce(&Visit) -> Result<Go, Failed>) -> Go {
    match attempt(&visit) {
        Ok(go) => go,
        Err(failed) => Go::Fail(visit, failed),
    }
}
