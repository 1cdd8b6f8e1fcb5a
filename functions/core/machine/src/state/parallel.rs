//! Parallel: runs its branches side by side, each as a record of its own.
//!
//! Source: States Language, "Parallel State".

use fluxus_schema::history::{Details, EventKind};

use super::{branches, or_fail};
use crate::branch::Visit;
use crate::data_flow;
use crate::definition::{State, StateId};
use crate::step::{Go, Stepper};

pub(super) fn run(
    stepper: &mut Stepper<'_>,
    state: &State,
    visit: Visit,
    starts: &[StateId],
) -> Go {
    or_fail(visit, |visit| {
        let input = data_flow::effective_input(stepper, state, visit, None)?;
        stepper.record(EventKind::ParallelStateStarted, Details::new());
        for (index, start) in starts.iter().enumerate() {
            let child = branches::child(stepper, index, *start, input.clone(), None);
            stepper.children.push(child);
        }
        stepper.begin = starts.len();
        Ok(branches::wait(stepper, visit.clone(), starts.len()))
    })
}
