//! Failures of what lies underneath, as refusals: come again, or our fault.

use fluxus_queue::QueueError;
use fluxus_store::{DatabaseError, OutboundError, StoreError};

use crate::problem::Refusal;

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if error.is_transient() { Self::unavailable(error) } else { Self::internal(error) }
    }
}

impl From<DatabaseError> for Refusal {
    fn from(error: DatabaseError) -> Self {
        if error.is_transient() { Self::unavailable(error) } else { Self::internal(error) }
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        if error.is_transient() { Self::unavailable(error) } else { Self::internal(error) }
    }
}

impl From<OutboundError> for Refusal {
    fn from(error: OutboundError) -> Self {
        if error.is_transient() { Self::unavailable(error) } else { Self::internal(error) }
    }
}
