//! Collects the states of a definition and of everything nested in it, then compiles them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fluxus_schema::StateName;
use fluxus_schema::limits::MAX_NAME_CHARS;
use serde_json::Value;

use super::field::Fields;
use super::{Faults, escape, state};
use crate::definition::{Language, State, StateId};

/// All states found so far; the machine that each belongs to bounds where it may go next.
pub(crate) struct Machines<'a> {
    /// The language of states that name none.
    language: Language,
    found: Vec<Found<'a>>,
    names: BTreeMap<StateName, StateId>,
    machines: Vec<Machine>,
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
}

impl<'a> Machines<'a> {
    pub(crate) fn new(language: Language) -> Self {
        Self { language, found: Vec::new(), names: BTreeMap::new(), machines: Vec::new() }
    }

    /// Notes the states under `fields` and everything nested in them.
    pub(crate) fn collect(&mut self, fields: &mut Fields<'a>, faults: &mut Faults) {
        let machine = self.machines.len();
        let start_at = fields.required("StartAt", faults).and_then(|value| {
            if !value.is_string() {
                faults.add(fields.at("StartAt"), "must be a string");
            }
            value.as_str().map(Arc::from)
        });
        self.machines.push(Machine { pointer: fields.pointer.clone(), start_at });
        let Some(states) = fields.required("States", faults) else { return };
        let Value::Object(states_by_name) = states else {
            faults.add(fields.at("States"), "must be an object");
            return;
        };
        if states_by_name.is_empty() {
            faults.add(fields.at("States"), "must hold at least one state");
        }
        for (name, value) in states_by_name {
            let pointer = format!("{}/{}", fields.at("States"), escape(name));
            if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
                faults.add(
                    pointer.clone(),
                    format!("a state's name must have 1 to {MAX_NAME_CHARS} characters"),
                );
            }
            let name: StateName = Arc::from(name.as_str());
            let id = StateId(self.found.len());
            if self.names.insert(name.clone(), id).is_some() {
                faults.add(pointer.clone(), format!("another state is called `{name}` already"));
            }
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
            Some("Map") => ["ItemProcessor", "Iterator"]
                .into_iter()
                .filter_map(|name| Some((state.get(name)?, format!("{pointer}/{name}"))))
                .collect(),
            _ => Vec::new(),
        };
        for (machine, pointer) in nested {
            let Some(mut fields) = Fields::of(machine, pointer, faults) else { continue };
            fields.ignore("Comment");
            if kind == Some("Map") {
                state::processor_config(&mut fields, faults);
            }
            self.collect(&mut fields, faults);
            fields.report_unknown(faults);
        }
    }

    /// Compiles every state; none where one of them cannot be.
    pub(crate) fn compile(&self, faults: &mut Faults) -> Option<Vec<State>> {
        for (index, machine) in self.machines.iter().enumerate() {
            if let Some(start_at) = &machine.start_at
                && self.within(index, start_at).is_none()
            {
                faults.add(
                    format!("{}/StartAt", machine.pointer),
                    format!("there is no state `{start_at}` here"),
                );
            }
        }
        let mut reached = BTreeSet::new();
        let mut compiled = Vec::with_capacity(self.found.len());
        let mut complete = true;
        for found in &self.found {
            let mut scope = Scope { machines: self, machine: found.machine, reached: &mut reached };
            let fields = Fields::of(found.value, found.pointer.clone(), faults);
            let state = fields.and_then(|mut fields| {
                fields.query_language(self.language, faults);
                state::compile(&found.name, fields, &mut scope, faults)
            });
            complete &= state.is_some();
            compiled.extend(state);
        }
        self.report_unreached(&reached, faults);
        complete.then_some(compiled)
    }

    pub(crate) fn names(&self) -> BTreeMap<StateName, StateId> {
        self.names.clone()
    }

    fn within(&self, machine: usize, name: &str) -> Option<StateId> {
        self.names.get(name).copied().filter(|id| self.found[id.0].machine == machine)
    }

    fn report_unreached(&self, reached: &BTreeSet<StateId>, faults: &mut Faults) {
        for (index, found) in self.found.iter().enumerate() {
            let begins = self.machines[found.machine].start_at.as_ref() == Some(&found.name);
            if !begins && !reached.contains(&StateId(index)) {
                faults.add(found.pointer.clone(), "no state leads here");
            }
        }
    }
}

/// What a state may refer to: the other states of its own machine.
pub(crate) struct Scope<'m, 'a> {
    machines: &'m Machines<'a>,
    machine: usize,
    reached: &'m mut BTreeSet<StateId>,
}

impl Scope<'_, '_> {
    /// The state that `pointer` names, which must be in the same machine.
    pub(crate) fn target(
        &mut self,
        name: &str,
        pointer: String,
        faults: &mut Faults,
    ) -> Option<StateId> {
        let id = self.machines.within(self.machine, name);
        match id {
            Some(id) => {
                self.reached.insert(id);
            }
            None => faults.add(pointer, format!("there is no state `{name}` here")),
        }
        id
    }

    /// Where a nested machine begins: reported by [`Machines::compile`] where it is missing.
    pub(crate) fn start_of(&self, pointer: &str) -> Option<StateId> {
        let index = self.machines.machines.iter().position(|machine| machine.pointer == pointer)?;
        let start_at = self.machines.machines[index].start_at.as_ref()?;
        self.machines.within(index, start_at)
    }
}
