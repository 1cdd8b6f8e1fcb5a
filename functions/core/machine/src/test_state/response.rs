//! What a test tells.

use fluxus_schema::{Json, StateName};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// How a state went.
///
/// As JSON it is the service's response: documents stand in it as JSON text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TestStateResponse {
    /// How it ended.
    pub status: TestStatus,
    /// What it gives to the state after it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub output: Option<Json>,
    /// The error's name, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What happened, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The state after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_state: Option<StateName>,
    /// How its data flowed, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspection_data: Option<InspectionData>,
}

/// How a state ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TestStatus {
    /// It did its work.
    Succeeded,
    /// It failed, and with it its machine.
    Failed,
    /// It failed, and would be tried again.
    Retriable,
    /// It failed, and a catcher says how to go on.
    CaughtError,
}

impl TestStatus {
    /// The status as it is written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Retriable => "RETRIABLE",
            Self::CaughtError => "CAUGHT_ERROR",
        }
    }
}

/// The stages that a state's data went through; those that it did not come to are missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InspectionData {
    /// The raw input.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub input: Option<Json>,
    /// The input behind `InputPath`. Only in JSONPath.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub after_input_path: Option<Json>,
    /// The input behind `Parameters`. Only in JSONPath.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub after_parameters: Option<Json>,
    /// What `Arguments` made. Only in JSONata.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub after_arguments: Option<Json>,
    /// The items that a Map's `ItemsPath` found. Only in JSONPath.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub after_items_path: Option<Json>,
    /// The items that a Map's `ItemsPointer` found in what its reader read.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub after_items_pointer: Option<Json>,
    /// What a Map's iterations get, where an `ItemSelector` makes it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub after_item_selector: Option<Json>,
    /// The same as an `ItemBatcher` groups it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub after_item_batcher: Option<Json>,
    /// How many of a Map's iterations may run side by side; 0 for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u64>,
    /// How many of a Map's iterations may fail, where that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_count: Option<u64>,
    /// How many percent of a Map's iterations may fail, where that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_percentage: Option<f64>,
    /// The request of an HTTP Task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<HttpRequest>,
    /// The response to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<HttpResponse>,
    /// The raw result.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub result: Option<Json>,
    /// The result behind `ResultSelector`. Only in JSONPath.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub after_result_selector: Option<Json>,
    /// The result in its place in the input. Only in JSONPath.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub after_result_path: Option<Json>,
    /// The variables after the state, where there are any.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub variables: Option<Json>,
    /// Which retrier and which catcher took the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_details: Option<ErrorDetails>,
}

/// What became of an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ErrorDetails {
    /// The entry of `Catch` that took it, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_index: Option<usize>,
    /// The entry of `Retry` that it is for, counted from 0, even if that has no attempts left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_index: Option<usize>,
    /// How long to wait before the next attempt, in seconds, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_backoff_interval_seconds: Option<u64>,
}

/// What an HTTP Task sends, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HttpRequest {
    /// `https`.
    pub protocol: String,
    /// `GET`, `POST`, ...
    pub method: String,
    /// Where to, with the query.
    pub url: String,
    /// `[name: value, ...]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
    /// The body, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What an HTTP Task got back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    /// `https`.
    pub protocol: String,
    /// `200`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<String>,
    /// `OK`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    /// `[name: value, ...]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
    /// The body, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

fn as_text<S: Serializer>(document: &Option<Json>, serializer: S) -> Result<S::Ok, S::Error> {
    document.as_deref().map(Value::to_string).serialize(serializer)
}
