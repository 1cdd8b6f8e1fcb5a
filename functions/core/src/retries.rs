//! How many tasks may be tried again at a time: a budget for each capability.
//!
//! When what stands behind a capability is down, thousands of tasks fail together and their retries
//! would come back together, just when it is about to recover. So retries are paid from a budget: a
//! part of what succeeds, and a fixed number each second. What the budget does not cover waits its
//! turn, longer than the recipe asks for but never less, and no longer than [`MAX_DELAY`]. No retry
//! is refused, and the recipe's count of attempts stays what it is.
//!
//! Each process of the core keeps its own budgets, from what it sees. They are a brake and no record:
//! after a restart they are full.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fluxus_schema::{Capability, Tenant, Timestamp};

use crate::registry::Answered;

/// Retries that each success pays for: load from retries stays a fifth of the useful load, as in the
/// budgets of Finagle and Envoy.
const PER_SUCCESS: f64 = 0.2;

/// Retries each second that nothing has to pay for. A capability that fails for good is still tried
/// often enough to be found well again, and recipes that poll by retries never notice the budget.
const PER_SECOND: f64 = 100.0;

/// What a full budget holds, in seconds of [`PER_SECOND`]: a burst of failures that is over soon is
/// retried just as the recipes say.
const FULL_SECONDS: f64 = 10.0;

/// The longest that a retry waits for its turn. Past it retries go out faster than the budget allows,
/// spread over the later half of this time.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(120);

/// The budgets of a process.
#[derive(Debug, Default)]
pub(crate) struct Retries(Mutex<HashMap<(Tenant, Capability), Budget>>);

/// One budget. Below zero, so many retries wait for their turn.
#[derive(Debug, Clone, Copy)]
struct Budget {
    left: f64,
    at: Timestamp,
}

impl Retries {
    /// Pays for a retry: how much longer than its recipe asks for it has to wait. `draw` is a random
    /// number below 1 of the claim's own, so that claims which fail together do not return together.
    pub(crate) fn take(
        &self,
        tenant: &Tenant,
        capability: &Capability,
        now: Timestamp,
        draw: impl FnOnce() -> f64,
    ) -> Duration {
        const FULL: f64 = PER_SECOND * FULL_SECONDS;
        let mut budgets = self.budgets();
        let key = (tenant.clone(), capability.clone());
        let budget = budgets.entry(key).or_insert(Budget { left: FULL, at: now });
        budget.refill(now);
        budget.left -= 1.0;
        if budget.left >= 0.0 {
            return Duration::ZERO;
        }
        let most = MAX_DELAY.as_secs_f64();
        let turn = -budget.left / PER_SECOND;
        // What waits longest is all that the budget remembers.
        budget.left = budget.left.max(-most * PER_SECOND);
        let seconds = if turn < most {
            // Within the second of its turn.
            turn + draw()
        } else {
            most * (0.5 + draw() / 2.0)
        };
        Duration::from_secs_f64(seconds.min(most))
    }

    /// Notes answers: those that succeeded pay for retries of the same capability.
    pub(crate) fn note(&self, answered: &[Answered], now: Timestamp) {
        let mut budgets = self.budgets();
        // Nearly always nothing was retried for a while.
        if budgets.is_empty() {
            return;
        }
        for one in answered.iter().filter(|one| one.succeeded) {
            let Some(capability) = &one.capability else { continue };
            if let Some(budget) = budgets.get_mut(&(one.tenant.clone(), capability.clone())) {
                budget.left += PER_SUCCESS;
            }
        }
        budgets.retain(|_, budget| !budget.refill(now));
    }

    fn budgets(&self) -> MutexGuard<'_, HashMap<(Tenant, Capability), Budget>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    /// Adds what the time since the last look brings; whether the budget is full.
    fn refill(&mut self, now: Timestamp) -> bool {
        const FULL: f64 = PER_SECOND * FULL_SECONDS;
        if now > self.at {
            self.left += now.since(self.at).as_secs_f64() * PER_SECOND;
            self.at = now;
        }
        self.left = self.left.min(FULL);
        self.left >= FULL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = 1_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    fn capability(name: &str) -> Capability {
        name.parse().expect("a capability")
    }

    /// Delays of so many retries at this moment, in seconds.
    fn take(retries: &Retries, n: usize, ms: i64) -> Vec<f64> {
        let (tenant, name) = (Tenant::default(), capability("pay"));
        (0..n).map(|_| retries.take(&tenant, &name, at(ms), || 0.5).as_secs_f64()).collect()
    }

    #[test]
    fn a_burst_is_free_and_the_rest_waits_its_turn() {
        let retries = Retries::default();
        assert!(take(&retries, FULL, 0).iter().all(|delay| *delay == 0.0));
        let delays = take(&retries, 500, 0);
        assert!(delays.is_sorted() && delays[0] > 0.0, "{delays:?}");
        // A hundred each second, and within a second of that.
        assert!((5.0..=6.0).contains(&delays[499]), "{}", delays[499]);
        let other = retries.take(&Tenant::default(), &capability("ship"), at(0), || 0.5);
        assert_eq!(other, Duration::ZERO, "others do not pay for it");
    }

    #[test]
    fn no_retry_waits_longer_than_the_bound() {
        let retries = Retries::default();
        let delays = take(&retries, 100_000, 0);
        let most = MAX_DELAY.as_secs_f64();
        assert!(delays.iter().all(|delay| *delay <= most));
        assert!(delays[99_999] >= most / 2.0);
        // Two minutes later the debt is paid.
        assert!(take(&retries, 1, 130_000)[0] < 0.1);
    }

    #[test]
    fn successes_pay_for_retries() {
        let retries = Retries::default();
        take(&retries, FULL + 1_000, 0);
        let answered = Answered {
            tenant: Tenant::default(),
            fluxling: "pays".parse().expect("a name"),
            failed: false,
            succeeded: true,
            capability: Some(capability("pay")),
            latency_ms: 1.0,
        };
        retries.note(&vec![answered; 5_000], at(0));
        assert_eq!(take(&retries, 1, 0), [1.0 / PER_SECOND + 0.5]);
    }

    #[test]
    fn a_full_budget_is_forgotten() {
        let retries = Retries::default();
        take(&retries, 1, 0);
        retries.note(&[], at(0));
        assert_eq!(retries.budgets().len(), 1);
        retries.note(&[], at(20));
        assert!(retries.budgets().is_empty());
    }
}
