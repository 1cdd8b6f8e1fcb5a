//! Retriers and catchers: what a failure in a state leads to.
//!
//! The first retrier that names the error is asked, and no other; each counts its own retries. Once
//! it has none left, the first catcher that names the error takes it. Where the service and the
//! language's specification differ, this is as the service was recorded:
//!
//! - `States.Runtime` is retried and caught by nothing, not even by its name.
//! - `States.DataLimitExceeded` is taken by `States.ALL`, though the service's documentation says
//!   that it is not.
//! - A task whose heartbeat did not come fails with `States.Timeout`. Its own retriers and catchers
//!   can tell it from one that took too long: `States.HeartbeatTimeout` takes only the former.
//! - `States.TaskFailed` takes every error but timeouts, in Parallel and Map too.
//! - A timeout is caught with an empty `Cause`, an error that gave none with the cause `null`.
//!
//! Source: States Language, "Errors", "Retrying After Error", "Fallback States"; AWS Step
//! Functions, "Handling errors in Step Functions workflows".

use std::sync::Arc;
use std::time::Duration;

use fluxus_schema::history::Details;
use fluxus_schema::limits::MAX_SECONDS;
use serde_json::json;

use crate::branch::{Failure, Status, Visit};
use crate::data_flow;
use crate::definition::{Catcher, Kind, Retrier, State, Then};
use crate::effect::Effect;
use crate::step::{Go, Stepper};

/// Ends every execution that meets it.
const TERMINAL: &str = "States.Runtime";

/// What retriers and catchers may call a timeout that came of a missed heartbeat.
pub(crate) const HEARTBEAT_TIMEOUT: &str = "States.HeartbeatTimeout";

/// Asks the state's retriers, then its catchers; where none takes the failure the branch fails.
/// `also` is another name that they may know the error by.
pub(crate) fn on_failure(
    stepper: &mut Stepper<'_>,
    state: &State,
    mut visit: Visit,
    failure: Failure,
    also: Option<&str>,
) -> Go {
    if let Some(index) = retrier_of(state, &failure, also) {
        let retrier = &state.retry[index];
        visit.retries.resize(state.retry.len(), 0);
        if visit.retries[index] < retrier.max_attempts {
            let delay = delay(retrier, visit.retries[index], || stepper.entropy.fraction());
            visit.retries[index] += 1;
            stepper.branches_failed = None;
            let due = stepper.now.plus(delay);
            stepper.effects.push(Effect::Timer { due, watch: false });
            return Go::Await(Status::AwaitingRetry { visit, due });
        }
    }
    if let Some(kind) = stepper.branches_failed.take() {
        stepper.record(kind, Details::new());
    }
    match catcher_of(state, &failure, also) {
        Some(index) => caught(stepper, state, &state.catch[index], visit, &failure),
        None => Go::End(failure, matches!(state.kind, Kind::Task(_))),
    }
}

/// The retrier that takes the failure, whether or not it has attempts left; `also` is another name
/// of its error.
pub(crate) fn retrier_of(state: &State, failure: &Failure, also: Option<&str>) -> Option<usize> {
    state.retry.iter().position(|entry| takes(&entry.errors, failure, also))
}

/// The catcher that takes the failure; `also` is another name of its error.
pub(crate) fn catcher_of(state: &State, failure: &Failure, also: Option<&str>) -> Option<usize> {
    state.catch.iter().position(|entry| takes(&entry.errors, failure, also))
}

fn takes(names: &[Arc<str>], failure: &Failure, also: Option<&str>) -> bool {
    let error = failure.error.as_deref().unwrap_or_default();
    matches(names, error) || also.is_some_and(|also| names.iter().any(|name| &**name == also))
}

fn caught(
    stepper: &mut Stepper<'_>,
    state: &State,
    catcher: &Catcher,
    visit: Visit,
    failure: &Failure,
) -> Go {
    // The service gives a timeout an empty cause, and `null` where somebody gave none.
    let cause = failure.cause.as_deref().or(is_timeout(failure.error.as_deref()).then_some(""));
    let error = json!({ "Error": failure.error, "Cause": cause });
    match data_flow::caught(stepper, state, &visit, Arc::new(error), catcher) {
        Ok(output) => Go::Leave(visit, output, Then::Next(catcher.next)),
        Err(failed) => {
            let failure = stepper.note_evaluation(state, &visit, failed);
            Go::End(failure, false)
        }
    }
}

/// How long to wait before the next attempt, after `retries` of them.
fn delay(retrier: &Retrier, retries: u32, fraction: impl FnOnce() -> f64) -> Duration {
    let exponent = i32::try_from(retries).unwrap_or(i32::MAX);
    let grown = retrier.interval_s as f64 * retrier.backoff_rate.powi(exponent);
    let most = retrier.max_delay_s.unwrap_or(MAX_SECONDS) as f64;
    let full = grown.min(most);
    let seconds = if retrier.full_jitter { full * fraction() } else { full };
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(MAX_SECONDS))
}

/// Whether a list of error names takes an error.
fn matches(names: &[Arc<str>], error: &str) -> bool {
    if error == TERMINAL {
        return false;
    }
    let timeout = is_timeout(Some(error));
    names.iter().any(|name| match &**name {
        "States.ALL" => true,
        "States.TaskFailed" => !timeout,
        "States.Timeout" => timeout,
        name => name == error,
    })
}

pub(crate) fn is_timeout(error: Option<&str>) -> bool {
    matches!(error, Some("States.Timeout" | HEARTBEAT_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(name: &str, error: &str) -> bool {
        matches(&[Arc::from(name)], error)
    }

    #[test]
    fn wildcards_take_what_the_service_lets_them_take() {
        assert!(takes("States.ALL", "Custom") && takes("States.ALL", ""));
        assert!(!takes("States.ALL", "States.Runtime"));
        assert!(takes("States.ALL", "States.DataLimitExceeded"));
        assert!(!takes("States.Runtime", "States.Runtime"));
        assert!(
            takes("States.TaskFailed", "Custom") && !takes("States.TaskFailed", "States.Timeout")
        );
        assert!(takes("States.Timeout", "States.HeartbeatTimeout"));
        assert!(!takes("States.HeartbeatTimeout", "States.Timeout"));
        assert!(!takes("States.TaskFailed", "States.HeartbeatTimeout"));
        assert!(!takes("States.TaskFailed", "States.Runtime"));
        for name in [
            "States.Permissions",
            "States.Http.Socket",
            "States.QueryEvaluationError",
            "Lambda.Unknown",
        ] {
            assert!(takes(name, name) && takes("States.TaskFailed", name), "{name}");
            assert!(!takes(name, "States.TaskFailed"), "{name}");
        }
        assert!(!takes("Custom", "Other"));
    }

    #[test]
    fn delays_grow_up_to_their_bound() {
        let retrier = Retrier {
            errors: Vec::new(),
            interval_s: 2,
            max_attempts: 9,
            backoff_rate: 3.0,
            max_delay_s: Some(10),
            full_jitter: false,
        };
        let seconds = |retries| delay(&retrier, retries, || 0.5).as_secs_f64();
        assert_eq!([seconds(0), seconds(1), seconds(2), seconds(40)], [2.0, 6.0, 10.0, 10.0]);
        let jittered = Retrier { full_jitter: true, ..retrier };
        assert_eq!(delay(&jittered, 1, || 0.5), Duration::from_secs(3));
    }
}
