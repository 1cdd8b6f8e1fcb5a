//! What must hold once nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fluxus_schema::history::{Event, EventKey, EventKind, EventRow, number};
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{BranchId, ClaimId, ClaimStatus, Timestamp};
use fluxus_store::{BranchStatus, ClaimRow};
use serde_json::Value;

use super::fluxling::{AGAIN, BROKEN, FORGED};
use super::operator;
use super::recipe::Workload;
use super::run::MAX_SKEW_MS;
use super::world::World;

/// How each claim that came from outside ended, and what was recorded, in any order.
pub(super) type Told = BTreeMap<ClaimId, (String, Vec<&'static str>)>;

/// Errors that a claim may end with.
const ERRORS: [&str; 11] = [
    AGAIN,
    BROKEN,
    "States.Timeout",
    "States.TaskFailed",
    "States.Runtime",
    "States.ExceedToleratedFailureThreshold",
    "States.ItemReaderFailed",
    "Fluxus.Undeliverable",
    "Fluxus.NoFluxling",
    "Fluxus.NoRecipe",
    "Fluxus.InvalidBody",
];

/// How long after its time a claim may end, while messages come late and again, and sweeps fail.
const MOST_DELAY: Duration = Duration::from_secs(600);

/// How early a clock that is ahead may tell one that is behind that a time has come.
const MOST_SKEW: Duration = Duration::from_millis(2 * MAX_SKEW_MS.unsigned_abs());

/// The history of each claim, in order.
type Histories = BTreeMap<ClaimId, Vec<EventRow>>;

pub(super) fn told(world: &World) -> Told {
    tell(world, &histories(world))
}

fn tell(world: &World, histories: &Histories) -> Told {
    let outside = world.tables.claims.values().filter(|claim| claim.origin.is_none());
    let tell = |claim: &std::rc::Rc<ClaimRow>| {
        let ClaimRow { status, output, error, cause, .. } = &**claim;
        let end = timeless(&format!("{status} {output:?} {error:?} {cause:?}"));
        let rows = histories.get(&claim.claim_id).into_iter().flatten();
        let certain = rows.flat_map(|row| &row.events).filter(|event| is_certain(event.kind));
        let mut kinds: Vec<&'static str> = certain.map(|event| event.kind.as_str()).collect();
        kinds.sort_unstable();
        (claim.claim_id, (end, kinds))
    };
    outside.map(tell).collect()
}

/// A text without the numbers of events in it: while branches run side by side, those say when.
pub(super) fn timeless(text: &str) -> String {
    const NUMBERED: &str = "event id #";
    let mut parts = text.split(NUMBERED);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        all + NUMBERED + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

/// Whether an event is recorded in whatever order messages come.
fn is_certain(kind: EventKind) -> bool {
    use EventKind::{TaskDelegated, TaskStarted, TaskSubmitted};
    !matches!(kind, TaskDelegated | TaskStarted | TaskSubmitted)
}

/// Notes everything that is wrong.
pub(super) fn check(world: &mut World, workload: &Workload, expected: Option<&Told>) {
    let mut found = Vec::new();
    left_over(world, &mut found);
    let histories = histories(world);
    let claims: Vec<_> = world.tables.claims.values().cloned().collect();
    for claim in &claims {
        let id = claim.claim_id;
        let mut note = |what: String| found.push(format!("claim {id}: {what}"));
        check_end(world, claim, &mut note);
        check_time(claim, workload, &mut note);
        let rows = histories.get(&id).map_or(&[][..], Vec::as_slice);
        check_story(world, claim, rows, &mut note);
        check_runs(world, claim, rows, &mut note);
    }
    for intake in &workload.claims {
        if !world.tables.claims.contains_key(&intake.claim_id) {
            found.push(format!("claim {} is gone", intake.claim_id));
        }
    }
    if let Some(expected) = expected {
        for (id, (end, kinds)) in tell(world, &histories) {
            let Some((expected_end, expected_kinds)) = expected.get(&id) else { continue };
            if end != *expected_end {
                found.push(format!("claim {id} ended as {end}, not as {expected_end}"));
            }
            if !workload.is_racy && kinds != *expected_kinds {
                found.push(format!("claim {id} recorded {kinds:?}, not {expected_kinds:?}"));
            }
        }
    }
    for claim in &claims {
        world.meets(claim.status.as_str());
    }
    for event in histories.values().flatten().flat_map(|row| &row.events) {
        world.meets(event.kind.as_str());
    }
    found.into_iter().for_each(|what| world.violation(what));
}

/// No row and no message waits for anything.
fn left_over(world: &World, found: &mut Vec<String>) {
    let tables = &world.tables;
    for (id, key) in tables.timers.keys() {
        found.push(format!("claim {id} has left the timer `{key}`"));
    }
    for (id, token) in tables.waiters.keys() {
        found.push(format!("the end of claim {id} is waited for, by {token}"));
    }
    for unsent in tables.outbox.values() {
        found.push(format!("the outbox has {}", unsent.message.outgoing.body));
    }
    for message in world.queues.messages.values() {
        found.push(format!("`{}` has {}", message.queue, message.body));
    }
    for (row, reported) in world.queues.dead.values() {
        if !reported {
            found.push(format!("a dead letter is not reported: {}", row.body));
        }
    }
    for (key, row) in &tables.branches {
        let claim = tables.claims.get(&key.claim_id);
        let keeps = claim.is_some_and(|claim| {
            claim.status.has_ended()
                && !matches!(claim.status, ClaimStatus::Succeeded | ClaimStatus::Rejected)
        });
        if !keeps || row.status != BranchStatus::Ended {
            found.push(format!("branch {key} is left as {}", row.status.as_str()));
        }
    }
}

/// It ended, once, in a way that is allowed.
fn check_end(world: &World, claim: &ClaimRow, note: &mut impl FnMut(String)) {
    let ends = world.tables.ends.get(&claim.claim_id).copied().unwrap_or_default();
    let redrives = claim.redrive_count;
    if !claim.status.has_ended() || ends != redrives + 1 {
        note(format!("is {} and ended {ends} times, redriven {redrives} times", claim.status));
    }
    if (claim.status == ClaimStatus::Succeeded) != claim.output.is_some() {
        note(format!("is {} with the output {:?}", claim.status, claim.output));
    }
    if let Some(error) = &claim.error
        && !ERRORS.contains(&error.as_str())
    {
        note(format!("ended with `{error}`: {:?}", claim.cause));
    }
}

/// It ended as out of time if it was, and not before.
fn check_time(claim: &ClaimRow, workload: &Workload, note: &mut impl FnMut(String)) {
    let (Some(began_at), Some(ended_at)) = (claim.redriven_at.or(claim.started_at), claim.ended_at)
    else {
        return;
    };
    let is_bounded = claim.origin.is_none();
    let timeout = workload.timeout.filter(|_| is_bounded).map(|timeout| began_at.plus(timeout));
    let is_ahead = |at: &Timestamp| claim.redriven_at.is_none_or(|redriven_at| *at > redriven_at);
    let due = timeout.into_iter().chain(claim.deadline.filter(is_ahead)).min();
    let is_early = due.is_none_or(|due| ended_at.plus(MOST_SKEW) < due);
    if claim.status == ClaimStatus::TimedOut && is_early {
        note(format!("is out of time at {ended_at}, and its time ends at {due:?}"));
    }
    if due.is_some_and(|due| ended_at.since(due) > MOST_DELAY) {
        note(format!("has ended at {ended_at}, and its time ended at {due:?}"));
    }
}

fn histories(world: &World) -> Histories {
    let mut histories = Histories::new();
    for row in &world.tables.history {
        histories.entry(row.claim_id).or_default().push(EventRow {
            branch_id: row.branch_id.clone(),
            revision: row.revision,
            at: row.at,
            events: serde_json::from_str(&row.events).unwrap_or_default(),
        });
    }
    for rows in histories.values_mut() {
        rows.sort_by(|a, b| {
            (a.at, &a.branch_id, a.revision).cmp(&(b.at, &b.branch_id, b.revision))
        });
    }
    histories
}

/// Its history has no gap, causes come first, and each task's result was used once.
fn check_story(world: &World, claim: &ClaimRow, rows: &[EventRow], note: &mut impl FnMut(String)) {
    let mut known: BTreeSet<EventKey> = BTreeSet::new();
    let mut revisions: BTreeMap<&BranchId, u32> = BTreeMap::new();
    let mut open: BTreeMap<&BranchId, u32> = BTreeMap::new();
    for row in rows {
        let EventRow { branch_id, revision, events, .. } = row;
        let here = || format!("step {branch_id}#{revision}");
        let before = revisions.insert(branch_id, *revision);
        if before.is_some_and(|before| before >= *revision && *revision > 0) {
            note(format!("{} follows #{}", here(), before.unwrap_or_default()));
        }
        if events.is_empty() {
            note(format!("{} recorded nothing", here()));
        }
        for (position, event) in (0u32..).zip(events) {
            if let Some(cause) = event.previous.as_ref().filter(|cause| !known.contains(cause)) {
                note(format!("{} {} follows {cause}, unknown", here(), event.kind.as_str()));
            }
            let (branch_id, revision) = (branch_id.clone(), *revision);
            known.insert(EventKey { branch_id, revision, position });
            check_task(world, claim.claim_id, row, event, &mut open, note);
        }
    }
    let causes: usize =
        rows.iter().flat_map(|row| &row.events).filter_map(|e| e.previous.as_ref()).count();
    let numbered = number(rows.to_vec(), true);
    let told = numbered.iter().filter(|event| event.previous_event_id != 0).count();
    if told != causes || numbered.iter().any(|event| event.previous_event_id >= event.id) {
        note("its events are not numbered in the order of their causes".to_owned());
    }
}

/// Its runs follow each other, each with one end, and what operators asked for was done once, in the
/// run that they had in mind.
fn check_runs(world: &World, claim: &ClaimRow, rows: &[EventRow], note: &mut impl FnMut(String)) {
    let (mut started, mut redriven) = (0, 0);
    let mut is_open = false;
    let mut done: BTreeSet<String> = BTreeSet::new();
    for (row, event) in rows.iter().flat_map(|row| row.events.iter().map(move |event| (row, event)))
    {
        let detail = |name: &str| {
            let details = serde_json::to_value(&event.details).unwrap_or_default();
            details[name].clone()
        };
        match event.kind {
            EventKind::TaskRetried | EventKind::TaskSkipped => {
                let reason = detail("reason").as_str().unwrap_or_default().to_owned();
                if !done.insert(reason.clone()) {
                    note(format!("did what was asked for about {reason} twice"));
                }
            }
            // An item of a Map may be an execution of its own.
            _ if !row.branch_id.is_root() => {}
            EventKind::ExecutionStarted if is_open => note("began in a run of it".to_owned()),
            EventKind::ExecutionStarted => (started, is_open) = (started + 1, true),
            EventKind::ExecutionRedriven => {
                redriven += 1;
                let was_asked = world.requests.redrives.contains(&(claim.claim_id, redriven));
                if is_open || !was_asked || detail("redriveCount") != redriven {
                    note(format!("was redriven as {} though", detail("redriveCount")));
                }
                is_open = true;
            }
            kind if kind.ends_execution() => {
                if !is_open && started > 0 {
                    note(format!("ended by {} when it had ended", kind.as_str()));
                }
                is_open = false;
                let cause = detail("cause");
                let cause = cause.as_str().unwrap_or_default();
                if cause.starts_with("run ") && cause != operator::run(redriven) {
                    note(format!("ended in run {redriven}, since {cause}"));
                }
            }
            _ => {}
        }
    }
    let began = u32::from(claim.started_at.is_some());
    if started != began || redriven != claim.redrive_count || is_open {
        note(format!("began {started} times and went on {redriven} times, by its history"));
    }
}

/// A result is that of a task that waited for one, and somebody did the work.
fn check_task<'a>(
    world: &World,
    claim_id: ClaimId,
    row: &'a EventRow,
    event: &Event,
    open: &mut BTreeMap<&'a BranchId, u32>,
    note: &mut impl FnMut(String),
) {
    let here = || format!("{} at {}#{}", event.kind.as_str(), row.branch_id, row.revision);
    match event.kind {
        // What was cut off has no result.
        EventKind::ExecutionRedriven if row.branch_id.is_root() => open.clear(),
        EventKind::TaskRetried | EventKind::TaskSkipped => {
            // One that waits to be tried again is named by the step before.
            let named = open.get(&row.branch_id).copied().unwrap_or(row.revision.saturating_sub(1));
            let details = serde_json::to_value(&event.details).unwrap_or_default();
            if details["reason"] != operator::task(&row.branch_id, named) {
                note(format!("{} of #{named}, asked for of {}", here(), details["reason"]));
            }
            if event.kind == EventKind::TaskRetried {
                open.remove(&row.branch_id);
            }
        }
        EventKind::TaskScheduled => {
            let before = open.insert(&row.branch_id, row.revision);
            if before.is_some() {
                note(format!("{} while another has no result", here()));
            }
        }
        EventKind::TaskSucceeded | EventKind::TaskFailed | EventKind::TaskTimedOut => {
            let Some(scheduled) = open.remove(&row.branch_id) else {
                note(format!("{} of no task", here()));
                return;
            };
            if event.kind == EventKind::TaskSucceeded {
                let details = serde_json::to_value(&event.details).unwrap_or_default();
                let output = &details["output"];
                let is_nested = details["resourceType"] == "states";
                if *output == FORGED {
                    note(format!("{} takes a forged answer", here()));
                } else if was_skipped(row) {
                    if *output != operator::by_hand(&row.branch_id, scheduled) {
                        note(format!("{} has the result {output}, not that by hand", here()));
                    }
                } else if !is_nested && !was_done(world, claim_id, row, scheduled, output) {
                    note(format!("{} has the result {output}, which nobody gave", here()));
                }
            }
        }
        EventKind::TaskSubmitFailed => drop(open.remove(&row.branch_id)),
        _ => {}
    }
}

/// Whether an operator ended the task that the row tells of.
fn was_skipped(row: &EventRow) -> bool {
    row.events.iter().any(|event| event.kind == EventKind::TaskSkipped)
}

/// Whether somebody did the task that was scheduled with this revision, with this result.
fn was_done(
    world: &World,
    claim_id: ClaimId,
    row: &EventRow,
    scheduled: u32,
    result: &Value,
) -> bool {
    world.work.done.iter().any(|(token, answer)| {
        let is_it = token.address().is_ok_and(|at| {
            at.claim_id == claim_id && at.branch_id == row.branch_id && at.revision == scheduled
        });
        is_it && matches!(answer, CoreMessage::TaskSucceeded { output, .. } if **output == *result)
    })
}
