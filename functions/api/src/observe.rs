//! Sees every request: an id, a span, one line in the log, a number, and the last word on errors.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use tracing::Instrument as _;

use crate::App;
use crate::limits::MAX_HEADER_BYTES;
use crate::problem::{Kind, Refusal};

/// Names the request, in the answer and in the log.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer of the router.
pub(crate) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = format!("{:032x}", rand::random::<u128>());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        request.id = id,
        http.method = %method,
        http.route = route,
        claim.id = tracing::field::Empty,
    );
    let response = async {
        let response = answer(checked(request, next), &id).await;
        let status = response.status().as_u16();
        let elapsed = started.elapsed();
        tracing::debug!(http.status = status, elapsed_ms = elapsed.as_millis(), "answered");
        app.requests().count(&method, route, status, elapsed);
        response
    };
    response.instrument(span).await
}

/// Notes in the request's span which claim it is about.
pub(crate) fn about_claim(id: impl std::fmt::Display) {
    tracing::Span::current().record("claim.id", tracing::field::display(id));
}

async fn checked(request: Request, next: Next) -> Response {
    let lines = request.headers().iter();
    let bytes: usize = lines.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if bytes + target > MAX_HEADER_BYTES {
        let detail = format!("path and headers are larger than {MAX_HEADER_BYTES} bytes");
        return Refusal::new(Kind::HeadersTooLarge, detail).into_response();
    }
    next.run(request).await
}

/// The answer to a request, also where its handler panics.
async fn answer(handling: impl Future<Output = Response>, id: &str) -> Response {
    let response = AssertUnwindSafe(handling).catch_unwind().await;
    let response = response.unwrap_or_else(|panic| {
        Refusal::internal(format!("a handler panicked: {}", message(&*panic))).into_response()
    });
    finish(response, id)
}

/// Puts the problem document where a refusal was left, and the request's id everywhere.
fn finish(mut response: Response, id: &str) -> Response {
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let mut rendered = refusal.render(id);
        let (mut parts, _empty) = response.into_parts();
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(CONTENT_LENGTH);
        rendered.headers_mut().extend(parts.headers);
        response = rendered;
    }
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_without_its_message() {
        let response = answer(async { panic!("secret {}", 7) }, "r-1").await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[X_REQUEST_ID], "r-1");
        let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("/problems/internal") && !text.contains("secret"), "{text}");
    }
}
