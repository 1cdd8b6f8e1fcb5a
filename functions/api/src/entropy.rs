//! The clock and the randomness: every id and every time that the API gives comes from here.

use fluxus_schema::{ClaimId, Timestamp};

/// The time, which all processes agree on.
pub(crate) fn now() -> Timestamp {
    fluxus_store::clock::now()
}

/// A new claim's id.
pub(crate) fn claim_id(at: Timestamp) -> ClaimId {
    ClaimId::new(at, &rand::random())
}

/// What all randomness of a new claim's execution is drawn from, its task tokens included.
pub(crate) fn seed() -> [u8; 16] {
    // A cryptographic generator, seeded by the system.
    rand::random()
}
