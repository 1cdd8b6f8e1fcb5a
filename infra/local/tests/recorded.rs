//! Recorded cases and the examples, for real: through REST, Postgres, the queue and a fluxling that answers as the
//! case's mocks do. The history must be the one that the simulation gives.
//!
//! The cases are those of the machine's conformance test, where they are present. Left out are
//! cases whose resources only a mock can stand for, that wait for longer than [`PATIENT_FOR`], or
//! that draw random values.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fluxling::{Fluxling, Task, TaskError};
use fluxus_local::System;
use fluxus_machine::{
    Case, Definition, ExecutionContext, Mock, Mocks, Seed, Simulated, answer, simulate,
};
use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use fluxus_schema::{ClaimId, Timestamp};
use serde_json::{Value, json};

use support::{Client, database, options};

/// Cases that must run, where the recorded ones are present.
const AT_LEAST: usize = 100;

/// Milliseconds that a case may wait for timers, by its own account.
const PATIENT_FOR: i64 = 1_500;

/// Claims in flight at once: enough for batches, few enough that all end within a test's patience.
const AT_ONCE: usize = 16;

/// Stands for every task of the cases.
const CAPABILITY: &str = "recorded.answer";

/// The examples as cases: their recipes, the bodies of their claims, their mocks.
fn examples() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let read = |example: &Path, name: &str| -> Value {
        let text = std::fs::read_to_string(example.join(name)).expect(name);
        serde_json::from_str(&text).expect("JSON")
    };
    let entries = std::fs::read_dir(folder).expect("the examples").map(|entry| entry.expect("one"));
    let examples = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    examples
        .map(|example| {
            json!({
                "id": example.file_name().expect("a name").to_string_lossy(),
                "definition": read(&example, "recipe.json"),
                "input": read(&example, "claim.json")["body"],
                "mocks": read(&example, "mocks.json"),
            })
        })
        .collect()
}

fn cases() -> Option<String> {
    let folder = std::env::var_os("FLUXUS_CONFORMANCE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/asl-conformance"),
        PathBuf::from,
    );
    let path = folder.join("executions.jsonl");
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("SKIPPED: no recorded cases at {}; set FLUXUS_CONFORMANCE_DIR", path.display());
    }
    text
}

/// A case that can run for real.
struct Run {
    id: String,
    recipe: String,
    definition: Value,
    input: Value,
    mocks: Mocks,
    has_branches: bool,
}

impl Run {
    /// The case, if it can run for real; `index` names its recipe.
    fn of(case: Value, index: usize) -> Option<Self> {
        let case: Case = serde_json::from_value(case).expect("a case");
        let text = |value: Value| match value {
            Value::String(text) => serde_json::from_str(&text).ok(),
            Value::Null => Some(json!({})),
            other => Some(other),
        };
        let mut definition = text(case.definition)?;
        let mocks = case.mocks.unwrap_or_default();
        let mut answers = mocks.values().flat_map(BTreeMap::values);
        if answers.any(|mock| mock.event.is_some() || mock.submitted.is_some()) {
            return None;
        }
        if !substitute(&mut definition, &mocks) {
            return None;
        }
        let whole = definition.to_string();
        if ["UUID", "Random", "$uuid", "$random", "$shuffle"].iter().any(|it| whole.contains(it)) {
            return None;
        }
        let has_branches = whole.contains("\"Branches\"")
            || whole.contains("\"StartAt\":\"") && {
                whole.contains("\"ItemProcessor\"") || whole.contains("\"Iterator\"")
            };
        let run = Self {
            id: case.id,
            recipe: format!("recorded-{index}"),
            definition,
            input: text(case.input)?,
            mocks,
            has_branches,
        };
        let definition = Definition::parse(&run.definition).ok()?;
        if !definition.unsupported().is_empty() {
            return None;
        }
        let simulated = run.simulate(ClaimId::new(Timestamp::default(), &[0; 10]));
        let (first, last) = (simulated.events.first()?, simulated.events.last()?);
        let waits = last.timestamp.as_millis() - first.timestamp.as_millis();
        (simulated.unanswered.is_empty() && waits <= PATIENT_FOR).then_some(run)
    }

    /// Runs it with the context that the claim has for real.
    fn simulate(&self, claim_id: ClaimId) -> Simulated {
        let definition = Definition::parse(&self.definition).expect("a valid definition");
        let context = ExecutionContext {
            claim_id,
            id: claim_id.to_string(),
            name: claim_id.to_string(),
            input: self.input.clone().into(),
            role_arn: None,
            started_at: Timestamp::default(),
            state_machine_id: format!("{}:1", self.recipe),
            state_machine_name: self.recipe.clone(),
            region: None,
            seed: Seed::default(),
            max_payload_bytes: MAX_PAYLOAD_BYTES,
            redrive_count: 0,
            redriven_at: None,
        };
        simulate(&definition, &context, &self.mocks)
    }
}

/// Has the fluxling do what the tasks ask of others; whether it can.
fn substitute(definition: &mut Value, mocks: &Mocks) -> bool {
    match definition {
        Value::Object(fields) => {
            if fields.get("Type") == Some(&json!("Task")) {
                let resource = fields.get("Resource").and_then(Value::as_str).unwrap_or_default();
                // Callbacks and jobs are answered by more than one message; activities are polled.
                if [".sync", ".waitForTaskToken", ":activity:"]
                    .iter()
                    .any(|it| resource.contains(it))
                {
                    return false;
                }
                fields.insert("Resource".to_owned(), json!(format!("fluxling:{CAPABILITY}")));
                fields.remove("Credentials");
            }
            // Mocks answer by the order in which attempts are scheduled; of items that run side by
            // side nobody knows it.
            if fields.get("Type") == Some(&json!("Map")) && !mocks.is_empty() {
                return false;
            }
            fields.values_mut().all(|value| substitute(value, mocks))
        }
        Value::Array(items) => items.iter_mut().all(|item| substitute(item, mocks)),
        _ => true,
    }
}

/// Answers every task as the mocks of its recipe say.
fn fluxling(runs: &[Run]) -> Fluxling {
    let mocks: HashMap<_, _> =
        runs.iter().map(|run| (run.recipe.clone(), run.mocks.clone())).collect();
    let attempts: Mutex<BTreeMap<(ClaimId, String), u32>> = Mutex::default();
    let shared = Arc::new((mocks, attempts));
    Fluxling::new("recorded").capability(CAPABILITY, move |task: Task<Value>| {
        let shared = shared.clone();
        async move {
            let key = (task.claim_id(), task.state().to_string());
            let attempt = {
                let mut attempts = shared.1.lock().expect("not poisoned");
                let attempt = attempts.entry(key).or_default();
                std::mem::replace(attempt, *attempt + 1)
            };
            match answer(&shared.0[task.recipe().as_str()], task.state(), attempt) {
                Some(Mock { throw: Some(throw), .. }) => {
                    let cause = match &throw.cause {
                        Value::String(cause) => cause.clone(),
                        Value::Null => String::new(),
                        document => document.to_string(),
                    };
                    Err(TaskError::retryable(&*throw.error, cause))
                }
                Some(mock) => Ok(mock.r#return.clone().unwrap_or_default()),
                None => Err(TaskError::fatal("NoMock", "no mock answers this attempt")),
            }
        }
    })
}

/// The service-shaped history, without what differs from run to run.
fn told(events: &[Value], has_branches: bool, claim_id: &str) -> Vec<String> {
    let mut told: Vec<_> = events
        .iter()
        .map(|event| {
            let mut event = event.clone();
            let fields = event.as_object_mut().expect("an event");
            for name in ["timestamp", "branch"] {
                fields.shift_remove(name);
            }
            // A Map run is named by the claim's seed.
            if let Some(run) = fields.get_mut("mapRunStartedEventDetails") {
                let id = run["mapRunArn"].as_str().and_then(|id| id.rsplit_once(':'));
                run["mapRunArn"] = json!(id.expect("an id").0);
            }
            if has_branches {
                fields.shift_remove("id");
                fields.shift_remove("previousEventId");
            }
            undated(&event.to_string().replace(claim_id, "CLAIM"))
        })
        .collect();
    if has_branches {
        told.sort();
    }
    told
}

/// The text with every date and time replaced: the service's form is `2026-01-31T12:00:00.000Z`.
fn undated(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    while let Some(at) = rest.find("T").filter(|at| *at >= 10) {
        let is_date = rest.is_char_boundary(at - 10)
            && rest[at - 10..at].bytes().enumerate().all(|(index, byte)| match index {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let end = rest[at..].find('Z').filter(|end| *end < 30);
        match (is_date, end) {
            (true, Some(end)) => {
                out.push_str(&rest[..at - 10]);
                out.push_str("DATE");
                rest = &rest[at + end + 1..];
            }
            _ => {
                out.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_go_for_real_as_they_are_simulated() {
    let recorded = cases();
    let lines = recorded.iter().flat_map(|text| text.lines());
    let lines = lines.map(|line| serde_json::from_str(line).expect("JSON"));
    let all = examples().into_iter().chain(lines).enumerate();
    let runs: Vec<_> = all.filter_map(|(index, case)| Run::of(case, index)).collect();
    let database = database().await;
    let mut options = options(&database);
    options.examples = false;
    options.fluxlings = vec![fluxling(&runs)];
    let system = System::start(options).await.expect("starts");
    let client = Client::new(&system);
    let mut differences = Vec::new();
    for some in runs.chunks(AT_ONCE) {
        let mut submitted = Vec::new();
        for run in some {
            let recipe = json!({ "definition": run.definition, "claim_types": [run.recipe] });
            client.put(&format!("recipes/{}", run.recipe), &recipe).await;
            let claim = json!({ "type": run.recipe, "body": run.input });
            submitted.push((run, client.submit(&claim).await));
        }
        for (run, id) in submitted {
            client.ended(&id).await;
            let page = client
                .get(&format!("claims/{id}/history?limit=1000&service_events_only=true"))
                .await;
            let real = told(page["events"].as_array().expect("events"), run.has_branches, &id);
            let simulated = run.simulate(id.parse().expect("an id")).to_json();
            let events = simulated["events"].as_array().expect("events");
            let simulated = told(events, run.has_branches, &id);
            if let Some((real, simulated)) =
                real.iter().zip(&simulated).find(|(real, simulated)| real != simulated)
            {
                differences
                    .push(format!("{}\n  real      {real}\n  simulated {simulated}", run.id));
            } else if real.len() != simulated.len() {
                differences.push(format!(
                    "{}: {} events, simulated {}",
                    run.id,
                    real.len(),
                    simulated.len()
                ));
            }
        }
    }
    system.shutdown().await.expect("stops");
    let with_tasks = runs.iter().filter(|run| !run.mocks.is_empty()).count();
    eprintln!("{} cases ran for real, {with_tasks} of them with tasks", runs.len());
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    let least = if recorded.is_some() { AT_LEAST } else { 1 };
    assert!(runs.len() >= least, "only {} of the cases ran", runs.len());
}
