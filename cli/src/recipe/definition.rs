//! What can be done with a definition without a server: one call each into the crates that know.

use fluxus_machine::Definition;
use fluxus_schema::problem::Fault;
use serde_json::Value;

/// Every fault of a definition; none where it is valid.
pub fn faults(definition: &Value) -> Vec<Fault> {
    Definition::parse(definition).err().unwrap_or_default()
}

/// A definition as a Mermaid diagram.
///
/// # Errors
/// Where this build cannot draw.
pub fn mermaid(_definition: &Value) -> anyhow::Result<String> {
    anyhow::bail!("`fluxus recipe render` is not built in yet")
}
