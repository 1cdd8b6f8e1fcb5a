//! The state under test: a state machine of it alone.

use serde_json::{Map, Value, json};

use super::Refusal;
use super::request::{TestStateRequest, document};
use crate::definition::{Definition, State, StateId};

/// What the service calls every state that it tests: the context object and the causes of failures
/// say so, whatever the state is called in its machine.
pub(super) const NAME: &str = "StateName";

/// The pointer to it.
const POINTER: &str = "/States/StateName";

/// A state that can be run.
pub(super) struct Subject {
    pub(super) definition: Definition,
    id: StateId,
}

impl Subject {
    pub(super) fn id(&self) -> StateId {
        self.id
    }

    pub(super) fn state(&self) -> &State {
        self.definition.state(self.id)
    }

    /// Whether a state of that name stands within it.
    pub(super) fn holds(&self, name: &str) -> bool {
        let found = self.definition.state_named(name);
        found.is_some_and(|state| state.pointer.starts_with(&format!("{POINTER}/")))
    }
}

/// The state that the request is about.
pub(super) fn find(request: &TestStateRequest) -> Result<Subject, Refusal> {
    let whole = document(&request.definition).map_err(|error| {
        let told = format!("INVALID_JSON_DESCRIPTION: Invalid JSON description: {error}");
        Refusal::definition(format!("Invalid State Machine Definition: '{told}'"))
    })?;
    let machine = match &request.state_name {
        None => alone(&whole, None),
        Some(name) => {
            let pointer = {
                let definition = parsed(&whole)?;
                let state = definition.state_named(name);
                state.map(|state| state.pointer.clone())
            };
            let state = pointer.and_then(|pointer| whole.pointer(&pointer));
            let state = state.ok_or_else(|| {
                Refusal::validation("State not found in definition")
                    .with_help("the name of a nested state counts too; case and blanks matter")
            })?;
            alone(state, whole.get("QueryLanguage"))
        }
    };
    let definition = parsed(&machine).map_err(|refusal| {
        match request.state_name.is_none() && whole.get("States").is_some() {
            true => refusal.with_help("this is a state machine: name the state to test"),
            false => refusal,
        }
    })?;
    let id = definition.start_at;
    Ok(Subject { definition, id })
}

/// A state machine of `state` and, in the place of each state that it leads to, one that ends it.
fn alone(state: &Value, language: Option<&Value>) -> Value {
    let mut states = Map::from_iter([(NAME.to_owned(), state.clone())]);
    for target in targets(state) {
        states.entry(target).or_insert_with(|| json!({ "Type": "Succeed" }));
    }
    let mut machine = json!({ "StartAt": NAME, "States": states });
    if let Some(language) = language {
        machine["QueryLanguage"] = language.clone();
    }
    machine
}

fn targets(state: &Value) -> impl Iterator<Item = &str> {
    let entries = ["Choices", "Catch"].into_iter().filter_map(|name| state.get(name)?.as_array());
    let next = entries.flatten().map(|entry| entry.get("Next"));
    let own = [state.get("Next"), state.get("Default")];
    own.into_iter().chain(next).flatten().filter_map(Value::as_str)
}

fn parsed(machine: &Value) -> Result<Definition, Refusal> {
    Definition::parse(machine).map_err(|faults| {
        let errors = faults.iter().filter(|fault| fault.is_error());
        let told = errors
            .map(|fault| format!("{}: {} at {}", fault.code.as_str(), fault.detail, fault.pointer));
        let list = told.collect::<Vec<_>>().join(", ");
        Refusal::definition(format!("Invalid State Machine Definition: '{list}'"))
    })
}
