//! What is asked of Lambda and what comes back, whoever carries it.

use ::fluxling::TaskError;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The name of a failure that names none itself.
const UNKNOWN: &str = "Lambda.Unknown";

/// What a client context may have at most: Lambda's own bound.
const MAX_CLIENT_CONTEXT_BYTES: usize = 3_583;

/// The parameters of `Invoke`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Input {
    /// Name, partial ARN or ARN of the function, with or without a version or alias.
    pub function_name: String,
    /// What it is invoked with.
    #[serde(default)]
    pub payload: Option<Value>,
    /// Whether its result is waited for.
    #[serde(default)]
    pub invocation_type: InvocationType,
    /// A version or an alias.
    #[serde(default)]
    pub qualifier: Option<String>,
    /// JSON, in base64, that the function finds in its context.
    #[serde(default)]
    pub client_context: Option<String>,
    /// Taken for compatibility; logs are in CloudWatch.
    #[serde(default)]
    pub log_type: Option<String>,
}

/// Whether a function's result is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum InvocationType {
    /// It is.
    #[default]
    RequestResponse,
    /// The function is queued.
    Event,
    /// Only whether it may be invoked is asked.
    DryRun,
}

impl InvocationType {
    /// As Lambda names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestResponse => "RequestResponse",
            Self::Event => "Event",
            Self::DryRun => "DryRun",
        }
    }
}

/// A request that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Name or ARN.
    pub function: String,
    /// JSON text.
    pub payload: String,
    /// Whether the result is waited for.
    pub invocation_type: InvocationType,
    /// A version or an alias.
    pub qualifier: Option<String>,
    /// JSON in base64.
    pub client_context: Option<String>,
}

impl Input {
    /// The request, if Lambda could read it.
    ///
    /// # Errors
    /// `Lambda.InvalidRequest`, which names the parameter.
    pub fn check(self) -> Result<Invocation, TaskError> {
        let wrong = |what: &str| TaskError::fatal("Lambda.InvalidRequest", what);
        if self.function_name.is_empty() {
            return Err(wrong("FunctionName is empty"));
        }
        if let Some(context) = &self.client_context {
            let read = STANDARD.decode(context).ok();
            if context.len() > MAX_CLIENT_CONTEXT_BYTES {
                let bytes = context.len();
                return Err(wrong(&format!(
                    "ClientContext has {bytes} bytes; the bound is {MAX_CLIENT_CONTEXT_BYTES}"
                )));
            }
            if read.and_then(|json| serde_json::from_slice::<Value>(&json).ok()).is_none() {
                return Err(wrong("ClientContext is not JSON in base64"));
            }
        }
        Ok(Invocation {
            function: self.function_name,
            payload: self.payload.unwrap_or_else(|| json!({})).to_string(),
            invocation_type: self.invocation_type,
            qualifier: self.qualifier,
            client_context: self.client_context,
        })
    }
}

/// What Lambda answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Invoked {
    /// 200, or 202 and 204 where no result is waited for.
    pub status: u16,
    /// What the function gave back; `null` where that is not waited for.
    pub payload: Value,
    /// Set where the function failed: `Handled` or `Unhandled`.
    pub function_error: Option<String>,
    /// The version that ran.
    pub executed_version: Option<String>,
    /// Names the request in Lambda's logs.
    pub request_id: Option<String>,
}

/// What the integration of Step Functions answers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Output {
    /// The version that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executed_version: Option<String>,
    /// What the function gave back.
    pub payload: Value,
    /// What is known of the HTTP answer.
    pub sdk_http_metadata: HttpMetadata,
    /// What is known of the request.
    pub sdk_response_metadata: ResponseMetadata,
    /// 200, or 202 and 204 where no result is waited for.
    pub status_code: u16,
}

/// What is known of an HTTP answer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct HttpMetadata {
    /// The status.
    pub http_status_code: u16,
}

/// What is known of a request.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ResponseMetadata {
    /// Names the request in Lambda's logs.
    pub request_id: Option<String>,
}

impl From<Invoked> for Output {
    fn from(invoked: Invoked) -> Self {
        Self {
            executed_version: invoked.executed_version,
            payload: invoked.payload,
            sdk_http_metadata: HttpMetadata { http_status_code: invoked.status },
            sdk_response_metadata: ResponseMetadata { request_id: invoked.request_id },
            status_code: invoked.status,
        }
    }
}

/// Carries invocations to Lambda.
#[async_trait]
pub trait Invoker: Send + Sync + 'static {
    /// Invokes a function once.
    ///
    /// # Errors
    /// [`InvokeError`]. A function that fails is no error here: see [`Invoked::function_error`].
    async fn invoke(&self, invocation: Invocation) -> Result<Invoked, InvokeError>;
}

/// Why a function was not invoked, or is not known to have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// Lambda refused.
    #[error("Lambda refused: {code}: {message}")]
    Refused {
        /// Lambda's own name for it: `ResourceNotFoundException`.
        code: String,
        /// In Lambda's words.
        message: String,
    },
    /// There is no such endpoint.
    #[error("`{url}` is no address such as http://127.0.0.1:3001")]
    NoEndpoint {
        /// The text that is none.
        url: String,
    },
    /// Lambda could not be reached, or its answer not be read; the function may have run.
    #[error("cannot invoke the function: {message}")]
    Client {
        /// What happened.
        message: String,
    },
}

impl InvokeError {
    /// The failure under the name that Step Functions gives it.
    pub(crate) fn into_task_error(self) -> TaskError {
        match self {
            Self::Refused { code, message } => {
                TaskError::retryable(format!("Lambda.{code}"), message)
            }
            Self::NoEndpoint { .. } | Self::Client { .. } => {
                TaskError::retryable("Lambda.SdkClientException", self)
            }
        }
    }
}

/// The failure of a function, by its own name where it has one. The cause is the whole document, as
/// Step Functions gives it.
pub(crate) fn failed(payload: &Value) -> TaskError {
    let name = payload.get("errorType").and_then(Value::as_str).filter(|name| !name.is_empty());
    TaskError::retryable(name.unwrap_or(UNKNOWN), payload)
}

/// The document that a function gave back: none is `null`, as the service has it.
///
/// # Errors
/// [`InvokeError::Client`] where it is no JSON.
pub(crate) fn document(bytes: &[u8]) -> Result<Value, InvokeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let failed =
        |error| InvokeError::Client { message: format!("the payload is no JSON: {error}") };
    serde_json::from_slice(bytes).map_err(failed)
}
