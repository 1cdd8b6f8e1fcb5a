//! Wait: goes on after some seconds, or at a moment.
//!
//! Source: States Language, "Wait State".

use std::time::Duration;

use fluxus_schema::Timestamp;
use fluxus_schema::limits::MAX_SECONDS;
use serde_json::Value;

use super::or_fail;
use crate::branch::{Status, Visit};
use crate::data_flow::{self, Failed, Reading};
use crate::definition::{Number, State, Wait};
use crate::effect::Effect;
use crate::step::{Go, Stepper};

pub(super) fn run(stepper: &mut Stepper<'_>, state: &State, visit: Visit, wait: &Wait) -> Go {
    or_fail(visit, |visit| {
        let input = data_flow::selected_input(stepper, state, visit)?;
        let due = match wait {
            Wait::Seconds(number) => {
                stepper.now.plus(Duration::from_secs(seconds(stepper, visit, &input, number)?))
            }
            Wait::Until(due) => *due,
            Wait::UntilJsonata(expression) => {
                let is_text = Value::is_string;
                let value =
                    data_flow::typed(stepper, visit, "Timestamp", expression, "string", is_text)?;
                let text = value.as_str().unwrap_or_default();
                Timestamp::parse(text).map_err(|_| {
                    let cause = format!(
                        "The Timestamp field cannot be parsed as an ISO-8601 extended offset \
                         date-time format string: {text}"
                    );
                    Failed::query_late(visit, "Timestamp", &cause)
                })?
            }
            Wait::UntilPath(path) => {
                let reading = Reading::of(stepper, visit);
                let value = data_flow::at_path(stepper, reading, &input, path)?;
                let due = value.as_str().and_then(|text| Timestamp::parse(text).ok());
                due.ok_or_else(|| {
                    let cause = format!(
                        "The TimestampPath parameter does not reference a valid ISO-8601 extended \
                         offset date-time format string: {path} == {}",
                        data_flow::shown(&value)
                    );
                    Failed::from(data_flow::runtime(visit, "States.Runtime", &cause))
                })?
            }
        };
        if due <= stepper.now {
            return Ok(Go::HandOn(visit.clone()));
        }
        stepper.effects.push(Effect::Timer { due, watch: false });
        Ok(Go::Await(Status::AwaitingTimer { visit: visit.clone(), due }))
    })
}

/// The seconds of a Wait; its failures have words of their own.
fn seconds(
    stepper: &Stepper<'_>,
    visit: &Visit,
    input: &Value,
    number: &Number,
) -> Result<u64, Failed> {
    let path = match number {
        Number::Path(path) => path,
        other => return data_flow::number(stepper, visit, input, other, ("Seconds", 0)),
    };
    let found = data_flow::at_path(stepper, Reading::of(stepper, visit), input, path);
    let value = found.unwrap_or_default();
    let shown = data_flow::shown(&value);
    let wrong = match (value.as_u64(), value.as_i64()) {
        (Some(seconds), _) if seconds <= MAX_SECONDS => return Ok(seconds),
        (Some(_), _) => format!("references a value above {MAX_SECONDS}: {path} == {shown}"),
        (None, Some(_)) => format!("references a negative value: {path} == {shown}"),
        (None, None) if value.is_null() => format!("does not reference an input value: {path}"),
        (None, None) => format!("cannot be parsed as a long value: {path} == {shown}"),
    };
    let cause = format!("The SecondsPath parameter {wrong}");
    Err(data_flow::runtime(visit, "States.Runtime", &cause).into())
}
