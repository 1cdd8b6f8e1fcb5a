//! Waiting out failures: logged once, then tried again at growing, jittered intervals.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use fluxus_queue::bounds::MAX_VISIBILITY;

use crate::error::chain;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait: how late the end of an outage may be noticed.
const LONGEST: Duration = Duration::from_secs(10);

/// A run of failures of one operation.
#[derive(Debug)]
pub(super) struct Outage {
    what: &'static str,
    failures: u32,
}

impl Outage {
    pub(super) fn of(what: &'static str) -> Self {
        Self { what, failures: 0 }
    }

    /// Notes a failure and says how long to wait.
    pub(super) fn failed(&mut self, error: &dyn Error) -> Duration {
        let (what, failures) = (self.what, self.failures);
        if failures == 0 {
            tracing::warn!(error = chain(error), "cannot {what}; trying on");
        } else {
            tracing::debug!(error = chain(error), failures, "still cannot {what}");
        }
        self.failures = failures.saturating_add(1);
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST);
        // Half fixed, half random, so that workers do not all come back at the same moment.
        wait / 2 + (wait / 2).mul_f64(fraction())
    }

    /// Notes a success.
    pub(super) fn over(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "can {} again", self.what);
            self.failures = 0;
        }
    }
}

/// The part of a wait by which it may grow, so that what is put off together does not come back
/// together.
const SPREAD: f64 = 0.25;

/// A wait for a message that is put off: never shorter than asked for, and up to a quarter longer.
pub(super) fn spread(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + SPREAD * fraction()).min(MAX_VISIBILITY)
}

/// Any number below 1. The standard library seeds every hasher state differently, and no more is
/// needed here.
fn fraction() -> f64 {
    (RandomState::new().hash_one(()) % 1_000) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_off_together_comes_back_spread() {
        let wait = Duration::from_secs(100);
        let waits: std::collections::BTreeSet<_> = (0..100).map(|_| spread(wait)).collect();
        assert!(waits.len() > 10, "{waits:?}");
        assert!(waits.iter().all(|one| *one >= wait && *one < wait * 5 / 4), "{waits:?}");
        assert_eq!(spread(Duration::ZERO), Duration::ZERO);
        assert_eq!(spread(MAX_VISIBILITY), MAX_VISIBILITY);
    }

    #[test]
    fn waits_grow_to_a_bound() {
        let mut outage = Outage::of("receive");
        let error = std::io::Error::other("down");
        let waits: Vec<_> = (0..40).map(|_| outage.failed(&error)).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
        assert!(waits[39] >= LONGEST / 2, "{waits:?}");
        outage.over();
        assert!(outage.failed(&error) <= FIRST);
    }
}
