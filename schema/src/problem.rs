//! RFC 9457 problem documents: what every refused request answers with.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// JSON pointer to the place.
    pub pointer: String,
    /// What is wrong there, naming the bound where there is one.
    pub detail: String,
}

/// A problem document (RFC 9457), media type `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: a stable path, such as `/problems/claim-does-not-exist`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; the same for every problem of the kind.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// What went wrong this time, and what to do next.
    pub detail: String,
    /// Each fault of a document that was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}
