//! A branch: one strand of an execution, as its own record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fluxus_schema::api::WaitingFor;
use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::history::EventKey;
use fluxus_schema::items::{ReadItems, ResultFile, WriteResults};
use fluxus_schema::limits::{MAX_CAUSE_CHARS, MAX_ERROR_CHARS};
use fluxus_schema::{
    BranchId, Capability, ClaimId, HybridTime, Json, StateName, TaskToken, Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize};

use crate::effect::Dispatch;
use crate::operator::Handles;
use crate::redrive::Resume;

/// Values that states assign and later ones read as `$name`.
pub type Variables = BTreeMap<String, Json>;

/// One strand of an execution. A transition reads and writes its own branch and no other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Its place in the execution.
    pub id: BranchId,
    /// Counts its steps; 0 before the first.
    pub revision: u32,
    /// When it last changed, ordered by cause.
    pub at: HybridTime,
    /// The event that the next one follows; none at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<EventKey>,
    /// Events of the service's kinds that are known to stand before its next one: exact where
    /// nothing runs beside it. Causes name events by that number.
    pub events: u64,
    /// The Map item it works on, or that a branch above it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<MapItem>,
    /// The execution it is part of, where that is one of a distributed Map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Arc<ChildExecution>>,
    /// What its states can read as `$name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: Variables,
    /// Where it stands.
    pub status: Status,
}

/// What a branch that runs a Map item knows of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapItem {
    /// The Map state.
    pub state: StateName,
    /// The item's index.
    pub index: usize,
    /// The item.
    pub value: Json,
    /// Whether others wait for room, so that the end of this one lets the next begin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_turns: bool,
    /// Whether its siblings go on though this one fails: the Map judges once all have ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_tolerated: bool,
    /// Whether it is a branch above that works on the item; this one is part of that work.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_above: bool,
}

/// The execution of an item of a distributed Map, or of a batch of them, as its states know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildExecution {
    /// The branch that it begins with.
    pub first: BranchId,
    /// Its input.
    pub input: Json,
    /// When the Map started it.
    pub started_at: Timestamp,
}

/// What a Map has others do before and after its items are at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Port {
    /// Items are read; these are there so far.
    Read {
        /// What was asked for the last page.
        asked: Box<ReadItems>,
        /// The items of all pages so far.
        items: Vec<Json>,
    },
    /// Results are written; this is what the Map comes to then.
    Write {
        /// The state's result.
        result: Json,
        /// Files that are still to be written.
        files: Vec<ResultFile>,
        /// Where to.
        asked: Box<WriteResults>,
    },
}

/// Where a branch stands. Each variant holds only what is true while it lasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Status {
    /// Created, not begun.
    Pending {
        /// The state it will begin with.
        start_at: StateName,
        /// What that state will get.
        input: Json,
        /// Where it goes on instead, where its execution was redriven and it waits for its turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<Box<Resume>>,
    },
    /// A task was scheduled and is not answered.
    AwaitingTask {
        /// The visit of the Task state.
        visit: Visit,
        /// The attempt.
        task: Attempt,
    },
    /// A failed attempt will be made again.
    AwaitingRetry {
        /// The visit of the state.
        visit: Visit,
        /// When.
        due: Timestamp,
    },
    /// A Wait state's time is not over.
    AwaitingTimer {
        /// The visit of the Wait state.
        visit: Visit,
        /// When it is.
        due: Timestamp,
    },
    /// A Parallel's branches or a Map's items have not all ended.
    AwaitingBranches {
        /// The visit of the Parallel or Map state.
        visit: Visit,
        /// How many there are.
        total: usize,
        /// The revision that created them: part of their ids.
        revision: u32,
    },
    /// It ended well.
    Succeeded {
        /// What came of it.
        output: Json,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether it failed in a Task, which the service notes once more when siblings abort.
        in_task: bool,
        /// Where it goes on if its execution is redriven.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<Box<Resume>>,
    },
    /// It was stopped from outside.
    Stopped {
        /// `ABORTED` or `TIMED_OUT`.
        status: ClaimStatus,
        /// Why.
        failure: Failure,
        /// Where it goes on if its execution is redriven.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<Box<Resume>>,
    },
}

/// One visit of a state: what it got, and which of its retriers were used how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// The state.
    pub state: StateName,
    /// Its raw input.
    pub input: Json,
    /// When it was entered.
    pub entered_at: Timestamp,
    /// The number of its `StateEntered` event.
    pub entered_event: u64,
    /// Whether it is a state that can be retried.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub can_retry: bool,
    /// Retries so far, by retrier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retries: Vec<u32>,
}

impl Port {
    /// The files that its task writes.
    pub(crate) fn files(&self) -> Vec<ResultFile> {
        match self {
            Self::Write { asked, .. } => asked.files.clone(),
            Self::Read { .. } => Vec::new(),
        }
    }
}

impl Visit {
    /// Retries so far, in all.
    pub fn retry_count(&self) -> u32 {
        self.retries.iter().sum()
    }
}

/// One attempt at a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Whoever answers with this token answers for the attempt.
    pub token: TaskToken,
    /// The token that the recipe gives away, where the task waits for a callback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<TaskToken>,
    /// What a fluxling must be able to do, where one is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// The labels that a fluxling must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The execution whose end it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ClaimId>,
    /// The task's input, while nobody can be given the task; it may be `null`.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub held: Option<Json>,
    /// What it is for, where it is a Map's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// When the attempt was scheduled.
    pub scheduled_at: Timestamp,
    /// Whether its beginning is in the history.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub started: bool,
    /// Whether the request was handed over, so that only the callback is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub submitted: bool,
    /// When it fails as timed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// A heartbeat is due at least this often, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_s: Option<u64>,
    /// When the next heartbeat is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_due: Option<Timestamp>,
}

/// Reads what is there as given, where it is `null` too.
fn given<'de, D: Deserializer<'de>>(document: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(document).map(Some)
}

impl Attempt {
    /// When something must be looked at even if no answer comes.
    pub fn due(&self) -> Option<Timestamp> {
        match (self.deadline, self.heartbeat_due) {
            (Some(deadline), Some(heartbeat)) => Some(deadline.min(heartbeat)),
            (deadline, heartbeat) => deadline.or(heartbeat),
        }
    }
}

/// An error inside a recipe: data, not a Rust `Err`. Either part may be missing in a Fail state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Error name, as Retry and Catch match it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What happened, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Failure {
    /// An error with its cause.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: Some(cause.into()) }
    }

    /// The same failure within the bounds on both parts; what is longer is cut, visibly.
    #[must_use]
    pub(crate) fn within_bounds(self) -> Self {
        Self {
            error: self.error.map(|error| cut(error, MAX_ERROR_CHARS)),
            cause: self.cause.map(|cause| cut(cause, MAX_CAUSE_CHARS)),
        }
    }
}

fn cut(mut text: String, most: usize) -> String {
    const CUT: &str = " … (cut)";
    // Most texts are so short that their bytes need no counting.
    if text.len() > most && text.char_indices().nth(most).is_some() {
        let keep = text.char_indices().nth(most - CUT.chars().count());
        text.truncate(keep.map_or(0, |(end, _)| end));
        text.push_str(CUT);
    }
    text
}

impl Branch {
    /// The root of a new execution, about to begin with `input`.
    pub fn root(start_at: StateName, input: Json) -> Self {
        Self {
            id: BranchId::root(),
            revision: 0,
            at: HybridTime::default(),
            last: None,
            events: 0,
            item: None,
            execution: None,
            variables: Variables::new(),
            status: Status::Pending { start_at, input, resume: None },
        }
    }

    /// Whether nothing can happen to it any more.
    pub fn has_ended(&self) -> bool {
        matches!(
            self.status,
            Status::Succeeded { .. } | Status::Failed { .. } | Status::Stopped { .. }
        )
    }

    /// What it will begin with, where it has not begun.
    pub(crate) fn pending_input(&self) -> Option<&Json> {
        match &self.status {
            Status::Pending { input, .. } => Some(input),
            _ => None,
        }
    }

    /// What its task is for, where it is a Map's.
    pub(crate) fn port(&self) -> Option<&Port> {
        match &self.status {
            Status::AwaitingTask { task, .. } => task.port.as_ref(),
            _ => None,
        }
    }

    /// Whether an execution begins with it: the claim's, or one of a distributed Map.
    pub(crate) fn begins_execution(&self) -> bool {
        self.id.is_root() || self.execution.as_ref().is_some_and(|child| child.first == self.id)
    }

    /// Whether its failure ends its siblings, and the state that they are in.
    pub fn has_failed_all(&self) -> bool {
        matches!(self.status, Status::Failed { .. })
            && !self.own_item().is_some_and(|item| item.is_tolerated)
    }

    /// The Map item that is this branch's own.
    pub(crate) fn own_item(&self) -> Option<&MapItem> {
        self.item.as_ref().filter(|item| !item.is_above)
    }

    /// The state it is in, what it waits for there, and since when; nothing once it has ended.
    /// Who has a task, and how many branches are open, is not known to the branch.
    pub fn waiting(&self) -> Option<(StateName, WaitingFor)> {
        let (state, reason) = match &self.status {
            Status::Pending { start_at, .. } => (start_at, WaitingFor::Turn),
            Status::AwaitingTask { visit, task } => {
                let deadline = task.due();
                let reason = match (&task.callback, &task.capability) {
                    (Some(token), _) if task.submitted => {
                        WaitingFor::Callback { token: token.clone(), deadline }
                    }
                    (_, Some(capability)) => WaitingFor::Task {
                        capability: capability.clone(),
                        fluxling: None,
                        attempt: visit.retry_count(),
                        token: task.token.clone(),
                        deadline,
                    },
                    (_, None) if let Some(claim_id) = task.execution => {
                        WaitingFor::Execution { claim_id, deadline }
                    }
                    (callback, None) => WaitingFor::Callback {
                        token: callback.clone().unwrap_or_else(|| task.token.clone()),
                        deadline,
                    },
                };
                (&visit.state, reason)
            }
            Status::AwaitingRetry { visit, due } => {
                (&visit.state, WaitingFor::Retry { due: *due, attempt: visit.retry_count() })
            }
            Status::AwaitingTimer { visit, due } => (&visit.state, WaitingFor::Time { due: *due }),
            Status::AwaitingBranches { visit, total, .. } => {
                let total = *total as u64;
                (&visit.state, WaitingFor::Branches { open: total, total })
            }
            Status::Succeeded { .. } | Status::Failed { .. } | Status::Stopped { .. } => {
                return None;
            }
        };
        Some((state.clone(), reason))
    }

    /// The task that waits for a fluxling to be given to, if this branch has one.
    pub fn held(&self) -> Option<Dispatch> {
        let Status::AwaitingTask { visit, task } = &self.status else { return None };
        Some(Dispatch {
            token: task.token.clone(),
            capability: task.capability.clone(),
            labels: task.labels.clone(),
            nested: None,
            input: task.held.clone()?,
            state: visit.state.clone(),
            attempt: visit.retry_count(),
            deadline: task.deadline,
            heartbeat_s: task.heartbeat_s,
        })
    }

    /// Notes that its task waits for a fluxling to be given to. Nobody can send heartbeats then.
    pub fn hold(&mut self, input: Json) {
        if let Status::AwaitingTask { task, .. } = &mut self.status {
            task.held = Some(input);
            task.heartbeat_due = None;
        }
    }

    /// Notes that its task was given to somebody.
    pub(crate) fn release(&mut self, now: Timestamp) {
        if let Status::AwaitingTask { task, .. } = &mut self.status {
            task.held = None;
            task.heartbeat_due = task.heartbeat_s.map(|s| now.plus(Duration::from_secs(s)));
        }
    }

    /// When its timer is due, where it waits for one.
    pub fn timer(&self) -> Option<Timestamp> {
        match &self.status {
            Status::AwaitingTask { task, .. } => task.due(),
            Status::AwaitingRetry { due, .. } | Status::AwaitingTimer { due, .. } => Some(*due),
            _ => None,
        }
    }

    /// The token that calls its task back, where one is awaited.
    pub(crate) fn callback(&self) -> Option<&TaskToken> {
        match &self.status {
            Status::AwaitingTask { task, .. } => task.callback.as_ref(),
            _ => None,
        }
    }

    /// What an operator can do about it; none where it waits for no task.
    pub fn handles(&self) -> Option<Handles> {
        Handles::of(&self.status, self.revision)
    }

    /// Where it goes on if its execution is redriven; none where it cannot.
    pub fn resume(&self) -> Option<&Resume> {
        match &self.status {
            Status::Failed { resume, .. } | Status::Stopped { resume, .. } => resume.as_deref(),
            _ => None,
        }
    }

    /// Whether an answer with `token` would be taken: the attempt it names still waits.
    pub fn awaits(&self, token: &TaskToken) -> bool {
        matches!(&self.status, Status::AwaitingTask { task, .. }
            if task.token == *token || task.callback.as_ref() == Some(token))
    }
}
