//! Recipes, their versions, and the claim types they fulfil.

mod put;
mod route;

use fluxus_postgres::Row;
use fluxus_postgres::types::Type;
use fluxus_schema::id::ClaimType;
use fluxus_schema::recipe::{RecipeSummary, RecipeVersion};
use fluxus_schema::{RecipeName, Tenant};
use serde_json::Value;

use crate::columns::Columns;
use crate::error::StoreError;
use crate::store::Store;

pub use put::PutOutcome;
pub use route::{Definition, TypeRoute, definitions, for_claims, for_types, versions};

/// What a claim type demands, and who fulfils it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimTypeRow {
    /// The type.
    pub claim_type: ClaimType,
    /// JSON Schema that bodies must satisfy.
    pub schema: Option<Value>,
    /// The recipe that fulfils it.
    pub recipe: Option<RecipeName>,
}

/// The columns of a version, with the claim types its recipe fulfils now.
macro_rules! version_columns {
    () => {
        "recipe_version.name, recipe_version.version, recipe_version.definition::text,
         recipe_version.created_at,
         ARRAY(SELECT claim_type.claim_type FROM claim_type
                WHERE claim_type.tenant = recipe_version.tenant
                  AND claim_type.recipe = recipe_version.name
                ORDER BY 1) AS claim_types"
    };
}

impl Store {
    /// A version of a recipe, or its live one.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn recipe(
        &self,
        tenant: &Tenant,
        name: &RecipeName,
        version: Option<i32>,
    ) -> Result<Option<RecipeVersion>, StoreError> {
        const FIND: &str = concat!(
            "-- find a recipe version\nSELECT ",
            version_columns!(),
            " FROM recipe JOIN recipe_version USING (tenant, name)
              WHERE tenant = $1 AND name = $2 AND version = coalesce($3, live_version)"
        );
        let params = [
            (&tenant.as_str() as _, Type::TEXT),
            (&name.as_str() as _, Type::TEXT),
            (&version as _, Type::INT4),
        ];
        let rows = self.session().await?.query(FIND, &params).await?;
        rows.first().map(read_version).transpose()
    }

    /// All versions of a recipe, newest first; none of an unknown one.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn recipe_versions(
        &self,
        tenant: &Tenant,
        name: &RecipeName,
    ) -> Result<Vec<RecipeVersion>, StoreError> {
        const LIST: &str = concat!(
            "-- list recipe versions\nSELECT ",
            version_columns!(),
            " FROM recipe_version WHERE tenant = $1 AND name = $2 ORDER BY version DESC"
        );
        let params = [(&tenant.as_str() as _, Type::TEXT), (&name.as_str() as _, Type::TEXT)];
        let rows = self.session().await?.query(LIST, &params).await?;
        rows.iter().map(read_version).collect()
    }

    /// All recipes of the tenant, by name.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn recipes(&self, tenant: &Tenant) -> Result<Vec<RecipeSummary>, StoreError> {
        const LIST: &str = concat!(
            "-- list recipes\nSELECT ",
            version_columns!(),
            " FROM recipe JOIN recipe_version
                ON recipe_version.tenant = recipe.tenant AND recipe_version.name = recipe.name
               AND recipe_version.version = recipe.live_version
             WHERE recipe.tenant = $1 ORDER BY recipe.name"
        );
        let rows = self.session().await?.query(LIST, &[(&tenant.as_str(), Type::TEXT)]).await?;
        let read = |row| {
            let row = Columns::new(row, "recipe", &["name"]);
            Ok(RecipeSummary {
                name: row.parse("name")?,
                version: row.get("version")?,
                claim_types: claim_types(&row)?,
                created_at: row.timestamp("created_at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// What the tenant's claim types demand, and who fulfils them; by name.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn claim_types(&self, tenant: &Tenant) -> Result<Vec<ClaimTypeRow>, StoreError> {
        const LIST: &str = "-- list claim types
            SELECT claim_type, coalesce(schema, 'null')::text AS schema, recipe
              FROM claim_type WHERE tenant = $1 ORDER BY claim_type";
        let rows = self.session().await?.query(LIST, &[(&tenant.as_str(), Type::TEXT)]).await?;
        let read = |row| {
            let row = Columns::new(row, "claim_type", &["claim_type"]);
            Ok(ClaimTypeRow {
                claim_type: row.parse("claim_type")?,
                schema: row.json("schema")?,
                recipe: row.parse_option("recipe")?,
            })
        };
        rows.iter().map(read).collect()
    }
}

fn read_version(row: &Row) -> Result<RecipeVersion, StoreError> {
    let row = Columns::new(row, "recipe_version", &["name", "version"]);
    Ok(RecipeVersion {
        name: row.parse("name")?,
        version: row.get("version")?,
        definition: row.json("definition")?,
        claim_types: claim_types(&row)?,
        created_at: row.timestamp("created_at")?,
    })
}

fn claim_types(row: &Columns<'_>) -> Result<Vec<ClaimType>, StoreError> {
    let names: Vec<&str> = row.get("claim_types")?;
    let parse = |name: &str| name.parse().map_err(|error| row.corrupt("claim_types", error));
    names.into_iter().map(parse).collect()
}
