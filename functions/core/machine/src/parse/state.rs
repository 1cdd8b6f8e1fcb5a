//! Compiling one state.

use std::sync::Arc;

use fluxus_schema::limits::{MAX_BRANCHES, MAX_SECONDS};
use fluxus_schema::{StateName, Timestamp};
use serde_json::Value;

use super::field::Fields;
use super::machine::Scope;
use super::{Faults, escape, policy, resource};
use crate::comparison::Rule;
use crate::definition::{
    Choice, Condition, Flag, Flow, Items, ItemsTemplate, JsonataFlow, Kind, Language, Map,
    PathFlow, State, Task, Then, Wait,
};
use crate::template::{Template, jsonata_source};

/// Fields that a state of each type may have, beyond those of its own reading.
const TYPES: &str = "Task, Pass, Choice, Wait, Succeed, Fail, Parallel and Map";

pub(crate) fn compile(
    name: &StateName,
    mut fields: Fields<'_>,
    scope: &mut Scope<'_, '_>,
    faults: &mut Faults,
) -> Option<State> {
    fields.ignore("Comment");
    let kind = fields.required("Type", faults).and_then(Value::as_str).unwrap_or_default();
    let flow = match fields.language {
        Language::JsonPath => Flow::Path(path_flow(&mut fields, kind, faults)),
        Language::Jsonata => Flow::Jsonata(jsonata_flow(&mut fields, kind, faults)),
    };
    let assign = match kind {
        "Fail" | "Succeed" => None,
        _ => fields.template("Assign", faults),
    };
    let compiled = match kind {
        "Pass" if fields.is_jsonata() => Some(Kind::Pass { result: None }),
        "Pass" => Some(Kind::Pass { result: fields.value("Result").cloned().map(Arc::new) }),
        "Task" => task(&mut fields, faults),
        "Choice" => choice(&mut fields, scope, faults),
        "Wait" => wait(&mut fields, faults),
        "Succeed" => Some(Kind::Succeed),
        "Fail" => Some(Kind::Fail {
            error: fields.text_or_path("Error", "ErrorPath", faults),
            cause: fields.text_or_path("Cause", "CausePath", faults),
        }),
        "Parallel" => parallel(&mut fields, scope, faults),
        "Map" => map(&mut fields, scope, faults),
        other => {
            if fields.has("Type") {
                faults
                    .add(fields.at("Type"), format!("`{other}` is not a state type; {TYPES} are"));
            }
            return None;
        }
    };
    let then = match kind {
        "Choice" | "Succeed" | "Fail" => Some(Then::End),
        _ => then(&mut fields, scope, faults),
    };
    let (retry, catch) = match kind {
        "Task" | "Parallel" | "Map" => {
            (policy::retry(&mut fields, faults), policy::catch(&mut fields, scope, faults))
        }
        _ => (Vec::new(), Vec::new()),
    };
    fields.report_unknown(faults);
    let pointer = fields.pointer;
    Some(State {
        name: name.clone(),
        pointer,
        kind: compiled?,
        flow,
        assign,
        then: then?,
        retry,
        catch,
    })
}

fn path_flow(fields: &mut Fields<'_>, kind: &str, faults: &mut Faults) -> PathFlow {
    let mut flow = PathFlow::default();
    if kind != "Fail" {
        flow.input_path = fields.path_field("InputPath", faults);
        flow.output_path = fields.path_field("OutputPath", faults);
    }
    if matches!(kind, "Task" | "Pass" | "Parallel" | "Map") {
        flow.result_path = fields.reference_field("ResultPath", faults);
    }
    if matches!(kind, "Task" | "Pass" | "Parallel") {
        flow.parameters = fields.template("Parameters", faults);
    }
    if matches!(kind, "Task" | "Parallel" | "Map") {
        flow.result_selector = fields.template("ResultSelector", faults);
    }
    flow
}

fn jsonata_flow(fields: &mut Fields<'_>, kind: &str, faults: &mut Faults) -> JsonataFlow {
    let mut flow = JsonataFlow::default();
    if kind != "Fail" {
        flow.output = fields.template("Output", faults);
    }
    if matches!(kind, "Task" | "Parallel") {
        flow.arguments = fields.template("Arguments", faults);
    }
    flow
}

fn then(fields: &mut Fields<'_>, scope: &mut Scope<'_, '_>, faults: &mut Faults) -> Option<Then> {
    let next = fields.text("Next", faults);
    let end = fields.flag("End", faults);
    match (next, end) {
        (Some(_), true) => {
            faults.add(fields.pointer.clone(), "has both `Next` and `End`; one of them must go");
            None
        }
        (Some(next), false) => scope.target(next, fields.at("Next"), faults).map(Then::Next),
        (None, true) => Some(Then::End),
        (None, false) => {
            faults.add(fields.pointer.clone(), "needs `Next`, or `\"End\": true`");
            None
        }
    }
}

fn task(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Kind> {
    let pointer = fields.at("Resource");
    let named = fields.required("Resource", faults).map(|value| match value.as_str() {
        Some(text) => resource::parse(text),
        None => Err("must be a string".to_owned()),
    });
    let credentials = credentials(fields, faults);
    let seconds = (1, MAX_SECONDS);
    let timeout = fields.number("TimeoutSeconds", "TimeoutSecondsPath", seconds, faults);
    let heartbeat = fields.number("HeartbeatSeconds", "HeartbeatSecondsPath", seconds, faults);
    match named? {
        Ok(resource) => Some(Kind::Task(Task { resource, timeout, heartbeat, credentials })),
        Err(detail) => {
            faults.add(pointer, detail);
            None
        }
    }
}

fn credentials(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Template> {
    let value = fields.get("Credentials")?;
    let mut role = fields.within(value, fields.at("Credentials"), faults)?;
    role.ignore("RoleArn");
    let jsonpath = !role.is_jsonata() && role.has("RoleArn.$");
    role.ignore("RoleArn.$");
    if !jsonpath {
        role.required("RoleArn", faults)?;
    }
    role.report_unknown(faults);
    fields.template("Credentials", faults)
}

fn choice(fields: &mut Fields<'_>, scope: &mut Scope<'_, '_>, faults: &mut Faults) -> Option<Kind> {
    let default = fields.text("Default", faults);
    let default = default.and_then(|name| scope.target(name, fields.at("Default"), faults));
    let pointer = fields.at("Choices");
    let choices = match fields.required("Choices", faults)? {
        Value::Array(choices) if !choices.is_empty() => choices,
        _ => {
            faults.add(pointer, "must be an array of one or more rules");
            return None;
        }
    };
    let mut compiled = Vec::with_capacity(choices.len());
    for (index, choice) in choices.iter().enumerate() {
        let entry = fields.within(choice, format!("{pointer}/{index}"), faults);
        let Some(mut entry) = entry else { continue };
        let assign = entry.template("Assign", faults);
        let next = entry.required("Next", faults).and_then(Value::as_str);
        let next = next.and_then(|name| scope.target(name, entry.at("Next"), faults));
        let (condition, output) = match entry.language {
            Language::JsonPath => (rule(&entry, choice, faults), None),
            Language::Jsonata => {
                let output = entry.template("Output", faults);
                let condition = condition(&mut entry, faults);
                entry.ignore("Comment");
                entry.report_unknown(faults);
                (condition, output)
            }
        };
        if let (Some(condition), Some(next)) = (condition, next) {
            compiled.push(Choice { condition, next, assign, output });
        }
    }
    (compiled.len() == choices.len()).then_some(Kind::Choice { choices: compiled, default })
}

fn rule(entry: &Fields<'_>, choice: &Value, faults: &mut Faults) -> Option<Condition> {
    match Rule::parse(choice) {
        Ok(rule) => Some(Condition::Rule(rule)),
        Err(found) => {
            for fault in found {
                faults.add(format!("{}{}", entry.pointer, fault.pointer), fault.detail);
            }
            None
        }
    }
}

fn condition(entry: &mut Fields<'_>, faults: &mut Faults) -> Option<Condition> {
    let value = entry.required("Condition", faults)?;
    let flag = match value {
        Value::Bool(flag) => Some(Flag::Literal(*flag)),
        Value::String(text) if jsonata_source(text).is_some() => {
            entry.expression("Condition", faults).map(Flag::Jsonata)
        }
        _ => {
            faults.add(entry.at("Condition"), "must be true, false, or a text `{% ... %}`");
            None
        }
    };
    flag.map(Condition::Jsonata)
}

fn wait(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Kind> {
    let seconds = fields.number("Seconds", "SecondsPath", (0, MAX_SECONDS), faults);
    let jsonata = fields.is_jsonata();
    let forms: &[&str] = match jsonata {
        true => &["Seconds", "Timestamp"],
        false => &["Seconds", "SecondsPath", "Timestamp", "TimestampPath"],
    };
    if forms.iter().filter(|form| fields.has(form)).count() != 1 {
        faults.add(fields.pointer.clone(), format!("needs exactly one of {}", forms.join(", ")));
    }
    let text = fields.text("Timestamp", faults);
    if jsonata && text.and_then(jsonata_source).is_some() {
        let until = fields.expression("Timestamp", faults)?;
        return Some(Kind::Wait(Wait::UntilJsonata(until)));
    }
    let until = text.and_then(|text| {
        let until = Timestamp::parse(text).ok();
        if until.is_none() {
            let detail =
                format!("`{text}` is not a time; RFC 3339 looks like 2026-01-31T12:00:00Z");
            faults.add(fields.at("Timestamp"), detail);
        }
        until
    });
    let until_path =
        if jsonata { None } else { fields.path("TimestampPath", faults).map(Wait::UntilPath) };
    let wait = seconds.map(Wait::Seconds).or(until.map(Wait::Until));
    wait.or(until_path).map(Kind::Wait)
}

fn parallel(
    fields: &mut Fields<'_>,
    scope: &mut Scope<'_, '_>,
    faults: &mut Faults,
) -> Option<Kind> {
    let pointer = fields.at("Branches");
    let branches = match fields.required("Branches", faults)? {
        Value::Array(branches) if !branches.is_empty() => branches,
        _ => {
            faults.add(pointer, "must be an array of one or more branches");
            return None;
        }
    };
    let starts: Vec<_> = (0..branches.len())
        .filter_map(|index| scope.start_of(&format!("{pointer}/{index}")))
        .collect();
    (starts.len() == branches.len()).then_some(Kind::Parallel { branches: starts })
}

fn map(fields: &mut Fields<'_>, scope: &mut Scope<'_, '_>, faults: &mut Faults) -> Option<Kind> {
    let items = items(fields, faults);
    let selector = fields.template("ItemSelector", faults);
    let item_selector = match fields.language {
        Language::Jsonata => selector,
        Language::JsonPath => {
            if fields.has("ItemSelector") && fields.has("Parameters") {
                faults.add(
                    fields.pointer.clone(),
                    "only one of `ItemSelector` and `Parameters` may be there",
                );
            }
            fields.template("Parameters", faults).or(selector)
        }
    };
    let bounds = (0, MAX_BRANCHES as u64);
    let max_concurrency = fields.number("MaxConcurrency", "MaxConcurrencyPath", bounds, faults);
    let processors: Vec<_> =
        ["ItemProcessor", "Iterator"].into_iter().filter(|name| fields.has(name)).collect();
    fields.ignore("ItemProcessor");
    fields.ignore("Iterator");
    let [processor] = processors.as_slice() else {
        faults.add(fields.pointer.clone(), "needs exactly one `ItemProcessor`");
        return None;
    };
    let start_at = scope.start_of(&format!("{}/{}", fields.pointer, escape(processor)))?;
    Some(Kind::Map(Map { items: items?, item_selector, max_concurrency, start_at }))
}

fn items(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Items> {
    if !fields.is_jsonata() {
        return match fields.has("ItemsPath") {
            true => fields.path("ItemsPath", faults).map(Items::Path),
            false => Some(Items::Input),
        };
    }
    match fields.get("Items") {
        None => Some(Items::Input),
        Some(Value::Array(_)) => {
            let array = fields.template("Items", faults)?;
            Some(Items::Jsonata(ItemsTemplate::Array(array)))
        }
        Some(Value::String(text)) if jsonata_source(text).is_some() => {
            let expression = fields.expression("Items", faults)?;
            Some(Items::Jsonata(ItemsTemplate::Expression(expression)))
        }
        Some(_) => {
            faults.add(fields.at("Items"), "must be an array, or a text `{% ... %}`");
            None
        }
    }
}

/// Checks how a Map's processor is to run.
pub(crate) fn processor_config(fields: &mut Fields<'_>, faults: &mut Faults) {
    let pointer = fields.at("ProcessorConfig");
    let Some(value) = fields.value("ProcessorConfig") else { return };
    let Some(mut config) = Fields::of(value, pointer, faults) else { return };
    match config.text("Mode", faults) {
        None | Some("INLINE") => {}
        Some("DISTRIBUTED") => {
            faults.add(
                config.at("Mode"),
                "DISTRIBUTED cannot be run yet; INLINE has no bound on items here but memory",
            );
        }
        Some(other) => {
            faults.add(
                config.at("Mode"),
                format!("`{other}` is not a mode; INLINE and DISTRIBUTED are"),
            );
        }
    }
    config.ignore("ExecutionType");
    config.report_unknown(faults);
}
