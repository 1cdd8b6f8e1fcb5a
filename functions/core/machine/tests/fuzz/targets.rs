//! What is fuzzed. Each target takes bytes that may be anything; parts are split at a NUL byte.
//!
//! Nothing may panic, overflow the stack, take longer than two seconds or more than 512 MB. Used by
//! `cargo fuzz` (`fuzz/`) and by the short run in the tests.

use std::collections::BTreeMap;

use fluxus_machine::env::{Env, Seeded};
use fluxus_machine::intrinsic::Intrinsic;
use fluxus_machine::jsonpath::Path;
use fluxus_machine::source::{Format, Source};
use fluxus_machine::{
    Definition, Effect, Execution, ExecutionContext, Failure, Input, Notice, Status, Variables,
    jsonata,
};
use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::{BranchId, TaskToken, Timestamp};
use serde_json::{Value, json};

/// Longest texts that are worth a look: what is longer is slow to mutate and finds nothing new.
const MAX_BYTES: usize = 16 * 1024;

/// Events that happen to one execution.
const MAX_EVENTS: usize = 64;

/// Branches that begin at once, and rows that an execution may come to: nested Maps multiply.
const BEGIN_AT_MOST: usize = 8;

/// The parts of the bytes as texts; missing ones are empty.
fn parts<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let text = std::str::from_utf8(data.get(..data.len().min(MAX_BYTES))?).ok()?;
    let mut parts = text.splitn(N, '\0');
    Some(std::array::from_fn(|_| parts.next().unwrap_or_default()))
}

fn document(text: &str) -> Value {
    serde_json::from_str(text)
        .unwrap_or_else(|_| json!({ "a": [1, { "b": "x" }], "n": 2.5, "t": true }))
}

fn variables(input: &Value) -> Variables {
    BTreeMap::from([("v".to_owned(), input.clone().into())])
}

/// A definition in any of the formats.
pub fn definition(data: &[u8]) {
    let Some([text]) = parts(data) else { return };
    for format in [Format::Json, Format::Jsonc, Format::Yaml] {
        let mut faults = match Source::parse(text, format) {
            Err(faults) => faults,
            Ok(source) => {
                let mut faults = match Definition::parse(source.value()) {
                    Err(faults) => faults,
                    Ok(definition) => definition.unsupported(),
                };
                source.locate(&mut faults);
                faults
            }
        };
        faults.truncate(1);
        let _ = serde_json::to_string(&faults);
    }
}

/// A JSONPath, and the document it is evaluated on.
pub fn jsonpath(data: &[u8]) {
    let Some([path, input]) = parts(data) else { return };
    let Ok(path) = Path::parse(path) else { return };
    let mut input = document(input);
    let _ = path.eval(&input).map_err(|failure| failure.to_string());
    if path.is_reference_path() {
        let _ = path.set(&mut input, json!("set"));
    }
}

/// An intrinsic function, and its input.
pub fn intrinsic(data: &[u8]) {
    let Some([call, input]) = parts(data) else { return };
    let Ok(call) = Intrinsic::parse(call) else { return };
    let input = document(input);
    let (context, entropy) = (json!({ "Execution": { "Id": "e" } }), Seeded::new(1));
    let variables = variables(&input);
    let env = Env::new(&input, &context, &variables, &entropy, Timestamp::default());
    let _ = call.eval(&env).map_err(|failure| failure.to_string());
}

/// A JSONata expression, and its input.
pub fn jsonata(data: &[u8]) {
    let Some([expression, input]) = parts(data) else { return };
    let Ok(expression) = jsonata::Expression::parse(expression) else { return };
    let input = document(input);
    let (context, entropy) = (json!({ "Execution": { "Id": "e" } }), Seeded::new(1));
    let variables = variables(&input);
    let env = Env::new(&input, &context, &variables, &entropy, Timestamp::default());
    let _ = env.evaluate("Output", &expression).map_err(|failure| failure.to_string());
}

/// A definition, its input, and a script: what happens to which branch, a byte each.
pub fn step(data: &[u8]) {
    let Some([text, input, script]) = parts(data) else { return };
    let Ok(text) = serde_json::from_str(text) else { return };
    let Ok(definition) = Definition::parse(&text) else { return };
    let context = ExecutionContext::simulated("fuzz", None, document(input));
    let mut run = Run {
        execution: Execution::new(&definition, &context, BEGIN_AT_MOST).with_all_at_hand(),
        now: context.started_at,
        waiting: Vec::new(),
    };
    run.execution.begin(run.now);
    run.collect();
    for byte in script.bytes().chain([0; 8]).take(MAX_EVENTS) {
        run.happen(byte);
        run.collect();
    }
}

struct Run<'a> {
    execution: Execution<'a>,
    now: Timestamp,
    /// Who asked for something, and what.
    waiting: Vec<(BranchId, Option<TaskToken>, u32)>,
}

impl Run<'_> {
    fn happen(&mut self, byte: u8) {
        self.now = self.now.plus(std::time::Duration::from_secs(u64::from(byte)));
        let index = usize::from(byte / 8) % self.waiting.len().max(1);
        let Some((branch, token, revision)) = self.waiting.get(index).cloned() else { return };
        let failure = || Failure::new("Fuzz.Failed", "for a reason");
        let output = || json!({ "n": byte }).into();
        let input = match (byte % 8, token) {
            (0..=2, Some(token)) => Input::TaskSucceeded { token, output: output(), report: None },
            (3, Some(token)) => Input::TaskFailed { token, failure: failure(), report: None },
            (4, Some(token)) => Input::TaskStarted { token, worker: None },
            (5, Some(token)) => Input::TaskHeartbeat { token },
            (7, _) if byte > 200 => {
                Input::Stopped { status: ClaimStatus::Aborted, failure: failure() }
            }
            _ => Input::TimerFired { revision },
        };
        let _ = self.execution.apply(&branch, input, self.now);
    }

    fn collect(&mut self) {
        let made = self.execution.take_made();
        for row in &made.rows {
            assert!(!row.events.is_empty(), "a row without events");
        }
        for branch in made.inserted.iter().chain(&made.updated) {
            let text = serde_json::to_string(branch).expect("a branch is JSON");
            let read: fluxus_machine::Branch = serde_json::from_str(&text).expect("and is read");
            assert_eq!(&read, branch, "{text}");
        }
        for (branch, revision, effect) in made.effects {
            let token = match effect {
                Effect::Dispatch(dispatch) => Some(dispatch.token),
                Effect::Timer { .. } => None,
            };
            self.waiting.push((branch, token, revision));
        }
        for notice in made.notices {
            if let Notice::BranchEnded { parent, revision, failed } = notice
                && self.execution.can_join(&parent, revision, failed.as_ref())
            {
                let _ = self.execution.join(&parent, revision, self.now);
            }
        }
        let root = self.execution.branch(&BranchId::root()).map(|root| &root.status);
        assert!(!matches!(root, Some(Status::Pending { .. })), "the execution has begun");
    }
}
