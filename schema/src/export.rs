//! Exports: claims with their histories, as JSON Lines.
//!
//! ```json
//! {"kind":"claim","cursor":"…","claim":{"claim_id":"01890a5d-…","type":"order.placed", …}}
//! {"kind":"event","cursor":"…","claim_id":"01890a5d-…","event":{"id":1,"type":"ExecutionStarted", …}}
//! {"kind":"end"}
//! ```
//!
//! Claims come in the order in which they came in. Each is followed by its events in their order,
//! numbered from 1 as the service numbers them. Documents are whole, however large.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::claim::Claim;
use crate::history::HistoryEvent;
use crate::id::ClaimId;

/// A line of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExportLine {
    /// A claim, as it stood when it was read.
    Claim {
        /// Where an export goes on behind this line.
        cursor: String,
        /// The claim.
        claim: Box<Claim>,
    },
    /// An event of the claim before.
    Event {
        /// Where an export goes on behind this line.
        cursor: String,
        /// The claim.
        claim_id: ClaimId,
        /// The event.
        event: Box<HistoryEvent>,
    },
    /// The last line of an answer that could not hold more: ask again from there.
    Continue {
        /// Where to go on.
        cursor: String,
    },
    /// The last line of an export that is complete.
    End,
}
