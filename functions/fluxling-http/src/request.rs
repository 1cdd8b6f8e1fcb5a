//! The request, as a task asks for it and as it is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use ::fluxling::{Task, TaskError};
use fluxus_schema::limits::SERVICE_PAYLOAD_BYTES;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error_name::INVALID_REQUEST;

/// Time for the whole exchange where a task names none.
const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// Largest response that a task can ask for. Its JSON must fit a payload in the end, but a response
/// may be laid out more widely than that.
const MAX_RESPONSE_BYTES: usize = 4 * SERVICE_PAYLOAD_BYTES;

/// Headers that belong to the connection, not to the task: with them a request could be made to look
/// like two, or go to another host than the one that was judged.
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What to request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `GET` if none is named.
    #[serde(default)]
    pub method: Method,
    /// An `http` or `https` URL.
    pub url: String,
    /// Headers to send. Those of the connection, such as `Host`, cannot be set.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What to add to the URL's query: text, numbers, booleans, or lists of them for keys that come
    /// more than once. `null` adds nothing.
    #[serde(default)]
    pub query: BTreeMap<String, Value>,
    /// Text is sent as it is, anything else as JSON, each with its content type unless the headers
    /// name one. `null` sends no body.
    #[serde(default)]
    pub body: Value,
    /// Time for the whole exchange, redirects included; 30 s if none is named. The task's own time
    /// ends it too.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Largest response body, up to 1 MiB; 256 KiB if none is named.
    #[serde(default = "default_max_response_bytes")]
    pub max_response_bytes: usize,
    /// Whether to follow redirects, up to ten. If not, they are responses like others.
    #[serde(default)]
    pub follow_redirects: bool,
    /// Whether a status of 400 or more fails the task as `Http.StatusCode.NNN`.
    #[serde(default = "yes")]
    pub fail_on_status: bool,
    /// Whether to send an `Idempotency-Key` that is the same whenever this attempt is run again.
    #[serde(default = "yes")]
    pub idempotency_key: bool,
}

/// The methods that can be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "they mean what they mean in HTTP")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

fn default_timeout_ms() -> u64 {
    DEFAULT_TIMEOUT_MS
}

fn default_max_response_bytes() -> usize {
    SERVICE_PAYLOAD_BYTES
}

fn yes() -> bool {
    true
}

/// A request that can be sent, and sent again elsewhere by a redirect.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: reqwest::Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<String>,
}

impl Request {
    pub(crate) fn new(task: &Task<Input>) -> Result<Self, TaskError> {
        let input = &task.input;
        if input.max_response_bytes > MAX_RESPONSE_BYTES {
            let cause = format!(
                "`max_response_bytes` is {}, past MAX_RESPONSE_BYTES = {MAX_RESPONSE_BYTES}",
                input.max_response_bytes
            );
            return Err(invalid(cause));
        }
        let mut url = Url::parse(&input.url).map_err(|error| invalid(format!("`url`: {error}")))?;
        check_scheme(&url)?;
        add_query(&mut url, &input.query)?;
        url.set_fragment(None);
        let (body, content_type) = match &input.body {
            Value::Null => (None, None),
            Value::String(text) => (Some(text.clone()), Some("text/plain; charset=utf-8")),
            json => (Some(json.to_string()), Some("application/json")),
        };
        let mut headers = own_headers(&input.headers)?;
        if let Some(content_type) = content_type {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        }
        if input.idempotency_key
            && let Ok(key) = HeaderValue::try_from(task.idempotency_key())
        {
            headers.entry(IDEMPOTENCY_KEY).or_insert(key);
        }
        if let Some(Ok(trace)) = task.traceparent().map(HeaderValue::try_from) {
            headers.entry(TRACEPARENT).or_insert(trace);
        }
        Ok(Self { method: input.method.into(), url, headers, body })
    }
}

impl Input {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Refuses what is not HTTP.
pub(crate) fn check_scheme(url: &Url) -> Result<(), TaskError> {
    match url.scheme() {
        "http" | "https" => Ok(()),
        other => Err(invalid(format!("`url`: the scheme is `{other}`, not `http` or `https`"))),
    }
}

fn own_headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, TaskError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let place = || format!("`headers.{}`", name.escape_debug());
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| invalid(format!("{} is no header name", place())))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(invalid(format!("{} is set by the connection", place())));
        }
        // Refuses line ends and other control characters.
        let value = HeaderValue::try_from(value.as_str())
            .map_err(|_| invalid(format!("{} holds what a header cannot", place())))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn add_query(url: &mut Url, query: &BTreeMap<String, Value>) -> Result<(), TaskError> {
    let mut pairs = Vec::new();
    for (key, value) in query {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            match value {
                Value::Null => {}
                Value::String(text) => pairs.push((key, text.clone())),
                Value::Bool(_) | Value::Number(_) => pairs.push((key, value.to_string())),
                Value::Array(_) | Value::Object(_) => {
                    return Err(invalid(format!("`query.{key}` is neither plain nor a list")));
                }
            }
        }
    }
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(())
}

fn invalid(cause: String) -> TaskError {
    TaskError::fatal(INVALID_REQUEST, cause)
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
            Method::Options => Self::OPTIONS,
        }
    }
}
