//! The state under test: a state machine of it alone.

use fluxus_schema::problem::Fault;
use serde_json::{Map, Value, json};

use super::{Refusal, TestStateRequest};
use crate::definition::{Definition, State, StateId};
use crate::parse::{self, Checked, MachineType, Noted};
use crate::simulate::validation::{self, Diagnostic};

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
    let whole = match &request.definition {
        Value::String(text) => validation::document(text).map_err(|told| refused(&told))?,
        document => document.clone(),
    };
    let machine = match &request.state_name {
        None => alone(&whole, None),
        Some(name) => {
            let definition = parsed(&whole, "")?;
            let state = definition.state_named(name);
            let state = state.and_then(|state| whole.pointer(&state.pointer)).ok_or_else(|| {
                Refusal::validation("State not found in definition")
                    .with_help("the name of a nested state counts too; case and blanks matter")
            })?;
            alone(state, whole.get("QueryLanguage"))
        }
    };
    let is_machine = request.state_name.is_none() && whole.get("States").is_some();
    let definition = parsed(&machine, POINTER).map_err(|refusal| match is_machine {
        true => refusal.with_help("this is a state machine: name the state to test"),
        false => refusal,
    })?;
    let id = definition.start_at;
    Ok(Subject { definition, id })
}

/// What is wrong or odd with a single state.
pub(super) fn faults(state: &Value) -> Vec<Fault> {
    let faults = parse::check(&alone(state, None), MachineType::Standard).faults.into_iter();
    let own = faults.filter_map(|Noted { fault, .. }| {
        let pointer = fault.pointer.strip_prefix(POINTER)?;
        let is_within = pointer.is_empty() || pointer.starts_with('/');
        is_within.then(|| Fault { pointer: pointer.to_owned(), ..fault.clone() })
    });
    own.collect()
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

/// The definition; where it is not valid, what is wrong at `pointer` or below counts.
fn parsed(machine: &Value, pointer: &str) -> Result<Definition, Refusal> {
    let Checked { definition, faults } = parse::check(machine, MachineType::Standard);
    definition.ok_or_else(|| {
        let (own, other): (Vec<_>, Vec<_>) =
            faults.into_iter().partition(|noted| noted.fault.pointer.starts_with(pointer));
        let told = if own.iter().any(|noted| noted.fault.is_error()) { own } else { other };
        refused(&validation::diagnostics(machine, &told))
    })
}

fn refused(diagnostics: &[Diagnostic]) -> Refusal {
    Refusal::definition(validation::refusal(diagnostics).unwrap_or_default())
}
