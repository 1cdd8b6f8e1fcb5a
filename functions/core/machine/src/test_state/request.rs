//! What a test is told, and the bounds it keeps.

use fluxus_schema::limits::{
    MAX_CAUSE_CHARS, MAX_ERROR_CHARS, MAX_NAME_CHARS, SERVICE_PAYLOAD_BYTES,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Refusal;
use crate::simulate::validation;

/// What the service's `TestState` is asked, by the service's names.
///
/// Documents (`definition`, `input`, `context`, `variables`, the mock's `result` and the reader's
/// data) may stand as they are, or as the service has them: as JSON text in a string.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestStateRequest {
    /// A state; or a state machine, of which `state_name` names a state, however deep.
    #[serde(default)]
    pub definition: Value,
    /// The state to test, where the definition is a state machine.
    pub state_name: Option<String>,
    /// The state's input; `{}` where there is none.
    pub input: Option<Value>,
    /// How much to tell: `INFO`, `DEBUG` or `TRACE`; `INFO` where it is not said.
    pub inspection_level: Option<String>,
    /// The role that the context object names.
    pub role_arn: Option<String>,
    /// Whether to show secrets of HTTP Tasks. No secret is known here.
    #[serde(default)]
    pub reveal_secrets: bool,
    /// What states before this one assigned: an object.
    pub variables: Option<Value>,
    /// What answers in the place of whatever the state calls.
    pub mock: Option<MockInput>,
    /// The context object; the execution's own where there is none.
    pub context: Option<Value>,
    /// Where the state stands: its retries, its Map's items.
    pub state_configuration: Option<StateConfiguration>,
}

/// A mocked result or a mocked error; not both.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MockInput {
    /// What the call gives back.
    pub result: Option<Value>,
    /// How the call fails.
    pub error_output: Option<ErrorOutput>,
    /// How closely a result is held against the model of the API that is called: `STRICT`, or
    /// `PRESENT` (what is there must be right), or `NONE`; `STRICT` where it is not said.
    pub field_validation_mode: Option<String>,
}

/// A mocked error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorOutput {
    /// Error name.
    pub error: Option<String>,
    /// What happened, in words.
    pub cause: Option<String>,
}

/// Where the tested state stands.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateConfiguration {
    /// How often the retrier that takes the mocked error has retried already.
    pub retrier_retry_count: Option<i64>,
    /// The state within a Map or a Parallel that the mocked error comes from.
    pub error_caused_by_state: Option<String>,
    /// How many iterations of a Map failed.
    pub map_iteration_failure_count: Option<i64>,
    /// What a distributed Map's `ItemReader` reads.
    pub map_item_reader_data: Option<Value>,
}

/// How much a response tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InspectionLevel {
    /// How it ended.
    Info,
    /// And how its data flowed.
    Debug,
    /// And the request and the response of an HTTP Task.
    Trace,
}

impl InspectionLevel {
    const NAMES: [&str; 3] = ["INFO", "DEBUG", "TRACE"];
}

/// How closely a mocked result is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Strict,
    Present,
    None,
}

impl FieldValidation {
    const NAMES: [&str; 3] = ["STRICT", "PRESENT", "NONE"];
}

impl TestStateRequest {
    pub(super) fn level(&self) -> InspectionLevel {
        match self.inspection_level.as_deref() {
            Some("DEBUG") => InspectionLevel::Debug,
            Some("TRACE") => InspectionLevel::Trace,
            _ => InspectionLevel::Info,
        }
    }

    pub(super) fn configuration(&self) -> StateConfiguration {
        self.state_configuration.clone().unwrap_or_default()
    }

    /// The state's input.
    pub(super) fn input(&self) -> Result<Value, Refusal> {
        let Some(input) = &self.input else { return Ok(json!({})) };
        document(input).map_err(|error| {
            let message = format!("Invalid State Machine Execution Input: '{error}'");
            Refusal::new("InvalidExecutionInput", message)
        })
    }

    /// What `$name` stands for.
    pub(super) fn variables(&self) -> Result<Map<String, Value>, Refusal> {
        match self.variables.as_ref().map(document) {
            None => Ok(Map::new()),
            Some(Ok(Value::Object(variables))) => Ok(variables),
            Some(Ok(_)) => Err(Refusal::validation("Variables must be a JSON object.")),
            Some(Err(error)) => {
                Err(Refusal::validation(format!("Variables must be valid JSON: {error}")))
            }
        }
    }

    /// Checks each parameter by itself.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.state_name.as_deref() == Some("") {
            // The service never sees this: its SDKs do not send it.
            let message = "Parameter validation failed:\nInvalid length for parameter stateName, \
                           value: 0, valid min length: 1";
            return Err(Refusal::new("ParamValidationError", message));
        }
        let found = self.violations();
        if found.is_empty() {
            return Ok(());
        }
        let (count, list) = (found.len(), found.join("; "));
        let errors = if count == 1 { "error" } else { "errors" };
        Err(Refusal::validation(format!("{count} validation {errors} detected: {list}")))
    }

    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.definition.is_null() {
            found.push(violation(None, "definition", "Member must not be null"));
        }
        one_of(&mut found, "inspectionLevel", &self.inspection_level, InspectionLevel::NAMES);
        no_longer(&mut found, "stateName", &self.state_name, MAX_NAME_CHARS, true);
        let documents =
            [("input", &self.input), ("variables", &self.variables), ("context", &self.context)];
        for (name, value) in documents {
            no_larger(&mut found, name, value.as_ref());
        }
        if let Some(mock) = &self.mock {
            let mode = &mock.field_validation_mode;
            one_of(&mut found, "mock.fieldValidationMode", mode, FieldValidation::NAMES);
            no_larger(&mut found, "mock.result", mock.result.as_ref());
            if let Some(ErrorOutput { error, cause }) = &mock.error_output {
                let (error_field, cause_field) =
                    ("mock.errorOutput.error", "mock.errorOutput.cause");
                no_longer(&mut found, error_field, error, MAX_ERROR_CHARS, false);
                no_longer(&mut found, cause_field, cause, MAX_CAUSE_CHARS, false);
            }
        }
        if let Some(configuration) = &self.state_configuration {
            let at = |name: &str| format!("stateConfiguration.{name}");
            let caused_by = &configuration.error_caused_by_state;
            no_longer(&mut found, &at("errorCausedByState"), caused_by, MAX_NAME_CHARS, true);
            let read = configuration.map_item_reader_data.as_ref();
            no_larger(&mut found, &at("mapItemReaderData"), read);
            let counts = [
                ("retrierRetryCount", configuration.retrier_retry_count),
                ("mapIterationFailureCount", configuration.map_iteration_failure_count),
            ];
            for (name, count) in counts {
                if let Some(count) = count.filter(|count| *count < 0) {
                    let rule = "Member must have value greater than or equal to 0";
                    found.push(violation(Some(&count.to_string()), &at(name), rule));
                }
            }
        }
        found
    }
}

impl MockInput {
    pub(super) fn field_validation(&self) -> FieldValidation {
        match self.field_validation_mode.as_deref() {
            Some("PRESENT") => FieldValidation::Present,
            Some("NONE") => FieldValidation::None,
            _ => FieldValidation::Strict,
        }
    }
}

/// A document that may have come as the text of one.
///
/// # Errors
/// Why the text is no JSON.
pub(super) fn document(value: &Value) -> Result<Value, String> {
    let Value::String(text) = value else { return Ok(value.clone()) };
    serde_json::from_str(text).map_err(|error| match validation::document(text) {
        Err(told) if !told.is_empty() => told[0].message().to_owned(),
        _ => error.to_string(),
    })
}

fn violation(value: Option<&str>, field: &str, rule: &str) -> String {
    let value = value.map(|value| format!(" '{value}'")).unwrap_or_default();
    format!("Value{value} at '{field}' failed to satisfy constraint: {rule}")
}

fn one_of(found: &mut Vec<String>, field: &str, value: &Option<String>, names: [&str; 3]) {
    if let Some(value) = value.as_deref().filter(|value| !names.contains(value)) {
        let rule = format!("Member must satisfy enum value set: [{}]", names.join(", "));
        found.push(violation(Some(value), field, &rule));
    }
}

/// What may be secret is not shown.
fn no_longer(
    found: &mut Vec<String>,
    field: &str,
    value: &Option<String>,
    most: usize,
    is_shown: bool,
) {
    if let Some(value) = value.as_deref().filter(|value| value.chars().count() > most) {
        found.push(violation(is_shown.then_some(value), field, &too_long(most)));
    }
}

fn no_larger(found: &mut Vec<String>, field: &str, value: Option<&Value>) {
    let length = |value: &Value| value.as_str().map_or_else(|| value.to_string().len(), str::len);
    if value.is_some_and(|value| length(value) > SERVICE_PAYLOAD_BYTES) {
        found.push(violation(None, field, &too_long(SERVICE_PAYLOAD_BYTES)));
    }
}

fn too_long(most: usize) -> String {
    format!("Member must have length less than or equal to {most}")
}
