//! From the States Language document to a [`Definition`]: finds every fault, not only the first.

mod choice;
pub(crate) mod expression;
mod field;
mod integrations;
mod machine;
mod map;
mod near;
mod policy;
mod resource;
mod state;
mod variables;
mod warnings;
pub(crate) mod wording;

use std::collections::BTreeMap;

use fluxus_schema::limits::{MAX_DEFINITION_BYTES, MAX_NESTING, MAX_SECONDS};
use fluxus_schema::problem::{Fault, FaultCode};
use serde_json::Value;

use crate::definition::{Definition, Language};
use field::Fields;

/// What a state machine is created as: the service has two types of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MachineType {
    /// Runs for up to a year, each state once.
    #[default]
    Standard,
    /// Runs for minutes, and cannot wait for a job, a token or an activity.
    Express,
}

/// Collects what is wrong, and what is only odd.
#[derive(Default)]
pub(crate) struct Faults(Vec<Noted>);

/// A fault, and how the service tells its place.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) fault: Fault,
    /// Whether the service names the object around the place: its text names the field.
    pub(crate) around: bool,
}

impl Faults {
    /// Notes that a rule of the language is broken.
    pub(crate) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.note(FaultCode::SchemaValidationFailed, pointer, detail);
    }

    /// Notes that a rule of the language is broken, and what would be right.
    pub(crate) fn add_with_help(
        &mut self,
        pointer: impl Into<String>,
        detail: impl Into<String>,
        help: Option<String>,
    ) {
        let fault = Fault::new(FaultCode::SchemaValidationFailed, pointer, detail);
        self.take(fault.with_help(help), false);
    }

    /// Notes a fault, or a warning, of another kind.
    pub(crate) fn note(
        &mut self,
        code: FaultCode,
        pointer: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.take(Fault::new(code, pointer, detail), false);
    }

    /// The faults alone.
    pub(crate) fn into_faults(self) -> Vec<Fault> {
        self.0.into_iter().map(|noted| noted.fault).collect()
    }

    /// Takes a fault; `around` says that the service tells the object around its place.
    pub(crate) fn take(&mut self, fault: Fault, around: bool) {
        self.0.push(Noted { fault, around });
    }
}

/// A definition that was checked.
pub(crate) struct Checked {
    /// The definition, if it has no errors.
    pub(crate) definition: Option<Definition>,
    /// What is wrong or odd.
    pub(crate) faults: Vec<Noted>,
}

/// Parses and checks a whole definition.
pub(crate) fn definition(document: &Value) -> Result<Definition, Vec<Fault>> {
    let Checked { definition, faults } = check(document, MachineType::Standard);
    let faults = faults.into_iter().map(|noted| noted.fault).collect();
    match definition {
        Some(definition) => Ok(Definition { warnings: faults, ..definition }),
        None => Err(faults),
    }
}

/// Parses and checks a whole definition, as one of a state machine of this type.
pub(crate) fn check(document: &Value, machine_type: MachineType) -> Checked {
    let mut faults = Faults::default();
    let definition = checked(document, machine_type, &mut faults);
    let valid = !faults.0.iter().any(|noted| noted.fault.is_error());
    Checked { definition: definition.filter(|_| valid), faults: faults.0 }
}

fn checked(document: &Value, machine_type: MachineType, faults: &mut Faults) -> Option<Definition> {
    if fluxus_schema::claim::nesting(document) > MAX_NESTING {
        let detail = format!("is nested deeper than {MAX_NESTING} levels");
        faults.note(FaultCode::TooDeeplyNested, "", detail);
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
    top.one_of("Version", &["1.0"], faults);
    top.query_language(Language::default(), faults);
    // The service takes 0, and then knows no timeout.
    let timeout =
        top.whole("TimeoutSeconds", 0, MAX_SECONDS, faults).filter(|seconds| *seconds > 0);
    let mut machines = machine::Machines::new(top.language, machine_type);
    machines.collect(&mut top, faults);
    top.finish(&[], faults);
    variables::check(document, faults);
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

/// How the service tells a place: `/States/Pay/Catch[0]/Next`, names as they are.
pub(crate) fn location(document: &Value, pointer: &str) -> String {
    let mut location = String::new();
    let mut around = Some(document);
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        match around {
            Some(Value::Array(items)) => {
                location.push_str(&format!("[{part}]"));
                around = part.parse().ok().and_then(|index: usize| items.get(index));
            }
            _ => {
                location.push_str(&format!("/{part}"));
                around = around.and_then(|value| value.get(&part));
            }
        }
    }
    if location.is_empty() { "/".to_owned() } else { location }
}
