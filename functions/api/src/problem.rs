//! Every way a request can be refused, as RFC 9457 problem documents.
//!
//! HTTP codes live here and nowhere else in Fluxus. Where the Step Functions service has an error
//! of the same meaning, the problem is named after it: `ExecutionDoesNotExist` is
//! `/problems/claim-does-not-exist`.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use fluxus_schema::problem::{Fault, Problem};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// Media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which a client may try again what failed for want of a database or of room.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// How a client may prove who it is, as `401` answers say it.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"fluxus\"");

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $status:literal $slug:literal $title:literal,)*) => {
        /// Kind of a problem: a stable name, an HTTP status and a title.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The HTTP status code.
            pub const fn status(self) -> u16 {
                match self { $(Self::$kind => $status,)* }
            }

            /// The `type` of the problem document: a path that never changes.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$kind => concat!("/problems/", $slug),)* }
            }

            /// The kind in words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }
        }
    };
}

kinds! {
    /// The body is not JSON.
    MalformedJson 400 "malformed-json" "The body is not JSON",
    /// The body's arrays and objects lie too deep in each other.
    NestingTooDeep 400 "nesting-too-deep" "The document is nested too deep",
    /// A part of the path, or a query parameter, cannot be read.
    InvalidParameter 400 "invalid-parameter" "A parameter is not valid",
    /// A header cannot be read, or contradicts the body.
    InvalidHeader 400 "invalid-header" "A header is not valid",
    /// The body stopped coming, or is not what the headers say.
    IncompleteBody 400 "incomplete-body" "The body could not be read",
    /// Step Functions: `InvalidToken`.
    InvalidToken 400 "invalid-token" "The task token is not valid",
    /// No key, or not one that is known.
    Unauthenticated 401 "unauthenticated" "The request carries no valid key",
    /// Asked under a name that is not this machine's, or from another origin.
    Forbidden 403 "forbidden" "The request is not allowed from there",
    /// No such path.
    NotFound 404 "not-found" "There is nothing at this path",
    /// Step Functions: `ExecutionDoesNotExist`.
    ClaimDoesNotExist 404 "claim-does-not-exist" "The claim does not exist",
    /// Step Functions: `StateMachineDoesNotExist`.
    RecipeDoesNotExist 404 "recipe-does-not-exist" "The recipe does not exist",
    /// Step Functions: `ResourceNotFound`.
    FluxlingDoesNotExist 404 "fluxling-does-not-exist" "The fluxling does not exist",
    /// Step Functions: `TaskDoesNotExist`.
    TaskDoesNotExist 404 "task-does-not-exist" "No task waits with this token",
    /// No queue and no fluxling of this name.
    QueueDoesNotExist 404 "queue-does-not-exist" "The queue does not exist",
    /// No such dead letter in the queue.
    DeadLetterDoesNotExist 404 "dead-letter-does-not-exist" "The dead letter does not exist",
    /// The path is there, but not for this method.
    MethodNotAllowed 405 "method-not-allowed" "The method is not allowed here",
    /// The claim cannot be cancelled any more.
    ClaimHasEnded 409 "claim-has-ended" "The claim has ended",
    /// Step Functions: `ExecutionNotRedrivable`.
    ClaimNotRedrivable 409 "claim-not-redrivable" "The claim cannot be redriven",
    /// No task of the claim waits, or several do and none is named.
    NothingToHandle 409 "nothing-to-handle" "Nothing of the claim can be handled so",
    /// The body is larger than its bound.
    BodyTooLarge 413 "body-too-large" "The body is too large",
    /// The body is not said to be JSON.
    UnsupportedMediaType 415 "unsupported-media-type" "The body must be JSON",
    /// The body is JSON, but not this document.
    InvalidDocument 422 "invalid-document" "The document is not valid",
    /// Step Functions: `InvalidDefinition`.
    InvalidDefinition 422 "invalid-definition" "The recipe's definition is not valid",
    /// Step Functions: `InvalidExecutionInput`.
    InvalidClaim 422 "invalid-claim" "The claim is not valid",
    /// The idempotency key is that of a claim with another type, subject or body.
    IdempotencyKeyReused 422 "idempotency-key-reused" "The idempotency key is another claim's",
    /// Step Functions: `InvalidOutput`.
    InvalidOutput 422 "invalid-output" "The task's output is not valid",
    /// More claims wait to be evaluated than may.
    TooManyClaims 429 "too-many-claims" "Too many claims wait to be evaluated",
    /// The headers are larger than their bound.
    HeadersTooLarge 431 "headers-too-large" "The headers are too large",
    /// A fault of Fluxus.
    Internal 500 "internal" "Something went wrong in Fluxus",
    /// The database cannot be reached, or there is more work than room.
    Unavailable 503 "unavailable" "Fluxus cannot do this right now",
}

/// A refused request: what the client is told, and what only the log is told.
#[derive(Debug, Clone)]
pub struct Refusal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    detail: Cow<'static, str>,
    faults: Vec<Fault>,
    cause: Option<Box<dyn Error + Send + Sync>>,
    /// Seconds after which the client may try again.
    retry_after: Option<u32>,
}

impl Refusal {
    /// A refusal of this kind; `detail` says what went wrong this time and what to do next.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            detail: detail.into(),
            faults: Vec::new(),
            cause: None,
            retry_after: None,
        }))
    }

    /// The same refusal, with the number of seconds after which the client may try again.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(inner) => Self(Arc::new(Inner { retry_after: Some(seconds), ..inner })),
            // Somebody else has it already, and it stays as it is.
            Err(shared) => Self(shared),
        }
    }

    /// A refusal of a document for these faults.
    pub fn faulty(kind: Kind, faults: Vec<Fault>) -> Self {
        let detail = match faults.len() {
            1 => "1 fault was found; it is listed under `faults`".into(),
            n => format!("{n} faults were found; they are listed under `faults`").into(),
        };
        Self(Arc::new(Inner { kind, detail, faults, cause: None, retry_after: None }))
    }

    /// A failure that is not the client's fault. The client learns no more than a request id.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let cause = Some(cause.into());
        let detail = Cow::Borrowed("");
        let (kind, faults, retry_after) = (Kind::Internal, Vec::new(), None);
        Self(Arc::new(Inner { kind, detail, faults, cause, retry_after }))
    }

    /// A failure that may be over when the client tries again.
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let cause = Some(cause.into());
        let detail = "the database cannot be reached or is overloaded; try again".into();
        let (kind, faults, retry_after) = (Kind::Unavailable, Vec::new(), None);
        Self(Arc::new(Inner { kind, detail, faults, cause, retry_after }))
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What is wrong, in one line: for who put the document on a queue, and sees no answer.
    pub(crate) fn reason(&self) -> String {
        let Inner { kind, detail, faults, .. } = &*self.0;
        let faults: Vec<_> =
            faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.detail)).collect();
        let title = kind.title();
        if faults.is_empty() {
            format!("{title}: {detail}")
        } else {
            format!("{title}: {}", faults.join("; "))
        }
    }

    /// Whether the fault is not the client's, and the same may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.0.kind, Kind::Internal | Kind::Unavailable | Kind::TooManyClaims)
    }

    /// The cause that only the log is told.
    pub(crate) fn cause(&self) -> Option<String> {
        self.0.cause.as_ref().map(|cause| chain(cause.as_ref()))
    }

    /// The answer to the client, with a line in the log where the failure is ours.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let Inner { kind, detail, faults, cause, retry_after } = &*self.0;
        if let Some(cause) = cause {
            let error = chain(cause.as_ref());
            tracing::error!(request.id = request_id, error, "a request failed");
        }
        let detail = match kind {
            Kind::Internal => format!("the log says more under request id {request_id}"),
            _ => detail.clone().into_owned(),
        };
        let problem = Problem {
            kind: kind.path().to_owned(),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail,
            faults: faults.clone(),
        };
        // A `Problem` holds strings and numbers only, which always serialize.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status(*kind);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        match kind {
            Kind::Unauthenticated => drop(headers.insert(WWW_AUTHENTICATE, CHALLENGE)),
            Kind::Unavailable => drop(headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS)),
            _ => {}
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
        }
        response
    }
}

impl IntoResponse for Refusal {
    /// Leaves itself for [`crate::observe`] to render, which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = status(self.kind()).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn status(kind: Kind) -> StatusCode {
    StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _infallible = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_path_of_its_own_and_a_known_status() {
        let paths: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.path()).collect();
        assert_eq!(paths.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(status(*kind).as_u16(), kind.status());
            assert!((400..=503).contains(&kind.status()), "{}", kind.path());
        }
    }

    #[tokio::test]
    async fn an_internal_failure_keeps_its_cause_to_itself() {
        let response = Refusal::internal("the password is hunter2").render("r-1");
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("reads");
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("r-1") && !text.contains("hunter2"), "{text}");
    }
}
