//! Mocked errors: which retrier and which catcher takes them.

use expect_test::expect;
use serde_json::{Value, json};

use crate::{ALL, check, debug};

fn task() -> Value {
    json!({
        "Type": "Task", "Resource": "fluxling:a", "Next": "Next",
        "Retry": [
            { "ErrorEquals": ["Never"], "MaxAttempts": 0 },
            { "ErrorEquals": ["Busy"], "IntervalSeconds": 2, "BackoffRate": 3, "MaxAttempts": 2 }
        ],
        "Catch": [
            { "ErrorEquals": ["Other"], "Next": "Other" },
            { "ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Rescue" }
        ]
    })
}

fn failing(error: &str, retries: u64) -> Value {
    json!({
        "definition": task(), "input": { "n": 1 },
        "mock": { "errorOutput": { "error": error, "cause": "Because." } },
        "stateConfiguration": { "retrierRetryCount": retries }
    })
}

#[test]
fn an_error_is_tried_again() {
    check(
        &failing("Busy", 0),
        ALL,
        &expect![[r#"
        INFO
          status RETRIABLE
          error Busy
          cause Because.
        DEBUG
          status RETRIABLE
          error Busy
          cause Because.
            input {"n":1}
            afterInputPath {"n":1}
            afterParameters {"n":1}
            errorDetails {"retryIndex":1,"retryBackoffIntervalSeconds":2}
        TRACE: the same
    "#]],
    );
    debug(
        &failing("Busy", 1),
        &expect![[r#"
        DEBUG
          status RETRIABLE
          error Busy
          cause Because.
            input {"n":1}
            afterInputPath {"n":1}
            afterParameters {"n":1}
            errorDetails {"retryIndex":1,"retryBackoffIntervalSeconds":6}
    "#]],
    );
}

#[test]
fn an_error_is_caught_once_its_retrier_has_no_attempts_left() {
    debug(
        &failing("Busy", 2),
        &expect![[r#"
        DEBUG
          status CAUGHT_ERROR
          output {"n":1,"error":{"Error":"Busy","Cause":"Because."}}
          error Busy
          cause Because.
          nextState Rescue
            input {"n":1}
            afterInputPath {"n":1}
            afterParameters {"n":1}
            errorDetails {"catchIndex":1,"retryIndex":1}
    "#]],
    );
    debug(
        &failing("Never", 0),
        &expect![[r#"
        DEBUG
          status CAUGHT_ERROR
          output {"n":1,"error":{"Error":"Never","Cause":"Because."}}
          error Never
          cause Because.
          nextState Rescue
            input {"n":1}
            afterInputPath {"n":1}
            afterParameters {"n":1}
            errorDetails {"catchIndex":1,"retryIndex":0}
    "#]],
    );
}

#[test]
fn an_error_is_caught() {
    check(
        &failing("Other", 0),
        ALL,
        &expect![[r#"
        INFO
          status CAUGHT_ERROR
          output {"Error":"Other","Cause":"Because."}
          error Other
          cause Because.
          nextState Other
        DEBUG
          status CAUGHT_ERROR
          output {"Error":"Other","Cause":"Because."}
          error Other
          cause Because.
          nextState Other
            input {"n":1}
            afterInputPath {"n":1}
            afterParameters {"n":1}
            errorDetails {"catchIndex":0}
        TRACE: the same
    "#]],
    );
    debug(
        &failing("Odd", 0),
        &expect![[r#"
        DEBUG
          status CAUGHT_ERROR
          output {"n":1,"error":{"Error":"Odd","Cause":"Because."}}
          error Odd
          cause Because.
          nextState Rescue
            input {"n":1}
            afterInputPath {"n":1}
            afterParameters {"n":1}
            errorDetails {"catchIndex":1}
    "#]],
    );
}

#[test]
fn an_error_that_nobody_takes_fails() {
    let state = json!({
        "Type": "Task", "QueryLanguage": "JSONata", "Resource": "fluxling:a", "End": true,
        "Arguments": "{% $states.input %}", "Retry": [{ "ErrorEquals": ["Busy"] }]
    });
    let request = json!({
        "definition": state, "mock": { "errorOutput": { "error": "Odd" } }
    });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status FAILED
          error Odd
        DEBUG
          status FAILED
          error Odd
            input {}
            afterArguments {}
        TRACE: the same
    "#]],
    );
}

#[test]
fn a_catcher_in_jsonata_reads_the_error_and_assigns() {
    let state = json!({
        "Type": "Task", "QueryLanguage": "JSONata", "Resource": "fluxling:a", "End": true,
        "Catch": [{
            "ErrorEquals": ["States.ALL"], "Next": "Rescue",
            "Output": "{% $states.errorOutput.Cause %}",
            "Assign": { "e": "{% $states.errorOutput.Error %}" }
        }]
    });
    let mock = json!({ "errorOutput": { "error": "Odd", "cause": "Because." } });
    debug(
        &json!({ "definition": state, "mock": mock }),
        &expect![[r#"
        DEBUG
          status CAUGHT_ERROR
          output "Because."
          error Odd
          cause Because.
          nextState Rescue
            input {}
            variables {"e":"Odd"}
            errorDetails {"catchIndex":0}
    "#]],
    );
}

#[test]
fn the_states_own_failures_are_retried_and_caught_too() {
    let state = json!({
        "Type": "Task", "QueryLanguage": "JSONata", "Resource": "fluxling:a", "End": true,
        "Arguments": "{% $states.input.none %}",
        "Retry": [{ "ErrorEquals": ["States.QueryEvaluationError"] }]
    });
    debug(
        &json!({ "definition": state, "mock": { "result": 1 } }),
        &expect![[r#"
        DEBUG
          status RETRIABLE
          error States.QueryEvaluationError
          cause An error occurred while executing the state 'StateName' (entered at the event id #2). The JSONata expression '$states.input.none' specified for the field 'Arguments' returned nothing (undefined).
            input {}
            errorDetails {"retryIndex":0,"retryBackoffIntervalSeconds":1}
    "#]],
    );
    let state = json!({
        "Type": "Task", "Resource": "fluxling:a", "End": true, "ResultPath": "$.a.b",
        "Catch": [{ "ErrorEquals": ["States.ResultPathMatchFailure"], "Next": "Rescue" }]
    });
    let request = json!({ "definition": state, "input": { "a": 1 }, "mock": { "result": 1 } });
    debug(
        &request,
        &expect![[r#"
        DEBUG
          status CAUGHT_ERROR
          output {"Error":"States.ResultPathMatchFailure","Cause":"An error occurred while executing the state 'StateName' (entered at the event id #2). Unable to apply ReferencePath $.a.b to input {\"a\":1}"}
          error States.ResultPathMatchFailure
          cause An error occurred while executing the state 'StateName' (entered at the event id #2). Unable to apply ReferencePath $.a.b to input {"a":1}
          nextState Rescue
            input {"a":1}
            afterInputPath {"a":1}
            afterParameters {"a":1}
            result 1
            afterResultSelector 1
            errorDetails {"catchIndex":0}
    "#]],
    );
}
