//! What a step asks of the outside.

use std::collections::BTreeMap;

use fluxus_schema::{Capability, ClaimId, Json, StateName, TaskToken, Timestamp};

use crate::resource::Pattern;

/// Work for somebody else.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Give a task to whoever can do it.
    Dispatch(Dispatch),
    /// Send [`crate::Input::TimerFired`] with the step's revision when the time has come.
    Timer {
        /// When.
        due: Timestamp,
        /// Whether it watches over a task, so that it will most likely not be needed.
        watch: bool,
    },
}

/// A task to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// Names the attempt.
    pub token: TaskToken,
    /// What whoever takes it must be able to do; none for services that only mocks stand for.
    pub capability: Option<Capability>,
    /// The labels it must have.
    pub labels: BTreeMap<String, String>,
    /// The execution to be started, where that is the task.
    pub nested: Option<Nested>,
    /// The task's input.
    pub input: Json,
    /// The state.
    pub state: StateName,
    /// 0 for the first attempt, one more for each retry.
    pub attempt: u32,
    /// When the attempt fails as timed out.
    pub deadline: Option<Timestamp>,
    /// A heartbeat is due at least this often, in seconds.
    pub heartbeat_s: Option<u64>,
}

/// An execution of another recipe that a task starts, as its input says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nested {
    /// The id it gets.
    pub claim_id: ClaimId,
    /// What the task waits for.
    pub pattern: Pattern,
}
