//! Documents over HTTP for other fluxlings, behind the same guard as `http.request`.

use std::time::Duration;

use ::fluxling::TaskError;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use crate::config::HttpConfig;
use crate::error_name::{
    CONNECT, INVALID_REQUEST, RESPONSE_TOO_LARGE, STATUS_CODE_PREFIX, TIMEOUT,
};
use crate::exchange::{Clients, named};
use crate::request::{Request, check_scheme};

/// Most bytes that are passed over to reach a range, where a server gives only whole documents.
const MAX_PASSED_BYTES: u64 = 256 * 1024 * 1024;

/// Time for one exchange: that of a slow server with a large document.
const TIME: Duration = Duration::from_secs(60);

/// Reads and writes documents.
#[derive(Debug)]
pub struct Documents(Clients);

/// Part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the document ends with them.
    pub is_last: bool,
}

impl Documents {
    /// With the addresses that `config` allows.
    ///
    /// # Errors
    /// A task error, where the machine's TLS roots cannot be loaded.
    pub fn new(config: HttpConfig) -> Result<Self, TaskError> {
        Clients::new(config).map(Self).map_err(|error| TaskError::retryable(CONNECT, error))
    }

    /// At most `most` bytes of the document at `url`, from `from` on.
    ///
    /// # Errors
    /// The task errors of `http.request`.
    pub async fn read(&self, url: &str, from: u64, most: usize) -> Result<Part, TaskError> {
        let last = from.saturating_add(most as u64);
        let mut headers = HeaderMap::new();
        // One byte more than asked for tells whether there is more.
        let range = HeaderValue::from_str(&format!("bytes={from}-{last}"));
        headers.insert(RANGE, range.map_err(|error| TaskError::fatal(INVALID_REQUEST, error))?);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let request = request(Method::GET, url, headers, None)?;
        in_time(async {
            let response = self.0.response(request, true).await?;
            match response.status() {
                StatusCode::PARTIAL_CONTENT => take(response, 0, most).await,
                // The range begins behind the end: the document has no more bytes.
                StatusCode::RANGE_NOT_SATISFIABLE => Ok(Part { bytes: Vec::new(), is_last: true }),
                status if status.is_success() => take(response, from, most).await,
                _ => Err(refused(&response)),
            }
        })
        .await
    }

    /// Puts a document at `url`.
    ///
    /// # Errors
    /// The task errors of `http.request`.
    pub async fn write(&self, url: &str, kind: &str, text: String) -> Result<(), TaskError> {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_str(kind);
        let kind = kind.map_err(|error| TaskError::fatal(INVALID_REQUEST, error))?;
        headers.insert(CONTENT_TYPE, kind);
        let request = request(Method::PUT, url, headers, Some(text))?;
        in_time(async {
            let response = self.0.response(request, true).await?;
            if response.status().is_success() { Ok(()) } else { Err(refused(&response)) }
        })
        .await
    }
}

async fn in_time<T>(exchange: impl Future<Output = Result<T, TaskError>>) -> Result<T, TaskError> {
    let late = |_| TaskError::retryable(TIMEOUT, format!("no answer within {} s", TIME.as_secs()));
    tokio::time::timeout(TIME, exchange).await.map_err(late)?
}

fn request(
    method: Method,
    url: &str,
    headers: HeaderMap,
    body: Option<String>,
) -> Result<Request, TaskError> {
    let url = Url::parse(url).map_err(|error| {
        TaskError::fatal(INVALID_REQUEST, format!("`{url}` is no URL: {error}"))
    })?;
    check_scheme(&url)?;
    Ok(Request { method, url, headers, body })
}

/// Passes over `before` bytes and takes at most `most`.
async fn take(mut response: Response, before: u64, most: usize) -> Result<Part, TaskError> {
    if before > MAX_PASSED_BYTES {
        let cause = format!(
            "the server gives no ranges, and {before} bytes are more than MAX_PASSED_BYTES = \
             {MAX_PASSED_BYTES} to pass over"
        );
        return Err(TaskError::fatal(RESPONSE_TOO_LARGE, cause));
    }
    let mut pass = usize::try_from(before).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(named)? {
        let rest = &chunk[pass.min(chunk.len())..];
        pass -= pass.min(chunk.len());
        bytes.extend_from_slice(rest);
        if bytes.len() > most {
            bytes.truncate(most);
            return Ok(Part { bytes, is_last: false });
        }
    }
    Ok(Part { bytes, is_last: true })
}

fn refused(response: &Response) -> TaskError {
    let status = response.status();
    let name = format!("{STATUS_CODE_PREFIX}{}", status.as_u16());
    TaskError::retryable(name, status.canonical_reason().unwrap_or("no reason"))
}
