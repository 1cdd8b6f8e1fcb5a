//! Bodies of the REST interface that are not a domain document of their own.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::claim::Claim;
use crate::claim::ClaimStatus;
use crate::delegation::Delegation;
use crate::fluxling::Fluxling;
use crate::history::HistoryEvent;
use crate::id::{BranchId, Capability, ClaimId, FluxlingName, TaskToken};
use crate::recipe::{RecipeSummary, RecipeVersion};
use crate::time::Timestamp;

/// Answer to a submitted claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// The claim's id.
    pub claim_id: ClaimId,
    /// `RECEIVED`, or where it stood already if the idempotency key was known.
    pub status: ClaimStatus,
    /// Whether the idempotency key was known, so that no new claim was made.
    pub duplicate: bool,
}

/// A page of claims, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClaimPage {
    /// The claims.
    pub claims: Vec<Claim>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A page of a claim's history, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPage {
    /// The events.
    pub events: Vec<HistoryEvent>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Why a claim should be cancelled.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Error name to record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The reason, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// A task is to be tried again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The strand whose task it is; needed where several wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchId>,
    /// Who asks for it; the history names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in words; for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A task is to end by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// The strand whose task it is; needed where several wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchId>,
    /// What counts as come of the task.
    #[schema(value_type = Value)]
    pub output: Value,
    /// Who asks for it; the history names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in words; for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A claim goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Redriven {
    /// The claim.
    pub claim_id: ClaimId,
    /// How often it will have been redriven then.
    pub redrive_count: u32,
}

/// What is done about a claim that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeenTo {
    /// The claim.
    pub claim_id: ClaimId,
    /// Strands that it is done to.
    pub branches: Vec<BranchId>,
    /// Messages that are sent again, because nobody could handle them before.
    pub messages: u64,
}

/// A message that nobody could handle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// The queue it was in.
    pub queue: String,
    /// Names it in that queue.
    pub message_id: String,
    /// The claim it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_id: Option<ClaimId>,
    /// Why it is dead.
    pub reason: String,
    /// How often it was received.
    pub receive_count: u32,
    /// When it was sent.
    #[schema(value_type = String, format = DateTime)]
    pub sent_at: Timestamp,
    /// When it was given up, as far as that is known.
    #[schema(value_type = String, format = DateTime)]
    pub dead_at: Timestamp,
    /// The times it was received, the first one first, as far as they are known.
    pub attempts: Vec<DeliveryAttempt>,
    /// The message; only where one letter is asked for. JSON, or a text that is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub body: Option<Value>,
}

/// One time that a message was received and not dealt with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryAttempt {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why it was not dealt with, where the receiver said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A page of dead letters, queue by queue, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterPage {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Which dead letters of a queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhichLetters {
    /// These, 1,000 at most. Where one is not there, nothing is done to any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub message_ids: Vec<String>,
    /// All of the queue: instead of naming them.
    #[serde(default)]
    pub all: bool,
}

/// What became of dead letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LettersHandled {
    /// The queue.
    pub queue: String,
    /// How many those were.
    pub count: u64,
}

/// A callback's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskOutput {
    /// What came of the task.
    #[serde(default)]
    #[schema(value_type = Value)]
    pub output: Value,
}

/// A callback's failure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskFailure {
    /// Error name, as Retry and Catch match it.
    #[serde(default)]
    pub error: String,
    /// What happened, in words.
    #[serde(default)]
    pub cause: String,
}

/// A worker asks for a task of an activity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// The worker, as the history shall name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

/// A task of an activity, for the worker that polled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActivityTask {
    /// Answer with it: `/v1/tasks/{token}/succeed`, `fail` or `heartbeat`.
    pub token: TaskToken,
    /// The task's input.
    #[schema(value_type = Value)]
    pub input: crate::Json,
    /// The claim it is for.
    pub claim_id: ClaimId,
    /// The state, by its name in the recipe.
    #[schema(value_type = String)]
    pub state: crate::StateName,
    /// 0 for the first attempt, one more for each retry.
    pub attempt: u32,
    /// After this an answer is no use any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// A heartbeat is due at least this often, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_s: Option<u64>,
}

/// Where a claim stands: what it waits for and since when, who has it, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The claim.
    pub claim: Claim,
    /// Every strand that has not ended.
    pub waiting: Vec<Waiting>,
    /// Every delegation so far, oldest first.
    pub decisions: Vec<Decision>,
}

/// What one strand of an execution waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// The strand.
    pub branch: BranchId,
    /// The state it is in; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub state: Option<crate::StateName>,
    /// For what.
    #[serde(rename = "for")]
    pub reason: WaitingFor,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// What a strand can wait for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WaitingFor {
    /// To begin: a Map runs as many items at a time as it may.
    Turn,
    /// A fluxling's answer.
    Task {
        /// What was asked for.
        capability: Capability,
        /// Who has it; absent while nobody can take it.
        fluxling: Option<FluxlingName>,
        /// 0 for the first attempt.
        attempt: u32,
        /// The attempt's token.
        token: TaskToken,
        /// When the attempt fails as timed out.
        #[schema(value_type = Option<String>, format = DateTime)]
        deadline: Option<Timestamp>,
    },
    /// A callback with the token.
    Callback {
        /// The token to answer with.
        token: TaskToken,
        /// When the wait fails as timed out.
        #[schema(value_type = Option<String>, format = DateTime)]
        deadline: Option<Timestamp>,
    },
    /// The end of an execution that it started.
    Execution {
        /// The execution.
        claim_id: ClaimId,
        /// When the wait fails as timed out.
        #[schema(value_type = Option<String>, format = DateTime)]
        deadline: Option<Timestamp>,
    },
    /// The next attempt, after a failed one.
    Retry {
        /// When.
        #[schema(value_type = String, format = DateTime)]
        due: Timestamp,
        /// Which attempt it will be.
        attempt: u32,
    },
    /// A Wait state's time.
    Time {
        /// When.
        #[schema(value_type = String, format = DateTime)]
        due: Timestamp,
    },
    /// Its branches.
    Branches {
        /// How many have not ended.
        open: u64,
        /// How many there are.
        total: u64,
    },
}

/// One delegation, with its place in the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The strand.
    pub branch: BranchId,
    /// Who could have had the task, who got it, and why.
    pub delegation: Delegation,
}

/// All recipes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecipeList {
    /// By name.
    pub recipes: Vec<RecipeSummary>,
}

/// All versions of one recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecipeVersions {
    /// Newest first.
    pub versions: Vec<RecipeVersion>,
}

/// All fluxlings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FluxlingList {
    /// By name: the caller's own, and those that all tenants share.
    pub fluxlings: Vec<Fluxling>,
    /// Which of them are shared. Their load is not shown: it is that of all tenants together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<FluxlingName>,
}

/// What claims of a type must look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutClaimType {
    /// JSON Schema that the body must satisfy.
    #[schema(value_type = Value)]
    pub schema: Value,
}

/// Whether the system works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// Version of the software.
    pub version: String,
}
