//! Fluxlings: who is registered, how they fare, and registering by hand.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fluxus_queue::QueueName;
use fluxus_schema::FluxlingName;
use fluxus_schema::api::FluxlingList;
use fluxus_schema::fluxling::{Fluxling, Manifest};
use fluxus_schema::problem::Fault;
use http::StatusCode;

use super::recipes::schema_fault;
use crate::App;
use crate::entropy;
use crate::extract::{Caller, Document, Segment};
use crate::openapi::problems;
use crate::problem::{Kind, Refusal};

problems!(ReadProblems: InvalidParameter, FluxlingDoesNotExist);
problems!(RegisterProblems: InvalidParameter, MalformedJson, NestingTooDeep, IncompleteBody,
    BodyTooLarge, UnsupportedMediaType, InvalidDocument);

/// List all fluxlings and how they fare.
#[utoipa::path(
    get, path = "/v1/fluxlings", operation_id = "listFluxlings", tag = "fluxlings",
    responses((status = 200, body = FluxlingList, description = "All fluxlings, by name")),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
) -> Result<Json<FluxlingList>, Refusal> {
    let fluxlings = app.store().fluxlings(&tenant).await?;
    Ok(Json(FluxlingList { fluxlings }))
}

/// Read a fluxling and how it fares.
#[utoipa::path(
    get, path = "/v1/fluxlings/{name}", operation_id = "getFluxling", tag = "fluxlings",
    params(("name" = FluxlingName, Path, description = "The fluxling")),
    responses((status = 200, body = Fluxling, description = "The fluxling"), ReadProblems),
)]
pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(name): Segment<FluxlingName>,
) -> Result<Json<Fluxling>, Refusal> {
    let found = app.store().fluxling(&tenant, &name).await?;
    found.map(Json).ok_or_else(|| {
        Refusal::new(Kind::FluxlingDoesNotExist, format!("there is no fluxling `{name}`"))
    })
}

/// Register a fluxling, or what changed of it.
///
/// Workers with the SDK register themselves; this is for workers in other languages.
#[utoipa::path(
    put, path = "/v1/fluxlings/{name}", operation_id = "registerFluxling", tag = "fluxlings",
    params(("name" = FluxlingName, Path, description = "The fluxling")),
    request_body = Manifest,
    responses(
        (status = 200, body = Fluxling, description = "It was known"),
        (status = 201, body = Fluxling, description = "It is new"),
        RegisterProblems,
    ),
)]
pub(crate) async fn register(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(name): Segment<FluxlingName>,
    Document { value: manifest, .. }: Document<Manifest>,
) -> Result<Response, Refusal> {
    let faults = faults(&name, &manifest);
    if !faults.is_empty() {
        return Err(Refusal::faulty(Kind::InvalidDocument, faults));
    }
    let known = app.store().fluxling(&tenant, &name).await?.is_some();
    let registered = app.store().register_fluxling(&tenant, &manifest, entropy::now()).await?;
    let status = if known { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(registered)).into_response())
}

fn faults(name: &FluxlingName, manifest: &Manifest) -> Vec<Fault> {
    let mut faults = Vec::new();
    if manifest.name != *name {
        faults.push(Fault::of_document("/name", format!("must be `{name}`, as in the path")));
    }
    if let Err(error) = QueueName::new(&manifest.queue) {
        faults.push(Fault::of_document("/queue", error.to_string()));
    }
    faults.extend(manifest.faults());
    for (index, capability) in manifest.capabilities.iter().enumerate() {
        let at = |field: &str| format!("/capabilities/{index}/{field}");
        let schemas = [
            (at("input_schema"), &capability.input_schema),
            (at("output_schema"), &capability.output_schema),
        ];
        let given = schemas.iter().filter(|(_, schema)| !schema.is_null());
        faults.extend(given.filter_map(|(at, schema)| schema_fault(at, schema)));
    }
    faults
}
