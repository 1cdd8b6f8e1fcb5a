//! What the API asks of the interpreter: whether a recipe can run, and what a branch waits for.

use fluxus_machine::source::Given;
use fluxus_machine::{Branch, Definition, Handles, Status};
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

/// What an operator may see to at a branch.
pub(crate) enum Waits {
    /// A task.
    Task(Handles),
    /// A time.
    Time { due: Timestamp, revision: u32 },
    /// Its branches, which that revision created.
    Branches { revision: u32 },
    /// Something else, or nothing.
    Other,
}

/// What a stored branch waits for, as far as an operator may see to it.
///
/// # Errors
/// The stored state is not one that the machine writes.
pub(crate) fn waits(state: &str) -> Result<Waits, serde_json::Error> {
    let branch: Branch = serde_json::from_str(state)?;
    let handles = branch.handles();
    Ok(match (handles, branch.status) {
        (Some(handles), _) => Waits::Task(handles),
        (_, Status::AwaitingTimer { due, .. }) => Waits::Time { due, revision: branch.revision },
        (_, Status::AwaitingBranches { revision, .. }) => Waits::Branches { revision },
        _ => Waits::Other,
    })
}

/// Whether the root branch of an execution that ended knows where it would go on.
///
/// # Errors
/// The stored state is not one that the machine writes.
pub(crate) fn can_resume(state: &str) -> Result<bool, serde_json::Error> {
    Ok(serde_json::from_str::<Branch>(state)?.resume().is_some())
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
