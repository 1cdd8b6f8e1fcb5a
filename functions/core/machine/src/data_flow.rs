//! How JSON flows through a state: InputPath, Parameters, ResultSelector, ResultPath, OutputPath,
//! and Assign.
//!
//! Source: States Language, "Input and Output Processing".

use std::borrow::Cow;
use std::sync::Arc;

use fluxus_schema::limits::{MAX_PAYLOAD_BYTES, MAX_SECONDS};
use fluxus_schema::{Json, TaskToken};
use serde_json::{Map, Value};

use crate::branch::{Failure, MapItem, Visit};
use crate::definition::{Number, PathField, State, Text};
use crate::env::{self, Env, LazyContext};
use crate::jsonpath::{Path, Root};
use crate::step::Stepper;
use crate::template::Template;

/// What expressions can read in one visit besides the document they work on.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) visit: &'a Visit,
    /// The Map item; that of the branch unless a Map is making its items just now.
    pub(crate) item: Option<&'a MapItem>,
    pub(crate) token: Option<&'a TaskToken>,
}

impl<'a> Reading<'a> {
    pub(crate) fn of(stepper: &Stepper<'a>, visit: &'a Visit) -> Self {
        Self { visit, item: stepper.branch.item.as_ref(), token: None }
    }
}

/// Evaluates `read` over `input`, with the context object and the variables at hand.
pub(crate) fn evaluate<T>(
    stepper: &Stepper<'_>,
    reading: Reading<'_>,
    input: &Value,
    read: impl FnOnce(&Env<'_>) -> Result<T, env::Failure>,
) -> Result<T, Failure> {
    let Reading { visit, item, token } = reading;
    let context = LazyContext::new(|| stepper.context.object(Some(visit), item, token));
    let env =
        Env { input, context: &context, variables: &stepper.variables, entropy: &stepper.entropy };
    read(&env).map_err(|failure| runtime(visit, failure.error(), &failure.cause))
}

/// A failure of the state itself, in the service's words.
pub(crate) fn runtime(visit: &Visit, error: &str, cause: &str) -> Failure {
    let Visit { state, entered_event, .. } = visit;
    Failure::new(
        error,
        format!(
            "An error occurred while executing the state '{state}' (entered at the event id \
             #{entered_event}). {cause}"
        ),
    )
}

/// The state's input behind InputPath.
pub(crate) fn selected_input(
    stepper: &Stepper<'_>,
    state: &State,
    visit: &Visit,
) -> Result<Json, Failure> {
    through(stepper, Reading::of(stepper, visit), &visit.input, &state.flow.input_path)
}

/// The state's input behind InputPath and Parameters: what a task or a branch gets.
pub(crate) fn effective_input(
    stepper: &Stepper<'_>,
    state: &State,
    visit: &Visit,
    token: Option<&TaskToken>,
) -> Result<Json, Failure> {
    let reading = Reading { token, ..Reading::of(stepper, visit) };
    let input = through(stepper, reading, &visit.input, &state.flow.input_path)?;
    match &state.flow.parameters {
        Some(template) => {
            let made = evaluate(stepper, reading, &input, |env| template.eval(env))?;
            bounded(visit, &made)?;
            Ok(made)
        }
        None => Ok(input),
    }
}

/// Checks that a document which the visit made keeps the bound on payloads.
pub(crate) fn bounded(visit: &Visit, made: &Value) -> Result<(), Failure> {
    if !is_larger_than(made, MAX_PAYLOAD_BYTES) {
        return Ok(());
    }
    let cause = format!(
        "The state/task '{}' returned a result with a size exceeding the maximum number of bytes \
         service limit.",
        visit.state
    );
    Err(Failure::new("States.DataLimitExceeded", cause))
}

/// The state's output: `result` behind ResultSelector, placed by ResultPath into the raw input,
/// behind OutputPath. A state without a result (`None`) hands its input on.
pub(crate) fn output(
    stepper: &mut Stepper<'_>,
    state: &State,
    visit: &Visit,
    result: Option<Json>,
) -> Result<Json, Failure> {
    let reading = Reading::of(stepper, visit);
    let placed = match result {
        None => selected_input(stepper, state, visit)?,
        Some(result) => {
            let selected = match &state.flow.result_selector {
                Some(template) => evaluate(stepper, reading, &result, |env| template.eval(env))?,
                None => result,
            };
            if let Some(template) = &state.assign {
                assign(stepper, visit, &selected, template)?;
            }
            place(visit, selected, &state.flow.result_path)?
        }
    };
    let reading = Reading::of(stepper, visit);
    let output = through(stepper, reading, &placed, &state.flow.output_path)?;
    if !Arc::ptr_eq(&output, &visit.input) {
        bounded(visit, &output)?;
    }
    Ok(output)
}

/// Puts `result` at `path` into the visit's raw input.
pub(crate) fn place(visit: &Visit, result: Json, path: &PathField) -> Result<Json, Failure> {
    match path {
        PathField::Whole => Ok(result),
        PathField::Null => Ok(visit.input.clone()),
        PathField::Path(path) => {
            let mut whole = (*visit.input).clone();
            path.set(&mut whole, Arc::unwrap_or_clone(result)).map_err(|failure| {
                let failure = env::Failure::result_path(&failure);
                runtime(visit, failure.error(), &failure.cause)
            })?;
            Ok(Arc::new(whole))
        }
    }
}

/// Takes a document through a path field.
fn through(
    stepper: &Stepper<'_>,
    reading: Reading<'_>,
    document: &Json,
    field: &PathField,
) -> Result<Json, Failure> {
    match field {
        PathField::Whole => Ok(document.clone()),
        PathField::Null => Ok(Arc::new(Value::Object(Map::new()))),
        PathField::Path(path) if path.is_root() && *path.root() == Root::Input => {
            Ok(document.clone())
        }
        PathField::Path(path) => at_path(stepper, reading, document, path).map(Arc::new),
    }
}

/// The value that a path field finds in a document.
pub(crate) fn at_path(
    stepper: &Stepper<'_>,
    reading: Reading<'_>,
    document: &Value,
    path: &Path,
) -> Result<Value, Failure> {
    evaluate(stepper, reading, document, |env| {
        let found = env.resolve(path).map(Cow::into_owned);
        found.map_err(|failure| env::Failure::invalid_path(path, &failure))
    })
}

/// Sets variables from an Assign template over `result`.
pub(crate) fn assign(
    stepper: &mut Stepper<'_>,
    visit: &Visit,
    result: &Json,
    template: &Template,
) -> Result<(), Failure> {
    let reading = Reading::of(stepper, visit);
    let assigned = evaluate(stepper, reading, result, |env| template.eval(env))?;
    if let Value::Object(assigned) = Arc::unwrap_or_clone(assigned) {
        for (name, value) in assigned {
            bounded(visit, &value)?;
            // History shows each value as JSON text, as the service does.
            stepper.assigned.insert(name.clone(), Value::String(value.to_string()));
            stepper.variables.insert(name, Arc::new(value));
        }
    }
    Ok(())
}

/// Sets variables from the Assign template of a state without a result, over its input.
pub(crate) fn assign_from_input(
    stepper: &mut Stepper<'_>,
    state: &State,
    visit: &Visit,
    template: &Template,
) -> Result<(), Failure> {
    let input = selected_input(stepper, state, visit)?;
    assign(stepper, visit, &input, template)
}

/// A number given as it is, or by a path, which `field` names for the failure; at least `least`.
pub(crate) fn number(
    stepper: &Stepper<'_>,
    visit: &Visit,
    input: &Value,
    number: &Number,
    (field, least): (&str, u64),
) -> Result<u64, Failure> {
    match number {
        Number::Literal(number) => Ok(*number),
        Number::Path(path) => {
            let value = at_path(stepper, Reading::of(stepper, visit), input, path)?;
            let number = value.as_u64().ok_or("is not a valid integer".to_owned());
            let number = number.and_then(|number| match number {
                number if number < least => Err(format!("is less than {least}")),
                number if number > MAX_SECONDS => Err(format!("is more than {MAX_SECONDS}")),
                number => Ok(number),
            });
            number.map_err(|wrong| {
                let shown = shown(&value);
                let cause =
                    format!("The {field} field refers to value \"{shown}\" which {wrong}: {path}");
                runtime(visit, "States.Runtime", &cause)
            })
        }
    }
}

/// A value as failures show it: text without quotes.
pub(crate) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text given as it is, or computed over the state's input.
pub(crate) fn text(
    stepper: &Stepper<'_>,
    visit: &Visit,
    input: &Value,
    text: &Text,
) -> Result<String, Failure> {
    match text {
        Text::Literal(text) => Ok(text.to_string()),
        Text::Computed { field, expression } => {
            let reading = Reading::of(stepper, visit);
            match evaluate(stepper, reading, input, |env| expression.eval(field, env))? {
                Value::String(text) => Ok(text),
                other => {
                    let cause = format!("The value of '{field}' must be a string, but is {other}");
                    Err(runtime(visit, "States.Runtime", &cause))
                }
            }
        }
    }
}

/// Whether a document takes more than `most` bytes as JSON; stops counting there.
fn is_larger_than(value: &Value, most: usize) -> bool {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            match self.0.checked_sub(bytes.len()) {
                Some(left) => {
                    self.0 = left;
                    Ok(bytes.len())
                }
                None => Err(std::io::ErrorKind::FileTooLarge.into()),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Counter(most), value).is_err()
}
