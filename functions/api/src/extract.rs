//! What handlers take from a request, each refused with a problem that names what is wrong.

use std::fmt::Display;
use std::str::FromStr;

use axum::body::{BodyDataStream, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request};
use fluxus_schema::Tenant;
use fluxus_schema::limits::{
    MAX_DEFINITION_BYTES, MAX_NESTING, MAX_PAYLOAD_BYTES, MAX_REQUEST_BYTES,
};
use futures::TryStreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::limits::{BODY_READ_TIMEOUT, DRAIN_TIMEOUT, MAX_DRAINED_BYTES};
use crate::nesting;
use crate::problem::{Kind, Refusal};

/// Deepest nesting of a request body: a payload, and the document around it.
const MAX_BODY_NESTING: usize = MAX_NESTING + 1;

/// A JSON body of at most `MOST` bytes.
pub(crate) struct Document<T, const MOST: usize = MAX_REQUEST_BYTES> {
    /// What it says.
    pub value: T,
    /// How long its text is.
    pub bytes: usize,
}

impl<S, T, const MOST: usize> FromRequest<S> for Document<T, MOST>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            const DETAIL: &str = "send the body as `Content-Type: application/json`";
            return Err(Refusal::new(Kind::UnsupportedMediaType, DETAIL));
        }
        parse(&read(request, MOST).await?)
    }
}

impl<S, T, const MOST: usize> OptionalFromRequest<S> for Document<T, MOST>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Option<Self>, Refusal> {
        let said_json = is_json(request.headers());
        let said_other = !said_json && request.headers().contains_key(CONTENT_TYPE);
        let bytes = read(request, MOST).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if said_other {
            const DETAIL: &str = "send the body as `Content-Type: application/json`, or none";
            return Err(Refusal::new(Kind::UnsupportedMediaType, DETAIL));
        }
        parse(&bytes).map(Some)
    }
}

async fn read(request: Request, most: usize) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    let mut chunks = body.into_data_stream();
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(number);
    if let Some(bytes) = announced.filter(|bytes| *bytes > most as u64) {
        // Whoever waits for `100 Continue` need not send it at all.
        if bytes <= MAX_DRAINED_BYTES as u64 && !parts.headers.contains_key(EXPECT) {
            drain(&mut chunks, MAX_DRAINED_BYTES).await;
        }
        return Err(too_large(most));
    }
    match tokio::time::timeout(BODY_READ_TIMEOUT, collect(&mut chunks, most)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            drain(&mut chunks, MAX_DRAINED_BYTES.saturating_sub(most)).await;
            Err(too_large(most))
        }
        Ok(Err(_)) => Err(Refusal::new(Kind::IncompleteBody, "the body ended before its end")),
        Err(_elapsed) => {
            let seconds = BODY_READ_TIMEOUT.as_secs();
            let detail = format!("the body did not come in {seconds} s");
            Err(Refusal::new(Kind::IncompleteBody, detail))
        }
    }
}

/// The whole body; none where it is larger than `most` bytes.
async fn collect(chunks: &mut BodyDataStream, most: usize) -> Result<Option<Bytes>, axum::Error> {
    let Some(mut first) = chunks.try_next().await? else { return Ok(Some(Bytes::new())) };
    let mut all: Option<Vec<u8>> = None;
    loop {
        let read = all.as_ref().map_or(first.len(), Vec::len);
        if read > most {
            return Ok(None);
        }
        // Most bodies come in one piece, which needs no copy.
        let Some(next) = chunks.try_next().await? else {
            return Ok(Some(all.map_or(first, Bytes::from)));
        };
        all.get_or_insert_with(|| std::mem::take(&mut first).into()).extend_from_slice(&next);
    }
}

/// Reads what nobody wants, so that a client that sends all before it reads gets its answer instead
/// of a connection that broke.
async fn drain(chunks: &mut BodyDataStream, most: usize) {
    let drained = async {
        let mut read = 0;
        while let Ok(Some(chunk)) = chunks.try_next().await {
            read += chunk.len();
            if read > most {
                return;
            }
        }
    };
    let _elapsed = tokio::time::timeout(DRAIN_TIMEOUT, drained).await;
}

fn too_large(most: usize) -> Refusal {
    let what = if most == MAX_REQUEST_BYTES {
        format!("the bound is {MAX_PAYLOAD_BYTES} for a claim's body, and for any other payload")
    } else {
        format!("the bound is {MAX_DEFINITION_BYTES} for a recipe's definition")
    };
    let detail = format!("the request has more than {most} bytes; {what}");
    Refusal::new(Kind::BodyTooLarge, detail)
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads a document.
///
/// # Errors
/// [`Refusal`]: nested too deep, no JSON, or not this document.
pub(crate) fn parse<T: DeserializeOwned, const MOST: usize>(
    text: &[u8],
) -> Result<Document<T, MOST>, Refusal> {
    if nesting::exceeds(text, MAX_BODY_NESTING) {
        let detail = format!("the body is nested deeper than {MAX_BODY_NESTING} levels");
        return Err(Refusal::new(Kind::NestingTooDeep, detail));
    }
    let value = serde_json::from_slice(text).map_err(|error| {
        let kind = match error.classify() {
            Category::Data => Kind::InvalidDocument,
            Category::Syntax | Category::Eof | Category::Io => Kind::MalformedJson,
        };
        // serde_json ends its message with line and column.
        Refusal::new(kind, error.to_string())
    })?;
    Ok(Document { value, bytes: text.len() })
}

/// One segment of the path, read as a `T`.
pub(crate) struct Segment<T>(pub T);

impl<S, T> FromRequestParts<S> for Segment<T>
where
    S: Send + Sync,
    T: FromStr<Err: Display>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let text = path::<String, S>(parts, state).await?;
        segment(&text).map(Self)
    }
}

/// Two segments of the path.
pub(crate) struct Segments<A, B>(pub A, pub B);

impl<S, A, B> FromRequestParts<S> for Segments<A, B>
where
    S: Send + Sync,
    A: FromStr<Err: Display>,
    B: FromStr<Err: Display>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let (first, second) = path::<(String, String), S>(parts, state).await?;
        Ok(Self(segment(&first)?, segment(&second)?))
    }
}

async fn path<T, S>(parts: &mut Parts, state: &S) -> Result<T, Refusal>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    let path = Path::<T>::from_request_parts(parts, state).await;
    path.map(|Path(value)| value).map_err(|error: PathRejection| {
        Refusal::new(Kind::InvalidParameter, format!("in the path: {}", error.body_text()))
    })
}

fn segment<T: FromStr<Err: Display>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error: T::Err| {
        Refusal::new(Kind::InvalidParameter, format!("in the path, `{text}`: {error}"))
    })
}

/// The query parameters, taken one by one; what is left in the end is refused, so that a
/// misspelt filter never passes for no filter.
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let query = Query::try_from_uri(&parts.uri);
        let Query(pairs) = query.map_err(|error| {
            Refusal::new(Kind::InvalidParameter, format!("the query: {}", error.body_text()))
        })?;
        let pairs: Vec<(String, String)> = pairs;
        match pairs.iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
            None => Ok(Self(pairs)),
            Some((name, _)) => Err(invalid(name, "holds the character U+0000")),
        }
    }
}

impl Params {
    /// The one value of a parameter.
    pub(crate) fn one<T>(&mut self, name: &str) -> Result<Option<T>, Refusal>
    where
        T: FromStr<Err: Display>,
    {
        self.one_with(name, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// The one value of a parameter, read by `read`.
    pub(crate) fn one_with<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Refusal> {
        let values = self.all(name);
        match values.as_slice() {
            [] => Ok(None),
            [value] => read(value).map(Some).map_err(|reason| invalid(name, &reason)),
            [..] => Err(invalid(name, "is given more than once")),
        }
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect()
    }

    /// All parameters that begin with `prefix`, without it.
    pub(crate) fn prefixed(&mut self, prefix: &str) -> Vec<(String, String)> {
        let taken = self.0.extract_if(.., |(given, _)| given.starts_with(prefix));
        taken.map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
    }

    /// How many entries a page has.
    pub(crate) fn limit(&mut self, default: u32, most: u32) -> Result<u32, Refusal> {
        let limit = self.one_with("limit", |text| match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => Err(format!("must be 1 to {most}")),
        })?;
        Ok(limit.unwrap_or(default))
    }

    /// Refuses parameters that nobody took.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(name, "is not a parameter here")),
        }
    }
}

pub(crate) fn invalid(name: &str, reason: &str) -> Refusal {
    Refusal::new(Kind::InvalidParameter, format!("query parameter `{name}`: {reason}"))
}

/// Whose request it is.
pub(crate) struct Caller(pub Tenant);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        // `authenticate` puts it there for every route but the open ones, which do not ask.
        let tenant = parts.extensions.get().cloned();
        tenant.map(Self).ok_or_else(|| Refusal::internal("a route without authentication"))
    }
}
