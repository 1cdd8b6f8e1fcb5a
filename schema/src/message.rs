//! What the queues carry. Every message may come twice, late, or out of order.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Json;
use crate::claim::ClaimStatus;
use crate::id::{BranchId, Capability, ClaimId, FluxlingName, RecipeName, TaskToken, Tenant};
use crate::time::Timestamp;

/// Name of the queue that the core takes its messages from.
pub const CORE_QUEUE: &str = "core";

/// Name of the queue on which other systems put claims, each the document of `POST /v1/claims`.
pub const INGEST_QUEUE: &str = "ingest";

/// Channel on which the core notifies, after a commit, that claims ended.
pub const CLAIM_ENDED_CHANNEL: &str = "fluxus_claim_ended";

/// A message to the core: something happened to a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type")]
pub enum CoreMessage {
    /// A claim was durably accepted.
    ClaimSubmitted {
        /// Which.
        claim_id: ClaimId,
    },
    /// A fluxling or an outside worker did the task.
    TaskSucceeded {
        /// The attempt's token.
        token: TaskToken,
        /// What came of it.
        #[schema(value_type = Value)]
        output: Json,
        /// How it went.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        report: Option<TaskReport>,
    },
    /// The task failed.
    TaskFailed {
        /// The attempt's token.
        token: TaskToken,
        /// Error name, as Retry and Catch match it.
        error: String,
        /// What happened, in words.
        cause: String,
        /// How it went.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        report: Option<TaskReport>,
    },
    /// An outside worker took up the task of an activity.
    TaskStarted {
        /// The attempt's token.
        token: TaskToken,
        /// The worker, as it calls itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<String>,
    },
    /// The task is still being worked on.
    TaskHeartbeat {
        /// The attempt's token.
        token: TaskToken,
    },
    /// A wait, a retry interval or a task's time is over.
    TimerFired {
        /// The claim.
        claim_id: ClaimId,
        /// The branch that set the timer.
        branch_id: BranchId,
        /// The branch's revision when it did.
        revision: u32,
    },
    /// A task that nobody could be given may find somebody now.
    FluxlingAvailable {
        /// The claim.
        claim_id: ClaimId,
        /// The branch whose task it is.
        branch_id: BranchId,
    },
    /// A Map may begin more of its items.
    MapHasRoom {
        /// The claim.
        claim_id: ClaimId,
        /// The branch that is in the Map state.
        parent: BranchId,
        /// That branch's revision when it created the items.
        revision: u32,
        /// How many more may begin.
        room: u32,
    },
    /// A branch of a Parallel, or an item of a Map, ended.
    BranchEnded {
        /// The claim.
        claim_id: ClaimId,
        /// The branch that waits for it and its siblings.
        parent: BranchId,
        /// The parent's revision when it started them.
        revision: u32,
        /// The branch that ended, where it failed: the siblings need not be waited for then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<BranchId>,
    },
    /// A claim that ended without success is to go on from where it failed.
    ClaimRedriven {
        /// The claim.
        claim_id: ClaimId,
        /// How often it will have been redriven then. A message that names another number comes
        /// too late.
        redrive_count: u32,
    },
    /// An operator has a task tried again.
    TaskRetried {
        /// The claim.
        claim_id: ClaimId,
        /// The branch that waits for the task.
        branch_id: BranchId,
        /// The branch's revision when it began to wait.
        revision: u32,
        /// Who asks for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Why, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An operator ends a task by hand.
    TaskSkipped {
        /// The claim.
        claim_id: ClaimId,
        /// The branch that waits for the task.
        branch_id: BranchId,
        /// The branch's revision when it began to wait.
        revision: u32,
        /// What counts as come of the task.
        #[schema(value_type = Value)]
        output: Json,
        /// Who asks for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Why, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// End the claim now: cancelled, or out of time.
    Stopped {
        /// The claim.
        claim_id: ClaimId,
        /// `ABORTED` or `TIMED_OUT`.
        status: ClaimStatus,
        /// Error name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// What happened, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        /// How often the claim had been redriven when this was asked for. Once it was redriven
        /// again, the message comes too late. None where it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redrive_count: Option<u32>,
    },
}

/// How an attempt went, told by the fluxling that made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskReport {
    /// Who made it.
    pub fluxling: FluxlingName,
    /// When the handler began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// How long the handler took, in milliseconds.
    pub took_ms: u64,
}

/// A message to a fluxling: do this task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskMessage {
    /// Names this attempt; the answer carries it, and it is the idempotency key.
    pub token: TaskToken,
    /// What to do.
    pub capability: Capability,
    /// The task's input.
    #[schema(value_type = Value)]
    pub input: Json,
    /// The claim it is for.
    pub claim_id: ClaimId,
    /// Whose claim that is.
    pub tenant: Tenant,
    /// The recipe.
    pub recipe: RecipeName,
    /// The state, by its name in the recipe.
    #[schema(value_type = String)]
    pub state: crate::StateName,
    /// 0 for the first attempt, one more for each retry.
    pub attempt: u32,
    /// When the task was handed out.
    #[schema(value_type = String, format = DateTime)]
    pub scheduled_at: Timestamp,
    /// After this an answer is no use any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// A heartbeat is due at least this often, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u64>,
    /// W3C trace context of the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The claim's priority: its answer is sent with it.
    #[serde(default, skip_serializing_if = "is_lowest")]
    pub priority: u8,
}

fn is_lowest(priority: &u8) -> bool {
    *priority == 0
}

impl CoreMessage {
    /// The claim that it is about, and the branch, where it is about one. None for an answer whose
    /// token Fluxus never gave out.
    pub fn about(&self) -> Option<(ClaimId, Option<BranchId>)> {
        match self {
            Self::ClaimSubmitted { claim_id }
            | Self::ClaimRedriven { claim_id, .. }
            | Self::Stopped { claim_id, .. } => Some((*claim_id, None)),
            Self::TimerFired { claim_id, branch_id, .. }
            | Self::FluxlingAvailable { claim_id, branch_id }
            | Self::TaskRetried { claim_id, branch_id, .. }
            | Self::TaskSkipped { claim_id, branch_id, .. } => {
                Some((*claim_id, Some(branch_id.clone())))
            }
            Self::MapHasRoom { claim_id, parent, .. }
            | Self::BranchEnded { claim_id, parent, .. } => Some((*claim_id, Some(parent.clone()))),
            Self::TaskSucceeded { token, .. }
            | Self::TaskFailed { token, .. }
            | Self::TaskStarted { token, .. }
            | Self::TaskHeartbeat { token } => {
                let at = token.address().ok()?;
                Some((at.claim_id, Some(at.branch_id)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_type() {
        let claim_id = ClaimId::new(Timestamp::from_millis(0), &[0; 10]);
        let message =
            CoreMessage::TimerFired { claim_id, branch_id: BranchId::root(), revision: 2 };
        let text = serde_json::to_string(&message).expect("writes");
        assert_eq!(
            text,
            r#"{"type":"TimerFired","claim_id":"00000000-0000-7000-8000-000000000000","branch_id":"/","revision":2}"#
        );
        assert_eq!(serde_json::from_str::<CoreMessage>(&text).expect("reads"), message);
    }
}
