//! What an expression mentions of `$states` and of the variables, so that no more is converted.

use jsonata_core::ast::{AstNode, PathStep};
use jsonata_core::evaluator::Context;
use jsonata_core::value::{JMap, JValue};
use serde_json::Value;

use super::{Scope, States, tree, value};

/// The variables that an expression names, and which parts of each.
#[derive(Debug, Default)]
pub(super) struct Wanted(Vec<(String, Part)>);

/// A part of a document.
#[derive(Debug, Default)]
struct Part {
    /// All of it, whatever `fields` says.
    whole: bool,
    /// Only these, in an object or in each object of an array.
    fields: Vec<(String, Part)>,
}

/// The variable that holds what a state sees.
const STATES: &str = "states";

impl Wanted {
    /// What the expression may read. A name that the expression itself gives a value is taken for a
    /// variable too: that costs a look-up, never a wrong value.
    pub(super) fn by(tree: &AstNode) -> Self {
        let mut wanted = Self::default();
        // `%` reads fields beside those that its path names.
        let mut reads_parents = false;
        let mut open = vec![tree];
        while let Some(node) = open.pop() {
            match node {
                AstNode::Variable(name) | AstNode::Function { name, .. } => {
                    wanted.insert(name, &[]);
                }
                AstNode::Parent(_) => reads_parents = true,
                AstNode::Path { steps } => {
                    if let Some(PathStep { node: AstNode::Variable(name), .. }) = steps.first() {
                        wanted.insert(name, steps);
                        // The first step is done with; what its stages read is not.
                        tree::stages(&steps[0], &mut |child| open.push(child));
                        for step in &steps[1..] {
                            tree::step(step, &mut |child| open.push(child));
                        }
                        continue;
                    }
                }
                _ => {}
            }
            tree::children(node, &mut |child| open.push(child));
        }
        if reads_parents {
            wanted.0.iter_mut().for_each(|(_, part)| part.whole = true);
        }
        wanted
    }

    fn insert(&mut self, name: &str, steps: &[PathStep]) {
        // `$` is no variable.
        if name.is_empty() {
            return;
        }
        let mut part = entry(&mut self.0, name);
        if !steps.first().is_some_and(is_plain) {
            part.whole = true;
            return;
        }
        for step in &steps[1..] {
            let AstNode::Name(field) = &step.node else { break };
            part = entry(&mut part.fields, field);
            if !is_plain(step) {
                break;
            }
        }
        part.whole = true;
    }

    /// Whether a path starts with `$states.` and this field.
    pub(super) fn names_states_field(&self, field: &str) -> bool {
        let states = self.0.iter().find(|(name, _)| name == STATES);
        states.is_some_and(|(_, part)| part.fields.iter().any(|(name, _)| name == field))
    }

    /// Gives the context of an evaluation what the expression mentions.
    pub(super) fn bind(&self, scope: &Scope<'_>, context: &mut Context) {
        for (name, part) in &self.0 {
            if name == STATES {
                context.bind(name.clone(), states(&scope.states, part));
            } else if let Some(value) = scope.variables.get(name) {
                context.bind(name.clone(), part_of(value, part));
            }
        }
    }
}

fn entry<'a>(parts: &'a mut Vec<(String, Part)>, name: &str) -> &'a mut Part {
    let at = parts.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
        parts.push((name.to_owned(), Part::default()));
        parts.len() - 1
    });
    &mut parts[at].1
}

/// Whether the step gives on the field itself, without a look at its neighbours.
fn is_plain(step: &PathStep) -> bool {
    step.stages.is_empty()
        && step.focus.is_none()
        && step.index_var.is_none()
        && step.ancestor_label.is_none()
        && !step.is_tuple
}

/// The object `$states`.
fn states(states: &States<'_>, wanted: &Part) -> JValue {
    let held = States::FIELDS.into_iter().filter_map(|name| {
        let known = wanted.fields.iter().find(|(known, _)| known == name);
        let value = match known {
            Some((_, part)) if !wanted.whole => part_of(states.get(name)?, part),
            None if !wanted.whole => return None,
            _ => value::from_json(states.get(name)?),
        };
        Some((name.to_owned(), value))
    });
    JValue::Object(held.collect::<JMap>().into())
}

fn part_of(value: &Value, part: &Part) -> JValue {
    if part.whole {
        return value::from_json(value);
    }
    match value {
        Value::Object(fields) => {
            let known = part.fields.iter().filter_map(|(name, part)| {
                fields.get(name).map(|value| (name.clone(), part_of(value, part)))
            });
            JValue::Object(known.collect::<JMap>().into())
        }
        Value::Array(items) => {
            JValue::array(items.iter().map(|item| part_of(item, part)).collect())
        }
        scalar => value::from_json(scalar),
    }
}
