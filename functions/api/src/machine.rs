//! What the API asks of the interpreter: whether a recipe can run, and what a branch waits for.

use fluxus_machine::source::Given;
use fluxus_machine::{Branch, Definition};
use fluxus_schema::api::{ActivityTask, WaitingFor};
use fluxus_schema::problem::Fault;
use fluxus_schema::{ClaimId, StateName, TaskToken, Timestamp};
use serde_json::Value;

/// The definition that a client gives, as itself or as text, if it can be run.
///
/// # Errors
/// Every fault there is; with its place, where the definition came as text.
pub(crate) fn check(definition: Value) -> Result<Value, Vec<Fault>> {
    let given = Given::read(definition)?;
    let faults = match Definition::parse(given.document()) {
        Ok(definition) => definition.unsupported(),
        Err(faults) => faults,
    };
    if faults.is_empty() {
        return Ok(given.into_document());
    }
    let mut faults = faults;
    given.locate(&mut faults);
    Err(faults)
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

/// The task that a stored branch holds for whoever takes it.
///
/// # Errors
/// The stored state is not one that the machine writes.
pub(crate) fn held(
    claim_id: ClaimId,
    state: &str,
) -> Result<Option<ActivityTask>, serde_json::Error> {
    let branch: Branch = serde_json::from_str(state)?;
    Ok(branch.held().map(|task| ActivityTask {
        token: task.token,
        input: task.input,
        claim_id,
        state: task.state,
        attempt: task.attempt,
        deadline: task.deadline,
        heartbeat_s: task.heartbeat_s,
    }))
}

/// Whether a stored branch waits for an answer with this token.
///
/// # Errors
/// The stored state is not one that the machine writes.
pub(crate) fn awaits(state: &str, token: &TaskToken) -> Result<bool, serde_json::Error> {
    Ok(serde_json::from_str::<Branch>(state)?.awaits(token))
}
