//! Whatever happens to messages on their way, claims come out the same.
//!
//! Several recipes run undisturbed, then again with each message delivered up to three times, in
//! any order and any batches, with answers that come late or contradict the first, with timers that
//! fire early or are old, with handlers that are dropped in their middle and a second core at the
//! same work. `FLUXUS_CASES` says how many times (4); `FLUXUS_SEED` repeats one that failed.

use std::collections::BTreeMap;

use fluxus_schema::ClaimId;
use fluxus_schema::history::{EventKey, EventKind, EventRow, number};
use serde_json::{Value, json};

use crate::driver::{self, Chaos};
use crate::world::{Footing, World, last_task, machine, task};

/// The recipes, each with the body of its claim.
fn recipes() -> Vec<(&'static str, Value, Value)> {
    let three = machine(json!({
        "A": task(json!({ "Next": "B", "TimeoutSeconds": 300 })),
        "B": task(json!({ "Next": "C", "HeartbeatSeconds": 300 })),
        "C": last_task()
    }));
    let two_tasks =
        |a: &str, b: &str| machine(json!({ a: task(json!({ "Next": b })), b: last_task() }));
    let parallel = machine(json!({ "Both": {
        "Type": "Parallel", "End": true, "Branches": [two_tasks("L1", "L2"), two_tasks("R1", "R2")]
    } }));
    let turns = machine(json!({ "Each": {
        "Type": "Map", "MaxConcurrency": 2, "End": true, "ItemsPath": "$.items",
        "ItemSelector": { "n.$": "$$.Map.Item.Value", "index.$": "$$.Map.Item.Index" },
        "ItemProcessor": machine(json!({ "Turn": last_task() }))
    } }));
    let retry = machine(json!({
        "Hard": task(json!({
            "Next": "After",
            "Retry": [{ "ErrorEquals": ["Again"], "IntervalSeconds": 0, "MaxAttempts": 2 }],
            "Catch": [{ "ErrorEquals": ["Broken"], "ResultPath": "$.error", "Next": "After" }]
        })),
        "After": last_task()
    }));
    let callback = machine(json!({
        "Ask": {
            "Type": "Task", "Resource": "fluxling:ask.waitForTaskToken", "ResultPath": "$.answer",
            "Parameters": { "token.$": "$$.Task.Token" }, "TimeoutSeconds": 300, "Next": "Told"
        },
        "Told": last_task()
    }));
    let wait = machine(json!({
        "Before": task(json!({ "Next": "Rest" })),
        "Rest": { "Type": "Wait", "Seconds": 1, "Next": "Rested" },
        "Rested": last_task()
    }));
    let aborted = machine(json!({
        "Try": {
            "Type": "Parallel", "Next": "Saved", "Branches": [
                machine(json!({ "Breaks": last_task() })),
                machine(json!({ "Long": { "Type": "Wait", "Seconds": 3600, "End": true } }))
            ],
            "Catch": [{ "ErrorEquals": ["Broken"], "ResultPath": "$.error", "Next": "Saved" }]
        },
        "Saved": last_task()
    }));
    let nested = machine(json!({ "Grid": {
        "Type": "Map", "End": true, "ItemProcessor": machine(json!({ "Row": {
            "Type": "Parallel", "End": true,
            "Branches": [machine(json!({ "X": last_task() })), two_tasks("Y1", "Y2")]
        } }))
    } }));
    let fails = machine(json!({
        "Work": task(json!({ "Next": "Breaks2" })), "Breaks2": last_task()
    }));
    let starts = |pattern: &str, recipe: &str, fields: Value| {
        let mut task = task(fields);
        task["Resource"] = json!(format!("arn:aws:states:::states:startExecution{pattern}"));
        task["Parameters"] = json!({ "StateMachineArn": recipe, "Input": { "n.$": "$.n" } });
        task
    };
    let selector = json!({ "came.$": "$.Output" });
    let waits = machine(json!({
        "Start": starts(".sync:2", "retry", json!({ "ResultSelector": selector, "Next": "Last" })),
        "Last": last_task()
    }));
    let waits_for_failure = machine(json!({
        "Start": starts(".sync", "fails", json!({
            "Next": "Last",
            "Catch": [{ "ErrorEquals": ["States.TaskFailed"], "ResultPath": null, "Next": "Last" }]
        })),
        "Last": last_task()
    }));
    let lets_go = machine(json!({
        "Start": starts("", "three", json!({ "ResultPath": null, "Next": "Last" })),
        "Last": last_task()
    }));
    let starts_many = machine(json!({ "Each": {
        "Type": "Map", "MaxConcurrency": 2, "End": true, "ItemsPath": "$.items",
        "ItemProcessor": machine(json!({
            "Start": starts(".sync", "three", json!({ "ResultPath": null, "End": true }))
        }))
    } }));
    vec![
        ("three", three, json!(1)),
        ("parallel", parallel, json!({ "n": 2 })),
        ("turns", turns, json!({ "items": [10, 20, 30, 40, 50] })),
        ("retry", retry, json!({ "n": 3 })),
        ("callback", callback, json!({ "n": 4 })),
        ("wait", wait, json!({ "n": 5 })),
        ("aborted", aborted, json!({ "n": 6 })),
        ("nested", nested, json!([1, 2, 3])),
        ("fails", fails, json!({ "n": 7 })),
        ("waits", waits, json!({ "n": 8 })),
        ("waits_for_failure", waits_for_failure, json!({ "n": 9 })),
        ("lets_go", lets_go, json!({ "n": 10 })),
        ("starts_many", starts_many, json!({ "items": [{ "n": 11 }, { "n": 12 }, { "n": 13 }] })),
    ]
}

/// What is to be the same: how each claim ended, and what was recorded, in any order.
type Told = BTreeMap<&'static str, (Value, Vec<String>)>;

/// How messages get to the core.
enum By {
    Hand(Option<Chaos>),
    Workers,
}

async fn run(footing: Footing, by: By) -> Told {
    let world = World::new(footing, &["work", "ask"]).await;
    let mut ids = Vec::new();
    for (name, definition, body) in recipes() {
        world.recipe(name, definition).await;
        ids.push((name, world.submit(name, body).await));
    }
    let all: Vec<_> = ids.iter().map(|(_, id)| *id).collect();
    match by {
        By::Hand(chaos) => driver::drive(&world, &all, chaos).await,
        By::Workers => driver::drive_workers(&world, &all).await,
    }
    let mut told = Told::new();
    for (name, id) in ids {
        told.insert(name, tell(&world, name, id).await);
    }
    assert_eq!(world.total("timer").await, 0, "timers are left");
    assert_eq!(world.total("waiter").await, 0, "waiters are left");
    assert_eq!(world.total("outbox").await, 0, "messages are left in the outbox");
    assert_eq!(world.queued(&["core", "work", "ask"]).await, 0, "messages are left");
    told
}

async fn tell(world: &World, name: &str, id: ClaimId) -> (Value, Vec<String>) {
    let claim = world.claim(id).await;
    assert!(claim.status.has_ended(), "{name} is {}", claim.status);
    if claim.output.is_some() {
        assert_eq!(world.count("branch", id).await, 0, "{name} left branches");
    }
    let rows = world.rows(id).await;
    assert_chained(name, &rows);
    let events: Vec<_> = number(rows, true)
        .into_iter()
        .map(|event| {
            // Who was drawn, and the token that is given away, differ from claim to claim.
            let details = match event.kind {
                EventKind::TaskDelegated => json!(null),
                _ => without_tokens(json!(event.details)),
            };
            format!(
                "{} {} {details}",
                without_revisions(event.branch.as_str()),
                event.kind.as_str()
            )
        })
        .collect();
    let mut events: Vec<_> = events.into_iter().map(without_ids).collect();
    events.sort();
    let end = json!({
        "status": claim.status, "output": claim.output, "error": claim.error, "cause": claim.cause
    });
    (end, events)
}

/// Every event follows one that stands before it.
fn assert_chained(name: &str, rows: &[EventRow]) {
    let mut seen = std::collections::HashSet::new();
    for row in rows {
        for (position, event) in (0..).zip(&row.events) {
            if let Some(previous) = &event.previous {
                assert!(seen.contains(previous), "{name}: {:?} after {previous}", event.kind);
            }
            let (branch_id, revision) = (row.branch_id.clone(), row.revision);
            let key = EventKey { branch_id, revision, position };
            assert!(seen.insert(key), "{name}: a step was recorded twice");
        }
    }
}

/// Executions that were started differ from run to run in their ids and times.
fn without_ids(text: String) -> String {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    if digits < 12 || !text.contains("ExecutionArn") {
        return text;
    }
    let known = |part: &&str| part.chars().filter(char::is_ascii_digit).count() < 8;
    text.split(['"', '\\', ',', ':']).filter(known).collect::<Vec<_>>().join(" ")
}

/// A timer that was early makes revisions of its own.
fn without_revisions(branch: &str) -> String {
    let index = |part: &str| part.rsplit('.').next().unwrap_or_default().to_owned();
    branch.split('/').map(index).collect::<Vec<_>>().join("/")
}

fn without_tokens(mut details: Value) -> Value {
    let text = details.pointer("/taskScheduledEventDetails/parameters").and_then(Value::as_str);
    if text.is_some_and(|text| text.contains(r#""token""#)) {
        details["taskScheduledEventDetails"]["parameters"] = json!("with a token");
    }
    details
}

async fn compare(footing: Footing) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let calm = run(footing, By::Hand(None)).await;
    let ends: BTreeMap<_, _> =
        calm.iter().map(|(name, (end, _))| (*name, &end["status"])).collect();
    assert!(
        ends.iter().all(|(name, status)| (**status == "SUCCEEDED") == (*name != "fails")),
        "{calm:#?}"
    );
    let seeds: Vec<u64> = match number("FLUXUS_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("FLUXUS_CASES").unwrap_or(4)).map(|_| rand::random()).collect(),
    };
    for seed in seeds {
        eprintln!("FLUXUS_SEED={seed} repeats this case on {footing:?}");
        let disturbed = run(footing, By::Hand(Some(Chaos::new(seed)))).await;
        for (name, (end, events)) in &calm {
            let (other_end, other_events) = &disturbed[name];
            assert_eq!(end, other_end, "`{name}` ended otherwise with FLUXUS_SEED={seed}");
            assert_eq!(events, other_events, "`{name}` went otherwise with FLUXUS_SEED={seed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claims_come_out_the_same_with_workers_in_two_processes() {
    for footing in [Footing::Joined, Footing::Relayed] {
        let by_hand = run(footing, By::Hand(None)).await;
        let by_workers = run(footing, By::Workers).await;
        for (name, told) in &by_hand {
            assert_eq!(told, &by_workers[name], "`{name}` went otherwise on {footing:?}");
        }
    }
}

#[tokio::test]
async fn claims_come_out_the_same_with_the_queue_in_the_database() {
    compare(Footing::Joined).await;
}

#[tokio::test]
async fn claims_come_out_the_same_with_the_queue_elsewhere() {
    compare(Footing::Relayed).await;
}
