//! What the core asks when claims come in and branches step.

use std::collections::HashMap;

use fluxus_postgres::Row;
use fluxus_postgres::types::Type;
use fluxus_schema::id::ClaimType;
use fluxus_schema::{ClaimId, RecipeName, Tenant};

use crate::claim::uuids;
use crate::columns::Columns;
use crate::connection::Connection;
use crate::error::StoreError;

/// What claims of a type must satisfy, and the recipe that fulfils them.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeRoute {
    /// Whose.
    pub tenant: Tenant,
    /// The type.
    pub claim_type: ClaimType,
    /// JSON Schema of the body, as text.
    pub schema: Option<String>,
    /// The recipe and its live version.
    pub recipe: Option<(RecipeName, i32)>,
}

/// One version's definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Whose.
    pub tenant: Tenant,
    /// The recipe.
    pub name: RecipeName,
    /// Its version.
    pub version: i32,
    /// The state machine in Amazon States Language, as JSON text.
    pub definition: String,
}

/// Where these claims go, by their types; nothing for a type that nobody has named, nor for claims
/// that a recipe started, which say where they go. One statement.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn for_claims(
    on: &impl Connection,
    ids: &[ClaimId],
) -> Result<Vec<TypeRoute>, StoreError> {
    const FIND: &str = "-- find recipes for claims
        SELECT claim_type.tenant, claim_type.claim_type, claim_type.schema::text, claim_type.recipe,
               recipe.live_version
          FROM (SELECT DISTINCT tenant, claim_type FROM claim
                 WHERE claim_id = ANY($1) AND origin IS NULL) AS given
          JOIN claim_type ON claim_type.tenant = given.tenant
           AND claim_type.claim_type = given.claim_type
          LEFT JOIN recipe ON recipe.tenant = claim_type.tenant AND recipe.name = claim_type.recipe";
    let ids = uuids(ids);
    let params = [(&ids as _, Type::UUID_ARRAY)];
    on.query(FIND, &params).await?.iter().map(route).collect()
}

/// Where claims of these types go, each named once; nothing for a type that nobody has named. One
/// statement.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn for_types(
    on: &impl Connection,
    types: &[(&Tenant, &ClaimType)],
) -> Result<Vec<TypeRoute>, StoreError> {
    const FIND: &str = "-- find recipes for types of claims
        SELECT claim_type.tenant, claim_type.claim_type, claim_type.schema::text, claim_type.recipe,
               recipe.live_version
          FROM unnest($1::text[], $2::text[]) AS given (tenant, claim_type)
          JOIN claim_type ON claim_type.tenant = given.tenant
           AND claim_type.claim_type = given.claim_type
          LEFT JOIN recipe ON recipe.tenant = claim_type.tenant AND recipe.name = claim_type.recipe";
    let tenants: Vec<_> = types.iter().map(|(tenant, _)| tenant.as_str()).collect();
    let names: Vec<_> = types.iter().map(|(_, name)| name.as_str()).collect();
    let params = [(&tenants as _, Type::TEXT_ARRAY), (&names as _, Type::TEXT_ARRAY)];
    on.query(FIND, &params).await?.iter().map(route).collect()
}

fn route(row: &Row) -> Result<TypeRoute, StoreError> {
    let row = Columns::new(row, "claim_type", &["tenant", "claim_type"]);
    let recipe: Option<RecipeName> = row.parse_option("recipe")?;
    let version: Option<i32> = row.get("live_version")?;
    Ok(TypeRoute {
        tenant: row.parse("tenant")?,
        claim_type: row.parse("claim_type")?,
        schema: row.get("schema")?,
        recipe: recipe.zip(version),
    })
}

/// Those of the recipes that exist, each asked for by name and maybe version, with the version
/// that is meant: the live one where none is asked for. One statement.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn versions(
    on: &impl Connection,
    asked: &[(Tenant, RecipeName, Option<i32>)],
) -> Result<HashMap<(Tenant, RecipeName, Option<i32>), i32>, StoreError> {
    const FIND: &str = "-- find recipe versions
        SELECT given.tenant, given.name, given.version AS asked, recipe_version.version
          FROM (SELECT DISTINCT tenant, name, version
                  FROM unnest($1::text[], $2::text[], $3::integer[])
                       AS given (tenant, name, version)) AS given
          JOIN recipe ON recipe.tenant = given.tenant AND recipe.name = given.name
          JOIN recipe_version ON recipe_version.tenant = given.tenant
           AND recipe_version.name = given.name
           AND recipe_version.version = coalesce(given.version, recipe.live_version)";
    let tenants: Vec<_> = asked.iter().map(|(tenant, ..)| tenant.as_str()).collect();
    let names: Vec<_> = asked.iter().map(|(_, name, _)| name.as_str()).collect();
    let numbers: Vec<_> = asked.iter().map(|(.., version)| *version).collect();
    let params = [
        (&tenants as _, Type::TEXT_ARRAY),
        (&names as _, Type::TEXT_ARRAY),
        (&numbers as _, Type::INT4_ARRAY),
    ];
    let read = |row| {
        let row = Columns::new(row, "recipe_version", &["tenant", "name", "version"]);
        let asked = (row.parse("tenant")?, row.parse("name")?, row.get("asked")?);
        Ok((asked, row.get("version")?))
    };
    on.query(FIND, &params).await?.iter().map(read).collect()
}

/// The definitions of these versions, to compile and cache; nothing for an unknown one. One
/// statement.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn definitions(
    on: &impl Connection,
    versions: &[(Tenant, RecipeName, i32)],
) -> Result<Vec<Definition>, StoreError> {
    const FIND: &str = "-- read definitions
        SELECT recipe_version.tenant, recipe_version.name, recipe_version.version,
               recipe_version.definition::text
          FROM (SELECT DISTINCT tenant, name, version
                  FROM unnest($1::text[], $2::text[], $3::integer[])
                       AS given (tenant, name, version)) AS given
          JOIN recipe_version ON recipe_version.tenant = given.tenant
           AND recipe_version.name = given.name AND recipe_version.version = given.version";
    let tenants: Vec<_> = versions.iter().map(|(tenant, ..)| tenant.as_str()).collect();
    let names: Vec<_> = versions.iter().map(|(_, name, _)| name.as_str()).collect();
    let numbers: Vec<_> = versions.iter().map(|(.., version)| *version).collect();
    let params = [
        (&tenants as _, Type::TEXT_ARRAY),
        (&names as _, Type::TEXT_ARRAY),
        (&numbers as _, Type::INT4_ARRAY),
    ];
    let read = |row| {
        let row = Columns::new(row, "recipe_version", &["tenant", "name", "version"]);
        Ok(Definition {
            tenant: row.parse("tenant")?,
            name: row.parse("name")?,
            version: row.get("version")?,
            definition: row.get("definition")?,
        })
    };
    on.query(FIND, &params).await?.iter().map(read).collect()
}
