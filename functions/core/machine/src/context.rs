//! The context object, which recipes read as `$$`.

use fluxus_schema::{ClaimId, Json, TaskToken, Timestamp};
use serde_json::{Value, json};

use crate::branch::{ChildExecution, MapItem, Visit};
use crate::entropy::Seed;

/// What an execution knows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionContext {
    /// The claim it fulfils.
    pub claim_id: ClaimId,
    /// Its id as recipes see it: the claim's, or an ARN in a simulation.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its input.
    pub input: Json,
    /// The role it runs in, where there is one.
    pub role_arn: Option<std::sync::Arc<str>>,
    /// When it began.
    pub started_at: Timestamp,
    /// Id of its state machine: recipe and version, or an ARN in a simulation.
    pub state_machine_id: String,
    /// Name of its state machine.
    pub state_machine_name: String,
    /// AWS region that task events name.
    pub region: Option<std::sync::Arc<str>>,
    /// What all its randomness grows from.
    pub seed: Seed,
    /// The most bytes of JSON that a task, a state or an expression may give: that of Fluxus
    /// ([`fluxus_schema::limits::MAX_PAYLOAD_BYTES`]), or the service's.
    pub max_payload_bytes: usize,
    /// How often it was redriven.
    pub redrive_count: u32,
    /// When it was redriven last.
    pub redriven_at: Option<Timestamp>,
}

impl ExecutionContext {
    /// The context object in a state, in a distributed Map's execution, on a Map item, with a
    /// task's token, as far as they are there.
    ///
    /// Source: AWS Step Functions, "Accessing execution data from the Context object".
    pub(crate) fn object(
        &self,
        visit: Option<&Visit>,
        child: Option<&ChildExecution>,
        item: Option<&MapItem>,
        token: Option<&TaskToken>,
    ) -> Value {
        let mut object = json!({
            "Execution": {
                "Id": self.id,
                "Input": *self.input,
                "StartTime": self.started_at,
                "Name": self.name,
                "RoleArn": self.role_arn.as_deref().unwrap_or_default(),
                "RedriveCount": self.redrive_count,
            },
            "StateMachine": { "Id": self.state_machine_id, "Name": self.state_machine_name },
        });
        if let Some(at) = self.redriven_at {
            object["Execution"]["RedriveTime"] = json!(at);
        }
        if let Some(child) = child {
            object["Execution"]["Id"] = format!("{}{}", self.id, child.first).into();
            object["Execution"]["Name"] = format!("{}{}", self.name, child.first).into();
            object["Execution"]["Input"] = (*child.input).clone();
            object["Execution"]["StartTime"] = json!(child.started_at);
        }
        if let Some(visit) = visit {
            object["State"] = json!({ "Name": &*visit.state, "EnteredTime": visit.entered_at });
            // The service gives it only to states that can be retried.
            if visit.can_retry {
                object["State"]["RetryCount"] = visit.retry_count().into();
            }
        }
        if let Some(token) = token {
            object["Task"] = json!({ "Token": token.as_str() });
        }
        if let Some(item) = item {
            object["Map"] = map_item(item);
        }
        object
    }
}

/// What the context object says of a Map item, under `Map`.
pub(crate) fn map_item(item: &MapItem) -> Value {
    json!({ "Item": { "Index": item.index, "Value": *item.value } })
}
