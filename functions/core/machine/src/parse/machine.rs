//! Collects the states of a definition and of everything nested in it, then compiles them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fluxus_schema::StateName;
use fluxus_schema::limits::MAX_NAME_CHARS;
use fluxus_schema::problem::{Fault, FaultCode};
use serde_json::Value;

use super::field::Fields;
use super::near::nearest;
use super::{Faults, MachineType, escape, map, state, wording};
use crate::definition::{Language, State, StateId};

/// All states found so far; the machine that each belongs to bounds where it may go next.
pub(crate) struct Machines<'a> {
    /// The language of states that name none.
    language: Language,
    machine_type: MachineType,
    found: Vec<Found<'a>>,
    names: BTreeMap<StateName, StateId>,
    machines: Vec<Machine>,
    by_pointer: BTreeMap<String, usize>,
    labels: BTreeSet<&'a str>,
}

struct Found<'a> {
    name: StateName,
    value: &'a Value,
    pointer: String,
    machine: usize,
}

/// One StartAt and its States: the definition itself, a Parallel branch, a Map's processor.
struct Machine {
    pointer: String,
    start_at: Option<StateName>,
    states: Vec<StateId>,
}

impl<'a> Machines<'a> {
    pub(crate) fn new(language: Language, machine_type: MachineType) -> Self {
        Self {
            language,
            machine_type,
            found: Vec::new(),
            names: BTreeMap::new(),
            machines: Vec::new(),
            by_pointer: BTreeMap::new(),
            labels: BTreeSet::new(),
        }
    }

    /// Notes the states under `fields` and everything nested in them.
    pub(crate) fn collect(&mut self, fields: &mut Fields<'a>, faults: &mut Faults) {
        let machine = self.machines.len();
        let states = fields.required("States");
        fields.required("StartAt");
        let start_at = fields.text("StartAt", faults).map(Arc::from);
        let pointer = fields.pointer.clone();
        self.by_pointer.insert(pointer.clone(), machine);
        self.machines.push(Machine { pointer, start_at, states: Vec::new() });
        let states_by_name = match states {
            None => return,
            Some(Value::Object(states)) => states,
            Some(_) => return faults.add(fields.at("States"), wording::OBJECT),
        };
        if states_by_name.is_empty() {
            faults.add(fields.at("States"), wording::EMPTY);
        }
        for (name, value) in states_by_name {
            let pointer = format!("{}/{}", fields.at("States"), escape(name));
            if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
                let detail = match name.as_str() {
                    "" => "Invalid State name: ''".to_owned(),
                    name => format!(
                        "Invalid State name: '{name}' exceeds the {MAX_NAME_CHARS}-character \
                         limit allowed by the service"
                    ),
                };
                faults.note(FaultCode::InvalidStateName, pointer.clone(), detail);
            }
            let name: StateName = Arc::from(name.as_str());
            let id = StateId(self.found.len());
            if self.names.insert(name.clone(), id).is_some() {
                let detail = format!("Duplicate State name: {name}");
                let help = Some("names are unique among all states, nested ones too".to_owned());
                let fault = Fault::new(FaultCode::DuplicateStateName, pointer.clone(), detail);
                faults.take(fault.with_help(help), false);
            }
            self.machines[machine].states.push(id);
            self.found.push(Found { name, value, pointer: pointer.clone(), machine });
            self.collect_nested(value, &pointer, faults);
        }
    }

    fn collect_nested(&mut self, state: &'a Value, pointer: &str, faults: &mut Faults) {
        let kind = state.get("Type").and_then(Value::as_str);
        let nested: Vec<(&'a Value, String)> = match kind {
            Some("Parallel") => {
                let branches = state.get("Branches").and_then(Value::as_array);
                let branches = branches.map(Vec::as_slice).unwrap_or_default();
                let at = |(index, branch)| (branch, format!("{pointer}/Branches/{index}"));
                branches.iter().enumerate().map(at).collect()
            }
            Some("Map") => {
                if let Some(label) = state.get("Label").and_then(Value::as_str)
                    && !self.labels.insert(label)
                {
                    let detail = format!("Duplicate Label name: {label}");
                    faults.note(FaultCode::DuplicateLabelName, format!("{pointer}/Label"), detail);
                }
                ["ItemProcessor", "Iterator"]
                    .into_iter()
                    .filter_map(|name| Some((state.get(name)?, format!("{pointer}/{name}"))))
                    .collect()
            }
            _ => Vec::new(),
        };
        for (machine, pointer) in nested {
            let Some(mut fields) = Fields::of(machine, pointer, faults) else { continue };
            fields.ignore("Comment");
            if kind == Some("Map") {
                map::processor_config(&mut fields, self.machine_type, faults);
            }
            self.collect(&mut fields, faults);
            fields.finish(&[], faults);
        }
    }

    /// Compiles every state; none where one of them cannot be.
    pub(crate) fn compile(&self, faults: &mut Faults) -> Option<Vec<State>> {
        let mut compiled = Vec::with_capacity(self.found.len());
        let mut complete = true;
        for found in &self.found {
            let scope = Scope { machines: self, machine: found.machine };
            let fields = Fields::of(found.value, found.pointer.clone(), faults);
            let state = fields.and_then(|mut fields| {
                fields.query_language(self.language, faults);
                state::compile(&found.name, fields, &scope, faults)
            });
            complete &= state.is_some();
            compiled.extend(state);
        }
        for (index, machine) in self.machines.iter().enumerate() {
            self.check_transitions(index, machine, faults);
        }
        complete.then_some(compiled)
    }

    /// Tells where the machine begins at no state of its own, where nothing ends it, and which of
    /// its states nothing leads to.
    fn check_transitions(&self, index: usize, machine: &Machine, faults: &mut Faults) {
        let scope = Scope { machines: self, machine: index };
        if let Some(start_at) = &machine.start_at {
            scope.target(start_at, format!("{}/StartAt", machine.pointer), faults);
        }
        // Only the outermost machine must have an end, and without one the service looks no
        // further.
        let ends = |id: &StateId| ends(self.found[id.0].value);
        if index == 0 && !machine.states.is_empty() && !machine.states.iter().any(ends) {
            faults.note(FaultCode::MissingEndState, "", wording::NO_END);
            return;
        }
        let Some(start_at) = &machine.start_at else { return };
        let mut reached = BTreeSet::new();
        let mut open: Vec<_> = self.within(index, start_at).into_iter().collect();
        while let Some(id) = open.pop() {
            if reached.insert(id) {
                let targets = targets(self.found[id.0].value);
                open.extend(targets.into_iter().filter_map(|name| self.within(index, name)));
            }
        }
        for id in machine.states.iter().filter(|id| !reached.contains(id)) {
            let Found { name, pointer, .. } = &self.found[id.0];
            let detail = wording::unreachable_state(name);
            faults.note(FaultCode::MissingTransitionTarget, pointer.clone(), detail);
        }
    }

    pub(crate) fn names(&self) -> BTreeMap<StateName, StateId> {
        self.names.clone()
    }

    fn within(&self, machine: usize, name: &str) -> Option<StateId> {
        self.names.get(name).copied().filter(|id| self.found[id.0].machine == machine)
    }
}

/// Whether the state ends its machine.
fn ends(state: &Value) -> bool {
    let kind = state.get("Type").and_then(Value::as_str);
    matches!(kind, Some("Succeed" | "Fail")) || state.get("End") == Some(&Value::Bool(true))
}

/// Every state that this one names as its next.
fn targets(state: &Value) -> Vec<&str> {
    let own = ["Next", "Default"].into_iter().filter_map(|name| state.get(name));
    let entries = ["Choices", "Catch"].into_iter().filter_map(|name| state.get(name)?.as_array());
    let nested = entries.flatten().filter_map(|entry| entry.get("Next"));
    own.chain(nested).filter_map(Value::as_str).collect()
}

/// What a state may refer to: the other states of its own machine.
pub(crate) struct Scope<'m, 'a> {
    machines: &'m Machines<'a>,
    machine: usize,
}

impl Scope<'_, '_> {
    pub(crate) fn machine_type(&self) -> MachineType {
        self.machines.machine_type
    }

    /// The state that is named at `pointer`, which must be in the same machine.
    pub(crate) fn target(
        &self,
        name: &str,
        pointer: String,
        faults: &mut Faults,
    ) -> Option<StateId> {
        let id = self.machines.within(self.machine, name);
        if id.is_none() {
            let fault = Fault::new(
                FaultCode::MissingTransitionTarget,
                pointer,
                wording::missing_target(name),
            );
            faults.take(fault.with_help(self.help(name)), false);
        }
        id
    }

    /// What may have been meant by the name of no state here.
    fn help(&self, name: &str) -> Option<String> {
        if let Some(id) = self.machines.names.get(name) {
            let pointer = &self.machines.found[id.0].pointer;
            return Some(format!("{pointer} is in another machine, which cannot be entered so"));
        }
        let states = &self.machines.machines[self.machine].states;
        let names = states.iter().map(|id| &*self.machines.found[id.0].name);
        nearest(names, name).map(|near| format!("there is a state {near}"))
    }

    /// Where a nested machine begins: told by [`Machines::compile`] where it is missing.
    pub(crate) fn start_of(&self, pointer: &str) -> Option<StateId> {
        let index = *self.machines.by_pointer.get(pointer)?;
        let start_at = self.machines.machines[index].start_at.as_ref()?;
        self.machines.within(index, start_at)
    }
}
