//! Compiling one state.

use std::sync::Arc;

use fluxus_schema::limits::MAX_SECONDS;
use fluxus_schema::{StateName, Timestamp};
use serde_json::Value;

use super::expression::Sees;
use super::field::Fields;
use super::machine::Scope;
use super::{Faults, MachineType, choice, map, policy, resource, warnings, wording};
use crate::definition::{Flow, JsonataFlow, Kind, Language, PathFlow, State, Task, Then, Wait};
use crate::resource::{Pattern, Resource};
use crate::template::{Template, jsonata_source};

/// In the service's order.
const TYPES: [&str; 8] = ["Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map"];

pub(crate) fn compile(
    name: &StateName,
    mut fields: Fields<'_>,
    scope: &Scope<'_, '_>,
    faults: &mut Faults,
) -> Option<State> {
    fields.ignore("Comment");
    let Some(kind) = state_type(&mut fields, faults) else {
        fields.tell_missing(faults);
        return None;
    };
    let flow = match fields.language {
        Language::JsonPath => Flow::Path(path_flow(&mut fields, kind, faults)),
        Language::Jsonata => Flow::Jsonata(jsonata_flow(&mut fields, kind, faults)),
    };
    let assign = match kind {
        "Fail" | "Succeed" => None,
        _ => fields.template_seeing(sees(kind), "Assign", faults),
    };
    let compiled = match kind {
        "Pass" if fields.is_jsonata() => Some(Kind::Pass { result: None }),
        "Pass" => Some(Kind::Pass { result: fields.value("Result").cloned().map(Arc::new) }),
        "Task" => task(&mut fields, scope, faults),
        "Choice" => choice::compile(&mut fields, scope, faults),
        "Wait" => wait(&mut fields, faults),
        "Succeed" => Some(Kind::Succeed),
        "Fail" => Some(Kind::Fail {
            error: fields.text_or_path("Error", "ErrorPath", faults),
            cause: fields.text_or_path("Cause", "CausePath", faults),
        }),
        "Parallel" => parallel(&mut fields, scope, faults),
        _ => map::compile(&mut fields, scope, faults),
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
    fields.finish(other_fields(kind, fields.language), faults);
    warnings::check(&fields, kind, faults);
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

fn state_type(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<&'static str> {
    fields.required("Type");
    let text = fields.text("Type", faults)?;
    let known = TYPES.into_iter().find(|known| *known == text);
    if known.is_none() {
        let near = super::near::nearest(TYPES.into_iter(), text);
        let help = near.map(|near| format!("there is {near}"));
        faults.add_with_help(fields.at("Type"), wording::field_one_of("Type", &TYPES), help);
    }
    known
}

/// The fields that a state of this type has in the other query language only.
fn other_fields(kind: &str, language: Language) -> &'static [&'static str] {
    match (language, kind) {
        (Language::Jsonata, "Pass") => {
            &["InputPath", "OutputPath", "Result", "ResultPath", "Parameters"]
        }
        (Language::Jsonata, "Task") => &[
            "InputPath",
            "OutputPath",
            "ResultPath",
            "Parameters",
            "ResultSelector",
            "TimeoutSecondsPath",
            "HeartbeatSecondsPath",
        ],
        (Language::Jsonata, "Wait") => &["InputPath", "OutputPath", "SecondsPath", "TimestampPath"],
        (Language::Jsonata, "Parallel") => {
            &["InputPath", "OutputPath", "ResultPath", "Parameters", "ResultSelector"]
        }
        (Language::Jsonata, "Map") => &[
            "InputPath",
            "OutputPath",
            "ResultPath",
            "Parameters",
            "ResultSelector",
            "ItemsPath",
            "MaxConcurrencyPath",
            "ToleratedFailurePercentagePath",
            "ToleratedFailureCountPath",
        ],
        (Language::Jsonata, "Choice" | "Succeed") => &["InputPath", "OutputPath"],
        (Language::Jsonata, _) => &["ErrorPath", "CausePath"],
        (Language::JsonPath, "Task" | "Parallel") => &["Arguments", "Output"],
        (Language::JsonPath, "Map") => &["Items", "Output"],
        (Language::JsonPath, "Fail") => &[],
        (Language::JsonPath, _) => &["Output"],
    }
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

/// What a state of this type has when its `Output` and `Assign` are made.
fn sees(kind: &str) -> Sees {
    match kind {
        "Task" | "Parallel" | "Map" => Sees::Result,
        _ => Sees::Input,
    }
}

fn jsonata_flow(fields: &mut Fields<'_>, kind: &str, faults: &mut Faults) -> JsonataFlow {
    let mut flow = JsonataFlow::default();
    if kind != "Fail" {
        flow.output = fields.template_seeing(sees(kind), "Output", faults);
    }
    if matches!(kind, "Task" | "Parallel") {
        flow.arguments = fields.template("Arguments", faults);
    }
    flow
}

fn then(fields: &mut Fields<'_>, scope: &Scope<'_, '_>, faults: &mut Faults) -> Option<Then> {
    // `"End": false` says no more than no `End` at all.
    let ends = fields.flag("End", faults) != Some(false) && fields.has("End");
    let next = fields.text("Next", faults);
    let target = next.and_then(|name| scope.target(name, fields.at("Next"), faults));
    match (fields.has("Next"), ends) {
        (true, true) => {
            faults.add(fields.pointer.clone(), wording::only_one(&["Next", "End"]));
            None
        }
        (true, false) => target.map(Then::Next),
        (false, true) => Some(Then::End),
        (false, false) => {
            faults.add(fields.pointer.clone(), wording::one_needed(&["Next", "End"]));
            None
        }
    }
}

fn task(fields: &mut Fields<'_>, scope: &Scope<'_, '_>, faults: &mut Faults) -> Option<Kind> {
    fields.required("Resource");
    let text = fields.text("Resource", faults);
    let resource = text.and_then(|text| match resource::parse(text) {
        Ok(resource) => Some(resource),
        Err(refused) => {
            faults.add_with_help(fields.at("Resource"), refused.detail, refused.help);
            None
        }
    });
    if let (Some(text), Some(resource)) = (text, &resource) {
        if scope.machine_type() == MachineType::Express {
            express(fields, resource, faults);
        }
        resource::check_payload(fields, text, resource, faults);
    }
    let credentials = credentials(fields, faults);
    if credentials.is_some() && matches!(resource, Some(Resource::Activity { .. })) {
        let detail = "The field 'Credentials' is not supported for activities";
        faults.add(fields.at("Credentials"), detail);
    }
    let seconds = (1, MAX_SECONDS);
    let timeout = fields.number("TimeoutSeconds", "TimeoutSecondsPath", seconds, faults);
    let heartbeat = fields.number("HeartbeatSeconds", "HeartbeatSecondsPath", seconds, faults);
    Some(Kind::Task(Task { resource: resource?, timeout, heartbeat, credentials }))
}

/// What an Express state machine cannot wait for.
fn express(fields: &Fields<'_>, resource: &Resource, faults: &mut Faults) {
    match resource {
        Resource::Activity { .. } => {
            let detail = "Express state machine does not support Activity ARN";
            faults.add(fields.at("Resource"), detail);
        }
        Resource::Service { pattern, .. } => {
            let suffix = match pattern {
                Pattern::RequestResponse => return,
                Pattern::Sync2 => Pattern::Sync.suffix(),
                pattern => pattern.suffix(),
            };
            faults.add(fields.at("Resource"), wording::express_pattern(suffix));
        }
        Resource::Fluxling { .. } | Resource::Lambda { .. } => {}
    }
}

fn credentials(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Template> {
    let mut role = fields.object("Credentials", faults)?;
    role.ignore("RoleArn");
    if !role.is_jsonata() {
        role.ignore("RoleArn.$");
    }
    if !role.has("RoleArn") && (role.is_jsonata() || !role.has("RoleArn.$")) {
        faults.add(role.pointer.clone(), wording::field_required("RoleArn"));
    }
    role.finish(&[], faults);
    fields.template("Credentials", faults)
}

fn wait(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Kind> {
    let jsonata = fields.is_jsonata();
    match jsonata {
        true => fields.exactly_one(&["Seconds", "Timestamp"], faults),
        false => {
            fields.exactly_one(&["SecondsPath", "Seconds", "TimestampPath", "Timestamp"], faults)
        }
    };
    let seconds = match jsonata {
        true => fields.number("Seconds", "SecondsPath", (0, MAX_SECONDS), faults),
        // Whether only one of the two is there was told with the other two forms.
        false => {
            let path = fields.path("SecondsPath", faults).map(crate::definition::Number::Path);
            let number = fields.whole("Seconds", 0, MAX_SECONDS, faults);
            number.map(crate::definition::Number::Literal).or(path)
        }
    };
    if fields.holds_expression("Timestamp") {
        let until = fields.expression("Timestamp", faults)?;
        return Some(Kind::Wait(Wait::UntilJsonata(until)));
    }
    let until = fields.text("Timestamp", faults).and_then(|text| {
        let until = Timestamp::parse(text).ok();
        if until.is_none() {
            let help = Some("a time looks like 2026-01-31T12:00:00Z".to_owned());
            let detail = match jsonata && text.starts_with("{%") && jsonata_source(text).is_none() {
                true => wording::NOT_JSONATA,
                false => wording::NOT_A_TIME,
            };
            faults.add_with_help(fields.at("Timestamp"), detail, help);
        }
        until
    });
    let until_path =
        if jsonata { None } else { fields.path("TimestampPath", faults).map(Wait::UntilPath) };
    let wait = seconds.map(Wait::Seconds).or(until.map(Wait::Until));
    wait.or(until_path).map(Kind::Wait)
}

fn parallel(fields: &mut Fields<'_>, scope: &Scope<'_, '_>, faults: &mut Faults) -> Option<Kind> {
    let pointer = fields.at("Branches");
    let branches = fields.entries("Branches", faults)?.iter().map(Value::is_object);
    let starts: Option<Vec<_>> =
        (0..branches.len()).map(|index| scope.start_of(&format!("{pointer}/{index}"))).collect();
    Some(Kind::Parallel { branches: starts? })
}
