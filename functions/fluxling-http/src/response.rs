//! The response, as a task gets it.

use std::collections::BTreeMap;

use ::fluxling::TaskError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::error_name::{RESPONSE_TOO_LARGE, STATUS_CODE_PREFIX};
use crate::exchange::named;
use crate::request::Input;

/// How much of an error response's body goes into the error's cause, in characters: enough to see
/// what the endpoint says, and a cause stays readable.
const MAX_CAUSE_BODY_CHARS: usize = 2_000;

/// What came back.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Output {
    /// The status code.
    pub status: u16,
    /// Headers, by their names in lower case. One that came more than once has its values joined
    /// with commas.
    pub headers: BTreeMap<String, String>,
    /// The body; `encoding` says how it stands here. `null` if there is none.
    pub body: Value,
    /// How `body` is to be understood.
    pub encoding: Encoding,
}

/// How a response body is written in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The content type says JSON, and it is: the document itself.
    Json,
    /// The text.
    Text,
    /// It is not UTF-8: the bytes, in base64.
    Base64,
}

impl Output {
    pub(crate) async fn read(mut response: Response, input: &Input) -> Result<Self, TaskError> {
        let most = input.max_response_bytes;
        let too_large = || {
            let cause = format!("the response has more than `max_response_bytes` = {most} bytes");
            TaskError::fatal(RESPONSE_TOO_LARGE, cause)
        };
        let status = response.status();
        let fails = input.fail_on_status && status.as_u16() >= 400;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(named)? {
            body.extend_from_slice(&chunk);
            if body.len() > most {
                // Of an error response, the beginning says enough.
                if fails {
                    break;
                }
                return Err(too_large());
            }
        }
        if fails {
            let name = format!("{STATUS_CODE_PREFIX}{}", status.as_u16());
            let said = String::from_utf8_lossy(&body);
            let said: String = said.chars().take(MAX_CAUSE_BODY_CHARS).collect();
            let reason = status.canonical_reason().unwrap_or("no reason");
            let cause =
                if said.is_empty() { reason.to_owned() } else { format!("{reason}: {said}") };
            return Err(TaskError::retryable(name, cause));
        }
        let (body, encoding) = understand(response.headers(), body);
        let headers = joined(response.headers());
        Ok(Self { status: status.as_u16(), headers, body, encoding })
    }
}

fn understand(headers: &HeaderMap, body: Vec<u8>) -> (Value, Encoding) {
    if body.is_empty() {
        return (Value::Null, Encoding::Text);
    }
    if is_json(headers)
        && let Ok(document) = serde_json::from_slice(&body)
    {
        return (document, Encoding::Json);
    }
    match String::from_utf8(body) {
        Ok(text) => (Value::String(text), Encoding::Text),
        Err(not_text) => (Value::String(STANDARD.encode(not_text.as_bytes())), Encoding::Base64),
    }
}

/// Source: RFC 8259 (`application/json`), RFC 6839 (`+json`).
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        all.entry(name.as_str().to_owned())
            .and_modify(|known| {
                known.push_str(", ");
                known.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    all
}
