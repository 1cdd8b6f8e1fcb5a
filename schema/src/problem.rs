//! RFC 9457 problem documents, and the faults of documents that they list.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing wrong with a document, and where.
///
/// `{"code": "MISSING_TRANSITION_TARGET", "severity": "ERROR", "pointer": "/States/A/Next",
/// "detail": "Missing 'Next' target: B", "place": {"line": 4, "column": 33, "end_line": 4,
/// "end_column": 36}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// The kind of fault: what a program decides by.
    #[serde(default)]
    pub code: FaultCode,
    /// Whether the document is refused for it.
    #[serde(default)]
    pub severity: Severity,
    /// JSON pointer to the place.
    pub pointer: String,
    /// What is wrong there, naming the bound where there is one. Of a recipe: the service's words.
    pub detail: String,
    /// What would be right, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The place in the text; absent where the document did not come as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Fault {
    /// A fault of the code's own severity, at `pointer`.
    pub fn new(code: FaultCode, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (pointer.into(), detail.into());
        Self { code, severity: code.severity(), pointer, detail, help: None, place: None }
    }

    /// A fault of a document that is no recipe.
    pub fn of_document(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FaultCode::InvalidDocument, pointer, detail)
    }

    /// The same fault, with what would be right.
    #[must_use]
    pub fn with_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    /// Whether the document is refused for it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Whether a fault stands in the way.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// The document is refused.
    #[default]
    Error,
    /// The document can be used, but hardly means this.
    Warning,
}

impl Severity {
    /// The severity as it is written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
        }
    }
}

/// A stretch of a text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// The line it begins on.
    pub line: usize,
    /// The column it begins at.
    pub column: usize,
    /// The line it ends on.
    pub end_line: usize,
    /// The column after its last character.
    pub end_column: usize,
}

macro_rules! codes {
    ($($(#[$meta:meta])* $code:ident $name:literal,)*) => {
        /// The kinds of faults: those of the service's `ValidateStateMachineDefinition`, by the
        /// service's names, then our own.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize,
            Deserialize, ToSchema,
        )]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum FaultCode {
            $($(#[$meta])* $code,)*
        }

        impl FaultCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The code as it is written in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }
        }
    };
}

codes! {
    /// The text is not JSON.
    InvalidJsonDescription "INVALID_JSON_DESCRIPTION",
    /// There is no definition: the text is empty.
    MissingDescription "MISSING_DESCRIPTION",
    /// The definition breaks a rule of the language.
    SchemaValidationFailed "SCHEMA_VALIDATION_FAILED",
    /// A Task's resource has a value that cannot be one.
    InvalidResource "INVALID_RESOURCE",
    /// No state ends the state machine.
    MissingEndState "MISSING_END_STATE",
    /// Two states have the same name.
    DuplicateStateName "DUPLICATE_STATE_NAME",
    /// A state's name is empty, too long, or has characters that it must not have.
    InvalidStateName "INVALID_STATE_NAME",
    /// The state machine has no name.
    StateMachineNameEmpty "STATE_MACHINE_NAME_EMPTY",
    /// The state machine's name has characters that it must not have.
    StateMachineNameInvalid "STATE_MACHINE_NAME_INVALID",
    /// The state machine's name is too long.
    StateMachineNameTooLong "STATE_MACHINE_NAME_TOO_LONG",
    /// Another state machine has the name.
    StateMachineNameAlreadyExists "STATE_MACHINE_NAME_ALREADY_EXISTS",
    /// Two distributed Maps have the same label.
    DuplicateLabelName "DUPLICATE_LABEL_NAME",
    /// A label is too long or has characters that it must not have.
    InvalidLabelName "INVALID_LABEL_NAME",
    /// A transition names no state, or no transition names the state.
    MissingTransitionTarget "MISSING_TRANSITION_TARGET",
    /// States are nested too deep in each other.
    TooDeeplyNested "TOO_DEEPLY_NESTED",
    /// A text `{% ... %}` is not JSONata.
    InvalidJsonataExpression "INVALID_JSONATA_EXPRESSION",
    /// A JSONata expression reads what is not there for it.
    UnsupportedJsonataExpression "UNSUPPORTED_JSONATA_EXPRESSION",
    /// `Assign` names a variable that cannot have this name.
    InvalidVariableName "INVALID_VARIABLE_NAME",
    /// `Assign` names a variable that the language keeps for itself.
    ReservedVariableName "RESERVED_VARIABLE_NAME",
    /// `Assign` names a variable that a state around it assigns too.
    DuplicateVariableName "DUPLICATE_VARIABLE_NAME",
    /// Warning: the value looks like a path, but its field's name does not end with `.$`.
    NoDollar "NO_DOLLAR",
    /// Warning: the value looks like a path, but its field's name does not end with `Path`.
    NoPath "NO_PATH",
    /// Warning: a Pass state's `Result` holds a path, which is not looked up.
    PassResultIsStatic "PASS_RESULT_IS_STATIC",
    /// Ours: the text is not YAML, or holds what JSON has no word for.
    InvalidYamlDescription "INVALID_YAML_DESCRIPTION",
    /// Ours: an object has the same key twice, so that one of its values would be lost.
    DuplicateKey "DUPLICATE_KEY",
    /// Ours: the definition is past one of the bounds of Fluxus.
    DefinitionTooLarge "DEFINITION_TOO_LARGE",
    /// Ours: the service knows the resource, but Fluxus has no way to it.
    UnsupportedResource "UNSUPPORTED_RESOURCE",
    /// Ours: a document that is no recipe is not what it should be.
    #[default]
    InvalidDocument "INVALID_DOCUMENT",
}

impl FaultCode {
    /// Whether a document is refused for it.
    pub const fn severity(self) -> Severity {
        match self {
            Self::NoDollar | Self::NoPath | Self::PassResultIsStatic => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A problem document (RFC 9457), media type `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: a stable path, such as `/problems/claim-does-not-exist`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; the same for every problem of the kind.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// What went wrong this time, and what to do next.
    pub detail: String,
    /// Each fault of a document that was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_the_same_in_json_and_in_text() {
        for code in FaultCode::ALL {
            assert_eq!(serde_json::to_value(code).expect("a string"), code.as_str());
        }
    }
}
