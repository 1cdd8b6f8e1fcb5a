//! The record of one delegation: who could have had the task, who got it, and why.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{Capability, FluxlingName};

/// Details of the `TaskDelegated` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delegation {
    /// What the task asks for.
    pub capability: Capability,
    /// Who got it; absent while nobody can take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fluxling: Option<FluxlingName>,
    /// Why, in a sentence.
    pub reason: String,
    /// Everybody with the capability.
    pub candidates: Vec<Candidate>,
}

/// One fluxling that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Its name.
    pub fluxling: FluxlingName,
    /// Expected milliseconds until it would answer, weighed; lower is better. Absent where it was
    /// filtered out or not among the two that were drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Tasks it had unanswered.
    pub in_flight: i64,
    /// Why it was filtered out, drawn, or passed over.
    pub reason: String,
}
