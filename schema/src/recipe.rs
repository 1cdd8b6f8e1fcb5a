//! Recipes: named state machines in Amazon States Language, in numbered versions.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::id::{ClaimType, RecipeName};
use crate::time::Timestamp;

/// A new version of a recipe, as a client puts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutRecipe {
    /// The state machine in Amazon States Language: an object, or a string with its text in JSON,
    /// JSON with comments or YAML. Faults of a text come with line and column.
    #[schema(value_type = Value)]
    pub definition: Value,
    /// The claim types it fulfils. A type goes to the recipe that named it last.
    #[serde(default)]
    pub claim_types: Vec<ClaimType>,
}

/// One version of a recipe. Versions never change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecipeVersion {
    /// The recipe's name.
    pub name: RecipeName,
    /// Its number, from 1. The highest runs new claims.
    pub version: i32,
    /// The state machine in Amazon States Language.
    #[schema(value_type = Value)]
    pub definition: Value,
    /// The claim types that the recipe fulfils now.
    pub claim_types: Vec<ClaimType>,
    /// When this version was put.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A recipe in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecipeSummary {
    /// Its name.
    pub name: RecipeName,
    /// Its highest version.
    pub version: i32,
    /// The claim types it fulfils.
    pub claim_types: Vec<ClaimType>,
    /// When that version was put.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}
