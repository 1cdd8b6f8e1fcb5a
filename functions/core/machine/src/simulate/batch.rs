//! One line of a file of cases, whatever it is a case of.

use serde_json::Value;

use super::{Call, Case};
use crate::test_state::TestStateCall;

/// Runs the case that a line holds, by its `kind`: a call of the service that checks a definition
/// or tests one state, else an execution. Gives its result as one line holds it.
///
/// # Errors
/// Where the line is no case.
pub fn run(line: &str) -> serde_json::Result<Value> {
    let case: Value = serde_json::from_str(line)?;
    Ok(match case.get("kind").and_then(Value::as_str) {
        Some("validate_definition") => serde_json::from_value::<Call>(case)?.validate(),
        Some("create_rejected") => serde_json::from_value::<Call>(case)?.create(),
        Some("test_state") => serde_json::from_value::<TestStateCall>(case)?.run(),
        _ => serde_json::from_value::<Case>(case)?.run(),
    })
}
