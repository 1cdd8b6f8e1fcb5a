//! Compiling a Choice state.

use serde_json::Value;

use super::field::Fields;
use super::machine::Scope;
use super::{Faults, wording};
use crate::comparison::Rule;
use crate::definition::{Choice, Condition, Flag, Kind, Language};

pub(crate) fn compile(
    fields: &mut Fields<'_>,
    scope: &Scope<'_, '_>,
    faults: &mut Faults,
) -> Option<Kind> {
    let default = fields.text("Default", faults);
    let default = default.and_then(|name| scope.target(name, fields.at("Default"), faults));
    let pointer = fields.at("Choices");
    let choices = fields.entries("Choices", faults)?;
    let mut compiled = Vec::with_capacity(choices.len());
    for (index, choice) in choices.iter().enumerate() {
        let entry = fields.within(choice, format!("{pointer}/{index}"), faults);
        let Some(mut entry) = entry else { continue };
        let assign = entry.template("Assign", faults);
        entry.required("Next");
        let next = entry.text("Next", faults);
        let next = next.and_then(|name| scope.target(name, entry.at("Next"), faults));
        let (condition, output) = match entry.language {
            Language::JsonPath => {
                entry.tell_missing(faults);
                (Rule::compile(choice, &entry.pointer, faults).map(Condition::Rule), None)
            }
            Language::Jsonata => {
                let output = entry.template("Output", faults);
                let condition = condition(&mut entry, faults);
                entry.ignore("Comment");
                entry.finish(crate::comparison::FIELDS, faults);
                (condition, output)
            }
        };
        if let (Some(condition), Some(next)) = (condition, next) {
            compiled.push(Choice { condition, next, assign, output });
        }
    }
    (compiled.len() == choices.len()).then_some(Kind::Choice { choices: compiled, default })
}

fn condition(entry: &mut Fields<'_>, faults: &mut Faults) -> Option<Condition> {
    if entry.holds_expression("Condition") {
        let expression = entry.expression("Condition", faults)?;
        return Some(Condition::Jsonata(Flag::Jsonata(expression)));
    }
    // In JSONPath's words a rule has no `Condition`, and the fault says so already.
    if crate::comparison::FIELDS.iter().any(|name| entry.has(name)) {
        entry.ignore("Condition");
        return None;
    }
    match entry.required("Condition")? {
        Value::Bool(flag) => Some(Condition::Jsonata(Flag::Literal(*flag))),
        value => {
            let text = value.is_string();
            let detail = if text { wording::NOT_JSONATA } else { wording::BOOLEAN };
            faults.add(entry.at("Condition"), detail);
            None
        }
    }
}
