//! One line of a file of cases, whatever it is a case of.

use serde_json::Value;

use super::{Call, Case};

/// Runs the case that a line holds, by its `kind`: a call of the service that checks a definition,
/// else an execution. Gives its result as one line holds it.
///
/// # Errors
/// Where the line is no case.
pub fn run(line: &str) -> serde_json::Result<Value> {
    let case: Value = serde_json::from_str(line)?;
    Ok(match case.get("kind").and_then(Value::as_str) {
        Some("validate_definition") => serde_json::from_value::<Call>(case)?.validate(),
        Some("create_rejected") => serde_json::from_value::<Call>(case)?.create(),
        _ => serde_json::from_value::<Case>(case)?.run(),
    })
}
