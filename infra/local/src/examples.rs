//! The recipes in `examples/`, built in, so that a first look needs no checkout.

use anyhow::Context as _;
use fluxus_schema::recipe::PutRecipe;
use fluxus_schema::{NewClaim, RecipeName, Tenant};
use fluxus_store::Store;
use serde_json::Value;

/// One example: a recipe, a claim for it, and the schema of its claim type.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The folder's name, and the recipe's.
    pub name: &'static str,
    /// `recipe.json`: the state machine in Amazon States Language.
    pub recipe: &'static str,
    /// `schema.json`: what bodies of the claim type must satisfy.
    pub schema: &'static str,
    /// `claim.json`: a claim that the recipe fulfils.
    pub claim: &'static str,
}

macro_rules! text {
    ($name:literal, $file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/", $name, "/", $file))
    };
}

macro_rules! example {
    ($name:literal) => {
        Example {
            name: $name,
            recipe: text!($name, "recipe.json"),
            schema: text!($name, "schema.json"),
            claim: text!($name, "claim.json"),
        }
    };
}

/// All of them.
pub const EXAMPLES: [Example; 5] = [
    example!("order-saga"),
    example!("order-batch"),
    example!("document-intake"),
    example!("approval"),
    example!("http-check"),
];

impl Example {
    /// The claim that comes with it.
    ///
    /// # Errors
    /// If the file is no claim, which the tests rule out.
    pub fn new_claim(&self) -> anyhow::Result<NewClaim> {
        serde_json::from_str(self.claim).with_context(|| format!("read the claim of {}", self.name))
    }

    /// Puts the recipe, and the schema of its claim type, unless this very definition is among the
    /// recipe's versions already: whoever put one of his own after it keeps that.
    ///
    /// # Errors
    /// If the store fails; safe to try again.
    pub async fn register(&self, store: &Store, tenant: &Tenant) -> anyhow::Result<()> {
        let name: RecipeName = self.name.parse()?;
        let definition: Value = serde_json::from_str(self.recipe)?;
        let known = store.recipe_versions(tenant, &name).await?;
        if known.iter().any(|version| version.definition == definition) {
            return Ok(());
        }
        let claim_type = self.new_claim()?.claim_type;
        // The recipe comes last: if we end in between, the next start does it all again.
        let schema: Value = serde_json::from_str(self.schema)?;
        store.put_claim_type(tenant, &claim_type, Some(&schema)).await?;
        let put = PutRecipe { definition, claim_types: vec![claim_type] };
        store.put_recipe(tenant, &name, &put, fluxus_store::clock::now()).await?;
        Ok(())
    }
}

/// Registers all of them for a tenant.
///
/// # Errors
/// If the store fails; safe to try again.
pub async fn register(store: &Store, tenant: &Tenant) -> anyhow::Result<()> {
    for example in EXAMPLES {
        let registered = example.register(store, tenant).await;
        registered.with_context(|| format!("register the example {}", example.name))?;
    }
    Ok(())
}
