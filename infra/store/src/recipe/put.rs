//! Putting recipes and the schemas of claim types.

use fluxus_postgres::Transaction;
use fluxus_postgres::types::Type;
use fluxus_schema::id::ClaimType;
use fluxus_schema::recipe::PutRecipe;
use fluxus_schema::{RecipeName, Tenant, Timestamp};
use serde_json::Value;

use crate::columns::Columns;
use crate::error::StoreError;
use crate::instant::stored;
use crate::store::Store;

/// What came of putting a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutOutcome {
    /// The version that runs new claims now.
    pub version: i32,
    /// Whether it is new; not, if the definition is that of the live version.
    pub created: bool,
}

impl Store {
    /// Adds a version of a recipe and makes it live; the same definition as the live one's gives
    /// that version again. The claim types named go to this recipe from now on; those that it
    /// fulfilled before and are not named stay with it.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn put_recipe(
        &self,
        tenant: &Tenant,
        name: &RecipeName,
        put: &PutRecipe,
        now: Timestamp,
    ) -> Result<PutOutcome, StoreError> {
        let mut session = self.session().await?;
        let tx = session.begin().await?;
        let (live, definition) = lock_recipe(&tx, tenant, name).await?;
        let outcome = if definition.as_ref() == Some(&put.definition) {
            PutOutcome { version: live, created: false }
        } else {
            let version = live + 1;
            insert_version(&tx, tenant, name, version, &put.definition, now).await?;
            PutOutcome { version, created: true }
        };
        route(&tx, tenant, name, &put.claim_types).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    /// Sets the JSON Schema that bodies of the type must satisfy; none lifts it.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn put_claim_type(
        &self,
        tenant: &Tenant,
        claim_type: &ClaimType,
        schema: Option<&Value>,
    ) -> Result<(), StoreError> {
        const PUT: &str = "-- put a claim type
            INSERT INTO claim_type (tenant, claim_type, schema) VALUES ($1, $2, $3::text::json)
                ON CONFLICT (tenant, claim_type) DO UPDATE SET schema = excluded.schema";
        let params = [
            (&tenant.as_str() as _, Type::TEXT),
            (&claim_type.as_str() as _, Type::TEXT),
            (&schema.map(Value::to_string) as _, Type::TEXT),
        ];
        self.session().await?.execute(PUT, &params).await?;
        Ok(())
    }
}

/// The live version and its definition, 0 and none if the recipe is new. Whoever puts the same
/// recipe meanwhile waits for the lock, so versions have no gaps.
async fn lock_recipe(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    name: &RecipeName,
) -> Result<(i32, Option<Value>), StoreError> {
    const LOCK: &str = "-- lock a recipe
        INSERT INTO recipe (tenant, name, live_version) VALUES ($1, $2, 0)
            ON CONFLICT (tenant, name) DO UPDATE SET live_version = recipe.live_version
        RETURNING live_version";
    const READ: &str = "-- read a definition
        SELECT name, version, definition::text FROM recipe_version
         WHERE tenant = $1 AND name = $2 AND version = $3";
    let (tenant, name) = (tenant.as_str(), name.as_str());
    let mut live = 0;
    for row in tx.query(LOCK, &[(&tenant, Type::TEXT), (&name, Type::TEXT)]).await? {
        live = Columns::new(&row, "recipe", &[]).get("live_version")?;
    }
    let params = [(&tenant as _, Type::TEXT), (&name as _, Type::TEXT), (&live as _, Type::INT4)];
    let rows = tx.query(READ, &params).await?;
    let read = |row| Columns::new(row, "recipe_version", &["name", "version"]).json("definition");
    Ok((live, rows.first().map(read).transpose()?))
}

async fn insert_version(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    name: &RecipeName,
    version: i32,
    definition: &Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    const INSERT: &str = "-- insert a recipe version
        WITH live AS (
            UPDATE recipe SET live_version = $3 WHERE tenant = $1 AND name = $2
        )
        INSERT INTO recipe_version (tenant, name, version, definition, created_at)
        VALUES ($1, $2, $3, $4::text::json, $5)";
    let params = [
        (&tenant.as_str() as _, Type::TEXT),
        (&name.as_str() as _, Type::TEXT),
        (&version as _, Type::INT4),
        (&definition.to_string() as _, Type::TEXT),
        (&stored(now) as _, Type::TIMESTAMPTZ),
    ];
    tx.execute(INSERT, &params).await?;
    Ok(())
}

async fn route(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    name: &RecipeName,
    claim_types: &[ClaimType],
) -> Result<(), StoreError> {
    const ROUTE: &str = "-- route claim types to a recipe
        INSERT INTO claim_type (tenant, claim_type, recipe)
        SELECT DISTINCT $1, claim_type, $2 FROM unnest($3::text[]) AS named (claim_type)
         ORDER BY claim_type
            ON CONFLICT (tenant, claim_type) DO UPDATE SET recipe = excluded.recipe";
    let types: Vec<_> = claim_types.iter().map(ClaimType::as_str).collect();
    let params = [
        (&tenant.as_str() as _, Type::TEXT),
        (&name.as_str() as _, Type::TEXT),
        (&types as _, Type::TEXT_ARRAY),
    ];
    tx.execute(ROUTE, &params).await?;
    Ok(())
}
