//! What can be done with a definition without a server: one call each into the crates that know.

use fluxus_machine::Definition;
use fluxus_schema::problem::Fault;
use serde_json::Value;

/// Every fault of a definition, as the server would find them, and every warning.
pub fn faults(definition: &Value) -> Vec<Fault> {
    match Definition::parse(definition) {
        Ok(definition) => [definition.unsupported(), definition.warnings().to_vec()].concat(),
        Err(faults) => faults,
    }
}

/// A definition as a Mermaid diagram.
pub fn mermaid(definition: &Value) -> String {
    fluxling_recipes::mermaid(definition)
}
