//! History events in the shape of the Step Functions service, with ours beside them.
//!
//! A step records its events under `(claim, branch, revision)`; an event names its predecessor by
//! that key. The service's consecutive ids are given only when a history is read ([`number`]), so
//! nothing counts, and nothing is locked, while branches run side by side.

mod number;
mod write;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::Json;
use crate::id::{BranchId, InvalidId};
use crate::time::{HybridTime, Timestamp};

pub use number::{Numbering, number};

/// Where an event stands: the branch, the revision that its step made, its position in the step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventKey {
    /// The branch.
    pub branch_id: BranchId,
    /// The revision.
    pub revision: u32,
    /// Position among the step's events.
    pub position: u32,
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}:{}", self.branch_id, self.revision, self.position)
    }
}

impl From<EventKey> for String {
    fn from(key: EventKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for EventKey {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl FromStr for EventKey {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || InvalidId::Branch(text.to_owned());
        let (branch, rest) = text.split_once('#').ok_or_else(wrong)?;
        let (revision, position) = rest.split_once(':').ok_or_else(wrong)?;
        Ok(Self {
            branch_id: branch.parse()?,
            revision: revision.parse().map_err(|_| wrong())?,
            position: position.parse().map_err(|_| wrong())?,
        })
    }
}

/// One event as a step records it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The service's name for it, or one of ours.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// What led to it; none at the beginning.
    #[serde(default, rename = "prev", skip_serializing_if = "Option::is_none")]
    pub previous: Option<EventKey>,
    /// The service's detail object, with inputs and outputs as JSON, not as text.
    #[serde(default, rename = "d", skip_serializing_if = "Details::is_empty")]
    pub details: Details,
}

/// The fields of an event's detail object, in order. Documents are shared with the state they
/// came from, so that recording an event copies nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details(Vec<(Cow<'static, str>, Detail)>);

/// One field of [`Details`].
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// A document.
    Json(Json),
    /// A text.
    Text(Arc<str>),
    /// A number.
    Number(u64),
}

impl Details {
    /// No fields.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &'static str, detail: impl Into<Detail>) -> Self {
        self.0.push((Cow::Borrowed(name), detail.into()));
        self
    }

    /// Adds a field where there is a value for it.
    #[must_use]
    pub fn with_some(self, name: &'static str, detail: Option<impl Into<Detail>>) -> Self {
        match detail {
            Some(detail) => self.with(name, detail),
            None => self,
        }
    }

    /// Adds all fields of another object.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Json> for Detail {
    fn from(json: Json) -> Self {
        Self::Json(json)
    }
}

impl From<Value> for Detail {
    fn from(value: Value) -> Self {
        Self::Json(Arc::new(value))
    }
}

impl From<Arc<str>> for Detail {
    fn from(text: Arc<str>) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }
}

impl From<u64> for Detail {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(json) => json.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
        }
    }
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, detail)| (name, detail)))
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::<String, Value>::deserialize(deserializer)?;
        let details = fields.into_iter().map(|(name, value)| (Cow::Owned(name), value.into()));
        Ok(Self(details.collect()))
    }
}

/// All events of one step, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// The branch.
    pub branch_id: BranchId,
    /// The revision.
    pub revision: u32,
    /// When it was recorded, ordered by cause.
    pub at: HybridTime,
    /// The events in order.
    pub events: Vec<Event>,
}

/// A history event as it is read, in the service's shape: the details lie under a field named
/// after the type, such as `stateEnteredEventDetails`, with inputs and outputs as JSON text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEvent {
    /// Consecutive, from 1.
    pub id: u64,
    /// The event that led to this one; 0 at the beginning.
    #[serde(rename = "previousEventId")]
    pub previous_event_id: u64,
    /// When, in UTC.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// The service's name for it, or one of ours (`ClaimEvaluated`, `TaskDelegated`,
    /// `RetryDelayed`).
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: EventKind,
    /// The strand it belongs to; `/` is the root.
    pub branch: BranchId,
    /// Details, under the service's field name.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
}

/// The executions of distributed Maps, which have histories of their own: the service's history of
/// a claim holds nothing of them.
#[derive(Debug, Default)]
pub struct Inner(HashSet<BranchId>);

impl Inner {
    /// Whether a row is of such an execution. Rows must come in the order of their causes.
    pub fn holds(&mut self, row: &EventRow) -> bool {
        let begins = row.events.first().map(|event| event.kind);
        if begins == Some(EventKind::ExecutionStarted) && !row.branch_id.is_root() {
            self.0.insert(row.branch_id.clone());
            return true;
        }
        if self.0.is_empty() {
            return false;
        }
        let mut branch = Some(row.branch_id.clone());
        while let Some(id) = branch {
            if self.0.contains(&id) {
                return true;
            }
            branch = id.parent();
        }
        false
    }
}

/// The document rendered last, with its text: one state's output is the next one's input.
#[derive(Default)]
struct Texts(Option<(Json, String)>);

impl Texts {
    fn of(&mut self, json: Json) -> String {
        match &self.0 {
            Some((last, text)) if Arc::ptr_eq(last, &json) => text.clone(),
            _ => {
                let text = json.to_string();
                self.0 = Some((json, text.clone()));
                text
            }
        }
    }
}

macro_rules! kinds {
    ($($kind:ident $details:literal,)*) => {
        /// Type of a history event: the service's, and five of our own before them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[allow(missing_docs)] // The names are the service's; its API reference explains each.
        pub enum EventKind { $($kind,)* }

        impl EventKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The name as the service writes it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }

            /// The field that holds the details; empty where the event has none.
            pub const fn details_field(self) -> &'static str {
                match self { $(Self::$kind => $details,)* }
            }
        }
    };
}

kinds! {
    ClaimEvaluated "claimEvaluatedEventDetails",
    TaskDelegated "taskDelegatedEventDetails",
    RetryDelayed "retryDelayedEventDetails",
    TaskRetried "taskRetriedEventDetails",
    TaskSkipped "taskSkippedEventDetails",
    ActivityFailed "activityFailedEventDetails",
    ActivityScheduled "activityScheduledEventDetails",
    ActivityScheduleFailed "activityScheduleFailedEventDetails",
    ActivityStarted "activityStartedEventDetails",
    ActivitySucceeded "activitySucceededEventDetails",
    ActivityTimedOut "activityTimedOutEventDetails",
    ChoiceStateEntered "stateEnteredEventDetails",
    ChoiceStateExited "stateExitedEventDetails",
    EvaluationFailed "evaluationFailedEventDetails",
    ExecutionAborted "executionAbortedEventDetails",
    ExecutionFailed "executionFailedEventDetails",
    ExecutionRedriven "executionRedrivenEventDetails",
    ExecutionStarted "executionStartedEventDetails",
    ExecutionSucceeded "executionSucceededEventDetails",
    ExecutionTimedOut "executionTimedOutEventDetails",
    FailStateEntered "stateEnteredEventDetails",
    LambdaFunctionFailed "lambdaFunctionFailedEventDetails",
    LambdaFunctionScheduled "lambdaFunctionScheduledEventDetails",
    LambdaFunctionScheduleFailed "lambdaFunctionScheduleFailedEventDetails",
    LambdaFunctionStarted "",
    LambdaFunctionStartFailed "lambdaFunctionStartFailedEventDetails",
    LambdaFunctionSucceeded "lambdaFunctionSucceededEventDetails",
    LambdaFunctionTimedOut "lambdaFunctionTimedOutEventDetails",
    MapIterationAborted "mapIterationAbortedEventDetails",
    MapIterationFailed "mapIterationFailedEventDetails",
    MapIterationStarted "mapIterationStartedEventDetails",
    MapIterationSucceeded "mapIterationSucceededEventDetails",
    MapRunAborted "",
    MapRunFailed "mapRunFailedEventDetails",
    MapRunRedriven "mapRunRedrivenEventDetails",
    MapRunStarted "mapRunStartedEventDetails",
    MapRunSucceeded "",
    MapStateAborted "",
    MapStateEntered "stateEnteredEventDetails",
    MapStateExited "stateExitedEventDetails",
    MapStateFailed "",
    MapStateStarted "mapStateStartedEventDetails",
    MapStateSucceeded "",
    ParallelStateAborted "",
    ParallelStateEntered "stateEnteredEventDetails",
    ParallelStateExited "stateExitedEventDetails",
    ParallelStateFailed "",
    ParallelStateStarted "",
    ParallelStateSucceeded "",
    PassStateEntered "stateEnteredEventDetails",
    PassStateExited "stateExitedEventDetails",
    SucceedStateEntered "stateEnteredEventDetails",
    SucceedStateExited "stateExitedEventDetails",
    TaskFailed "taskFailedEventDetails",
    TaskScheduled "taskScheduledEventDetails",
    TaskStarted "taskStartedEventDetails",
    TaskStartFailed "taskStartFailedEventDetails",
    TaskStateAborted "",
    TaskStateEntered "stateEnteredEventDetails",
    TaskStateExited "stateExitedEventDetails",
    TaskSubmitFailed "taskSubmitFailedEventDetails",
    TaskSubmitted "taskSubmittedEventDetails",
    TaskSucceeded "taskSucceededEventDetails",
    TaskTimedOut "taskTimedOutEventDetails",
    WaitStateAborted "",
    WaitStateEntered "stateEnteredEventDetails",
    WaitStateExited "stateExitedEventDetails",
}

impl EventKind {
    /// Whether the service has no such event.
    pub const fn is_ours(self) -> bool {
        matches!(
            self,
            Self::ClaimEvaluated
                | Self::TaskDelegated
                | Self::RetryDelayed
                | Self::TaskRetried
                | Self::TaskSkipped
        )
    }

    /// Whether this event ends an execution.
    pub const fn ends_execution(self) -> bool {
        matches!(
            self,
            Self::ExecutionSucceeded
                | Self::ExecutionFailed
                | Self::ExecutionAborted
                | Self::ExecutionTimedOut
        )
    }

    /// The details as the service gives them: inputs, outputs and parameters as JSON text, each
    /// input and output with a word on whether it was cut (it never is).
    fn render(self, details: Details, texts: &mut Texts) -> Map<String, Value> {
        let field = self.details_field();
        if field.is_empty() {
            return Map::new();
        }
        let mut object = Map::with_capacity(2 * details.0.len());
        for (name, detail) in details.0 {
            let as_text = !self.is_ours() && matches!(&*name, "input" | "output" | "parameters");
            let value = match detail {
                Detail::Json(json) if as_text => Value::String(texts.of(json)),
                Detail::Json(json) => Arc::unwrap_or_clone(json),
                Detail::Text(text) => Value::String(text.to_string()),
                Detail::Number(number) => number.into(),
            };
            object.insert(name.to_string(), value);
            if as_text && name != "parameters" {
                let whole = Map::from_iter([("truncated".to_owned(), Value::Bool(false))]);
                object.insert(format!("{name}Details"), Value::Object(whole));
            }
        }
        Map::from_iter([(field.to_owned(), Value::Object(object))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, previous: Option<&str>) -> Event {
        Event {
            kind,
            previous: previous.map(|key| key.parse().expect("a key")),
            details: Details::new(),
        }
    }

    #[test]
    fn rows_are_numbered_in_the_order_of_their_causes() {
        let root = BranchId::root();
        let late = EventRow {
            branch_id: root.clone(),
            revision: 2,
            at: HybridTime::from_micros(7),
            events: vec![event(EventKind::ExecutionSucceeded, Some("/#1:1"))],
        };
        let first = EventRow {
            branch_id: root,
            revision: 1,
            at: HybridTime::from_micros(5),
            events: vec![
                event(EventKind::ExecutionStarted, None),
                event(EventKind::PassStateEntered, None),
                event(EventKind::TaskDelegated, Some("/#1:1")),
            ],
        };
        let ids = |ours| -> Vec<_> {
            number(vec![late.clone(), first.clone()], ours)
                .iter()
                .map(|event| (event.id, event.previous_event_id, event.kind.as_str()))
                .collect()
        };
        assert_eq!(
            ids(false),
            [(1, 0, "ExecutionStarted"), (2, 0, "PassStateEntered"), (3, 2, "ExecutionSucceeded")]
        );
        assert_eq!(ids(true).last(), Some(&(4, 2, "ExecutionSucceeded")));
    }
}
