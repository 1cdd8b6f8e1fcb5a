//! Instants as Postgres takes them: microseconds in a range that is narrower than ours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fluxus_schema::{HybridTime, Timestamp};

/// The first and the last moment that is stored as it is, in microseconds since 1970: the year 1,
/// and the last that can be written as RFC 3339 ([`Timestamp`]). A client's deadline may lie
/// outside even of what Postgres has, and must not spoil the batch it comes in.
const STORED_MICROS: (i64, i64) = (-62_135_596_800_000_000, 253_402_207_200_000_000);

/// A timestamp as a parameter.
pub(crate) fn stored(at: Timestamp) -> SystemTime {
    from_micros(at.as_millis().saturating_mul(1000))
}

/// A hybrid time as a parameter.
pub(crate) fn stored_hybrid(at: HybridTime) -> SystemTime {
    from_micros(at.as_micros())
}

/// A timestamp as read from a row.
pub(crate) fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::from_millis(micros(at).div_euclid(1000))
}

/// A hybrid time as read from a row.
pub(crate) fn hybrid(at: SystemTime) -> HybridTime {
    HybridTime::from_micros(micros(at))
}

fn from_micros(us: i64) -> SystemTime {
    let us = us.clamp(STORED_MICROS.0, STORED_MICROS.1);
    let distance = Duration::from_micros(us.unsigned_abs());
    if us < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

fn micros(at: SystemTime) -> i64 {
    let whole = |distance: Duration| i64::try_from(distance.as_micros()).unwrap_or(i64::MAX);
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => -whole(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_the_way_there_and_back() {
        for us in [0, 1, -1, 1_700_000_000_123_456] {
            assert_eq!(hybrid(stored_hybrid(HybridTime::from_micros(us))).as_micros(), us);
        }
        for ms in [0, -1, 1_700_000_000_123] {
            assert_eq!(timestamp(stored(Timestamp::from_millis(ms))).as_millis(), ms);
        }
        assert_eq!(
            timestamp(stored(Timestamp::from_millis(i64::MAX))).to_string(),
            "9999-12-30T22:00:00.000Z"
        );
    }
}
