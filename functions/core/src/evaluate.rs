//! Evaluating a claim: does its body satisfy its type's schema, and which recipe fulfils it?

use std::sync::Arc;

use fluxus_machine::Definition;
use fluxus_schema::RecipeName;
use fluxus_schema::history::{Details, Event, EventKind};
use fluxus_schema::problem::Fault;
use fluxus_store::ClaimRow;
use fluxus_store::recipe::TypeRoute;
use serde_json::{Value, json};

use crate::recipes::Recipes;

/// Most schema faults that a verdict lists: enough to mend a document, not enough to fill a page.
const MAX_FAULTS: usize = 20;

/// Error of a claim whose type no recipe accepts.
pub(crate) const NO_RECIPE: &str = "Fluxus.NoRecipe";

/// Error of a claim whose body does not satisfy its type's schema.
pub(crate) const INVALID_BODY: &str = "Fluxus.InvalidBody";

/// What becomes of a claim.
pub(crate) enum Verdict {
    Accepted { recipe: RecipeName, version: i32, definition: Arc<Definition> },
    Rejected { error: &'static str, cause: String, faults: Vec<Fault> },
}

/// Evaluates `claim`, whose type goes where `route` says. `definition` is asked for the recipe's
/// compiled version.
pub(crate) fn evaluate(
    recipes: &Recipes,
    claim: &ClaimRow,
    body: &Value,
    route: Option<&TypeRoute>,
    definition: impl FnOnce(&RecipeName, i32) -> Option<Arc<Definition>>,
) -> Verdict {
    let claim_type = &claim.claim_type;
    if let Some(origin) = &claim.origin {
        return with(&origin.recipe, origin.version, definition);
    }
    if let Some(schema) = route.and_then(|route| route.schema.as_deref()) {
        let checked = recipes.validator(schema).map(|validator| faults(&validator, body));
        match checked {
            Ok(faults) if faults.is_empty() => {}
            Ok(faults) => {
                let cause = format!("the body does not satisfy the schema of `{claim_type}`");
                return Verdict::Rejected { error: INVALID_BODY, cause, faults };
            }
            Err(reason) => {
                let cause = format!("the schema of `{claim_type}` cannot be used: {reason}");
                return Verdict::Rejected { error: INVALID_BODY, cause, faults: Vec::new() };
            }
        }
    }
    let Some((recipe, version)) = route.and_then(|route| route.recipe.clone()) else {
        let cause = format!("no recipe accepts claims of the type `{claim_type}`");
        return Verdict::Rejected { error: NO_RECIPE, cause, faults: Vec::new() };
    };
    with(&recipe, version, definition)
}

fn with(
    recipe: &RecipeName,
    version: i32,
    definition: impl FnOnce(&RecipeName, i32) -> Option<Arc<Definition>>,
) -> Verdict {
    match definition(recipe, version) {
        Some(definition) => Verdict::Accepted { recipe: recipe.clone(), version, definition },
        None => {
            let cause = format!("version {version} of the recipe `{recipe}` cannot be used");
            Verdict::Rejected { error: NO_RECIPE, cause, faults: Vec::new() }
        }
    }
}

fn faults(validator: &jsonschema::Validator, body: &Value) -> Vec<Fault> {
    let fault = |error: jsonschema::ValidationError<'_>| {
        Fault::of_document(error.instance_path().to_string(), error.to_string())
    };
    validator.iter_errors(body).take(MAX_FAULTS).map(fault).collect()
}

impl Verdict {
    /// The verdict as an event of the claim's history.
    pub(crate) fn event(&self, claim: &ClaimRow) -> Event {
        let details = Details::new().with("claimType", claim.claim_type.as_str());
        let details = match self {
            Self::Accepted { recipe, version, .. } => details
                .with("verdict", "ACCEPTED")
                .with("recipe", recipe.as_str())
                .with("recipeVersion", u64::try_from(*version).unwrap_or_default()),
            Self::Rejected { error, cause, faults } => details
                .with("verdict", "REJECTED")
                .with("error", *error)
                .with("cause", cause.as_str())
                .with_some("faults", (!faults.is_empty()).then(|| json!(faults))),
        };
        Event { kind: EventKind::ClaimEvaluated, previous: None, details }
    }
}
