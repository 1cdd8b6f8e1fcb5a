//! What is wrong with a definition, in the service's words.
//!
//! Gathered from what the service answered: recorded cases, its documentation, and what others
//! measured with `ValidateStateMachineDefinition`. A text that nobody was seen to get is ours.

use crate::definition::Language;

pub(crate) const EMPTY: &str = "Value cannot be empty";
pub(crate) const NO_END: &str = "Workflow has no terminal state";
pub(crate) const NOT_A_PATH: &str = "Value must be a valid JSONPath.";
pub(crate) const NOT_A_REFERENCE: &str = "Value is not a Reference Path";
pub(crate) const NOT_FROM_ROOT: &str =
    "Value is not a Reference Path: Reference path didn't start with '$'";
pub(crate) const NOT_A_TIME: &str = "String does not match RFC3339 timestamp";
pub(crate) const NOT_AN_ARN: &str = "Value is not a valid resource ARN";
pub(crate) const NOT_JSONATA: &str = "JSONata string must start with {% and end with %}";
pub(crate) const ALL_ALONE: &str = "States.ALL must appear alone and at end of list";
pub(crate) const DOWNGRADE: &str =
    "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine";

pub(crate) const STRING: &str = "Expected value of type [STRING]";
pub(crate) const BOOLEAN: &str = "Expected value of type [BOOLEAN]";
pub(crate) const NUMBER: &str = "Expected value of type [NUMBER]";
pub(crate) const OBJECT: &str = "Expected value of type [OBJECT]";
pub(crate) const ARRAY: &str = "Expected value of type [ARRAY]";
pub(crate) const INTEGER: &str = "Expected value of type Integer";

pub(crate) fn required(names: &[&str]) -> String {
    format!("These fields are required: [{}]", names.join(", "))
}

pub(crate) fn unsupported(name: &str) -> String {
    format!("Field '{name}' is not supported")
}

/// The field belongs to the other query language than `language`.
pub(crate) fn other_language(language: Language, name: &str) -> String {
    let (set, other) = match language {
        Language::JsonPath => ("JSONPath", "JSONata"),
        Language::Jsonata => ("JSONata", "JSONPath"),
    };
    format!(
        "The QueryLanguage is set to '{set}', but field '{name}' is only supported for the \
         '{other}' QueryLanguage"
    )
}

/// Two or more of `names` are there.
pub(crate) fn only_one(names: &[&str]) -> String {
    format!("There should only be one of the following fields: [{}]", names.join(", "))
}

/// None of `names` is there.
pub(crate) fn one_needed(names: &[&str]) -> String {
    format!("This object should have only one of the following fields: [{}]", names.join(", "))
}

/// Not exactly one of `names` says which kind of Choice rule it is.
pub(crate) fn one_kind(names: &[&str]) -> String {
    format!("The object must have only one of the following fields, [{}]", names.join(", "))
}

pub(crate) fn one_of(values: &[&str]) -> String {
    format!("Value should be one of the following: [{}]", values.join(", "))
}

/// As [`one_of`], where the value decides which other fields there may be.
pub(crate) fn field_one_of(name: &str, values: &[&str]) -> String {
    format!("The field '{name}' should have one of these values: [{}]", values.join(", "))
}

pub(crate) fn field_required(name: &str) -> String {
    format!("The field '{name}' is required but was missing")
}

pub(crate) fn minimum(least: impl std::fmt::Display) -> String {
    format!("Minimum value is {least}")
}

pub(crate) fn maximum(most: impl std::fmt::Display) -> String {
    format!("Maximum value is {most}")
}

/// Wherever the name stands: `Next`, `Default` and `StartAt` alike.
pub(crate) fn missing_target(name: &str) -> String {
    format!("Missing 'Next' target: {name}")
}

pub(crate) fn unreachable_state(name: &str) -> String {
    format!("State \"{name}\" is not reachable.")
}

pub(crate) fn payload_field(name: &str) -> String {
    format!(
        "The value for the field '{name}' must be a valid JSONPath or a valid intrinsic function \
         call"
    )
}

pub(crate) fn unknown_resource(arn: &str) -> String {
    format!(
        "The resource provided {arn} is not recognized. The value is not a valid resource ARN, or \
         the resource is not available in this region."
    )
}

/// The blank after the text is the service's.
pub(crate) fn express_pattern(suffix: &str) -> String {
    let blank = if suffix == ".waitForTaskToken" { " " } else { "" };
    format!("Express state machine does not support '{suffix}' service integration{blank}")
}
