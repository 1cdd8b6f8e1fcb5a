//! Wait: goes on after some seconds, or at a moment.
//!
//! Source: States Language, "Wait State".

use std::time::Duration;

use fluxus_schema::Timestamp;

use super::or_fail;
use crate::branch::{Status, Visit};
use crate::data_flow::{self, Reading};
use crate::definition::{State, Wait};
use crate::effect::Effect;
use crate::step::{Go, Stepper};

pub(super) fn run(stepper: &mut Stepper<'_>, state: &State, visit: Visit, wait: &Wait) -> Go {
    or_fail(visit, |visit| {
        let input = data_flow::selected_input(stepper, state, visit)?;
        let due = match wait {
            Wait::Seconds(number) => {
                let seconds = data_flow::number(stepper, visit, &input, number, "SecondsPath")?;
                stepper.now.plus(Duration::from_secs(seconds))
            }
            Wait::Until(due) => *due,
            Wait::UntilPath(path) => {
                let reading = Reading::of(stepper, visit);
                let value = data_flow::at_path(stepper, reading, &input, path)?;
                let due = value.as_str().and_then(|text| Timestamp::parse(text).ok());
                due.ok_or_else(|| {
                    let cause = format!(
                        "The TimestampPath parameter does not reference a valid ISO-8601 extended \
                         offset date-time format string: {path} == {value}"
                    );
                    data_flow::runtime(visit, "States.Runtime", &cause)
                })?
            }
        };
        if due <= stepper.now {
            return Ok(Go::Waited(visit.clone()));
        }
        stepper.effects.push(Effect::Timer { due, watch: false });
        Ok(Go::Await(Status::AwaitingTimer { visit: visit.clone(), due }))
    })
}
