//! Why a request is refused, in the service's words.

use serde_json::{Value, json};

/// A request that the service refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The service's name for the kind: `ValidationException`, `InvalidDefinition`,
    /// `InvalidExecutionInput`; `ParamValidationError` for what its SDK refuses to send.
    pub code: &'static str,
    /// What is wrong, as the service says it.
    pub message: String,
    /// What to do here, where the service's words do not tell.
    pub help: Option<&'static str>,
}

impl Refusal {
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    pub(super) fn definition(message: impl Into<String>) -> Self {
        Self::new("InvalidDefinition", message)
    }

    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    #[must_use]
    pub(super) fn with_help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }

    /// As the service's SDK for Python hands it on: the error's response, or with `is_raised` the
    /// exception itself.
    pub(super) fn to_json(&self, is_raised: bool) -> Value {
        let Self { code, message, .. } = self;
        if !is_raised {
            return json!({ "Error": { "Code": code, "Message": message }, "message": message });
        }
        let told = match *code {
            "ParamValidationError" => message.clone(),
            _ => format!(
                "An error occurred ({code}) when calling the TestState operation: {message}"
            ),
        };
        json!({ "exception_typename": code, "exception_value": told })
    }
}
