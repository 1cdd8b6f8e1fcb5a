//! The schedules that are run by the tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::run::{Options, Report, Without, run};
use super::world::Mutation;

/// Schedules of a run of the tests; `FLUXUS_SIMULATION_SCHEDULES` asks for more, or fewer.
const SCHEDULES: u64 = 100_000;

/// Schedules within which something that is broken on purpose must be found.
const FOUND_WITHIN: u64 = 20_000;

/// Most lines of a story that are printed of its end.
const STORY_LINES: usize = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.replace('_', "").parse().ok()
}

/// Runs schedules on all cores until one is wrong; its seed.
fn first_wrong(seeds: std::ops::Range<u64>, options: Options) -> Option<u64> {
    let next = AtomicU64::new(seeds.start);
    let wrong: Mutex<Option<u64>> = Mutex::new(None);
    let search = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let found = || wrong.lock().unwrap_or_else(PoisonError::into_inner);
            if seed >= seeds.end || found().is_some_and(|known| known < seed) {
                return;
            }
            if !run(seed, options).violations.is_empty() {
                let mut found = found();
                *found = Some(found.map_or(seed, |known| known.min(seed)));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(search);
        }
    });
    wrong.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves out kinds of faults for as long as the schedule is wrong without them too.
fn simplest(seed: u64, options: Options) -> Options {
    let mut simplest = options;
    for name in Without::NAMES {
        let simpler = Options { without: simplest.without.with(name), ..simplest };
        if !run(seed, simpler).violations.is_empty() {
            simplest = simpler;
        }
    }
    simplest
}

/// Tells how the schedule of a seed went, and fails.
fn tell(seed: u64, options: Options) {
    let options = Options { traced: true, ..simplest(seed, options) };
    let Report { violations, steps, story, .. } = run(seed, options);
    for line in story.iter().skip(story.len().saturating_sub(STORY_LINES)) {
        eprintln!("{line}");
    }
    let without = options.without.names().join(",");
    let without = match without.is_empty() {
        true => String::new(),
        false => format!("FLUXUS_SIMULATION_WITHOUT={without} "),
    };
    panic!(
        "schedule {seed} is wrong, after {steps} decisions:\n  {}\nTo see it again:\n  \
         FLUXUS_SIMULATION_SEED={seed} {without}cargo test -p fluxus-core --lib \
         simulation::tests::whatever -- --nocapture",
        violations.join("\n  ")
    );
}

fn without() -> Without {
    let names = std::env::var("FLUXUS_SIMULATION_WITHOUT").unwrap_or_default();
    names.split(',').fold(Without::default(), Without::with)
}

#[test]
fn whatever_happens_claims_come_out_as_they_must() {
    let options = Options { without: without(), ..Options::default() };
    let seed = number("FLUXUS_SIMULATION_SEED");
    if let Some(seed) = seed {
        let report = run(seed, options);
        if !report.violations.is_empty() {
            tell(seed, options);
        }
        let Report { steps, story, .. } = run(seed, Options { traced: true, ..options });
        story.iter().for_each(|line| eprintln!("{line}"));
        eprintln!("schedule {seed} is sound, after {steps} decisions");
        return;
    }
    let schedules = number("FLUXUS_SIMULATION_SCHEDULES").unwrap_or(SCHEDULES);
    if let Some(seed) = first_wrong(0..schedules, options) {
        tell(seed, options);
    }
}

#[test]
fn a_schedule_comes_again_to_the_letter() {
    for seed in 0..50 {
        let options = Options { traced: true, ..Options::default() };
        assert_eq!(run(seed, options), run(seed, options));
    }
}

/// A simulation that meets nothing finds nothing.
#[test]
fn what_is_to_be_met_is_met() {
    const WANTED: [&str; 50] = [
        "claim that begins as it comes in",
        "branch at hand",
        "branch that is not as it was left",
        "death",
        "transient",
        "lost answer",
        "duplicate",
        "wait for a lock",
        "deadlock",
        "newcomer",
        "name that is taken",
        "timer row due",
        "message left in the outbox",
        "dead letter",
        "message that is put back",
        "task that waited for a fluxling",
        "room in a Map",
        "item that somebody holds",
        "request that is not committed",
        "dead letter that an operator sends again",
        "claim that an operator tells what it waits for",
        "ExecutionRedriven",
        "TaskRetried",
        "TaskSkipped",
        "SUCCEEDED",
        "FAILED",
        "ABORTED",
        "TIMED_OUT",
        "REJECTED",
        "TaskScheduled",
        "TaskDelegated",
        "TaskStarted",
        "TaskSubmitted",
        "TaskSucceeded",
        "TaskFailed",
        "TaskTimedOut",
        "TaskStateAborted",
        "WaitStateEntered",
        "WaitStateAborted",
        "ChoiceStateExited",
        "PassStateExited",
        "ParallelStateSucceeded",
        "ParallelStateFailed",
        "MapStateSucceeded",
        "MapStateFailed",
        "MapIterationStarted",
        "MapIterationFailed",
        "MapIterationAborted",
        "MapRunSucceeded",
        "MapRunFailed",
    ];
    let mut missing = WANTED.to_vec();
    for seed in 0..FOUND_WITHIN {
        let met = run(seed, Options::default()).met;
        missing.retain(|what| !met.contains_key(what));
        if missing.is_empty() {
            return;
        }
    }
    panic!("never met: {missing:?}");
}

fn finds(mutation: Mutation) {
    let options = Options { mutation: Some(mutation), ..Options::default() };
    let found = first_wrong(0..FOUND_WITHIN, options);
    eprintln!("{mutation:?} is found by schedule {found:?}");
    let Some(seed) = found else {
        panic!("{mutation:?} is not found within {FOUND_WITHIN} schedules");
    };
    let sound = run(seed, Options::default());
    assert_eq!(sound.violations, Vec::<String>::new(), "{seed} is wrong anyway");
}

#[test]
fn an_answer_with_any_token_is_found() {
    finds(Mutation::AnyToken);
}

#[test]
fn a_timer_that_is_lost_is_found() {
    finds(Mutation::NoTimers);
}

#[test]
fn a_step_without_outbox_is_found() {
    finds(Mutation::NoOutbox);
}

#[test]
fn a_message_that_is_deleted_first_is_found() {
    finds(Mutation::DeletesFirst);
}

#[test]
fn a_branch_saved_over_a_later_revision_is_found() {
    finds(Mutation::NoRevisions);
}

#[test]
fn a_branch_that_others_stepped_meanwhile_is_found() {
    finds(Mutation::Unexpecting);
}

#[test]
fn newcomers_that_are_not_locked_are_found() {
    finds(Mutation::NoNewcomers);
}

#[test]
fn an_execution_that_ends_before_it_is_waited_for_is_found() {
    finds(Mutation::NoHold);
}

#[test]
fn a_redrive_that_was_done_before_is_found() {
    finds(Mutation::AnyRedrive);
}

#[test]
fn a_request_to_cancel_another_run_is_found() {
    finds(Mutation::AnyRun);
}

#[test]
fn a_request_about_another_task_is_found() {
    finds(Mutation::AnyTask);
}
