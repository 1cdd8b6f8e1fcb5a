//! Compiled recipes and claim-type schemas, kept by version: neither ever changes.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fluxus_machine::Definition;
use fluxus_schema::{RecipeName, Tenant};
use jsonschema::Validator;
use lru::LruCache;
use serde_json::Value;

use crate::error::CoreError;
use crate::ledger::Ledger;

/// Most compiled recipes and most compiled schemas that are kept; those that were needed last stay. A
/// recipe of 50 states takes some 100 KiB.
const MAX_KEPT: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");

/// One version of a recipe.
pub(crate) type Version = (Tenant, RecipeName, i32);

/// The compiled recipes of a batch. A batch holds them itself: what is kept may go while it runs.
pub(crate) type Definitions = HashMap<Version, Arc<Definition>>;

/// The caches.
pub(crate) struct Recipes {
    definitions: Mutex<LruCache<Version, Arc<Definition>>>,
    /// By the schema's text.
    schemas: Mutex<LruCache<String, Arc<Validator>>>,
}

impl Default for Recipes {
    fn default() -> Self {
        Self::keeping(MAX_KEPT)
    }
}

impl Recipes {
    /// Caches of this size.
    pub(crate) fn keeping(at_most: NonZeroUsize) -> Self {
        let (definitions, schemas) = (LruCache::new(at_most), LruCache::new(at_most));
        Self { definitions: Mutex::new(definitions), schemas: Mutex::new(schemas) }
    }

    /// The definitions of these versions, but those that cannot be used any more; at most one
    /// statement, for those that are not kept.
    ///
    /// # Errors
    /// [`CoreError`] where they cannot be read.
    pub(crate) async fn definitions(
        &self,
        ledger: &impl Ledger,
        versions: BTreeSet<Version>,
    ) -> Result<Definitions, CoreError> {
        let mut definitions = Definitions::with_capacity(versions.len());
        let mut missing = Vec::new();
        {
            let mut kept = locked(&self.definitions);
            for version in versions {
                match kept.get(&version) {
                    Some(definition) => {
                        definitions.insert(version, definition.clone());
                    }
                    None => missing.push(version),
                }
            }
        }
        if missing.is_empty() {
            return Ok(definitions);
        }
        for found in ledger.definitions(&missing).await? {
            let version = (found.tenant, found.name, found.version);
            match compile(&found.definition) {
                Ok(definition) => {
                    locked(&self.definitions).put(version.clone(), definition.clone());
                    definitions.insert(version, definition);
                }
                Err(reason) => tracing::error!(
                    recipe = %version.1,
                    version = version.2,
                    reason,
                    "cannot use a stored recipe"
                ),
            }
        }
        Ok(definitions)
    }

    /// The validator of a schema.
    ///
    /// # Errors
    /// What is wrong with the schema, in words.
    pub(crate) fn validator(&self, schema: &str) -> Result<Arc<Validator>, String> {
        if let Some(known) = locked(&self.schemas).get(schema) {
            return Ok(known.clone());
        }
        let document: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
        let validator = jsonschema::validator_for(&document).map_err(|error| error.to_string())?;
        let validator = Arc::new(validator);
        locked(&self.schemas).put(schema.to_owned(), validator.clone());
        Ok(validator)
    }
}

/// Compiles a definition, or tells in words what is wrong with it: it was stored by a version of Fluxus
/// that let it pass.
fn compile(text: &str) -> Result<Arc<Definition>, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let definition = Definition::parse(&document).map_err(|faults| {
        let list: Vec<_> =
            faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.detail)).collect();
        list.join("; ")
    })?;
    Ok(Arc::new(definition))
}

fn locked<K: Eq + Hash, V>(cache: &Mutex<LruCache<K, V>>) -> MutexGuard<'_, LruCache<K, V>> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}
