//! What is valid, and yet hardly means what it says: paths that nothing looks up.

use fluxus_schema::problem::FaultCode;
use serde_json::Value;

use super::field::Fields;
use super::{Faults, escape};

/// Checks a state in JSONPath.
pub(crate) fn check(fields: &Fields<'_>, kind: &str, faults: &mut Faults) {
    if fields.is_jsonata() {
        return;
    }
    for name in ["Parameters", "ResultSelector", "ItemSelector", "Assign"] {
        if let Some(template) = fields.get(name) {
            no_dollar(template, &fields.at(name), faults);
        }
    }
    if kind == "Pass"
        && let Some(result) = fields.get("Result")
        && holds_path(result)
    {
        let detail = "The Result of a Pass state is taken as it is: paths and functions in it are \
                      not looked up. Parameters looks them up";
        faults.note(FaultCode::PassResultIsStatic, fields.at("Result"), detail);
    }
    let plain: &[&str] = if kind == "Fail" { &["Error", "Cause"] } else { &[] };
    for name in plain {
        no_path(fields.get(name), &fields.at(name), name, faults);
    }
    let choices = fields.get("Choices").and_then(Value::as_array);
    for (index, rule) in choices.into_iter().flatten().enumerate() {
        comparison(rule, &format!("{}/{index}", fields.at("Choices")), faults);
    }
}

/// A member whose value is a path, though its name does not end in `.$`.
fn no_dollar(template: &Value, pointer: &str, faults: &mut Faults) {
    match template {
        Value::Object(members) => {
            for (name, value) in members {
                let pointer = format!("{pointer}/{}", escape(name));
                match value {
                    Value::String(text) if !name.ends_with(".$") && is_computed(text) => {
                        let detail = format!(
                            "The value of '{name}' looks like a path or a function, and is taken \
                             as a text; '{name}.$' looks it up"
                        );
                        faults.note(FaultCode::NoDollar, pointer, detail);
                    }
                    value => no_dollar(value, &pointer, faults),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                no_dollar(item, &format!("{pointer}/{index}"), faults);
            }
        }
        _ => {}
    }
}

/// A test of a Choice rule that compares with the text of a path.
fn comparison(rule: &Value, pointer: &str, faults: &mut Faults) {
    let Value::Object(members) = rule else { return };
    for (name, value) in members {
        let pointer = format!("{pointer}/{}", escape(name));
        match value {
            Value::Array(rules) => {
                for (index, rule) in rules.iter().enumerate() {
                    comparison(rule, &format!("{pointer}/{index}"), faults);
                }
            }
            Value::Object(_) if name == "Not" => comparison(value, &pointer, faults),
            value if name.starts_with("String") && !name.ends_with("Path") => {
                let name = if name == "StringMatches" { "" } else { name };
                no_path(Some(value), &pointer, name, faults);
            }
            _ => {}
        }
    }
}

fn no_path(value: Option<&Value>, pointer: &str, name: &str, faults: &mut Faults) {
    if name.is_empty() || !value.and_then(Value::as_str).is_some_and(is_computed) {
        return;
    }
    let detail = format!(
        "The value of '{name}' looks like a path, and is taken as a text; '{name}Path' looks it up"
    );
    faults.note(FaultCode::NoPath, pointer, detail);
}

fn holds_path(value: &Value) -> bool {
    match value {
        Value::String(text) => is_computed(text),
        Value::Array(items) => items.iter().any(holds_path),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.ends_with(".$") || holds_path(value))
        }
        _ => false,
    }
}

/// Whether a text is a path from a root, or a call of one of the language's functions.
fn is_computed(text: &str) -> bool {
    let call = |rest: &str| rest.contains('(') && rest.trim_end().ends_with(')');
    text == "$"
        || ["$.", "$[", "$$."].iter().any(|root| text.starts_with(root))
        || text.strip_prefix("States.").is_some_and(call)
}
