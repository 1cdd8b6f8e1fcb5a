//! Registering what a deployment brings: fluxlings and recipes.

use fluxus_machine::Definition;
use fluxus_machine::source::Given;
use fluxus_queue::QueueName;
use fluxus_schema::fluxling::Manifest;
use fluxus_schema::id::ClaimType;
use fluxus_schema::problem::Fault;
use fluxus_schema::recipe::PutRecipe;
use fluxus_schema::{RecipeName, Tenant, Timestamp};
use fluxus_store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::CoreError;

/// What is to be registered, all of it for the default tenant: its fluxlings work for everybody.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Register {
    /// Manifests.
    pub fluxlings: Vec<Manifest>,
    /// Recipes.
    pub recipes: Vec<RegisterRecipe>,
}

/// A recipe to be registered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterRecipe {
    /// Its name.
    pub name: RecipeName,
    /// Its definition, as a document or as text.
    pub definition: Value,
    /// The types of claims that it fulfils.
    #[serde(default)]
    pub claim_types: Vec<ClaimType>,
    /// The JSON Schema that the bodies of these claims keep. Without one, what holds stays.
    #[serde(default)]
    pub schema: Option<Value>,
}

/// What came of it. With faults, nothing was registered.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Registered {
    /// How many fluxlings were registered.
    pub fluxlings: usize,
    /// The recipes.
    pub recipes: Vec<RegisteredRecipe>,
    /// What is wrong, by JSON pointers into what was to be registered.
    pub faults: Vec<Fault>,
}

/// A recipe that was registered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegisteredRecipe {
    /// Its name.
    pub name: RecipeName,
    /// The version that runs new claims now.
    pub version: i32,
    /// Whether that is a new one.
    pub changed: bool,
}

/// Registers everything, or nothing where something is wrong.
pub(super) async fn register(
    store: &Store,
    wanted: &Register,
    now: Timestamp,
) -> Result<Registered, CoreError> {
    let mut faults = Vec::new();
    for (index, manifest) in wanted.fluxlings.iter().enumerate() {
        faults.extend(within(format!("/fluxlings/{index}"), manifest_faults(manifest)));
    }
    let mut recipes = Vec::new();
    for (index, recipe) in wanted.recipes.iter().enumerate() {
        if let Some(schema) = &recipe.schema {
            faults.extend(schema_fault(&format!("/recipes/{index}/schema"), schema));
        }
        match definition(recipe.definition.clone()) {
            Ok(definition) => {
                let claim_types = recipe.claim_types.clone();
                recipes.push((recipe, PutRecipe { definition, claim_types }));
            }
            Err(found) => faults.extend(within(format!("/recipes/{index}/definition"), found)),
        }
    }
    if !faults.is_empty() {
        return Ok(Registered { faults, ..Registered::default() });
    }
    let tenant = Tenant::default();
    for manifest in &wanted.fluxlings {
        store.register_fluxling(&tenant, manifest, now).await?;
    }
    let mut registered = Registered { fluxlings: wanted.fluxlings.len(), ..Registered::default() };
    for (recipe, put) in recipes {
        for claim_type in recipe.claim_types.iter().filter(|_| recipe.schema.is_some()) {
            store.put_claim_type(&tenant, claim_type, recipe.schema.as_ref()).await?;
        }
        let outcome = store.put_recipe(&tenant, &recipe.name, &put, now).await?;
        let (name, version, changed) = (recipe.name.clone(), outcome.version, outcome.created);
        registered.recipes.push(RegisteredRecipe { name, version, changed });
    }
    Ok(registered)
}

/// What is wrong with a manifest beyond what its own bounds say.
fn manifest_faults(manifest: &Manifest) -> Vec<Fault> {
    let mut faults = manifest.faults();
    if let Err(error) = QueueName::new(&manifest.queue) {
        faults.push(Fault::of_document("/queue", error.to_string()));
    }
    for (index, capability) in manifest.capabilities.iter().enumerate() {
        for (field, schema) in [
            ("input_schema", &capability.input_schema),
            ("output_schema", &capability.output_schema),
        ] {
            if !schema.is_null() {
                faults.extend(schema_fault(&format!("/capabilities/{index}/{field}"), schema));
            }
        }
    }
    faults
}

/// Why a document is no JSON Schema.
fn schema_fault(at: &str, schema: &Value) -> Option<Fault> {
    let error = jsonschema::validator_for(schema).err()?;
    Some(Fault::of_document(at, format!("is no JSON Schema: {error}")))
}

/// The definition as a document, if it can be run.
fn definition(given: Value) -> Result<Value, Vec<Fault>> {
    let given = Given::read(given)?;
    let mut faults = match Definition::parse(given.document()) {
        Ok(definition) => definition.unsupported(),
        Err(faults) => faults,
    };
    if faults.is_empty() {
        return Ok(given.into_document());
    }
    given.locate(&mut faults);
    Err(faults)
}

fn within(at: String, faults: Vec<Fault>) -> impl Iterator<Item = Fault> {
    faults.into_iter().map(move |fault| {
        let pointer = format!("{at}{}", fault.pointer);
        Fault { pointer, ..fault }
    })
}
