//! Choice: goes where the first rule that matches says.
//!
//! Source: States Language, "Choice State".

use super::or_fail;
use crate::branch::Visit;
use crate::data_flow::{self, Failed, Reading};
use crate::definition::{Choice, Condition, Flow, State, StateId, Then};
use crate::step::{Go, Stepper};

pub(super) fn run(
    stepper: &mut Stepper<'_>,
    state: &State,
    visit: Visit,
    choices: &[Choice],
    default: Option<StateId>,
) -> Go {
    or_fail(visit, |visit| {
        let (next, assign, output) = match (chosen(stepper, state, visit, choices)?, default) {
            (Some(choice), _) => (choice.next, choice.assign.as_ref(), choice.output.as_ref()),
            (None, Some(default)) => {
                let output = match &state.flow {
                    Flow::Path(_) => None,
                    Flow::Jsonata(flow) => flow.output.as_ref(),
                };
                (default, state.assign.as_ref(), output)
            }
            (None, None) => {
                let cause = "Failed to transition out of the state. The state does not point to a \
                             next state.";
                return Err(data_flow::runtime(visit, "States.NoChoiceMatched", cause).into());
            }
        };
        let output = data_flow::leave(stepper, state, visit, None, assign, output)?;
        Ok(Go::Leave(visit.clone(), output, Then::Next(next)))
    })
}

/// The first choice whose condition holds.
fn chosen<'c>(
    stepper: &Stepper<'_>,
    state: &State,
    visit: &Visit,
    choices: &'c [Choice],
) -> Result<Option<&'c Choice>, Failed> {
    let input = data_flow::selected_input(stepper, state, visit)?;
    let reading = Reading::of(stepper, visit);
    for (index, choice) in choices.iter().enumerate() {
        let holds = match &choice.condition {
            Condition::Rule(rule) => {
                data_flow::evaluate(stepper, reading, &input, |env| rule.matches(env))?
            }
            Condition::Jsonata(flag) => {
                let place = format!("Choices[{index}]/Condition");
                data_flow::flag(stepper, visit, &place, flag)?
            }
        };
        if holds {
            return Ok(Some(choice));
        }
    }
    Ok(None)
}
