//! Numbers, texts and truth values that a state's fields give or compute.

use fluxus_schema::limits::MAX_SECONDS;
use serde_json::Value;

use super::{Failed, Reading, at_path, evaluate, runtime};
use crate::branch::Visit;
use crate::definition::{Flag, Number, Text};
use crate::env;
use crate::jsonata;
use crate::step::Stepper;
use crate::template::Expression;

/// A number of at least `least`, which the field `name` gives or computes over `input`.
pub(crate) fn number(
    stepper: &Stepper<'_>,
    visit: &Visit,
    input: &Value,
    number: &Number,
    (name, least): (&str, u64),
) -> Result<u64, Failed> {
    let value = match number {
        Number::Literal(number) => return Ok(*number),
        Number::Path(path) => at_path(stepper, Reading::of(stepper, visit), input, path)?,
        Number::Jsonata(expression) => {
            typed(stepper, visit, name, expression, "number", Value::is_number)?
        }
    };
    let whole = value.as_u64().ok_or("is not a valid integer".to_owned());
    let whole = whole.and_then(|number| match number {
        number if number < least => Err(format!("is less than {least}")),
        number if number > MAX_SECONDS => Err(format!("is more than {MAX_SECONDS}")),
        number => Ok(number),
    });
    whole.map_err(|wrong| {
        let shown = shown(&value);
        match number {
            Number::Path(path) => {
                let cause = format!(
                    "The {name}Path field refers to value \"{shown}\" which {wrong}: {path}"
                );
                runtime(visit, "States.Runtime", &cause).into()
            }
            _ => {
                let cause = format!("The {name} field has the value \"{shown}\" which {wrong}");
                Failed::query_late(visit, name, &cause)
            }
        }
    })
}

/// A whole number, of any sign, which the field `name` gives or computes over `input`; a text of
/// digits is taken for one, as the service does.
pub(crate) fn integer(
    stepper: &Stepper<'_>,
    visit: &Visit,
    input: &Value,
    number: &Number,
    name: &str,
) -> Result<i64, Failed> {
    let value = match number {
        Number::Literal(number) => return Ok(i64::try_from(*number).unwrap_or(i64::MAX)),
        Number::Path(path) => at_path(stepper, Reading::of(stepper, visit), input, path)?,
        Number::Jsonata(expression) => {
            typed(stepper, visit, name, expression, "number", Value::is_number)?
        }
    };
    let whole = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    whole.ok_or_else(|| match number {
        Number::Path(path) => {
            let shown = shown(&value);
            let cause = format!(
                "The {name}Path field refers to value \"{shown}\" which is not a valid integer: \
                 {path}"
            );
            runtime(visit, "States.Runtime", &cause).into()
        }
        _ => {
            let cause =
                format!("The {name} field has the value \"{value}\" which is not a valid integer");
            Failed::query_late(visit, name, &cause)
        }
    })
}

/// A text given as it is, or computed over the state's input.
pub(crate) fn text(
    stepper: &Stepper<'_>,
    visit: &Visit,
    input: &Value,
    text: &Text,
) -> Result<String, Failed> {
    let (field, expression) = match text {
        Text::Literal(text) => return Ok(text.to_string()),
        Text::Computed { field, expression } => (field, expression),
    };
    let value = match expression {
        Expression::Jsonata(expression) => {
            typed(stepper, visit, field, expression, "string", Value::is_string)?
        }
        path => {
            let reading = Reading::of(stepper, visit);
            evaluate(stepper, reading, input, |env| path.eval(field, env))?
        }
    };
    match value {
        Value::String(text) => Ok(text),
        other => {
            let cause = format!("The value of '{field}' must be a string, but is {other}");
            Err(runtime(visit, "States.Runtime", &cause).into())
        }
    }
}

/// A truth value, which the field `name` gives or computes.
pub(crate) fn flag(
    stepper: &Stepper<'_>,
    visit: &Visit,
    name: &str,
    flag: &Flag,
) -> Result<bool, Failed> {
    match flag {
        Flag::Literal(flag) => Ok(*flag),
        Flag::Jsonata(expression) => {
            let value = typed(stepper, visit, name, expression, "boolean", Value::is_boolean)?;
            Ok(value == Value::Bool(true))
        }
    }
}

/// What `expression` in the field `name` yields, if it is of the type it must have.
pub(crate) fn typed(
    stepper: &Stepper<'_>,
    visit: &Visit,
    name: &str,
    expression: &jsonata::Expression,
    expected: &str,
    is_right: impl FnOnce(&Value) -> bool,
) -> Result<Value, Failed> {
    evaluate(stepper, Reading::of(stepper, visit), &visit.input, |env| {
        let value = env.evaluate(name, expression)?;
        match is_right(&value) {
            true => Ok(value),
            false => Err(env::Failure::query_type(name, expression, expected, &value)),
        }
    })
}

/// A value as failures show it: text without quotes.
pub(crate) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
