//! Pass: hands its input on, or a fixed result.
//!
//! Source: States Language, "Pass State".

use fluxus_schema::Json;

use super::or_fail;
use crate::branch::Visit;
use crate::data_flow;
use crate::definition::State;
use crate::step::{Go, Stepper};

pub(super) fn run(
    stepper: &mut Stepper<'_>,
    state: &State,
    visit: Visit,
    result: Option<&Json>,
) -> Go {
    or_fail(visit, |visit| {
        let result = match result {
            Some(result) => result.clone(),
            None => data_flow::effective_input(stepper, state, visit, None)?,
        };
        Ok(Go::Result(visit.clone(), result))
    })
}
