//! Compiling a JSONata expression, its refusals as faults.

use fluxus_schema::problem::{Fault, FaultCode};

use crate::jsonata::{Expression, Invalid};

/// What `$states` holds for a field beside `input` and `context`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sees {
    /// Nothing else.
    Input,
    /// `result`: in a state's own `Output` and `Assign`, once its work is done.
    Result,
    /// `errorOutput`: in a catcher.
    ErrorOutput,
}

/// Compiles the text between `{%` and `%}` of the field at `pointer`.
///
/// # Errors
/// Every fault there is.
pub(crate) fn compile(source: &str, sees: Sees, pointer: &str) -> Result<Expression, Vec<Fault>> {
    let (code, messages) = match Expression::parse(source) {
        Ok(expression) => {
            let missing = [("result", Sees::Result), ("errorOutput", Sees::ErrorOutput)]
                .into_iter()
                .filter(|(field, seen_by)| *seen_by != sees && expression.reads_states(field));
            let messages: Vec<_> = missing
                .map(|(field, _)| format!("Field '$states.{field}' does not exist."))
                .collect();
            if messages.is_empty() {
                return Ok(expression);
            }
            (FaultCode::UnsupportedJsonataExpression, messages)
        }
        Err(Invalid { code, message, further, .. }) => {
            let unsupported = code == Invalid::UNSUPPORTED;
            let code = if unsupported {
                FaultCode::UnsupportedJsonataExpression
            } else {
                FaultCode::InvalidJsonataExpression
            };
            (code, std::iter::once(message).chain(further).collect())
        }
    };
    Err(messages.into_iter().map(|message| Fault::new(code, pointer, message)).collect())
}
