//! Fluxlings: who is registered, how they fare, and registering by hand.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fluxus_queue::QueueName;
use fluxus_schema::api::FluxlingList;
use fluxus_schema::fluxling::{Fluxling, Load, Manifest};
use fluxus_schema::problem::Fault;
use fluxus_schema::{FluxlingName, Tenant};
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

/// List the fluxlings that may be given the caller's tasks, and how they fare.
#[utoipa::path(
    get, path = "/v1/fluxlings", operation_id = "listFluxlings", tag = "fluxlings",
    responses((status = 200, body = FluxlingList, description = "All fluxlings, by name")),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
) -> Result<Json<FluxlingList>, Refusal> {
    let mut fluxlings = app.store().fluxlings(&tenant).await?;
    let mut shared = Vec::new();
    if tenant != Tenant::default() {
        let own: BTreeSet<_> = fluxlings.iter().map(|one| one.manifest.name.clone()).collect();
        let all = app.store().fluxlings(&Tenant::default()).await?;
        let others = all.into_iter().filter(|one| !own.contains(&one.manifest.name));
        let others: Vec<Fluxling> = others.map(as_shared).collect();
        shared.extend(others.iter().map(|one| one.manifest.name.clone()));
        fluxlings.extend(others);
        fluxlings.sort_by(|a, b| a.manifest.name.cmp(&b.manifest.name));
    }
    Ok(Json(FluxlingList { fluxlings, shared }))
}

/// A fluxling of the default tenant as others see it: how it fares is the doing of all tenants.
fn as_shared(fluxling: Fluxling) -> Fluxling {
    Fluxling { load: Load::default(), ..fluxling }
}

/// Read a fluxling and how it fares; of one that all tenants share, only the default tenant sees that.
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
    let mut found = app.store().fluxling(&tenant, &name).await?;
    if found.is_none() && tenant != Tenant::default() {
        found = app.store().fluxling(&Tenant::default(), &name).await?.map(as_shared);
    }
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
