//! Whether it works, and how to ask.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use fluxus_schema::api::Health;
use http::HeaderName;
use http::header::CONTENT_TYPE;

use crate::App;
use crate::limits::HEALTH_TIMEOUT;
use crate::problem::Refusal;

/// The OpenAPI document as text.
#[derive(Clone)]
pub(crate) struct Document(pub(crate) Arc<str>);

/// Whether the API can do its work: the database answers.
#[utoipa::path(
    get, path = "/healthz", operation_id = "health", tag = "operation", security(()),
    responses((status = 200, body = Health, description = "It works")),
)]
pub(crate) async fn health(State(app): State<App>) -> Result<Json<Health>, Refusal> {
    let checking = async {
        let session = app.store().session().await.map_err(Refusal::unavailable)?;
        session.query("-- check health\nSELECT 1", &[]).await.map_err(Refusal::unavailable)
    };
    let checked = tokio::time::timeout(HEALTH_TIMEOUT, checking).await;
    checked.map_err(|_elapsed| Refusal::unavailable("the database did not answer in time"))??;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Json(Health { status: "ok".to_owned(), version }))
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "operation", security(()),
    responses((status = 200, body = Object, description = "The OpenAPI document")),
)]
pub(crate) async fn document(
    Extension(Document(text)): Extension<Document>,
) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "application/json")], text.to_string())
}
