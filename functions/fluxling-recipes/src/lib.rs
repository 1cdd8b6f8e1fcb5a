//! Validates and draws recipes, as tasks: recipes that review recipes.
//!
//! - `recipes.validate`: `{"definition": {…}}` to `{"valid": false, "faults": [{"pointer": "/StartAt",
//!   "detail": …}], "capabilities": []}`.
//! - `recipes.render`: `{"definition": {…}}` to `{"mermaid": "flowchart TB …"}`; see [`mermaid()`].

mod condition;
mod label;
mod mermaid;

use std::time::Duration;

use fluxling::{Fluxling, Task};
use fluxus_machine::Definition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use mermaid::mermaid;

/// Both are a matter of milliseconds; a task that takes longer is stuck.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to work on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A state machine in Amazon States Language.
    pub definition: Value,
}

/// What came of a validation.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Validated {
    /// Whether the definition could be put as a recipe.
    pub valid: bool,
    /// Everything that is wrong with it.
    pub faults: Vec<Fault>,
    /// What its tasks ask for; empty where it is not valid.
    pub capabilities: Vec<String>,
}

/// One thing wrong with a definition, and where.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fault {
    /// JSON pointer to the place.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// A drawing.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Rendered {
    /// The recipe as a Mermaid flowchart.
    pub mermaid: String,
}

/// The fluxling.
pub fn fluxling() -> Fluxling {
    Fluxling::new("recipes")
        .version(env!("CARGO_PKG_VERSION"))
        .description("Validates and draws recipes.")
        .capability("recipes.validate", async |task: Task<Input>| {
            Ok(validate(&task.input.definition))
        })
        .capability("recipes.render", async |task: Task<Input>| {
            Ok(Rendered { mermaid: mermaid(&task.input.definition) })
        })
        .timeout(TIMEOUT)
        .idempotent(true)
}

/// Checks a definition as the system does before it stores a recipe.
pub fn validate(definition: &Value) -> Validated {
    let (faults, capabilities) = match Definition::parse(definition) {
        Ok(definition) => (definition.unsupported(), definition.capabilities()),
        Err(faults) => (faults, Vec::new()),
    };
    let valid = faults.is_empty();
    let capabilities = if valid { capabilities } else { Vec::new() };
    let fault = |fault: fluxus_schema::problem::Fault| Fault {
        pointer: fault.pointer,
        detail: fault.detail,
    };
    Validated {
        valid,
        faults: faults.into_iter().map(fault).collect(),
        capabilities: capabilities.into_iter().map(Into::into).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn call(capability: &str, definition: Value) -> Value {
        let output = fluxling().call(capability, json!({"definition": definition})).await;
        output.expect("does not fail")
    }

    #[tokio::test]
    async fn a_recipe_is_validated() {
        let task = json!({"Type": "Task", "Resource": "fluxling:payments.refund", "End": true});
        let definition = json!({"StartAt": "Refund", "States": {"Refund": task}});
        let want = json!({"valid": true, "faults": [], "capabilities": ["payments.refund"]});
        assert_eq!(call("recipes.validate", definition).await, want);
    }

    #[tokio::test]
    async fn every_fault_is_told() {
        let definition =
            json!({"StartAt": "Nowhere", "States": {"A": {"Type": "Pass", "Next": "B"}}});
        let output = call("recipes.validate", definition).await;
        assert_eq!(output["valid"], false);
        let pointers: Vec<_> =
            output["faults"].as_array().expect("faults").iter().map(|f| &f["pointer"]).collect();
        assert!(pointers.contains(&&json!("/StartAt")), "{output}");
        assert!(pointers.contains(&&json!("/States/A/Next")), "{output}");
    }

    #[tokio::test]
    async fn an_integration_without_a_fluxling_is_a_fault() {
        let task =
            json!({"Type": "Task", "Resource": "arn:aws:states:::glue:startJobRun", "End": true});
        let definition = json!({"StartAt": "Run", "States": {"Run": task}});
        let output = call("recipes.validate", definition).await;
        assert_eq!(output["faults"][0]["pointer"], "/States/Run/Resource", "{output}");
    }

    #[tokio::test]
    async fn a_recipe_is_drawn() {
        let definition = json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}});
        let output = call("recipes.render", definition.clone()).await;
        assert_eq!(output, json!({"mermaid": mermaid(&definition)}));
    }
}
