//! Claims: what clients submit, and how one stands.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::id::{BranchId, Capability, ClaimId, ClaimType, RecipeName, StateName, Tenant};
use crate::limits::{
    MAX_ATTRIBUTE_CHARS, MAX_ATTRIBUTES, MAX_IDEMPOTENCY_KEY_CHARS, MAX_NESTING, MAX_PAYLOAD_BYTES,
    MAX_PRIORITY, MAX_REDRIVES, MAX_SUBJECT_CHARS, REDRIVE_WINDOW,
};
use crate::problem::Fault;
use crate::time::Timestamp;

/// A claim as a client submits it, over HTTPS or the ingest queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewClaim {
    /// What kind of request or assertion this is; chooses the recipe.
    #[serde(rename = "type")]
    pub claim_type: ClaimType,
    /// Whom or what it is about, for search: a customer, an order number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The content; the execution's input.
    #[serde(default)]
    #[schema(value_type = Value)]
    pub body: Value,
    /// The client's own name for this request: the same key again gives the same claim again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// 0 to 9; among the tenant's claims higher goes first.
    #[serde(default)]
    pub priority: i16,
    /// When the claim ends as `TIMED_OUT` if nothing ended it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// Free keys and values to search by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl NewClaim {
    /// Every bound this claim breaks, each with its place; empty where it keeps them all.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |broken: bool, pointer: String, detail: String| {
            if broken {
                faults.push(Fault::of_document(pointer, detail));
            }
        };
        let long = |text: &str, most: usize| text.chars().count() > most;
        let subject = self.subject.as_deref().unwrap_or_default();
        check(
            long(subject, MAX_SUBJECT_CHARS),
            "/subject".into(),
            format!("is longer than {MAX_SUBJECT_CHARS} characters"),
        );
        if let Some(key) = &self.idempotency_key {
            check(
                key.is_empty() || long(key, MAX_IDEMPOTENCY_KEY_CHARS),
                "/idempotency_key".into(),
                format!("must have 1 to {MAX_IDEMPOTENCY_KEY_CHARS} characters"),
            );
        }
        check(
            !(0..=MAX_PRIORITY).contains(&self.priority),
            "/priority".into(),
            format!("must be 0 to {MAX_PRIORITY}"),
        );
        check(
            self.attributes.len() > MAX_ATTRIBUTES,
            "/attributes".into(),
            format!("has more than {MAX_ATTRIBUTES} entries"),
        );
        for (key, value) in &self.attributes {
            check(
                key.is_empty()
                    || long(key, MAX_ATTRIBUTE_CHARS)
                    || long(value, MAX_ATTRIBUTE_CHARS),
                format!("/attributes/{}", key.replace('~', "~0").replace('/', "~1")),
                format!("key and value must have at most {MAX_ATTRIBUTE_CHARS} characters"),
            );
        }
        check(
            nesting(&self.body) > MAX_NESTING,
            "/body".into(),
            format!("is nested deeper than {MAX_NESTING} levels"),
        );
        // Measured last: writing out a body is the costly check.
        let bytes = self.body.to_string().len();
        check(
            bytes > MAX_PAYLOAD_BYTES,
            "/body".into(),
            format!("has {bytes} bytes of JSON; the bound is {MAX_PAYLOAD_BYTES}"),
        );
        let attributes = self.attributes.iter().flat_map(|(key, value)| [key, value]);
        let searched = [("/subject", subject)]
            .into_iter()
            .chain(self.idempotency_key.as_deref().map(|key| ("/idempotency_key", key)))
            .chain(attributes.map(|text| ("/attributes", &**text)));
        for (pointer, text) in searched {
            check(
                text.contains('\0'),
                pointer.into(),
                "holds the character U+0000, which Postgres cannot store".into(),
            );
        }
        faults
    }
}

/// How deep a document's arrays and objects lie in each other; 0 for a scalar.
pub fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}

/// Where a claim stands: Step Functions' words, and two of our own before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClaimStatus {
    /// Durably accepted; not evaluated yet.
    Received,
    /// Evaluated and refused: no recipe for its type, or its body breaks the type's schema.
    Rejected,
    /// Its recipe runs.
    Running,
    /// Fulfilled.
    Succeeded,
    /// Its recipe failed.
    Failed,
    /// Its deadline or its recipe's timeout passed.
    TimedOut,
    /// Cancelled.
    Aborted,
}

impl ClaimStatus {
    /// All of them, in the order of a claim's life.
    pub const ALL: [Self; 7] = [
        Self::Received,
        Self::Rejected,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Aborted,
    ];

    /// The word for it, as stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "RECEIVED",
            Self::Rejected => "REJECTED",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }

    /// Whether nothing can happen to the claim any more.
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Received | Self::Running)
    }
}

impl fmt::Display for ClaimStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClaimStatus {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|status| status.as_str()).collect();
            format!("`{text}` is not a claim status; they are {}", all.join(", "))
        })
    }
}

/// A claim as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Claim {
    /// Its id.
    pub claim_id: ClaimId,
    /// Whose it is.
    pub tenant: Tenant,
    /// What kind of request or assertion it is.
    #[serde(rename = "type")]
    pub claim_type: ClaimType,
    /// Where it stands.
    pub status: ClaimStatus,
    /// Whom or what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The content; the execution's input.
    #[schema(value_type = Value)]
    pub body: Value,
    /// What the recipe gave back; only once `SUCCEEDED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub output: Option<Value>,
    /// Name of the error that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What happened, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The recipe that fulfils it; absent until evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<RecipeName>,
    /// That recipe's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe_version: Option<i32>,
    /// The client's own name for the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The claim whose recipe started it; absent where a client submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ClaimId>,
    /// 0 to 9; among the tenant's claims higher goes first.
    pub priority: i16,
    /// When it ends as `TIMED_OUT` if nothing ended it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// Free keys and values to search by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// When it was durably accepted.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Timestamp,
    /// When its recipe began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// How often it was redriven.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redrive_count: u32,
    /// When it was redriven last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub redrive_date: Option<Timestamp>,
    /// Whether it can be redriven; told of claims that ended without success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive_status: Option<RedriveStatus>,
    /// Why it cannot be redriven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive_status_reason: Option<String>,
    /// What holds it up; told where stuck claims are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The form that serde asks for.
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Whether a claim can be redriven, in Step Functions' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RedriveStatus {
    /// It can.
    Redrivable,
    /// It cannot.
    NotRedrivable,
}

impl Claim {
    /// Whether it can be redriven at this time.
    ///
    /// # Errors
    /// Why not, in Step Functions' words where it has them.
    pub fn check_redrive(&self, now: Timestamp) -> Result<(), String> {
        let status = self.status;
        let is_over = |at: Timestamp| now.since(at) > REDRIVE_WINDOW;
        match status {
            ClaimStatus::Received | ClaimStatus::Running => {
                Err("Execution is RUNNING and cannot be redriven".to_owned())
            }
            ClaimStatus::Succeeded | ClaimStatus::Rejected => {
                Err(format!("Execution is {status} and cannot be redriven"))
            }
            _ if self.started_at.is_none() => {
                Err("Execution ended before it began and cannot be redriven".to_owned())
            }
            _ if self.ended_at.is_some_and(is_over) => {
                Err("Execution redrivable period exceeded".to_owned())
            }
            _ if self.redrive_count >= MAX_REDRIVES => {
                Err(format!("Execution was redriven {MAX_REDRIVES} times and cannot be again"))
            }
            _ => Ok(()),
        }
    }

    /// The same claim, which says whether it can be redriven at this time, if it ended without
    /// success.
    #[must_use]
    pub fn with_redrive_status(mut self, now: Timestamp) -> Self {
        let failed = [ClaimStatus::Failed, ClaimStatus::TimedOut, ClaimStatus::Aborted];
        if failed.contains(&self.status) {
            let checked = self.check_redrive(now);
            self.redrive_status = Some(match checked {
                Ok(()) => RedriveStatus::Redrivable,
                Err(_) => RedriveStatus::NotRedrivable,
            });
            self.redrive_status_reason = checked.err();
        }
        self
    }
}

/// What holds a claim up that waits longer than it should.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stuck {
    /// What is wrong.
    pub reason: StuckReason,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The strand that waits; absent where it is the claim as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchId>,
    /// The state it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub state: Option<StateName>,
    /// The capability that is missing, or that the task was given out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// More of it, in words: why a message could not be handled; what a task waits for, where it was
    /// asked by a bound of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Why a claim does not go on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StuckReason {
    /// A message to the core about it could not be handled, and is a dead letter.
    DeadLetter,
    /// No fluxling offers the capability that a task asks for.
    NoFluxling,
    /// A task without a timeout was given to a fluxling, and no answer comes; by a bound of one's own,
    /// any task that is not answered.
    NoAnswer,
    /// It was accepted, and nobody took it up.
    NotBegun,
    /// The time that a strand waits for is over, and nobody told it.
    TimerOverdue,
    /// All strands that another waits for have ended, and nobody told it.
    NotJoined,
    /// A message about it was committed, and never sent.
    NotSent,
}

impl StuckReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::DeadLetter,
        Self::NoFluxling,
        Self::NoAnswer,
        Self::NotBegun,
        Self::TimerOverdue,
        Self::NotJoined,
        Self::NotSent,
    ];

    /// The word for it, as sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letter",
            Self::NoFluxling => "no_fluxling",
            Self::NoAnswer => "no_answer",
            Self::NotBegun => "not_begun",
            Self::TimerOverdue => "timer_overdue",
            Self::NotJoined => "not_joined",
            Self::NotSent => "not_sent",
        }
    }
}

impl fmt::Display for StuckReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StuckReason {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is no reason for being stuck"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_broken_bound_is_named_with_its_place() {
        let claim: NewClaim = serde_json::from_value(json!({
            "type": "order.placed", "priority": 12, "subject": "s".repeat(300),
            "body": "x".repeat(MAX_PAYLOAD_BYTES), "attributes": {"a/b": "v".repeat(300)},
        }))
        .expect("a claim");
        let pointers: Vec<_> = claim.faults().into_iter().map(|fault| fault.pointer).collect();
        assert_eq!(pointers, ["/subject", "/priority", "/attributes/a~1b", "/body"]);
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let claim = serde_json::from_value::<NewClaim>(json!({"type": "a", "bodi": 1}));
        assert!(claim.expect_err("refused").to_string().contains("bodi"));
    }
}
