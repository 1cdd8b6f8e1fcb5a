//! Points in time, given from outside: nothing in this crate reads a clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: milliseconds since 1970, UTC. Written in JSON as RFC 3339 with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339, with any offset. Between day and time stands a `T`: a blank is refused, as
    /// the service refuses it.
    ///
    /// # Errors
    /// The reason in words, where the text is not RFC 3339.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.as_bytes().get(10) != Some(&b'T') {
            return Err("there is no `T` between day and time".to_owned());
        }
        text.parse::<jiff::Timestamp>()
            .map(|at| Self(at.as_millisecond()))
            .map_err(|error| error.to_string())
    }

    /// This moment and `later` after it; the last representable moment where that is past it.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        let ms = i64::try_from(later.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(ms))
    }

    /// How long from `earlier` to here; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A hybrid logical clock reading: microseconds since 1970, never at or before the reading it
/// follows. Wall clocks of different processes differ; with this, whatever was caused by an event
/// sorts after it all the same.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct HybridTime(i64);

impl HybridTime {
    /// From microseconds since 1970, as stored.
    pub const fn from_micros(us: i64) -> Self {
        Self(us)
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The reading for something that happens `at` and follows `self`.
    #[must_use]
    pub fn next(self, at: Timestamp) -> Self {
        Self(at.as_millis().saturating_mul(1000).max(self.0.saturating_add(1)))
    }

    /// The wall-clock part.
    pub const fn timestamp(self) -> Timestamp {
        Timestamp(self.0.div_euclid(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_and_writes_rfc_3339() {
        let at = Timestamp::parse("2026-11-23T17:25:00.5+01:00").expect("reads");
        assert_eq!(at.to_string(), "2026-11-23T16:25:00.500Z");
        assert!(Timestamp::parse("yesterday").is_err());
        assert!(Timestamp::parse("2026-11-23 17:25:00Z").is_err());
    }

    #[test]
    fn hybrid_time_goes_on_where_the_clock_goes_back() {
        let first = HybridTime::default().next(Timestamp::from_millis(5));
        let second = first.next(Timestamp::from_millis(3));
        assert!(second > first);
        assert_eq!(second.timestamp().as_millis(), 5);
    }
}
