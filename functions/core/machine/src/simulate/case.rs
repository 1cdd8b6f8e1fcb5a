//! A case as JSON: one execution with its mocks in, its end and its history out.

use fluxus_schema::limits::SERVICE_PAYLOAD_BYTES;
use fluxus_schema::problem::Fault;
use fluxus_schema::{ClaimId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Mocks, Simulated, simulate};
use crate::context::ExecutionContext;
use crate::definition::Definition;
use crate::entropy::Seed;

/// When simulated executions begin, so that the same case gives the same result on any day.
const BEGINS_AT: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// An execution to simulate.
#[derive(Debug, Deserialize)]
pub struct Case {
    /// Names it in its result.
    pub id: String,
    /// The state machine, or its text.
    pub definition: Value,
    /// The input, or its text.
    #[serde(default)]
    pub input: Value,
    /// What the tasks answer.
    #[serde(default)]
    pub mocks: Option<Mocks>,
    /// The role that the context object names.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// The state machine's name.
    #[serde(default)]
    pub sm_name: Option<String>,
}

impl Case {
    /// Runs it. The result holds `id`, `status`, `output`, `error`, `cause` and `events` in the
    /// shapes of the service's `DescribeExecution` and `GetExecutionHistory`.
    pub fn run(self) -> Value {
        let (definition, input) = match (parsed(self.definition), parsed(self.input)) {
            (Ok(definition), Ok(input)) => (definition, input),
            (Err(error), _) | (_, Err(error)) => return invalid(&self.id, &error.to_string()),
        };
        match Definition::parse(&definition) {
            Ok(definition) => {
                let name = self.sm_name.as_deref().unwrap_or("recipe");
                let context = ExecutionContext::simulated(name, self.role_arn.as_deref(), input);
                let mocks = self.mocks.unwrap_or_default();
                // A case names all that its tasks called: an activity beside them is one that
                // nobody has made.
                let definition = definition.with_activities(|state| mocks.contains_key(&**state));
                let simulated = simulate(&definition, &context, &mocks);
                let mut result = simulated.to_json();
                result["id"] = self.id.into();
                result
            }
            Err(faults) => {
                let list: Vec<_> = faults
                    .iter()
                    .map(|Fault { pointer, detail, .. }| format!("{pointer}: {detail}"))
                    .collect();
                invalid(&self.id, &list.join("; "))
            }
        }
    }
}

/// A document that may have come as the text of one.
fn parsed(value: Value) -> serde_json::Result<Value> {
    match value {
        Value::String(text) => serde_json::from_str(&text),
        // As on the service, an execution without an input has an empty one.
        Value::Null => Ok(json!({})),
        document => Ok(document),
    }
}

fn invalid(id: &str, cause: &str) -> Value {
    json!({ "id": id, "status": "FAILED", "error": "InvalidDefinition", "cause": cause, "events": [] })
}

impl Simulated {
    /// Its end and its history as JSON.
    pub fn to_json(&self) -> Value {
        let mut result = json!({ "status": self.status });
        if let Some(output) = &self.output {
            result["output"] = (**output).clone();
        }
        if let Some(failure) = &self.failure {
            result["error"] = json!(failure.error);
            result["cause"] = json!(failure.cause);
        }
        let events = self.events.iter().map(|event| {
            let mut event = json!(event);
            // The service knows no branches; its readers would stumble over the field.
            if let Value::Object(fields) = &mut event {
                fields.shift_remove("branch");
            }
            event
        });
        result["events"] = events.collect();
        if !self.written.is_empty() {
            result["written"] = json!(self.written);
        }
        result
    }
}

impl ExecutionContext {
    /// The context of a simulated execution of the recipe `name`.
    pub fn simulated(name: &str, role_arn: Option<&str>, input: Value) -> Self {
        const ACCOUNT: &str = "arn:aws:states:us-east-1:123456789012";
        let claim_id = ClaimId::new(BEGINS_AT, &[0; 10]);
        Self {
            claim_id,
            id: format!("{ACCOUNT}:execution:{name}:{claim_id}"),
            name: claim_id.to_string(),
            input: input.into(),
            role_arn: role_arn.map(Into::into),
            started_at: BEGINS_AT,
            state_machine_id: format!("{ACCOUNT}:stateMachine:{name}"),
            state_machine_name: name.to_owned(),
            region: Some("us-east-1".into()),
            seed: Seed::default(),
            max_payload_bytes: SERVICE_PAYLOAD_BYTES,
            redrive_count: 0,
            redriven_at: None,
        }
    }
}
