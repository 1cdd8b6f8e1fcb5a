//! Tells a deployed system which fluxlings and recipes it has.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::lambda;
use super::recipes::Recipe;
use super::stack::Stack;
use super::tool::Aws;

/// The output with the name of the function that registers.
const REGISTRAR: &str = "MigrateFunctionName";

/// Bytes of recipes in one invocation: Lambda takes 6 MiB, and the fluxlings come along.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What was registered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Registered {
    /// How many fluxlings.
    #[serde(default)]
    pub fluxlings: usize,
    /// The recipes, with their versions.
    #[serde(default)]
    pub recipes: Vec<RegisteredRecipe>,
    /// What was refused.
    #[serde(default)]
    pub faults: Vec<Value>,
}

/// A recipe that is there now.
#[derive(Debug, Serialize, Deserialize)]
pub struct RegisteredRecipe {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub version: u32,
    /// Whether this deployment made that version.
    #[serde(default)]
    pub changed: bool,
}

/// Registers the fluxlings of a stack, and these recipes.
///
/// # Errors
/// Where a function fails or cannot be invoked. Whoever tries again does no harm.
pub async fn register(aws: &Aws, stack: &Stack, recipes: &[Recipe]) -> anyhow::Result<Registered> {
    let functions = fluxlings(stack);
    let Some(registrar) = stack.output(REGISTRAR) else {
        let nothing = functions.is_empty() && recipes.is_empty();
        anyhow::ensure!(nothing, "the stack has no output {REGISTRAR}, so nobody can register");
        return Ok(Registered::default());
    };
    let mut fluxlings = manifests(aws, functions).await?;
    let mut all = Registered::default();
    for batch in batches(recipes) {
        let fluxlings = std::mem::take(&mut fluxlings);
        if fluxlings.is_empty() && batch.is_empty() {
            continue;
        }
        let event = json!({"register": {"fluxlings": fluxlings, "recipes": batch}});
        let answer = lambda::invoke(aws, registrar, &event).await?;
        let answer: Registered =
            serde_json::from_value(answer).context("read what was registered")?;
        all.fluxlings += answer.fluxlings;
        all.recipes.extend(answer.recipes);
        all.faults.extend(answer.faults);
    }
    Ok(all)
}

/// The names of the functions that are fluxlings, by the stack's outputs.
fn fluxlings(stack: &Stack) -> Vec<String> {
    let outputs = stack.outputs().into_iter();
    outputs
        .filter(|(name, _)| name.starts_with("Fluxling") && name.ends_with("FunctionName"))
        .map(|(_, function)| function.to_owned())
        .collect()
}

/// What each fluxling says of itself, in the order of the functions.
async fn manifests(aws: &Aws, functions: Vec<String>) -> anyhow::Result<Vec<Value>> {
    let mut asked = JoinSet::new();
    for (at, function) in functions.into_iter().enumerate() {
        let aws = aws.clone();
        asked.spawn(async move {
            let manifest = lambda::invoke(&aws, &function, &json!({"manifest": {}})).await;
            anyhow::Ok((
                at,
                manifest.with_context(|| format!("ask `{function}` for its manifest"))?,
            ))
        });
    }
    let mut manifests = Vec::new();
    while let Some(manifest) = asked.join_next().await {
        manifests.push(manifest.context("wait for a manifest")??);
    }
    manifests.sort_by_key(|(at, _)| *at);
    Ok(manifests.into_iter().map(|(_, manifest)| manifest).collect())
}

/// The recipes in parts that fit into an invocation; one part at least.
fn batches(recipes: &[Recipe]) -> Vec<&[Recipe]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, recipe) in recipes.iter().enumerate() {
        let size = recipe.definition.to_string().len();
        if bytes + size > MAX_BYTES && at > start {
            batches.push(&recipes[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    batches.push(&recipes[start..]);
    batches
}

/// One line for what a fault says.
pub fn fault_line(fault: &Value) -> String {
    if let Some(text) = fault.as_str() {
        return text.to_owned();
    }
    let part = |name: &str| fault[name].as_str().filter(|text| !text.is_empty());
    let names = ["recipe", "fluxling", "name", "pointer"];
    let place: Vec<_> = names.iter().filter_map(|name| part(name)).collect();
    match part("detail") {
        Some(detail) if place.is_empty() => detail.to_owned(),
        Some(detail) => format!("{}: {detail}", place.join(" ")),
        None => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_go_in_parts_that_fit() {
        let recipe = |bytes: usize| Recipe {
            name: "a".parse().expect("a name"),
            definition: "x".repeat(bytes).into(),
            claim_types: Vec::new(),
            schema: None,
        };
        let sizes = |recipes: &[Recipe]| -> Vec<usize> {
            batches(recipes).into_iter().map(<[Recipe]>::len).collect()
        };
        assert_eq!(sizes(&[]), [0]);
        assert_eq!(sizes(&[recipe(10), recipe(10)]), [2]);
        assert_eq!(sizes(&[recipe(MAX_BYTES), recipe(10), recipe(MAX_BYTES - 20)]), [1, 2]);
    }

    #[test]
    fn a_fault_is_told_in_one_line() {
        let fault = json!({"recipe": "order", "pointer": "/StartAt", "detail": "names no state"});
        assert_eq!(fault_line(&fault), "order /StartAt: names no state");
        assert_eq!(fault_line(&"no such thing".into()), "no such thing");
    }
}
