//! The OpenAPI document: generated from the routes, completed with what all of them share.

use std::collections::BTreeMap;

use fluxus_schema::problem::{Fault, FaultCode, Place, Problem, Severity};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use crate::problem::{Kind, PROBLEM_JSON};

/// What can go wrong on every route.
const ON_EVERY_ROUTE: [Kind; 4] =
    [Kind::Forbidden, Kind::HeadersTooLarge, Kind::Internal, Kind::Unavailable];

/// Names the set of problems that a route has of its own, for the `responses` of its
/// `utoipa::path`.
macro_rules! problems {
    ($name:ident: $($kind:ident),+ $(,)?) => {
        pub(crate) struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                $crate::openapi::responses(&[$($crate::problem::Kind::$kind),+])
            }
        }
    };
}
pub(crate) use problems;

/// The document before the routes are added.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Fluxus",
        description = "Durable orchestration: submit claims, follow them, answer tasks, keep \
                       recipes and fluxlings. Every refusal is a problem document (RFC 9457) \
                       whose `type` never changes.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Problem, Fault, FaultCode, Severity, Place)),
    tags(
        (name = "claims", description = "Requests and assertions: submit, follow, cancel"),
        (name = "tasks", description = "Answers of outside workers and callbacks"),
        (name = "recipes", description = "State machines in Amazon States Language"),
        (name = "fluxlings", description = "Workers and how they fare"),
        (name = "dead-letters", description = "Messages that nobody could handle"),
        (name = "operation", description = "Health, metrics, this document"),
    ),
)]
pub(crate) struct Frame;

/// The problems of these kinds as responses: one for each status.
pub(crate) fn responses(kinds: &[Kind]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in kinds {
        by_status.entry(kind.status()).or_default().push(*kind);
    }
    let named = |(status, kinds): (u16, Vec<Kind>)| (status.to_string(), response(&kinds).into());
    by_status.into_iter().map(named).collect()
}

fn response(kinds: &[Kind]) -> Response {
    let words = kinds.iter().map(|kind| format!("{} (`{}`)", kind.title(), kind.path()));
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new()
        .description(words.collect::<Vec<_>>().join("; "))
        .content(PROBLEM_JSON, content)
        .build()
}

/// Adds what all routes share: keys, and the problems that any of them can have.
pub(crate) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let header = ApiKey::Header(ApiKeyValue::new("X-Api-Key"));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("key", SecurityScheme::ApiKey(header));
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            complete_operation(operation);
        }
    }
}

fn complete_operation(operation: &mut Operation) {
    // A route that says nothing of security needs a key; the open ones say that they need none.
    let mut kinds = ON_EVERY_ROUTE.to_vec();
    if operation.security.is_none() {
        let none: [&str; 0] = [];
        operation.security = Some(vec![
            SecurityRequirement::new("bearer", none),
            SecurityRequirement::new("key", none),
        ]);
        kinds.push(Kind::Unauthenticated);
    }
    for (status, response) in responses(&kinds) {
        operation.responses.responses.entry(status).or_insert(response);
    }
}
