//! Claims that ended: once, as their status says, leaving nothing behind.

use fluxus_schema::ClaimStatus;
use fluxus_schema::history::EventKind;
use serde_json::Value;

use super::load::{Branch, Facts, Timer};
use super::story::{Recorded, Story};
use crate::branch::BranchStatus;
use crate::columns::storable;

/// Whether the history begins and ends as the claim's status says, each exactly once.
pub(super) fn check_ends(claim: &Facts, story: &Story, note: &mut impl FnMut(String)) {
    let Facts { status, .. } = claim;
    let count = |kind: EventKind| story.events().filter(|event| event.kind == kind).count();
    let evaluated = count(EventKind::ClaimEvaluated);
    let began = usize::from(claim.has_begun);
    let judged = usize::from(claim.has_begun || *status == ClaimStatus::Rejected);
    if evaluated != judged {
        note(format!("is {status} and was evaluated {evaluated} times"));
    }
    if count(EventKind::ExecutionStarted) != began {
        note(format!("is {status} and began {} times", count(EventKind::ExecutionStarted)));
    }
    let ends: Vec<_> = story.events().filter(|event| event.kind.ends_execution()).collect();
    let redriven = count(EventKind::ExecutionRedriven);
    // One that was stopped before it began ended too; one that was refused has its verdict instead.
    let has_end = status.has_ended() && *status != ClaimStatus::Rejected;
    let wanted = redriven + usize::from(has_end);
    if ends.len() != wanted {
        note(format!("is {status} and its execution ended {} times, not {wanted}", ends.len()));
    }
    if *status == ClaimStatus::Rejected {
        check_refusal(claim, story, note);
    }
    let (Some(end), true) = (ends.last(), has_end) else { return };
    if Some(end.kind) != ending(*status) {
        note(format!("is {status}, and its history ends with {}", end.kind.as_str()));
    }
    if story.last_of_root() != Some(end.kind) {
        note("has events of its root branch after the end".to_owned());
    }
    if *status == ClaimStatus::Succeeded {
        let output = claim.output.as_deref().map(serde_json::from_str::<Value>);
        if !matches!(output, Some(Ok(output)) if end.details.get("output") == Some(&output)) {
            note("has another output than its history says".to_owned());
        }
    } else {
        check_words(claim, end, note);
    }
}

/// How the execution ended before it was redriven, each time.
pub(super) fn ends_before(claim: &Facts, story: &Story) -> Vec<ClaimStatus> {
    let status = |kind: EventKind| match kind {
        EventKind::ExecutionFailed => Some(ClaimStatus::Failed),
        EventKind::ExecutionTimedOut => Some(ClaimStatus::TimedOut),
        EventKind::ExecutionAborted => Some(ClaimStatus::Aborted),
        _ => None,
    };
    let mut ends: Vec<_> = story.ends().filter_map(status).collect();
    if claim.status.has_ended() && claim.status != ClaimStatus::Succeeded {
        ends.pop();
    }
    if story.was_redriven() { ends } else { Vec::new() }
}

fn check_refusal(claim: &Facts, story: &Story, note: &mut impl FnMut(String)) {
    let verdict = story.events().find(|event| event.kind == EventKind::ClaimEvaluated);
    let Some(verdict) = verdict else { return };
    if verdict.text("verdict") != Some("REJECTED") {
        note("is REJECTED, and its history says that it was accepted".to_owned());
    }
    check_words(claim, verdict, note);
}

/// Error and cause, as the row has them.
fn check_words(claim: &Facts, end: &Recorded, note: &mut impl FnMut(String)) {
    let said = |name| end.text(name).map(|text| storable(text).into_owned());
    if (said("error"), said("cause")) != (claim.error.clone(), claim.cause.clone()) {
        note("has another error than its history says".to_owned());
    }
}

fn ending(status: ClaimStatus) -> Option<EventKind> {
    match status {
        ClaimStatus::Succeeded => Some(EventKind::ExecutionSucceeded),
        ClaimStatus::Failed => Some(EventKind::ExecutionFailed),
        ClaimStatus::TimedOut => Some(EventKind::ExecutionTimedOut),
        ClaimStatus::Aborted => Some(EventKind::ExecutionAborted),
        ClaimStatus::Received | ClaimStatus::Running | ClaimStatus::Rejected => None,
    }
}

/// Whether nothing is left that could go on.
pub(super) fn check_left_over(
    claim: &Facts,
    branches: &[Branch],
    timers: &[Timer],
    note: &mut impl FnMut(String),
) {
    let status = claim.status;
    for Timer { key, .. } in timers {
        note(format!("is {status} and has the timer `{key}`"));
    }
    let keeps_ends = !matches!(status, ClaimStatus::Succeeded | ClaimStatus::Rejected);
    for branch in branches {
        if !keeps_ends || branch.status != BranchStatus::Ended {
            let stands = branch.status.as_str();
            note(format!("is {status} and its branch {} is there as {stands}", branch.branch_id));
        }
    }
}
