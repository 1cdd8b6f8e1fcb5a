//! The time, which all processes agree on: read once for each batch, then passed on as a value.

use fluxus_schema::Timestamp;

/// Now.
pub(crate) fn now() -> Timestamp {
    fluxus_store::clock::now()
}
