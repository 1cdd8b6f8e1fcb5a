//! The contracts of Fluxus: ids, claims, recipes, messages, history events and API bodies.
//!
//! Everything that crosses a process boundary is defined here and nowhere else, together with the
//! bounds it must keep ([`limits`]). Nothing here does I/O, reads a clock or draws a random number.
//! JSON Schemas of all these types are generated into `schema/json/` ([`json_schema`]).

pub mod api;
pub mod claim;
pub mod delegation;
pub mod export;
pub mod fluxling;
pub mod history;
pub mod id;
pub mod items;
pub mod json_schema;
pub mod limits;
pub mod message;
pub mod payload;
pub mod problem;
pub mod recipe;
pub mod time;

pub use claim::{Claim, ClaimStatus, NewClaim};
pub use id::{
    BranchId, Capability, ClaimId, FluxlingName, RecipeName, StateName, TaskToken, Tenant,
};
pub use time::{HybridTime, Timestamp};

/// A JSON document that is shared, never copied, on its way through states and events.
pub type Json = std::sync::Arc<serde_json::Value>;
