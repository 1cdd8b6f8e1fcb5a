//! Validates and draws recipes, as tasks: recipes that review recipes.
//!
//! - `recipes.validate`: `{"definition": {…}}` to `{"valid": false, "faults": [{"code":
//!   "MISSING_TRANSITION_TARGET", "severity": "ERROR", "pointer": "/StartAt", "detail": …}],
//!   "capabilities": []}`.
//! - `recipes.render`: `{"definition": {…}}` to `{"mermaid": "flowchart TB …"}`; see [`mermaid()`].
//!
//! The definition may also be a string with its text in JSON, JSON with comments or YAML; faults
//! then have a `place` with line and column.

mod condition;
mod label;
mod mermaid;

use std::time::Duration;

use fluxling::{Fluxling, Task, TaskError};
use fluxus_machine::Definition;
use fluxus_machine::source::Given;
use fluxus_schema::{Capability, problem};
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
    /// A state machine in Amazon States Language, or its text.
    pub definition: Value,
}

/// What came of a validation.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Validated {
    /// Whether the definition could be put as a recipe.
    pub valid: bool,
    /// Everything that is wrong with it, and what is odd about it.
    pub faults: Vec<Fault>,
    /// What its tasks ask for; empty where it is not valid.
    pub capabilities: Vec<String>,
}

/// One thing wrong with a definition, and where.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fault {
    /// The kind of fault.
    pub code: String,
    /// `ERROR`, or `WARNING` where the definition is valid all the same.
    pub severity: String,
    /// JSON pointer to the place.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
    /// What would be right, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The place in the text; absent where the definition did not come as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A stretch of a text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Place {
    /// The line it begins on.
    pub line: usize,
    /// The column it begins at.
    pub column: usize,
    /// The line it ends on.
    pub end_line: usize,
    /// The column after its last character.
    pub end_column: usize,
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
            Ok(validate(task.input.definition))
        })
        .capability("recipes.render", async |task: Task<Input>| render(task.input.definition))
        .timeout(TIMEOUT)
        .idempotent(true)
}

/// Checks a definition as the system does before it stores a recipe.
pub fn validate(definition: Value) -> Validated {
    let (faults, capabilities) = check(definition);
    let valid = !faults.iter().any(problem::Fault::is_error);
    let capabilities = if valid { capabilities } else { Vec::new() };
    let fault = |fault: problem::Fault| Fault {
        code: fault.code.as_str().to_owned(),
        severity: fault.severity.as_str().to_owned(),
        pointer: fault.pointer,
        detail: fault.detail,
        help: fault.help,
        place: fault.place.map(|place| Place {
            line: place.line,
            column: place.column,
            end_line: place.end_line,
            end_column: place.end_column,
        }),
    };
    Validated {
        valid,
        faults: faults.into_iter().map(fault).collect(),
        capabilities: capabilities.into_iter().map(Into::into).collect(),
    }
}

fn check(definition: Value) -> (Vec<problem::Fault>, Vec<Capability>) {
    let given = match Given::read(definition) {
        Ok(given) => given,
        Err(faults) => return (faults, Vec::new()),
    };
    let (mut faults, capabilities) = match Definition::parse(given.document()) {
        Ok(definition) => {
            let faults = [definition.unsupported(), definition.warnings().to_vec()].concat();
            (faults, definition.capabilities())
        }
        Err(faults) => (faults, Vec::new()),
    };
    given.locate(&mut faults);
    (faults, capabilities)
}

/// Draws a definition.
fn render(definition: Value) -> Result<Rendered, TaskError> {
    let given = Given::read(definition).map_err(|faults| {
        let why: Vec<_> = faults.into_iter().map(|fault| fault.detail).collect();
        TaskError::fatal("Recipes.NoDocument", why.join("; "))
    })?;
    Ok(Rendered { mermaid: mermaid(given.document()) })
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
    async fn a_definition_may_come_as_text() {
        let text = "StartAt: A\nStates:\n  A: {Type: Pass, Next: B}\n";
        let output = call("recipes.validate", text.into()).await;
        assert_eq!(output["faults"][0]["place"]["line"], 3, "{output}");
        let output = call("recipes.validate", "{\"StartAt\": }".into()).await;
        assert_eq!(output["faults"][0]["code"], "INVALID_JSON_DESCRIPTION", "{output}");
        let definition = json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}});
        let output = call("recipes.render", definition.to_string().into()).await;
        assert_eq!(output, json!({"mermaid": mermaid(&definition)}));
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
