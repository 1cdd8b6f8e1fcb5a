//! The routes, and the layers around them.

mod activities;
mod claims;
mod dead_letters;
mod explain;
mod export;
mod fluxlings;
mod health;
mod history;
mod metrics;
mod operate;
mod recipes;
mod tasks;

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::{Extension, Router};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::{Kind, Refusal};
use crate::{App, auth, guard, observe, openapi};

/// All routes over `app`, for Lambda and socket alike.
pub fn router(app: App) -> Router {
    let (router, mut document) = OpenApiRouter::with_openapi(openapi::Frame::openapi())
        .routes(routes!(claims::submit, claims::list))
        .routes(routes!(claims::read))
        .routes(routes!(claims::cancel))
        .routes(routes!(operate::redrive))
        .routes(routes!(operate::retry))
        .routes(routes!(operate::skip))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::read))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(dead_letters::purge))
        .routes(routes!(history::history))
        .routes(routes!(explain::explain))
        .routes(routes!(export::export))
        .routes(routes!(tasks::succeed))
        .routes(routes!(tasks::fail))
        .routes(routes!(tasks::heartbeat))
        .routes(routes!(activities::poll))
        .routes(routes!(recipes::list))
        .routes(routes!(recipes::read, recipes::put))
        .routes(routes!(recipes::versions))
        .routes(routes!(recipes::version))
        .routes(routes!(recipes::put_claim_type))
        .routes(routes!(fluxlings::list))
        .routes(routes!(fluxlings::read, fluxlings::register))
        .routes(routes!(health::health))
        .routes(routes!(health::document))
        .routes(routes!(metrics::metrics))
        .split_for_parts();
    openapi::complete(&mut document);
    // Written once: it is the same for every request.
    let document = serde_json::to_string(&document).unwrap_or_default();
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(health::Document(Arc::from(document))))
        // The last is the outermost.
        .layer(from_fn_with_state(app.clone(), auth::authenticate))
        .layer(from_fn_with_state(app.clone(), guard::guard))
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

async fn not_found(request: Request) -> Result<Response, Refusal> {
    let path = request.uri().path();
    Err(Refusal::new(Kind::NotFound, format!("there is nothing at `{path}`; see /openapi.json")))
}

async fn method_not_allowed(request: Request) -> Result<Response, Refusal> {
    let method = request.method();
    let detail = format!("`{method}` is not allowed here; the `Allow` header lists what is");
    Err(Refusal::new(Kind::MethodNotAllowed, detail))
}
