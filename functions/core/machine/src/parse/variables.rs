//! The names of the variables that `Assign` sets.

use std::collections::BTreeSet;

use fluxus_schema::limits::MAX_NAME_CHARS;
use fluxus_schema::problem::FaultCode;
use serde_json::{Map, Value};

use super::{Faults, escape};

/// Checks the names in a definition and in all machines nested in it.
pub(crate) fn check(document: &Value, faults: &mut Faults) {
    let jsonata = document.get("QueryLanguage").is_some_and(|named| named != "JSONPath");
    Walk { jsonata, around: Vec::new(), faults }.machine(document, "");
}

struct Walk<'a, 'f> {
    /// Whether states that name no language are in JSONata: a name has no `.$` there.
    jsonata: bool,
    /// What the machines around this one assign.
    around: Vec<BTreeSet<&'a str>>,
    faults: &'f mut Faults,
}

impl<'a> Walk<'a, '_> {
    fn machine(&mut self, machine: &'a Value, pointer: &str) {
        let Some(states) = machine.get("States").and_then(Value::as_object) else { return };
        let mut assigned = BTreeSet::new();
        for (name, state) in states {
            let pointer = format!("{pointer}/States/{}", escape(name));
            self.state(state, &pointer, &mut assigned);
        }
        self.around.push(assigned);
        for (name, state) in states {
            let pointer = format!("{pointer}/States/{}", escape(name));
            self.nested(state, &pointer);
        }
        self.around.pop();
    }

    fn state(&mut self, state: &'a Value, pointer: &str, assigned: &mut BTreeSet<&'a str>) {
        let jsonata = match state.get("QueryLanguage") {
            None => self.jsonata,
            Some(named) => named != "JSONPath",
        };
        let mut note = |owner: &'a Value, pointer: &str| {
            let Some(assign) = owner.get("Assign").and_then(Value::as_object) else { return };
            self.names(assign, jsonata, &format!("{pointer}/Assign"), assigned);
        };
        note(state, pointer);
        for list in ["Choices", "Catch"] {
            let entries = state.get(list).and_then(Value::as_array);
            for (index, entry) in entries.into_iter().flatten().enumerate() {
                note(entry, &format!("{pointer}/{list}/{index}"));
            }
        }
    }

    fn names(
        &mut self,
        assign: &'a Map<String, Value>,
        jsonata: bool,
        pointer: &str,
        assigned: &mut BTreeSet<&'a str>,
    ) {
        for key in assign.keys() {
            let name = if jsonata { key } else { key.strip_suffix(".$").unwrap_or(key) };
            let pointer = format!("{pointer}/{}", escape(key));
            if name == "states" {
                let detail = "Cannot assign to reserved variable '$states'.";
                self.faults.note(FaultCode::ReservedVariableName, pointer, detail);
            } else if let Some(why) = invalid(name) {
                let detail = format!("Invalid variable name '{name}': {why}");
                self.faults.note(FaultCode::InvalidVariableName, pointer, detail);
            } else if self.around.iter().any(|names| names.contains(name)) {
                let detail =
                    format!("The variable name '{name}' was already defined in a parent scope.");
                self.faults.note(FaultCode::DuplicateVariableName, pointer, detail);
            } else {
                assigned.insert(name);
            }
        }
    }

    fn nested(&mut self, state: &'a Value, pointer: &str) {
        let branches = state.get("Branches").and_then(Value::as_array);
        for (index, branch) in branches.into_iter().flatten().enumerate() {
            self.machine(branch, &format!("{pointer}/Branches/{index}"));
        }
        for name in ["ItemProcessor", "Iterator"] {
            let Some(processor) = state.get(name) else { continue };
            let mode = processor.get("ProcessorConfig").and_then(|config| config.get("Mode"));
            // The executions of a distributed Map see none of the variables around it.
            let distributed = mode.is_some_and(|mode| mode == "DISTRIBUTED");
            let around = if distributed { std::mem::take(&mut self.around) } else { Vec::new() };
            self.machine(processor, &format!("{pointer}/{name}"));
            if distributed {
                self.around = around;
            }
        }
    }
}

fn invalid(name: &str) -> Option<String> {
    let mut characters = name.chars();
    let Some(first) = characters.next() else {
        return Some("the variable name is empty.".to_owned());
    };
    if name.chars().count() > MAX_NAME_CHARS {
        return Some(format!("the variable name has more than {MAX_NAME_CHARS} characters."));
    }
    let valid = first.is_alphabetic() && characters.all(|c| c.is_alphanumeric() || c == '_');
    (!valid).then(|| "the variable name contains invalid characters.".to_owned())
}
