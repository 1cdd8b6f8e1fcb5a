//! `TestState`, told as transcripts: each state type in both languages at each level, what mocks
//! may answer, and requests that are refused. Judged against the service's documentation and its
//! recorded behaviour.

// Helpers of tests may fail loudly, wherever they stand.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fmt::Write as _;

use expect_test::Expect;
use fluxus_machine::test_state::{TestStateRequest, test_state};
use serde_json::{Value, json};

mod branches;
mod errors;
mod flow;
mod refused;
mod task;

/// Tests the state that `request` describes at each of `levels`, and compares what is told: each
/// member of the response and of its inspection data on a line of its own, unless it is the same
/// as at the level before.
#[track_caller]
fn check(request: &Value, levels: &[&str], expected: &Expect) {
    let (mut transcript, mut before) = (String::new(), None);
    for level in levels {
        let mut request = request.clone();
        request["inspectionLevel"] = (*level).into();
        let response = Some(ask(request));
        let _ = match &response {
            same if before == *same => writeln!(transcript, "{level}: the same"),
            _ => writeln!(transcript, "{level}"),
        };
        if before != response {
            response.iter().for_each(|response| tell(response, &mut transcript));
        }
        before = response;
    }
    expected.assert_eq(&transcript);
}

/// The same at `DEBUG` alone.
#[track_caller]
fn debug(request: &Value, expected: &Expect) {
    check(request, &["DEBUG"], expected);
}

#[track_caller]
fn ask(request: Value) -> Value {
    let request: TestStateRequest = serde_json::from_value(request).expect("a request");
    match test_state(&request) {
        Ok(response) => json!(response),
        Err(refusal) => json!({ "refused": refusal.to_string() }),
    }
}

fn tell(response: &Value, transcript: &mut String) {
    for (name, value) in response.as_object().expect("an object") {
        match value {
            Value::Object(members) if name == "inspectionData" => {
                for (name, value) in members {
                    let _ = writeln!(transcript, "    {name} {}", shown(value));
                }
            }
            value => {
                let _ = writeln!(transcript, "  {name} {}", shown(value));
            }
        }
    }
}

/// Text without its quotes: most of it is JSON.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

const ALL: &[&str] = &["INFO", "DEBUG", "TRACE"];
