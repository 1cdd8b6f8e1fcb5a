//! The wall clock: read once for each batch, then passed on as a value.

use std::time::{SystemTime, UNIX_EPOCH};

use fluxus_schema::Timestamp;

/// Now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
