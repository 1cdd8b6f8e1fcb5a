//! The recipes that are measured with, and a claim of each.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::bench::args::Payload;

/// Items of the Map in the mix.
const MIXED_ITEMS: u64 = 10;

/// Bytes in a KiB.
pub(super) const KIB: usize = 1024;

/// A recipe, and a claim that it fulfils.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// Its name, and its claim type.
    pub(super) name: String,
    pub(super) definition: Arc<Value>,
    /// States that its claim enters: each is a transition.
    pub(super) transitions: u64,
    /// The claim as it is submitted, and what comes of it.
    pub(super) claim: Arc<str>,
    output: Arc<Value>,
    /// Whether it may take longer than one request waits.
    pub(super) is_long: bool,
}

impl Recipe {
    fn new(name: &str, definition: Value, transitions: u64, body: &Value, output: Value) -> Self {
        let name = format!("fluxus-bench-{name}");
        let claim = json!({ "type": name, "body": body }).to_string().into();
        let (definition, output) = (Arc::new(definition), Arc::new(output));
        Self { name, definition, transitions, claim, output, is_long: false }
    }

    /// Whether this is what should come of its claim.
    pub(super) fn is_right(&self, output: &Value) -> bool {
        *output == *self.output
    }

    /// Three tasks in a row, each of which adds one.
    pub(super) fn tasks() -> Self {
        let definition = json!({
            "Comment": "Adds one three times",
            "StartAt": "First",
            "States": {
                "First": task("bench.add", Some("Second")),
                "Second": task("bench.add", Some("Third")),
                "Third": task("bench.add", None),
            },
        });
        Self::new("tasks", definition, 3, &json!({ "n": 0 }), json!({ "n": 3 }))
    }

    /// One task.
    pub(super) fn single() -> Self {
        let definition = json!({
            "Comment": "Adds one",
            "StartAt": "Only",
            "States": { "Only": task("bench.add", None) },
        });
        Self::new("single", definition, 1, &json!({ "n": 0 }), json!({ "n": 1 }))
    }

    /// A Map with one task for each item.
    pub(super) fn map(items: u64) -> Self {
        let definition = json!({
            "Comment": "Adds one to each item",
            "StartAt": "Each",
            "States": { "Each": {
                "Type": "Map",
                "ItemsPath": "$.items",
                "ItemProcessor": {
                    "ProcessorConfig": { "Mode": "INLINE" },
                    "StartAt": "Add",
                    "States": { "Add": task("bench.add", None) },
                },
                // What comes of each is as much again: only that it came is of interest here.
                "ResultSelector": { "count.$": "States.ArrayLength($)" },
                "End": true,
            } },
        });
        let body = json!({ "items": vec![json!({ "n": 0 }); items as usize] });
        let name = format!("map-{items}");
        let recipe = Self::new(&name, definition, items + 1, &body, json!({ "count": items }));
        Self { is_long: true, ..recipe }
    }

    /// A Parallel with two branches of one task each.
    fn parallel() -> Self {
        let branch = |state: &str| {
            let mut states = serde_json::Map::new();
            states.insert(state.to_owned(), task("bench.add", None));
            json!({ "StartAt": state, "States": states })
        };
        let branches = [branch("Left"), branch("Right")];
        let definition = json!({
            "Comment": "Adds one on two branches",
            "StartAt": "Both",
            "States": { "Both": { "Type": "Parallel", "Branches": branches, "End": true } },
        });
        Self::new("parallel", definition, 3, &json!({ "n": 0 }), json!([{ "n": 1 }, { "n": 1 }]))
    }

    /// A choice, what it leads to, and one task.
    fn choice() -> Self {
        let definition = json!({
            "Comment": "Decides, then adds one",
            "StartAt": "Which",
            "States": {
                "Which": {
                    "Type": "Choice",
                    "Choices": [{ "Variable": "$.n", "NumericEquals": 0, "Next": "Zero" }],
                    "Default": "Other",
                },
                "Zero": { "Type": "Pass", "Next": "Add" },
                "Other": { "Type": "Fail", "Error": "Bench.Other" },
                "Add": task("bench.add", None),
            },
        });
        Self::new("choice", definition, 3, &json!({ "n": 0 }), json!({ "n": 1 }))
    }

    /// The recipes of a mix, by name.
    ///
    /// # Errors
    /// For any other name.
    pub(super) fn mixed(name: &str) -> anyhow::Result<Self> {
        Ok(match name {
            "tasks" => Self::tasks(),
            "parallel" => Self::parallel(),
            "map" => Self::map(MIXED_ITEMS),
            "choice" => Self::choice(),
            _ => anyhow::bail!("there is no recipe `{name}`: tasks, parallel, map, choice"),
        })
    }

    /// A body of `kib` KiB, carried through three tasks.
    pub(super) fn payload(kib: u32) -> Self {
        let definition = json!({
            "Comment": "Carries its body through three tasks",
            "StartAt": "First",
            "States": {
                "First": task("bench.echo", Some("Second")),
                "Second": task("bench.echo", Some("Third")),
                "Third": task("bench.echo", None),
            },
        });
        // Like text: neither all the same, which would be compressed away, nor noise.
        let words = (0_u64..).map(|n| format!("{:x} ", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let mut text = String::new();
        for word in words {
            text.push_str(&word);
            if text.len() >= kib as usize * KIB {
                break;
            }
        }
        text.truncate(kib as usize * KIB);
        let body = json!({ "text": text });
        Self::new(&format!("payload-{kib}"), definition, 3, &body, body.clone())
    }

    /// One for each size.
    pub(super) fn payloads(args: &Payload) -> Vec<(String, Self)> {
        args.sizes.iter().map(|kib| (format!("{kib} KiB"), Self::payload(*kib))).collect()
    }
}

fn task(capability: &str, next: Option<&str>) -> Value {
    let mut state = json!({ "Type": "Task", "Resource": format!("fluxling:{capability}") });
    match next {
        Some(next) => state["Next"] = next.into(),
        None => state["End"] = true.into(),
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_is_valid() {
        let mixed = ["tasks", "parallel", "map", "choice"].map(Recipe::mixed);
        let recipes = mixed.into_iter().map(|recipe| recipe.expect("a recipe"));
        for recipe in recipes.chain([Recipe::single(), Recipe::payload(2)]) {
            let parsed = fluxus_machine::Definition::parse(&recipe.definition);
            assert!(parsed.is_ok(), "{}: {parsed:?}", recipe.name);
        }
        assert!(Recipe::mixed("other").is_err());
        assert_eq!(Recipe::payload(2).claim.len(), Recipe::payload(1).claim.len() + KIB);
    }
}
