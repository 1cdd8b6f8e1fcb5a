//! From the States Language document to a [`Definition`]: finds every fault, not only the first.

mod field;
mod integrations;
mod machine;
mod policy;
mod resource;
mod state;

use std::collections::BTreeMap;

use fluxus_schema::limits::{MAX_DEFINITION_BYTES, MAX_NESTING};
use fluxus_schema::problem::{Fault, FaultCode};
use serde_json::Value;

use crate::definition::{Definition, Language};
use field::Fields;

/// Collects what is wrong, and what is only odd.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Notes that a rule of the language is broken.
    pub(crate) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.note(FaultCode::SchemaValidationFailed, pointer, detail);
    }

    /// Notes a fault, or a warning, of another kind.
    pub(crate) fn note(
        &mut self,
        code: FaultCode,
        pointer: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.0.push(Fault::new(code, pointer, detail));
    }
}

/// Parses and checks a whole definition.
pub(crate) fn definition(document: &Value) -> Result<Definition, Vec<Fault>> {
    let mut faults = Faults::default();
    let parsed = checked(document, &mut faults);
    match parsed {
        Some(mut definition) if !faults.0.iter().any(Fault::is_error) => {
            definition.warnings = faults.0;
            Ok(definition)
        }
        _ => Err(faults.0),
    }
}

fn checked(document: &Value, faults: &mut Faults) -> Option<Definition> {
    if fluxus_schema::claim::nesting(document) > MAX_NESTING {
        faults.note(
            FaultCode::TooDeeplyNested,
            "",
            format!("is nested deeper than {MAX_NESTING} levels"),
        );
        return None;
    }
    let bytes = document.to_string().len();
    if bytes > MAX_DEFINITION_BYTES {
        let detail = format!("has {bytes} bytes; the bound is {MAX_DEFINITION_BYTES}");
        faults.note(FaultCode::DefinitionTooLarge, "", detail);
        return None;
    }
    let mut top = Fields::of(document, String::new(), faults)?;
    top.ignore("Comment");
    if let Some(version) = top.text("Version", faults)
        && version != "1.0"
    {
        faults.add("/Version", format!("`{version}` is not a version of the language; 1.0 is"));
    }
    top.query_language(Language::default(), faults);
    let timeout = top.seconds("TimeoutSeconds", faults);
    let mut machines = machine::Machines::new(top.language);
    machines.collect(&mut top, faults);
    top.report_unknown(faults);
    let compiled = machines.compile(faults)?;
    let by_name: BTreeMap<_, _> = machines.names();
    let start_at = *by_name.get(top.get("StartAt")?.as_str()?)?;
    Some(Definition {
        states: compiled,
        by_name,
        start_at,
        timeout: timeout.map(std::time::Duration::from_secs),
        warnings: Vec::new(),
    })
}

/// Escapes a key for use in a JSON pointer.
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
