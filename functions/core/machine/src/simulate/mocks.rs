//! What stands in for the outside: the answers of tasks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

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
    pub event: Option<String>,
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

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The answer to one attempt, where there is one.
pub(super) fn find<'m>(mocks: &'m Mocks, state: &str, attempt: u32) -> Option<&'m Mock> {
    mocks.get(state)?.iter().find(|(span, _)| covers(span, attempt)).map(|(_, mock)| mock)
}

fn covers(span: &str, attempt: u32) -> bool {
    let number = |text: &str| text.trim().parse::<u32>().ok();
    match span.split_once('-') {
        Some((from, to)) => number(from) <= Some(attempt) && Some(attempt) <= number(to),
        None => number(span) == Some(attempt),
    }
}
