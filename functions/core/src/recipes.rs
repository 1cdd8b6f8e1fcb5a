//! Compiled recipes and claim-type schemas, kept by version: neither ever changes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use fluxus_machine::Definition;
use fluxus_schema::{RecipeName, Tenant};
use jsonschema::Validator;
use serde_json::Value;

/// Most compiled recipes and most compiled schemas that are kept. A recipe of 50 states takes
/// some 100 KiB; past the bound all are dropped and come back as they are needed.
const MAX_KEPT: usize = 1_000;

/// One version of a recipe.
pub(crate) type Version = (Tenant, RecipeName, i32);

/// The caches.
#[derive(Default)]
pub(crate) struct Recipes {
    definitions: Mutex<HashMap<Version, Arc<Definition>>>,
    /// By the schema's text.
    schemas: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Recipes {
    pub(crate) fn definition(&self, version: &Version) -> Option<Arc<Definition>> {
        self.definitions.lock().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
    }

    /// Compiles and keeps a definition.
    ///
    /// # Errors
    /// What is wrong with it, in words: it was stored by a version of Fluxus that let it pass.
    pub(crate) fn compile(&self, version: Version, text: &str) -> Result<Arc<Definition>, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let definition = Definition::parse(&document).map_err(|faults| {
            let list: Vec<_> =
                faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.detail)).collect();
            list.join("; ")
        })?;
        let definition = Arc::new(definition);
        keep(&self.definitions, version, definition.clone());
        Ok(definition)
    }

    /// The validator of a schema.
    ///
    /// # Errors
    /// What is wrong with the schema, in words.
    pub(crate) fn validator(&self, schema: &str) -> Result<Arc<Validator>, String> {
        let known =
            self.schemas.lock().unwrap_or_else(PoisonError::into_inner).get(schema).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let document: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
        let validator = jsonschema::validator_for(&document).map_err(|error| error.to_string())?;
        let validator = Arc::new(validator);
        keep(&self.schemas, schema.to_owned(), validator.clone());
        Ok(validator)
    }
}

fn keep<K: Eq + Hash, V>(cache: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= MAX_KEPT {
        cache.clear();
    }
    cache.insert(key, value);
}
