//! The documents of a state: what goes in, what comes out, what is assigned.

use std::borrow::Cow;
use std::sync::Arc;

use fluxus_schema::{Json, TaskToken};
use serde_json::{Map, Value};

use super::{Failed, Reading, bounded, evaluate, runtime};
use crate::branch::Visit;
use crate::definition::{Catcher, Flow, PathField, PathFlow, State};
use crate::env;
use crate::jsonpath::{Path, Root};
use crate::step::Stepper;
use crate::template::Template;

/// The state's input, behind InputPath in JSONPath.
pub(crate) fn selected_input(
    stepper: &Stepper<'_>,
    state: &State,
    visit: &Visit,
) -> Result<Json, Failed> {
    match &state.flow {
        Flow::Path(flow) => behind_input_path(stepper, Reading::of(stepper, visit), flow),
        Flow::Jsonata(_) => Ok(visit.input.clone()),
    }
}

fn behind_input_path(
    stepper: &Stepper<'_>,
    reading: Reading<'_>,
    flow: &PathFlow,
) -> Result<Json, Failed> {
    let selected = through(stepper, reading, &reading.visit.input, &flow.input_path)?;
    stepper.inspect(|data| data.after_input_path = Some(selected.clone()));
    Ok(selected)
}

/// What a task or a branch gets: the input behind InputPath and Parameters, or Arguments.
pub(crate) fn effective_input(
    stepper: &Stepper<'_>,
    state: &State,
    visit: &Visit,
    token: Option<&TaskToken>,
) -> Result<Json, Failed> {
    let reading = Reading { token, ..Reading::of(stepper, visit) };
    let (input, template) = match &state.flow {
        Flow::Path(flow) => (behind_input_path(stepper, reading, flow)?, &flow.parameters),
        Flow::Jsonata(flow) => (visit.input.clone(), &flow.arguments),
    };
    let made = match template {
        None => input,
        Some(template) => {
            let made = evaluate(stepper, reading, &input, |env| template.eval(env))?;
            bounded(stepper, visit, &made)?;
            made
        }
    };
    stepper.inspect(|data| match &state.flow {
        Flow::Path(_) => data.after_parameters = Some(made.clone()),
        Flow::Jsonata(_) => data.after_arguments = template.as_ref().map(|_| made.clone()),
    });
    Ok(made)
}

/// Assigns, and gives the state's output. In JSONPath that is `result` behind ResultSelector,
/// placed by ResultPath into the raw input, behind OutputPath; in JSONata what `output` says. A
/// state without a result (`None`) hands its input on.
pub(crate) fn leave(
    stepper: &mut Stepper<'_>,
    state: &State,
    visit: &Visit,
    result: Option<Json>,
    assign: Option<&Template>,
    output: Option<&Template>,
) -> Result<Json, Failed> {
    let made = match &state.flow {
        Flow::Path(flow) => {
            let reading = Reading::of(stepper, visit);
            let selected = match (&result, &flow.result_selector) {
                (None, _) => behind_input_path(stepper, reading, flow)?,
                (Some(result), Some(template)) => {
                    evaluate(stepper, reading, result, |env| template.eval(env))?
                }
                (Some(result), None) => result.clone(),
            };
            let assigned = assigned(stepper, reading, &selected, assign)?;
            let placed = match result {
                None => selected,
                Some(result) => {
                    drop(result);
                    stepper.inspect(|data| data.after_result_selector = Some(selected.clone()));
                    let placed = place(visit, selected, &flow.result_path)?;
                    stepper.inspect(|data| data.after_result_path = Some(placed.clone()));
                    placed
                }
            };
            let output = through(stepper, reading, &placed, &flow.output_path)?;
            stepper.assigned = assigned;
            output
        }
        Flow::Jsonata(_) => {
            let reading = Reading { result: result.as_deref(), ..Reading::of(stepper, visit) };
            let assigned = assigned(stepper, reading, &visit.input, assign)?;
            let made = match output {
                Some(template) => {
                    evaluate(stepper, reading, &visit.input, |env| template.eval(env))?
                }
                None => result.unwrap_or_else(|| visit.input.clone()),
            };
            stepper.assigned = assigned;
            made
        }
    };
    if !Arc::ptr_eq(&made, &visit.input) {
        bounded(stepper, visit, &made)?;
    }
    Ok(made)
}

/// Assigns, and gives the output of a state whose failure `catcher` took.
pub(crate) fn caught(
    stepper: &mut Stepper<'_>,
    state: &State,
    visit: &Visit,
    error: Json,
    catcher: &Catcher,
) -> Result<Json, Failed> {
    let assign = catcher.assign.as_ref();
    match &state.flow {
        Flow::Path(_) => {
            let reading = Reading::of(stepper, visit);
            let assigned = assigned(stepper, reading, &error, assign)?;
            let output = place(visit, error, &catcher.result_path)?;
            stepper.assigned = assigned;
            Ok(output)
        }
        Flow::Jsonata(_) => {
            let reading = Reading { error_output: Some(&error), ..Reading::of(stepper, visit) };
            let assigned = assigned(stepper, reading, &visit.input, assign)?;
            let output = match &catcher.output {
                Some(template) => {
                    evaluate(stepper, reading, &visit.input, |env| template.eval(env))?
                }
                None => error.clone(),
            };
            stepper.assigned = assigned;
            Ok(output)
        }
    }
}

/// What an Assign template gives to which variables. States see it only after the one it stands
/// in: the other expressions of that one still see what was there before.
fn assigned(
    stepper: &Stepper<'_>,
    reading: Reading<'_>,
    document: &Value,
    template: Option<&Template>,
) -> Result<Map<String, Value>, Failed> {
    let Some(template) = template else { return Ok(Map::new()) };
    let made = evaluate(stepper, reading, document, |env| template.eval(env))?;
    let Value::Object(assigned) = Arc::unwrap_or_clone(made) else { return Ok(Map::new()) };
    for value in assigned.values() {
        bounded(stepper, reading.visit, value)?;
    }
    Ok(assigned)
}

/// Puts `result` at `path` into the visit's raw input.
fn place(visit: &Visit, result: Json, path: &PathField) -> Result<Json, Failed> {
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
) -> Result<Json, Failed> {
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
) -> Result<Value, Failed> {
    evaluate(stepper, reading, document, |env| {
        let found = env.resolve(path).map(Cow::into_owned);
        found.map_err(|failure| env::Failure::invalid_path(path, &failure))
    })
}
