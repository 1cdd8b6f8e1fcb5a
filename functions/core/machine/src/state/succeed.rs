//! Succeed: ends its machine well.
//!
//! Source: States Language, "Succeed State".

use super::or_fail;
use crate::branch::Visit;
use crate::data_flow;
use crate::definition::{State, Then};
use crate::step::{Go, Stepper};

pub(super) fn run(stepper: &mut Stepper<'_>, state: &State, visit: Visit) -> Go {
    or_fail(visit, |visit| {
        let output = data_flow::output(stepper, state, visit, None)?;
        Ok(Go::Leave(visit.clone(), output, Then::End))
    })
}
