//! Where a claim stands, in sentences.

mod workers;

use std::time::Duration;

use anstyle::Style;
use fluxus_schema::api::{Decision, Explanation, Waiting, WaitingFor};
use fluxus_schema::delegation::Candidate;
use fluxus_schema::problem::Fault;
use fluxus_schema::{Claim, ClaimStatus, Timestamp};

use crate::claim::show::{fault_lines, unquoted};
use crate::moment::{absolute_and_relative, clock, span};
use crate::output::status_style;
use crate::table::clean;
use workers::Holder;
pub use workers::Workers;

/// After so long without an evaluation nobody seems to take claims up: a core does it in milliseconds,
/// and a busy one in a second or two.
const LONG_RECEIVED: Duration = Duration::from_secs(5);

/// Most strands and most decisions that are told; a Map of thousands would bury the rest.
const MAX_TOLD: usize = 50;

/// The explanation as sentences in up to three parts: how the claim stands, what it waits for,
/// and why each fluxling was chosen. Times are told from `now`.
pub fn sentences(
    explanation: &Explanation,
    faults: &[Fault],
    workers: &Workers,
    now: Timestamp,
) -> String {
    let Explanation { claim, waiting, decisions } = explanation;
    let mut text = standing(claim, now);
    text.push_str(&fault_lines(faults));
    if !claim.status.has_ended() {
        heading(&mut text, "Waiting");
        let is_left =
            claim.status == ClaimStatus::Received && now.since(claim.received_at) > LONG_RECEIVED;
        if waiting.is_empty() && is_left {
            text.push_str(
                "For a core: none took it up yet. See whether `fluxus serve` or `fluxus dev` runs one \
                 on this\ndatabase, and what its log says.\n",
            );
        } else if waiting.is_empty() {
            text.push_str("Nothing: the next step is under way.\n");
        }
        for strand in waiting.iter().take(MAX_TOLD) {
            text.push_str(&waiting_sentence(strand, workers, now));
            text.push('\n');
        }
        rest(&mut text, waiting.len(), "strands");
    }
    if !decisions.is_empty() {
        heading(&mut text, "Who got its tasks, and why");
        // The newest ones are what somebody asks about.
        for decision in decisions.iter().skip(decisions.len().saturating_sub(MAX_TOLD)) {
            text.push_str(&decision_sentences(decision));
        }
        rest(&mut text, decisions.len(), "earlier decisions");
    }
    text
}

fn heading(text: &mut String, title: &str) {
    let bold = Style::new().bold();
    text.push_str(&format!("\n{bold}{title}{bold:#}\n"));
}

fn rest(text: &mut String, all: usize, what: &str) {
    if all > MAX_TOLD {
        text.push_str(&format!("… and {} more {what}; --output json has all.\n", all - MAX_TOLD));
    }
}

/// How the claim stands and how it came there.
fn standing(claim: &Claim, now: Timestamp) -> String {
    let style = status_style(claim.status);
    let about =
        claim.subject.as_deref().map(|subject| format!(" about {subject}")).unwrap_or_default();
    let mut text = format!(
        "Claim {} ({}{}) is {style}{}{style:#}.\n",
        claim.claim_id,
        claim.claim_type,
        clean(&about),
        claim.status
    );
    let received = absolute_and_relative(claim.received_at, now);
    text.push_str(&format!("It was received at {received}.\n"));
    if let Some(started) = claim.started_at {
        let recipe = match (&claim.recipe, claim.recipe_version) {
            (Some(recipe), Some(version)) => format!("Recipe {recipe} version {version}"),
            (Some(recipe), None) => format!("Recipe {recipe}"),
            (None, _) => "Its recipe".to_owned(),
        };
        let after = span(started.since(claim.received_at));
        text.push_str(&format!("{recipe} began with it {after} later.\n"));
    } else if claim.status == ClaimStatus::Received {
        text.push_str("It has not been evaluated yet.\n");
    }
    if let Some(ended) = claim.ended_at {
        let ran = span(ended.since(claim.started_at.unwrap_or(claim.received_at)));
        let ended = absolute_and_relative(ended, now);
        text.push_str(&format!("It ended at {ended}, after {ran}.\n"));
    } else if let Some(deadline) = claim.deadline {
        let deadline = absolute_and_relative(deadline, now);
        text.push_str(&format!("It ends as TIMED_OUT at {deadline} unless it ends before.\n"));
    }
    match (&claim.error, &claim.cause) {
        (Some(error), Some(cause)) => {
            let cause = clean(&unquoted(cause));
            text.push_str(&format!("The error was {}: {cause}\n", clean(error)));
        }
        (Some(error), None) => text.push_str(&format!("The error was {}.\n", clean(error))),
        (None, Some(cause)) => text.push_str(&format!("The cause: {}\n", clean(&unquoted(cause)))),
        (None, None) => {}
    }
    text
}

/// What one strand waits for and since when.
pub fn waiting_sentence(waiting: &Waiting, workers: &Workers, now: Timestamp) -> String {
    let place = match (&waiting.state, waiting.branch.is_root()) {
        (Some(state), true) => format!("State `{state}`"),
        (Some(state), false) => format!("State `{state}` in branch {}", waiting.branch),
        (None, true) => "The execution".to_owned(),
        (None, false) => format!("Branch {}", waiting.branch),
    };
    let since = absolute_and_relative(waiting.since, now);
    let fails = |deadline: &Option<Timestamp>| match deadline {
        Some(deadline) => {
            format!(" It fails as timed out at {}.", absolute_and_relative(*deadline, now))
        }
        None => " It may take as long as it takes: no timeout is set.".to_owned(),
    };
    let sentence = match &waiting.reason {
        WaitingFor::Turn => {
            format!("waits for its turn since {since}: as many items run as may at a time.")
        }
        WaitingFor::Task { capability, fluxling: Some(fluxling), attempt, deadline, .. } => {
            let attempt = nth(*attempt);
            let fails = fails(deadline);
            format!("waits for {fluxling} to do {capability} ({attempt}) since {since}.{fails}")
        }
        WaitingFor::Task { capability, attempt, deadline, .. } if capability.is_activity() => {
            let attempt = nth(*attempt);
            let fails = fails(deadline);
            let name = capability.as_str();
            let name = name.split_once('.').map_or(name, |(_, name)| name);
            match workers.holder(&waiting.branch) {
                Holder::Worker(worker) => format!(
                    "waits for {worker} to do the activity {name} ({attempt}) since {since}.{fails}"
                ),
                Holder::Nobody => format!(
                    "waits for a worker that polls the activity {name} ({attempt}) since \
                     {since}.{fails} Take it with: fluxus task poll {name}"
                ),
                Holder::Unknown => format!(
                    "waits for the activity {name} ({attempt}) since {since}: for a worker that \
                     polls it, or for its answer.{fails}"
                ),
            }
        }
        WaitingFor::Task { capability, fluxling: None, attempt, deadline, .. } => {
            let attempt = nth(*attempt);
            let fails = fails(deadline);
            format!(
                "waits for somebody who can do {capability} ({attempt}) since {since}: no \
                 fluxling can take it now.{fails}"
            )
        }
        WaitingFor::Callback { token, deadline } => {
            let fails = fails(deadline);
            format!(
                "waits for a callback since {since}.{fails} Answer with: fluxus task succeed {token}"
            )
        }
        WaitingFor::Execution { claim_id, deadline } => {
            let fails = fails(deadline);
            format!("waits since {since} for the end of the execution {claim_id}.{fails}")
        }
        WaitingFor::Retry { due, attempt } => {
            let due = absolute_and_relative(*due, now);
            format!("waits for its {} at {due}; the last one failed at {since}.", nth(*attempt))
        }
        WaitingFor::Time { due } => {
            format!("waits until {}, since {since}.", absolute_and_relative(*due, now))
        }
        WaitingFor::Branches { open, total } => {
            format!("waits for {open} of its {total} branches since {since}.")
        }
    };
    clean(&format!("{place} {sentence}"))
}

/// An attempt's number in words: 0 is the first.
fn nth(attempt: u32) -> String {
    match attempt {
        0 => "first attempt".to_owned(),
        1 => "second attempt".to_owned(),
        2 => "third attempt".to_owned(),
        n => format!("attempt {}", u64::from(n) + 1),
    }
}

/// One decision: who got the task and why, then the others.
fn decision_sentences(decision: &Decision) -> String {
    let told = &decision.delegation;
    let reason = clean(told.reason.trim_end_matches('.'));
    let at = clock(decision.at);
    let place = if decision.branch.is_root() {
        String::new()
    } else {
        format!(" in branch {}", decision.branch)
    };
    let mut text = match &told.fluxling {
        Some(fluxling) => {
            format!("{at}  {} went to {fluxling}{place}: {reason}.\n", told.capability)
        }
        None => format!("{at}  Nobody could take {}{place}: {reason}.\n", told.capability),
    };
    let others = told.candidates.iter().filter(|one| Some(&one.fluxling) != told.fluxling.as_ref());
    for other in others {
        text.push_str(&candidate_sentence(other));
    }
    text
}

fn candidate_sentence(candidate: &Candidate) -> String {
    let Candidate { fluxling, score, in_flight, reason } = candidate;
    let score = score.map(|score| format!(", expected {score:.0} ms")).unwrap_or_default();
    let reason = reason.trim_end_matches('.');
    let tasks = if *in_flight == 1 { "task" } else { "tasks" };
    let line = format!("not {fluxling} ({in_flight} {tasks} in flight{score}): {reason}.");
    format!("{:14}{}\n", "", clean(&line))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use super::*;

    fn check(explanation: Value, expected: &Expect) {
        let explanation: Explanation = serde_json::from_value(explanation).expect("an explanation");
        let now = Timestamp::parse("2026-11-23T12:05:00Z").expect("a time");
        let text = sentences(&explanation, &[], &Workers::default(), now);
        expected.assert_eq(&anstream::adapter::strip_str(&text).to_string());
    }

    fn claim(status: &str) -> Value {
        json!({
            "claim_id": "01890a5d-ac96-774b-bcce-b302099a8057", "tenant": "default",
            "type": "order.placed", "status": status, "subject": "customer-42", "body": {},
            "recipe": "order-saga", "recipe_version": 3, "priority": 0,
            "received_at": "2026-11-23T12:03:04.500Z", "started_at": "2026-11-23T12:03:04.512Z",
        })
    }

    #[test]
    fn a_running_claim_says_what_it_waits_for() {
        let strand = |branch: &str, state: Value, reason: Value| {
            json!({"branch": branch, "state": state, "for": reason,
                   "since": "2026-11-23T12:04:48.000Z"})
        };
        check(
            json!({
                "claim": claim("RUNNING"),
                "waiting": [
                    strand("/", json!("Both"),
                        json!({"kind": "branches", "open": 2, "total": 7})),
                    strand("/1.0", json!("Charge"), json!({"kind": "task",
                        "capability": "shop.charge", "fluxling": "payments-eu", "attempt": 1,
                        "token": "AAAA", "deadline": "2026-11-23T12:05:48.000Z"})),
                    strand("/1.1", json!("Ship"), json!({"kind": "task",
                        "capability": "shop.ship", "fluxling": null, "attempt": 0,
                        "token": "AAAB", "deadline": null})),
                    strand("/1.2", json!("Approve"), json!({"kind": "callback",
                        "token": "AAAC", "deadline": "2026-11-24T12:05:00.000Z"})),
                    strand("/1.3", json!("Charge"), json!({"kind": "retry",
                        "due": "2026-11-23T12:05:02.000Z", "attempt": 3})),
                    strand("/1.4", json!("Rest"), json!({"kind": "time",
                        "due": "2026-11-23T12:06:30.000Z"})),
                    strand("/1.5", Value::Null, json!({"kind": "turn"})),
                ],
                "decisions": [
                    {"at": "2026-11-23T12:04:40.000Z", "branch": "/1.0", "delegation": {
                        "capability": "shop.charge", "reason": "both circuits are open",
                        "candidates": []}},
                    {"at": "2026-11-23T12:04:48.000Z", "branch": "/1.0", "delegation": {
                        "capability": "shop.charge", "fluxling": "payments-eu",
                        "reason": "lowest expected wait of 2", "candidates": [
                            {"fluxling": "payments-eu", "score": 80.2, "inFlight": 0,
                             "reason": "drawn"},
                            {"fluxling": "payments-us", "score": 120.4, "inFlight": 1,
                             "reason": "drawn, but slower"},
                            {"fluxling": "payments-old", "inFlight": 0, "reason": "disabled"},
                        ]}},
                ],
            }),
            &expect![[r#"
                Claim 01890a5d-ac96-774b-bcce-b302099a8057 (order.placed about customer-42) is RUNNING.
                It was received at 2026-11-23 12:03:04Z (1 min 55 s ago).
                Recipe order-saga version 3 began with it 12 ms later.

                Waiting
                State `Both` waits for 2 of its 7 branches since 2026-11-23 12:04:48Z (12 s ago).
                State `Charge` in branch /1.0 waits for payments-eu to do shop.charge (second attempt) since 2026-11-23 12:04:48Z (12 s ago). It fails as timed out at 2026-11-23 12:05:48Z (in 48 s).
                State `Ship` in branch /1.1 waits for somebody who can do shop.ship (first attempt) since 2026-11-23 12:04:48Z (12 s ago): no fluxling can take it now. It may take as long as it takes: no timeout is set.
                State `Approve` in branch /1.2 waits for a callback since 2026-11-23 12:04:48Z (12 s ago). It fails as timed out at 2026-11-24 12:05:00Z (in 1 d). Answer with: fluxus task succeed AAAC
                State `Charge` in branch /1.3 waits for its attempt 4 at 2026-11-23 12:05:02Z (in 2 s); the last one failed at 2026-11-23 12:04:48Z (12 s ago).
                State `Rest` in branch /1.4 waits until 2026-11-23 12:06:30Z (in 1 min 30 s), since 2026-11-23 12:04:48Z (12 s ago).
                Branch /1.5 waits for its turn since 2026-11-23 12:04:48Z (12 s ago): as many items run as may at a time.

                Who got its tasks, and why
                12:04:40.000  Nobody could take shop.charge in branch /1.0: both circuits are open.
                12:04:48.000  shop.charge went to payments-eu in branch /1.0: lowest expected wait of 2.
                              not payments-us (1 task in flight, expected 120 ms): drawn, but slower.
                              not payments-old (0 tasks in flight): disabled.
            "#]],
        );
    }

    #[test]
    fn an_ended_claim_says_how_it_ended() {
        let mut claim = claim("FAILED");
        claim["ended_at"] = json!("2026-11-23T12:04:04.512Z");
        claim["error"] = json!("OrderCancelled");
        claim["cause"] = json!("the card was declined");
        check(
            json!({"claim": claim, "waiting": [], "decisions": []}),
            &expect![[r#"
                Claim 01890a5d-ac96-774b-bcce-b302099a8057 (order.placed about customer-42) is FAILED.
                It was received at 2026-11-23 12:03:04Z (1 min 55 s ago).
                Recipe order-saga version 3 began with it 12 ms later.
                It ended at 2026-11-23 12:04:04Z (55 s ago), after 1 min.
                The error was OrderCancelled: the card was declined
            "#]],
        );
    }

    #[test]
    fn the_task_of_an_activity_is_with_a_worker_or_waits_for_one() {
        let strand: Waiting = serde_json::from_value(json!({
            "branch": "/", "state": "Approve", "since": "2026-11-23T12:04:48.000Z",
            "for": {"kind": "task", "capability": "activity.approve-order", "fluxling": null,
                    "attempt": 0, "token": "AAAA", "deadline": null},
        }))
        .expect("a strand");
        let event = |id: i64, kind: &str, field: &str, details: Value| {
            let mut event = json!({"id": id, "previousEventId": id - 1, "type": kind, "branch": "/",
                "timestamp": "2026-11-23T12:04:48.000Z"});
            event[field] = details;
            serde_json::from_value(event).expect("an event")
        };
        let events = [
            event(1, "ActivityScheduled", "activityScheduledEventDetails", json!({})),
            event(
                2,
                "ActivityStarted",
                "activityStartedEventDetails",
                json!({"workerName": "ines"}),
            ),
        ];
        let now = Timestamp::parse("2026-11-23T12:05:00Z").expect("a time");
        let told = |events| waiting_sentence(&strand, &Workers::whole(events), now);
        expect!["State `Approve` waits for ines to do the activity approve-order (first attempt) since 2026-11-23 12:04:48Z (12 s ago). It may take as long as it takes: no timeout is set."]
            .assert_eq(&told(&events));
        expect!["State `Approve` waits for a worker that polls the activity approve-order (first attempt) since 2026-11-23 12:04:48Z (12 s ago). It may take as long as it takes: no timeout is set. Take it with: fluxus task poll approve-order"]
            .assert_eq(&told(&events[..1]));
    }

    #[test]
    fn a_claim_that_was_not_evaluated_says_so() {
        let mut claim = claim("RECEIVED");
        for field in ["recipe", "recipe_version", "started_at", "subject"] {
            claim.as_object_mut().expect("an object").remove(field);
        }
        claim["deadline"] = json!("2026-11-23T13:00:00Z");
        check(
            json!({"claim": claim, "waiting": [], "decisions": []}),
            &expect![[r#"
                Claim 01890a5d-ac96-774b-bcce-b302099a8057 (order.placed) is RECEIVED.
                It was received at 2026-11-23 12:03:04Z (1 min 55 s ago).
                It has not been evaluated yet.
                It ends as TIMED_OUT at 2026-11-23 13:00:00Z (in 55 min) unless it ends before.

                Waiting
                For a core: none took it up yet. See whether `fluxus serve` or `fluxus dev` runs one on this
                database, and what its log says.
            "#]],
        );
    }
}
