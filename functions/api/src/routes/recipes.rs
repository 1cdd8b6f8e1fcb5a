//! Recipes and claim types.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fluxus_schema::RecipeName;
use fluxus_schema::api::{PutClaimType, RecipeList, RecipeVersions};
use fluxus_schema::id::ClaimType;
use fluxus_schema::problem::Fault;
use fluxus_schema::recipe::{PutRecipe, RecipeVersion};
use http::StatusCode;
use http::header::LOCATION;

use crate::App;
use crate::entropy;
use crate::extract::{Caller, Document, Segment, Segments};
use crate::limits::MAX_RECIPE_BYTES;
use crate::machine;
use crate::openapi::problems;
use crate::problem::{Kind, Refusal};

problems!(PutProblems: InvalidParameter, MalformedJson, NestingTooDeep, IncompleteBody,
    BodyTooLarge, UnsupportedMediaType, InvalidDocument, InvalidDefinition);
problems!(ReadProblems: InvalidParameter, RecipeDoesNotExist);
problems!(PutClaimTypeProblems: InvalidParameter, MalformedJson, NestingTooDeep, IncompleteBody,
    BodyTooLarge, UnsupportedMediaType, InvalidDocument);

/// Put a new version of a recipe.
///
/// Nothing is stored unless the whole definition is valid; all faults are reported at once. New
/// claims run the new version, running ones keep theirs.
#[utoipa::path(
    put, path = "/v1/recipes/{name}", operation_id = "putRecipe", tag = "recipes",
    params(("name" = RecipeName, Path, description = "The recipe")),
    request_body = PutRecipe,
    responses(
        (status = 200, body = RecipeVersion, description = "The newest version is just this"),
        (status = 201, body = RecipeVersion, description = "A new version"),
        PutProblems,
    ),
)]
pub(crate) async fn put(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(name): Segment<RecipeName>,
    Document { value: mut recipe, .. }: Document<PutRecipe, MAX_RECIPE_BYTES>,
) -> Result<Response, Refusal> {
    recipe.definition = machine::check(recipe.definition).map_err(|faults| {
        let within =
            |fault: Fault| Fault { pointer: format!("/definition{}", fault.pointer), ..fault };
        let faults = faults.into_iter().map(within).collect();
        Refusal::faulty(Kind::InvalidDefinition, faults)
    })?;
    let put = app.store().put_recipe(&tenant, &name, &recipe, entropy::now()).await?;
    let stored = app.store().recipe(&tenant, &name, Some(put.version)).await?;
    let stored = stored.ok_or_else(|| Refusal::internal("a recipe version vanished"))?;
    let status = if put.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = [(LOCATION, format!("/v1/recipes/{name}/versions/{}", put.version))];
    Ok((status, location, Json(stored)).into_response())
}

/// List all recipes.
#[utoipa::path(
    get, path = "/v1/recipes", operation_id = "listRecipes", tag = "recipes",
    responses((status = 200, body = RecipeList, description = "All recipes, by name")),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
) -> Result<Json<RecipeList>, Refusal> {
    let recipes = app.store().recipes(&tenant).await?;
    Ok(Json(RecipeList { recipes }))
}

/// Read the newest version of a recipe.
#[utoipa::path(
    get, path = "/v1/recipes/{name}", operation_id = "getRecipe", tag = "recipes",
    params(("name" = RecipeName, Path, description = "The recipe")),
    responses((status = 200, body = RecipeVersion, description = "Its newest version"), ReadProblems),
)]
pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(name): Segment<RecipeName>,
) -> Result<Json<RecipeVersion>, Refusal> {
    let found = app.store().recipe(&tenant, &name, None).await?;
    found.map(Json).ok_or_else(|| missing(&name))
}

/// List all versions of a recipe, newest first.
#[utoipa::path(
    get, path = "/v1/recipes/{name}/versions", operation_id = "listRecipeVersions",
    tag = "recipes",
    params(("name" = RecipeName, Path, description = "The recipe")),
    responses((status = 200, body = RecipeVersions, description = "All versions"), ReadProblems),
)]
pub(crate) async fn versions(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(name): Segment<RecipeName>,
) -> Result<Json<RecipeVersions>, Refusal> {
    let versions = app.store().recipe_versions(&tenant, &name).await?;
    if versions.is_empty() { Err(missing(&name)) } else { Ok(Json(RecipeVersions { versions })) }
}

/// Read one version of a recipe.
#[utoipa::path(
    get, path = "/v1/recipes/{name}/versions/{version}", operation_id = "getRecipeVersion",
    tag = "recipes",
    params(
        ("name" = RecipeName, Path, description = "The recipe"),
        ("version" = i32, Path, description = "The version's number, from 1"),
    ),
    responses((status = 200, body = RecipeVersion, description = "The version"), ReadProblems),
)]
pub(crate) async fn version(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segments(name, version): Segments<RecipeName, i32>,
) -> Result<Json<RecipeVersion>, Refusal> {
    let found = app.store().recipe(&tenant, &name, Some(version)).await?;
    found.map(Json).ok_or_else(|| {
        let detail = format!("recipe `{name}` has no version {version}");
        Refusal::new(Kind::RecipeDoesNotExist, detail)
    })
}

fn missing(name: &RecipeName) -> Refusal {
    Refusal::new(Kind::RecipeDoesNotExist, format!("there is no recipe `{name}`"))
}

/// Say what claims of a type must look like.
///
/// Later claims of the type whose body breaks the schema end as `REJECTED`. `null` lifts it.
#[utoipa::path(
    put, path = "/v1/claim-types/{type}", operation_id = "putClaimType", tag = "recipes",
    params(("type" = ClaimType, Path, description = "The claim type")),
    request_body = PutClaimType,
    responses(
        (status = 200, body = PutClaimType, description = "The schema that holds from now on"),
        PutClaimTypeProblems,
    ),
)]
pub(crate) async fn put_claim_type(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(claim_type): Segment<ClaimType>,
    Document { value: put, .. }: Document<PutClaimType>,
) -> Result<Json<PutClaimType>, Refusal> {
    let schema = (!put.schema.is_null()).then_some(&put.schema);
    if let Some(fault) = schema.and_then(|schema| schema_fault("/schema", schema)) {
        return Err(Refusal::faulty(Kind::InvalidDocument, vec![fault]));
    }
    app.store().put_claim_type(&tenant, &claim_type, schema).await?;
    Ok(Json(put))
}

/// What is wrong with a JSON Schema that stands at `at`, if something is.
pub(crate) fn schema_fault(at: &str, schema: &serde_json::Value) -> Option<Fault> {
    let error = jsonschema::validator_for(schema).err()?;
    let pointer = format!("{at}{}", error.instance_path());
    Some(Fault::of_document(pointer, format!("is not a valid JSON Schema: {error}")))
}
