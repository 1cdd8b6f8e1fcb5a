//! The client of the REST interface: one call, one answer, and errors that say what to do.

mod failure;
mod stream;

use std::net::IpAddr;
use std::time::Duration;

use fluxus_schema::limits::MAX_REQUEST_BYTES;
use fluxus_schema::problem::Problem;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::args::Global;
use crate::exit::{Exit, Usage};
use crate::output::note;
use failure::beginning;
pub(crate) use failure::explain;
pub use stream::Stream;

/// Longest time to make a connection. A server that is there answers much faster.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time for an answer, beyond what the server was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a call is sent again that the server had no room for: a few minutes in all.
const MAX_REFUSALS: u32 = 30;

/// The longest that a server's `Retry-After` is heeded without asking anybody.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How long a call that may be repeated goes on while the server is away, as for a restart, or says
/// that it can do nothing, as while its database is away.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Pause before such a call where the server names none: a restart takes a few of them.
const PAUSE: Duration = Duration::from_secs(2);

/// What kept a call from its answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused, and said why.
    #[error("{}: {}", .0.title, .0.detail)]
    Refused(Box<Problem>),
    /// No connection.
    #[error("cannot reach {url}: {reason}{}", hint(.refused))]
    Unreachable {
        /// Where the server was to be.
        url: String,
        /// Why not, in words.
        reason: String,
        /// Whether nobody listens there.
        refused: bool,
    },
    /// A connection, but no answer in time.
    #[error("{url} did not answer within {seconds} s; its log may say why")]
    Silent {
        /// Where the server is.
        url: String,
        /// How long we waited.
        seconds: u64,
    },
    /// A connection that ended while a large body was sent.
    #[error("{url} broke off while {bytes} bytes were sent to it: it may have refused their size")]
    CutOff {
        /// Where the server is.
        url: String,
        /// The size of the body.
        bytes: usize,
    },
    /// An answer that ended before its end.
    #[error("{url} broke off before its answer was whole; its log may say why")]
    BrokeOff {
        /// What was asked.
        url: String,
    },
    /// A call that cannot be made.
    #[error(transparent)]
    Unaskable(#[from] Usage),
    /// An answer that Fluxus does not give.
    #[error("{url} answered {status}, but not as Fluxus does: {body}. Is --url right?")]
    Strange {
        /// What was asked.
        url: String,
        /// The status code.
        status: StatusCode,
        /// The beginning of the answer.
        body: String,
    },
}

fn hint(refused: &bool) -> &'static str {
    if *refused { ". Is it running? Start one with `fluxus dev`" } else { "" }
}

impl ClientError {
    /// The exit code for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Refused(problem) if problem.status == StatusCode::NOT_FOUND => Exit::NotFound,
            Self::Refused(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE => {
                Exit::Unreachable
            }
            Self::Refused(_) => Exit::Failed,
            Self::Unaskable(_) => Exit::Usage,
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::CutOff { .. }
            | Self::BrokeOff { .. } => Exit::Unreachable,
            // What a load balancer answers whose server is away.
            Self::Strange { status, .. } => match *status {
                StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => Exit::Unreachable,
                _ => Exit::Failed,
            },
        }
    }

    /// Whether the same call may well succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused(problem) => matches!(problem.status, 429 | 503),
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::CutOff { .. }
            | Self::BrokeOff { .. } => true,
            Self::Unaskable(_) => false,
            Self::Strange { .. } => self.exit() == Exit::Unreachable,
        }
    }

    /// Whether the server may have done what it was asked, though it did not say so.
    pub fn is_unanswered(&self) -> bool {
        !matches!(self, Self::Unreachable { .. } | Self::Unaskable(_) | Self::Refused(_))
            && self.is_passing()
    }

    /// What a server says that cannot do it now: its status and its words without advice to whoever
    /// would try again, which we do.
    fn not_now(&self) -> Option<(StatusCode, &str)> {
        let Self::Refused(problem) = self else { return None };
        Some((StatusCode::from_u16(problem.status).ok()?, &problem.title))
    }
}

/// What the API answered, byte by byte, so that JSON output can pass it on unchanged.
#[derive(Debug, Clone)]
pub struct Document {
    /// The answer's body.
    pub bytes: Vec<u8>,
    url: String,
    status: StatusCode,
}

impl Document {
    /// The document as the type that the API says it is.
    ///
    /// # Errors
    /// [`ClientError::Strange`] where it is not.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        self.read_bytes(&self.bytes)
    }

    /// A part of the document as the type that the API says it is.
    ///
    /// # Errors
    /// [`ClientError::Strange`] where it is not.
    pub fn part<T: DeserializeOwned>(&self, part: &RawValue) -> Result<T, ClientError> {
        self.read_bytes(part.get().as_bytes())
    }

    fn read_bytes<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(bytes).map_err(|error| ClientError::Strange {
            url: self.url.clone(),
            status: self.status,
            body: format!("{error} in {}", beginning(bytes)),
        })
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<HeaderValue>,
}

impl Client {
    /// A client of the server that the command line names. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Usage`] where the URL or the key cannot be one.
    pub fn new(global: &Global) -> anyhow::Result<Self> {
        let text = global.server_url();
        let base: Url =
            text.parse().map_err(|error| Usage(format!("`{text}` is not a URL: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(Usage(format!("`{text}` is not an http:// or https:// URL")).into());
        }
        let key = global.api_key.as_deref().map(|key| {
            HeaderValue::from_str(&format!("Bearer {key}")).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let key = key.transpose().map_err(|_| {
            Usage("the API key holds characters that a header cannot carry".to_owned())
        })?;
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("fluxus/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            // A proxy for the outside world must not be asked for this machine.
            http = http.no_proxy();
        }
        Ok(Self { http: http.build()?, base, key })
    }

    /// A call that reads.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub fn get(&self, path: &[&str]) -> Result<Call<'_>, Usage> {
        self.call(Method::GET, path)
    }

    /// A call that changes something.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub fn post(&self, path: &[&str]) -> Result<Call<'_>, Usage> {
        self.call(Method::POST, path)
    }

    /// A call that puts a document in its place.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub fn put(&self, path: &[&str]) -> Result<Call<'_>, Usage> {
        self.call(Method::PUT, path)
    }

    /// A call to `/v1/` and the segments of `path`, each escaped.
    ///
    /// # Errors
    /// [`Usage`] for a segment that no URL can carry: empty, `.` or `..`.
    fn call(&self, method: Method, path: &[&str]) -> Result<Call<'_>, Usage> {
        let mut url = self.base.clone();
        if let Some(segment) = path.iter().find(|segment| ["", ".", ".."].contains(*segment)) {
            return Err(Usage(format!("`{segment}` names nothing that can be asked for")));
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let repeatable = method == Method::GET;
        Ok(Call { client: self, method, url, body: None, wait: None, repeatable })
    }

    /// Where the server is, for messages.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

/// A call in the making.
#[derive(Debug, Clone)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call<'a> {
    client: &'a Client,
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
    wait: Option<Duration>,
    repeatable: bool,
}

impl Call<'_> {
    /// Adds a query parameter.
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(key, value);
        self
    }

    /// Adds a query parameter where there is a value for it.
    pub fn query_opt(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(key, value),
            None => self,
        }
    }

    /// Sends this document.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn body(mut self, body: &impl Serialize) -> anyhow::Result<Self> {
        self.body = Some(serde_json::to_vec(body)?);
        Ok(self)
    }

    /// Asks the server to answer only once the work has ended, or after this time.
    pub const fn wait(mut self, time: Duration) -> Self {
        self.wait = Some(time);
        self
    }

    /// Says that the call does no more when it is sent twice, as with an idempotency key. A call that
    /// reads is so anyhow.
    pub const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Sends the call, and again where the server says that it took nothing in and when to come
    /// again (429 with `Retry-After`). One that may be repeated is sent again for a while where the
    /// server can do nothing now (503). Otherwise the caller knows whether that would be safe.
    ///
    /// # Errors
    /// [`ClientError`], each with what to do next.
    pub async fn send(self) -> Result<Document, ClientError> {
        if self.body.as_ref().is_some_and(|body| body.len() > MAX_REQUEST_BYTES) {
            // Before it is sent: a server that refuses it hangs up, and its words would be lost.
            let wrong = format!("the body is larger than {MAX_REQUEST_BYTES} bytes");
            return Err(Usage(format!("The body is too large: {wrong}")).into());
        }
        let mut refusals = 0;
        let mut unavailable: Option<Instant> = None;
        loop {
            let (error, after) = match self.send_once().await {
                Ok(document) => return Ok(document),
                Err(failed) => failed,
            };
            match (error.not_now(), after) {
                (Some((StatusCode::TOO_MANY_REQUESTS, title)), Some(after))
                    if refusals < MAX_REFUSALS =>
                {
                    refusals += 1;
                    note(&format!("{title}. Trying again in {} s.", after.as_secs()));
                    tokio::time::sleep(after).await;
                }
                (Some((StatusCode::SERVICE_UNAVAILABLE, title)), after)
                    if self.repeatable
                        && unavailable.is_none_or(|since| since.elapsed() < PATIENCE) =>
                {
                    if unavailable.is_none() {
                        note(&format!("{title}. Trying again for {} s.", PATIENCE.as_secs()));
                    }
                    unavailable.get_or_insert_with(Instant::now);
                    tokio::time::sleep(after.unwrap_or(PAUSE)).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Sends a call that may be repeated, and again for `patience` where the server is away or hangs
    /// up. Where it was not `met` before and nobody listens, that is told at once: there was never a
    /// server.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn send_patiently(
        self,
        mut met: bool,
        patience: Duration,
    ) -> Result<Document, ClientError> {
        let mut away: Option<Instant> = None;
        loop {
            let error = match self.clone().send().await {
                Ok(document) => return Ok(document),
                Err(error) => error,
            };
            met |= error.is_unanswered();
            let is_over = away.is_some_and(|since| since.elapsed() >= patience);
            if !met || is_over || !error.is_passing() || error.not_now().is_some() {
                return Err(error);
            }
            if away.is_none() {
                note(&format!("{error}.\nTrying again for {} s.", patience.as_secs()));
            }
            away.get_or_insert_with(Instant::now);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// With an error comes when to send it again, if that is safe.
    async fn send_once(&self) -> Result<Document, (ClientError, Option<Duration>)> {
        let Self { client, method, url, body, wait, repeatable: _ } = self;
        let (method, body) = (method.clone(), body.clone());
        let timeout = ANSWER_TIMEOUT + wait.unwrap_or_default();
        let mut request = client.http.request(method, url.clone()).timeout(timeout);
        if let Some(key) = &client.key {
            request = request.header(reqwest::header::AUTHORIZATION, key);
        }
        if let Some(wait) = wait {
            request = request.header("prefer", format!("wait={}", wait.as_secs()));
        }
        let sent = body.as_ref().map_or(0, Vec::len);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let failed = |error: reqwest::Error| (explain(client.base(), &error, timeout, sent), None);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let again = retry_after(status, response.headers());
        let bytes = response.bytes().await.map_err(failed)?.to_vec();
        if status.is_success() {
            return Ok(Document { bytes, url: url.to_string(), status });
        }
        Err((refused(url.as_str(), status, &bytes), again))
    }
}

/// What an answer says that is no success: Fluxus's problem, or somebody else's page.
pub(crate) fn refused(url: &str, status: StatusCode, bytes: &[u8]) -> ClientError {
    match serde_json::from_slice::<Problem>(bytes) {
        Ok(problem) => ClientError::Refused(Box::new(problem)),
        Err(_) => ClientError::Strange { url: url.to_owned(), status, body: beginning(bytes) },
    }
}

/// When to come again, where there was no room; nothing came of the request then.
pub(crate) fn no_room(answer: &reqwest::Response) -> Option<Duration> {
    let is_full = answer.status() == StatusCode::TOO_MANY_REQUESTS;
    retry_after(answer.status(), answer.headers()).filter(|_| is_full)
}

/// When a call may be sent again that was refused for want of room, or that could not be done now.
fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    let after = Duration::from_secs(seconds);
    let is_for_now =
        matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    (is_for_now && after <= MAX_RETRY_AFTER).then_some(after)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
