//! What the API asks of the interpreter: whether a recipe can run, and what a branch waits for.

use fluxus_machine::{Branch, Definition};
use fluxus_schema::api::WaitingFor;
use fluxus_schema::problem::Fault;
use fluxus_schema::{StateName, TaskToken, Timestamp};
use serde_json::Value;

/// Checks that a recipe can be run.
///
/// # Errors
/// Every fault there is.
pub(crate) fn check(definition: &Value) -> Result<(), Vec<Fault>> {
    let unsupported = Definition::parse(definition)?.unsupported();
    if unsupported.is_empty() { Ok(()) } else { Err(unsupported) }
}

/// What a stored branch waits for, and since when; none once it has ended.
///
/// # Errors
/// The stored state is not one that the machine writes.
pub(crate) fn waiting(
    state: &str,
) -> Result<Option<(StateName, WaitingFor, Timestamp)>, serde_json::Error> {
    let branch: Branch = serde_json::from_str(state)?;
    let since = branch.at.timestamp();
    Ok(branch.waiting().map(|(state, reason)| (state, reason, since)))
}

/// Whether a stored branch waits for an answer with this token.
///
/// # Errors
/// The stored state is not one that the machine writes.
pub(crate) fn awaits(state: &str, token: &TaskToken) -> Result<bool, serde_json::Error> {
    Ok(serde_json::from_str::<Branch>(state)?.awaits(token))
}
