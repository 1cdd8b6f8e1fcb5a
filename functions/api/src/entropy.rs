//! The clock and the randomness: every id and every time that the API gives comes from here.

use std::time::{SystemTime, UNIX_EPOCH};

use fluxus_schema::{ClaimId, Timestamp};

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
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
