//! The context object of a test.

use fluxus_schema::limits::SERVICE_PAYLOAD_BYTES;
use fluxus_schema::{ClaimId, Json, Timestamp};
use serde_json::{Map, Value, json};

use super::Refusal;
use super::request::{TestStateRequest, document};
use super::subject::NAME;
use crate::context::ExecutionContext;
use crate::definition::{Kind, State};
use crate::entropy::Seed;
use crate::probe::Probe;

/// When every test begins, so that the same test gives the same response on any day.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_704_067_200_000);

const ACCOUNT: &str = "us-east-1:123456789012";

/// The execution that the state is tested in.
pub(super) fn execution(request: &TestStateRequest, input: Json) -> ExecutionContext {
    let claim_id = ClaimId::new(NOW, &[0; 10]);
    let (name, machine) = (claim_id.to_string(), "TestState");
    ExecutionContext {
        claim_id,
        id: format!("arn:aws:states:{ACCOUNT}:express:{machine}:{name}"),
        name,
        input,
        role_arn: request.role_arn.as_deref().map(Into::into),
        started_at: NOW,
        state_machine_id: format!("arn:aws:states:{ACCOUNT}:stateMachine:{machine}"),
        state_machine_name: machine.to_owned(),
        region: Some("us-east-1".into()),
        seed: Seed::default(),
        max_payload_bytes: SERVICE_PAYLOAD_BYTES,
        redrive_count: 0,
        redriven_at: None,
    }
}

/// The probe that shows the state its context object: the one that the request gives, or that of
/// `execution`.
///
/// # Errors
/// [`Refusal`] where the given one is none.
pub(super) fn probe(
    request: &TestStateRequest,
    execution: &ExecutionContext,
    state: &State,
) -> Result<Probe, Refusal> {
    if let Some(given) = &request.context {
        return Ok(Probe::new(checked(given)?, true));
    }
    let mut own = json!({
        "Execution": {
            "Id": execution.id,
            "Input": *execution.input,
            "StartTime": execution.started_at,
            "Name": execution.name,
            "RoleArn": execution.role_arn.as_deref(),
        },
        "StateMachine": {
            "Id": execution.state_machine_id,
            "Name": execution.state_machine_name,
        },
        "State": { "Name": NAME, "EnteredTime": execution.started_at },
    });
    if matches!(state.kind, Kind::Task(_) | Kind::Parallel { .. } | Kind::Map(_)) {
        own["State"]["RetryCount"] = 0.into();
    }
    Ok(Probe::new(own, false))
}

/// What a field of the context object holds.
enum Field {
    Text,
    Number,
    Any,
    Object(&'static [(&'static str, Field)]),
}

/// The fields that a given context object may have; it need have none of them.
///
/// Source: AWS Step Functions, "Accessing execution data from the Context object".
const FIELDS: &[(&str, Field)] = &[
    (
        "Execution",
        Field::Object(&[
            ("Id", Field::Text),
            ("Input", Field::Any),
            ("Name", Field::Text),
            ("RoleArn", Field::Text),
            ("StartTime", Field::Text),
            ("RedriveCount", Field::Number),
            ("RedriveTime", Field::Text),
        ]),
    ),
    (
        "State",
        Field::Object(&[
            ("EnteredTime", Field::Text),
            ("Name", Field::Text),
            ("RetryCount", Field::Number),
        ]),
    ),
    ("StateMachine", Field::Object(&[("Id", Field::Text), ("Name", Field::Text)])),
    ("Task", Field::Object(&[("Token", Field::Text)])),
    (
        "Map",
        Field::Object(&[(
            "Item",
            Field::Object(&[
                ("Index", Field::Number),
                ("Value", Field::Any),
                ("Key", Field::Text),
                ("Source", Field::Text),
            ]),
        )]),
    ),
];

fn checked(given: &Value) -> Result<Value, Refusal> {
    let refused =
        |why: String| Refusal::validation(format!("Invalid Context object provided: {why}"));
    let given = document(given).map_err(|error| refused(format!("not valid JSON: {error}")))?;
    let Value::Object(members) = &given else {
        return Err(refused("must be a JSON object".to_owned()));
    };
    check(members, FIELDS, "").map_err(refused)?;
    Ok(given)
}

fn check(members: &Map<String, Value>, fields: &[(&str, Field)], path: &str) -> Result<(), String> {
    for (name, value) in members {
        let Some((_, field)) = fields.iter().find(|(known, _)| known == name) else {
            return Err(format!("Field '{name}' is not allowed"));
        };
        let path = format!("{path}{name}");
        match (field, value) {
            (Field::Any, _)
            | (Field::Text, Value::String(_))
            | (Field::Number, Value::Number(_)) => {}
            (Field::Object(fields), Value::Object(members)) => {
                check(members, fields, &format!("{path}."))?;
            }
            (Field::Text, _) => return Err(format!("{path} must be a string")),
            (Field::Number, _) => return Err(format!("{path} must be a number")),
            (Field::Object(_), _) => return Err(format!("{path} must be an object")),
        }
    }
    Ok(())
}
