//! Choice: goes where the first rule that matches says.
//!
//! Source: States Language, "Choice State".

use super::or_fail;
use crate::branch::{Failure, Visit};
use crate::comparison::Rule;
use crate::data_flow::{self, Reading};
use crate::definition::{State, StateId, Then};
use crate::step::{Go, Stepper};
use crate::template::Template;

pub(super) fn run(
    stepper: &mut Stepper<'_>,
    state: &State,
    visit: Visit,
    rules: &[(Rule, StateId, Option<Template>)],
    default: Option<StateId>,
) -> Go {
    or_fail(visit, |visit| {
        let input = data_flow::selected_input(stepper, state, visit)?;
        let mut chosen = None;
        for (rule, next, assign) in rules {
            let reading = Reading::of(stepper, visit);
            if data_flow::evaluate(stepper, reading, &input, |env| rule.matches(env))? {
                chosen = Some((*next, assign.as_ref()));
                break;
            }
        }
        let (next, assign) = match (chosen, default) {
            (Some(chosen), _) => chosen,
            (None, Some(default)) => (default, state.assign.as_ref()),
            (None, None) => {
                let cause = format!(
                    "An error occurred while executing the state '{}' (entered at the event id \
                     #{}). Failed to transition out of the state. The state does not point to a \
                     next state.",
                    visit.state, visit.entered_event
                );
                return Err(Failure::new("States.NoChoiceMatched", cause));
            }
        };
        if let Some(template) = assign {
            data_flow::assign(stepper, visit, &input, template)?;
        }
        let output = data_flow::output(stepper, state, visit, None)?;
        Ok(Go::Leave(visit.clone(), output, Then::Next(next)))
    })
}
