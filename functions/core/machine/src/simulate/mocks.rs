//! What stands in for the outside: the answers of tasks.

use std::collections::BTreeMap;

use fluxus_schema::TaskToken;
use fluxus_schema::history::EventKind;
use fluxus_schema::items::ReadItems;
use serde::Deserialize;
use serde_json::Value;

use crate::branch::Failure;
use crate::items::{self, Unreadable};
use crate::state::task::is_before_start;
use crate::step::Input;

/// Answers by state, then by number of attempt in the order scheduled (`"0"`, or a span `"1-3"`):
/// the convention of Step Functions Local's mock configuration.
pub type Mocks = BTreeMap<String, BTreeMap<String, Mock>>;

/// What a mock answers to one attempt.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Mock {
    /// The result.
    #[serde(default, deserialize_with = "present")]
    pub r#return: Option<Value>,
    /// Or the failure.
    #[serde(default)]
    pub throw: Option<Throw>,
    /// For callback and `.sync` tasks: what the request itself gave back.
    #[serde(default, deserialize_with = "present")]
    pub submitted: Option<Value>,
    /// The history event by which the service tells of the failure, where it is not the plain one.
    #[serde(default)]
    pub event: Option<EventKind>,
}

/// A mocked failure.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Throw {
    /// Error name.
    #[serde(default)]
    pub error: String,
    /// What happened, in words or as a document.
    #[serde(default)]
    pub cause: Value,
}

impl Mock {
    /// Whether somebody takes the task up at all.
    pub(super) fn begins(&self) -> bool {
        !self.event.is_some_and(is_before_start)
    }

    /// What happens to the attempt with `token`, whose callback token is `callback`. `in_text`
    /// says whether its result comes as JSON text: then a string is that text, if it is JSON.
    pub(super) fn inputs(
        &self,
        token: &TaskToken,
        callback: Option<TaskToken>,
        in_text: bool,
    ) -> Vec<Input> {
        let submitted = self
            .submitted
            .clone()
            .map(|output| Input::TaskSubmitted { token: token.clone(), output: output.into() });
        let token = callback.unwrap_or_else(|| token.clone());
        let answer = match (&self.throw, self.event) {
            (Some(throw), None) => {
                Input::TaskFailed { token, failure: throw.failure(), report: None }
            }
            (Some(throw), Some(event)) => {
                Input::TaskFailedAs { token, event, failure: throw.failure() }
            }
            (None, _) => {
                let output = self.r#return.clone().unwrap_or_default();
                let output = if in_text { text_of(output) } else { output };
                Input::TaskSucceeded { token, output: output.into(), report: None }
            }
        };
        submitted.into_iter().chain([answer]).collect()
    }
}

impl Mock {
    /// The failure that it answers, if it does, to the attempt with this token.
    pub(super) fn failed(&self, token: &TaskToken) -> Option<Input> {
        let failure = self.throw.as_ref()?.failure();
        Some(Input::TaskFailed { token: token.clone(), failure, report: None })
    }

    /// What it answers to a Map that has its items read: an array of them, or a text as the source
    /// would hold it.
    pub(super) fn read(&self, token: &TaskToken, asked: &ReadItems) -> Input {
        let token = token.clone();
        let read = match self.r#return.clone().unwrap_or_default() {
            Value::String(text) => items::all(&asked.config, &text, asked.max_items),
            Value::Array(items) => Ok(items),
            _ => Err(Unreadable("Attempting to map over non-iterable node.".to_owned())),
        };
        match read {
            Ok(items) => {
                let output = serde_json::json!({ "items": items }).into();
                Input::TaskSucceeded { token, output, report: None }
            }
            Err(unreadable) => {
                let failure = Failure::new("States.ItemReaderFailed", unreadable.to_string());
                Input::TaskFailed { token, failure, report: None }
            }
        }
    }
}

impl Throw {
    fn failure(&self) -> Failure {
        let cause = match &self.cause {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            document => Some(document.to_string()),
        };
        Failure { error: Some(self.error.clone()).filter(|error| !error.is_empty()), cause }
    }
}

/// What a JSON text says; any other value as it is.
fn text_of(value: Value) -> Value {
    let read = value.as_str().and_then(|text| serde_json::from_str(text).ok());
    read.unwrap_or(value)
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The answer to one attempt, where there is one.
pub fn answer<'m>(mocks: &'m Mocks, state: &str, attempt: u32) -> Option<&'m Mock> {
    mocks.get(state)?.iter().find(|(span, _)| covers(span, attempt)).map(|(_, mock)| mock)
}

fn covers(span: &str, attempt: u32) -> bool {
    let number = |text: &str| text.trim().parse::<u32>().ok();
    match span.split_once('-') {
        Some((from, to)) => number(from) <= Some(attempt) && Some(attempt) <= number(to),
        None => number(span) == Some(attempt),
    }
}
