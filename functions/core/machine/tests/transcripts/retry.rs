//! Retry and Catch.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::*;

fn task(retry: &Value, catch: &Value) -> Value {
    machine(json!({
        "Do": { "Type": "Task", "Resource": "fluxling:do", "Retry": retry, "Catch": catch,
                "End": true },
        "Caught": { "Type": "Pass", "End": true }
    }))
}

#[test]
fn intervals_grow_up_to_their_bound() {
    let retry = json!([{
        "ErrorEquals": ["E"], "IntervalSeconds": 2, "BackoffRate": 3, "MaxDelaySeconds": 10,
        "MaxAttempts": 3
    }]);
    let fail = || Fail("Do", "E", "again");
    let script = [fail(), FireEarly, Fire, FireOld, fail(), Fire, fail(), Fire, fail()];
    check(
        &task(&retry, &json!([])),
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Do"}
              3 <2 TaskScheduled {"parameters":{}}
              ! dispatch Do {}
              = / awaits task Do
            > Fail Do E
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"E","cause":"again"}
              ! timer at 2s for /
              = / awaits retry of Do at 2s
            > FireEarly
              ! timer at 2s for /
            > Fire
              6 <5 TaskScheduled {"parameters":{}}
              ! dispatch Do attempt 1 {}
              = / awaits task Do
            > FireOld
              rejected: TimerFired does not fit a branch that is awaiting another answer
              rejected: TimerFired does not fit a branch that is awaiting another answer
            > Fail Do E
              7 <6 TaskStarted
              8 <7 TaskFailed {"error":"E","cause":"again"}
              ! timer at 8s for /
              = / awaits retry of Do at 8s
            > Fire
              9 <8 TaskScheduled {"parameters":{}}
              ! dispatch Do attempt 2 {}
              = / awaits task Do
            > Fail Do E
              10 <9 TaskStarted
              11 <10 TaskFailed {"error":"E","cause":"again"}
              ! timer at 18s for /
              = / awaits retry of Do at 18s
            > Fire
              12 <11 TaskScheduled {"parameters":{}}
              ! dispatch Do attempt 3 {}
              = / awaits task Do
            > Fail Do E
              13 <12 TaskStarted
              14 <13 TaskFailed {"error":"E","cause":"again"}
              15 <14 ExecutionFailed {"error":"E","cause":"again"}
              = / FAILED E: again
        "#]],
    );
}

#[test]
fn jitter_stays_below_the_interval() {
    let retry = json!([{
        "ErrorEquals": ["E"], "IntervalSeconds": 100, "JitterStrategy": "FULL"
    }]);
    let script = [Fail("Do", "E", ""), Fire, Ok("Do", json!("done"))];
    check(
        &task(&retry, &json!([])),
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Do"}
              3 <2 TaskScheduled {"parameters":{}}
              ! dispatch Do {}
              = / awaits task Do
            > Fail Do E
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"E"}
              ! timer at 86845ms for /
              = / awaits retry of Do at 86845ms
            > Fire
              6 <5 TaskScheduled {"parameters":{}}
              ! dispatch Do attempt 1 {}
              = / awaits task Do
            > Ok Do "done"
              7 <6 TaskStarted
              8 <7 TaskSucceeded {"output":"done"}
              9 <8 TaskStateExited {"name":"Do","output":"done"}
              10 <9 ExecutionSucceeded {"output":"done"}
              = / SUCCEEDED "done"
        "#]],
    );
}

#[test]
fn each_retrier_counts_for_itself() {
    let retry = json!([
        { "ErrorEquals": ["A"], "IntervalSeconds": 1, "MaxAttempts": 1 },
        { "ErrorEquals": ["B"], "IntervalSeconds": 2, "MaxAttempts": 2, "BackoffRate": 1 }
    ]);
    let script = [
        Fail("Do", "A", ""),
        Fire,
        Fail("Do", "B", ""),
        Fire,
        Fail("Do", "B", ""),
        Fire,
        Fail("Do", "A", "for the second time"),
    ];
    check(
        &task(&retry, &json!([])),
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Do"}
              3 <2 TaskScheduled {"parameters":{}}
              ! dispatch Do {}
              = / awaits task Do
            > Fail Do A
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"A"}
              ! timer at 1s for /
              = / awaits retry of Do at 1s
            > Fire
              6 <5 TaskScheduled {"parameters":{}}
              ! dispatch Do attempt 1 {}
              = / awaits task Do
            > Fail Do B
              7 <6 TaskStarted
              8 <7 TaskFailed {"error":"B"}
              ! timer at 3s for /
              = / awaits retry of Do at 3s
            > Fire
              9 <8 TaskScheduled {"parameters":{}}
              ! dispatch Do attempt 2 {}
              = / awaits task Do
            > Fail Do B
              10 <9 TaskStarted
              11 <10 TaskFailed {"error":"B"}
              ! timer at 5s for /
              = / awaits retry of Do at 5s
            > Fire
              12 <11 TaskScheduled {"parameters":{}}
              ! dispatch Do attempt 3 {}
              = / awaits task Do
            > Fail Do A
              13 <12 TaskStarted
              14 <13 TaskFailed {"error":"A","cause":"for the second time"}
              15 <14 ExecutionFailed {"error":"A","cause":"for the second time"}
              = / FAILED A: for the second time
        "#]],
    );
}

#[test]
fn no_attempts_means_none() {
    let retry = json!([
        { "ErrorEquals": ["A"], "MaxAttempts": 0 },
        { "ErrorEquals": ["States.ALL"], "IntervalSeconds": 1 }
    ]);
    check(
        &task(&retry, &json!([])),
        &json!({}),
        &[Fail("Do", "A", "")],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Do"}
              3 <2 TaskScheduled {"parameters":{}}
              ! dispatch Do {}
              = / awaits task Do
            > Fail Do A
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"A"}
              6 <5 ExecutionFailed {"error":"A"}
              = / FAILED A: -
        "#]],
    );
}

#[test]
fn catchers_place_the_error_and_the_first_that_matches_takes_it() {
    let catch = json!([
        { "ErrorEquals": ["A", "States.Timeout"], "ResultPath": "$.error", "Next": "Caught" },
        { "ErrorEquals": ["States.TaskFailed"], "ResultPath": null, "Next": "Caught",
          "Assign": { "error.$": "$.Error" } },
        { "ErrorEquals": ["States.ALL"], "Next": "Caught" }
    ]);
    let definition = task(&json!([]), &catch);
    let input = json!({ "in": 1 });
    check(
        &definition,
        &input,
        &[Fail("Do", "A", "why")],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"in":1}}
              2 <0 TaskStateEntered {"input":{"in":1},"name":"Do"}
              3 <2 TaskScheduled {"parameters":{"in":1}}
              ! dispatch Do {"in":1}
              = / awaits task Do
            > Fail Do A
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"A","cause":"why"}
              6 <5 TaskStateExited {"name":"Do","output":{"in":1,"error":{"Error":"A","Cause":"why"}}}
              7 <6 PassStateEntered {"input":{"in":1,"error":{"Error":"A","Cause":"why"}},"name":"Caught"}
              8 <7 PassStateExited {"name":"Caught","output":{"in":1,"error":{"Error":"A","Cause":"why"}}}
              9 <8 ExecutionSucceeded {"output":{"in":1,"error":{"Error":"A","Cause":"why"}}}
              = / SUCCEEDED {"in":1,"error":{"Error":"A","Cause":"why"}}
        "#]],
    );
    check(
        &definition,
        &input,
        &[Fail("Do", "Other", "why")],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"in":1}}
              2 <0 TaskStateEntered {"input":{"in":1},"name":"Do"}
              3 <2 TaskScheduled {"parameters":{"in":1}}
              ! dispatch Do {"in":1}
              = / awaits task Do
            > Fail Do Other
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"Other","cause":"why"}
              6 <5 TaskStateExited {"name":"Do","output":{"in":1},"assignedVariables":{"error":"\"Other\""},"assignedVariablesDetails":{"truncated":false}}
              7 <6 PassStateEntered {"input":{"in":1},"name":"Caught"}
              8 <7 PassStateExited {"name":"Caught","output":{"in":1}}
              9 <8 ExecutionSucceeded {"output":{"in":1}}
              = / SUCCEEDED {"in":1} with {"error":"Other"}
        "#]],
    );
    check(
        &definition,
        &input,
        &[Fail("Do", "States.HeartbeatTimeout", "")],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"in":1}}
              2 <0 TaskStateEntered {"input":{"in":1},"name":"Do"}
              3 <2 TaskScheduled {"parameters":{"in":1}}
              ! dispatch Do {"in":1}
              = / awaits task Do
            > Fail Do States.HeartbeatTimeout
              4 <3 TaskStarted
              5 <4 TaskTimedOut {"error":"States.HeartbeatTimeout"}
              6 <5 TaskStateExited {"name":"Do","output":{"in":1,"error":{"Error":"States.HeartbeatTimeout","Cause":""}}}
              7 <6 PassStateEntered {"input":{"in":1,"error":{"Error":"States.HeartbeatTimeout","Cause":""}},"name":"Caught"}
              8 <7 PassStateExited {"name":"Caught","output":{"in":1,"error":{"Error":"States.HeartbeatTimeout","Cause":""}}}
              9 <8 ExecutionSucceeded {"output":{"in":1,"error":{"Error":"States.HeartbeatTimeout","Cause":""}}}
              = / SUCCEEDED {"in":1,"error":{"Error":"States.HeartbeatTimeout","Cause":""}}
        "#]],
    );
    check(
        &definition,
        &input,
        &[Fail("Do", "", "")],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"in":1}}
              2 <0 TaskStateEntered {"input":{"in":1},"name":"Do"}
              3 <2 TaskScheduled {"parameters":{"in":1}}
              ! dispatch Do {"in":1}
              = / awaits task Do
            > Fail Do 
              4 <3 TaskStarted
              5 <4 TaskFailed
              6 <5 TaskStateExited {"name":"Do","output":{"in":1},"assignedVariables":{"error":"null"},"assignedVariablesDetails":{"truncated":false}}
              7 <6 PassStateEntered {"input":{"in":1},"name":"Caught"}
              8 <7 PassStateExited {"name":"Caught","output":{"in":1}}
              9 <8 ExecutionSucceeded {"output":{"in":1}}
              = / SUCCEEDED {"in":1} with {"error":null}
        "#]],
    );
}

#[test]
fn a_catcher_that_cannot_place_the_error_ends_the_execution() {
    let catch = json!([{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.a.b", "Next": "Caught" }]);
    let definition = task(&json!([]), &catch);
    check(
        &definition,
        &json!({ "a": 1 }),
        &[Fail("Do", "A", "why")],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"a":1}}
              2 <0 TaskStateEntered {"input":{"a":1},"name":"Do"}
              3 <2 TaskScheduled {"parameters":{"a":1}}
              ! dispatch Do {"a":1}
              = / awaits task Do
            > Fail Do A
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"A","cause":"why"}
              6 <5 ExecutionFailed {"error":"States.ResultPathMatchFailure","cause":"An error occurred while executing the state 'Do' (entered at the event id #2). Unable to apply ReferencePath $.a.b to input {\"a\":1}"}
              = / FAILED States.ResultPathMatchFailure: An error occurred while executing the state 'Do' (entered at the event id #2). Unable to apply ReferencePath $.a.b to input {"a":1}
        "#]],
    );
}

#[test]
fn a_missed_heartbeat_is_a_timeout_that_its_own_task_can_tell() {
    let definition = machine(json!({
        "Do": {
            "Type": "Task", "Resource": "fluxling:do", "TimeoutSeconds": 15, "HeartbeatSeconds": 10,
            "Retry": [{ "ErrorEquals": ["States.HeartbeatTimeout"], "MaxAttempts": 1 }],
            "Catch": [{ "ErrorEquals": ["States.TaskFailed"], "Next": "Never" },
                      { "ErrorEquals": ["States.Timeout"], "Next": "Caught" }],
            "End": true
        },
        "Never": { "Type": "Fail" },
        "Caught": { "Type": "Pass", "End": true }
    }));
    let script = [Fire, Fire, Pass(8), Beat("Do#1"), Fire, Fire];
    check(
        &definition,
        &json!({}),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 TaskStateEntered {"input":{},"name":"Do"}
          3 <2 TaskScheduled {"parameters":{},"timeoutInSeconds":15,"heartbeatInSeconds":10}
          ! dispatch Do deadline 15s heartbeat 10s {}
          ! timer at 10s for / watch
          = / awaits task Do
        > Fire
          4 <3 TaskTimedOut {"error":"States.Timeout"}
          ! timer at 11s for /
          = / awaits retry of Do at 11s
        > Fire
          5 <4 TaskScheduled {"parameters":{},"timeoutInSeconds":15,"heartbeatInSeconds":10}
          ! dispatch Do attempt 1 deadline 26s heartbeat 10s {}
          ! timer at 21s for / watch
          = / awaits task Do
        > Pass(8)
        > Beat Do#1
          ! timer at 26s for / watch
        > Fire
          rejected: TimerFired does not fit a branch that is awaiting another answer
        > Fire
          6 <5 TaskTimedOut {"error":"States.Timeout"}
          7 <6 TaskStateExited {"name":"Do","output":{"Error":"States.Timeout","Cause":""}}
          8 <7 PassStateEntered {"input":{"Error":"States.Timeout","Cause":""},"name":"Caught"}
          9 <8 PassStateExited {"name":"Caught","output":{"Error":"States.Timeout","Cause":""}}
          10 <9 ExecutionSucceeded {"output":{"Error":"States.Timeout","Cause":""}}
          = / SUCCEEDED {"Error":"States.Timeout","Cause":""}
    "#]],
    );
}

#[test]
fn a_heartbeat_missed_in_a_branch_is_a_timeout_to_the_state_above() {
    let inner = machine(json!({
        "Do": { "Type": "Task", "Resource": "fluxling:do", "HeartbeatSeconds": 10, "End": true }
    }));
    let definition = machine(json!({
        "Both": {
            "Type": "Parallel", "Branches": [inner],
            "Catch": [{ "ErrorEquals": ["States.Timeout"], "Next": "Caught" }],
            "End": true
        },
        "Caught": { "Type": "Pass", "End": true }
    }));
    check(
        &definition,
        &json!({}),
        &[Fire],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 ParallelStateEntered {"input":{},"name":"Both"}
          3 <2 ParallelStateStarted
          4 <3 TaskStateEntered /1.0 {"input":{},"name":"Do"}
          5 <4 TaskScheduled /1.0 {"parameters":{},"heartbeatInSeconds":10}
          ! dispatch Do heartbeat 10s {}
          ! timer at 10s for /1.0 watch
          = / awaits 1 branches in Both
          = /1.0 awaits task Do
        > Fire
          6 <5 TaskTimedOut /1.0 {"error":"States.Timeout"}
          7 <6 TaskStateAborted
          8 <6 ParallelStateFailed
          9 <8 ParallelStateExited {"name":"Both","output":{"Error":"States.Timeout","Cause":""}}
          10 <9 PassStateEntered {"input":{"Error":"States.Timeout","Cause":""},"name":"Caught"}
          11 <10 PassStateExited {"name":"Caught","output":{"Error":"States.Timeout","Cause":""}}
          12 <11 ExecutionSucceeded {"output":{"Error":"States.Timeout","Cause":""}}
          = / SUCCEEDED {"Error":"States.Timeout","Cause":""}
          = /1.0 gone
    "#]],
    );
}

#[test]
fn the_first_retrier_that_names_the_error_is_asked_and_no_other() {
    let retry = json!([
        { "ErrorEquals": ["A"], "MaxAttempts": 1, "BackoffRate": 1 },
        { "ErrorEquals": ["States.ALL"], "MaxAttempts": 5, "BackoffRate": 1.5 }
    ]);
    let catch = json!([{ "ErrorEquals": ["A"], "Next": "Caught" }]);
    let script = [
        Fail("Do", "B", ""),
        Fire,
        Fail("Do", "B", ""),
        Fire,
        Fail("Do", "A", ""),
        Fire,
        Fail("Do", "A", "again"),
    ];
    check(
        &task(&retry, &catch),
        &json!({}),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 TaskStateEntered {"input":{},"name":"Do"}
          3 <2 TaskScheduled {"parameters":{}}
          ! dispatch Do {}
          = / awaits task Do
        > Fail Do B
          4 <3 TaskStarted
          5 <4 TaskFailed {"error":"B"}
          ! timer at 1s for /
          = / awaits retry of Do at 1s
        > Fire
          6 <5 TaskScheduled {"parameters":{}}
          ! dispatch Do attempt 1 {}
          = / awaits task Do
        > Fail Do B
          7 <6 TaskStarted
          8 <7 TaskFailed {"error":"B"}
          ! timer at 2500ms for /
          = / awaits retry of Do at 2500ms
        > Fire
          9 <8 TaskScheduled {"parameters":{}}
          ! dispatch Do attempt 2 {}
          = / awaits task Do
        > Fail Do A
          10 <9 TaskStarted
          11 <10 TaskFailed {"error":"A"}
          ! timer at 3500ms for /
          = / awaits retry of Do at 3500ms
        > Fire
          12 <11 TaskScheduled {"parameters":{}}
          ! dispatch Do attempt 3 {}
          = / awaits task Do
        > Fail Do A
          13 <12 TaskStarted
          14 <13 TaskFailed {"error":"A","cause":"again"}
          15 <14 TaskStateExited {"name":"Do","output":{"Error":"A","Cause":"again"}}
          16 <15 PassStateEntered {"input":{"Error":"A","Cause":"again"},"name":"Caught"}
          17 <16 PassStateExited {"name":"Caught","output":{"Error":"A","Cause":"again"}}
          18 <17 ExecutionSucceeded {"output":{"Error":"A","Cause":"again"}}
          = / SUCCEEDED {"Error":"A","Cause":"again"}
    "#]],
    );
}

#[test]
fn a_failed_evaluation_is_tried_again_and_caught_by_its_name() {
    let definition = json!({
        "QueryLanguage": "JSONata", "StartAt": "Do",
        "States": {
            "Do": {
                "Type": "Task", "Resource": "fluxling:do", "Arguments": "{% 1 + $states.input %}",
                "Retry": [{ "ErrorEquals": ["States.QueryEvaluationError"], "MaxAttempts": 1 }],
                "Catch": [{
                    "ErrorEquals": ["States.QueryEvaluationError"], "Next": "Caught",
                    "Output": "{% $states.errorOutput.Error %}"
                }],
                "End": true
            },
            "Caught": { "Type": "Pass", "End": true }
        }
    });
    check(
        &definition,
        &json!("x"),
        &[Fire],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":"x"}
          2 <0 TaskStateEntered {"input":"x","name":"Do"}
          3 <0 EvaluationFailed {"error":"States.QueryEvaluationError","cause":"An error occ… (347 bytes)
          ! timer at 1s for /
          = / awaits retry of Do at 1s
        > Fire
          4 <3 EvaluationFailed {"error":"States.QueryEvaluationError","cause":"An error occ… (347 bytes)
          5 <4 TaskStateExited {"name":"Do","output":"States.QueryEvaluationError"}
          6 <5 PassStateEntered {"input":"States.QueryEvaluationError","name":"Caught"}
          7 <6 PassStateExited {"name":"Caught","output":"States.QueryEvaluationError"}
          8 <7 ExecutionSucceeded {"output":"States.QueryEvaluationError"}
          = / SUCCEEDED "States.QueryEvaluationError"
    "#]],
    );
}

#[test]
fn a_terminal_error_is_neither_tried_again_nor_caught() {
    let retry = json!([{ "ErrorEquals": ["States.ALL"] }]);
    let catch = json!([
        { "ErrorEquals": ["States.Runtime"], "Next": "Caught" },
        { "ErrorEquals": ["States.TaskFailed"], "Next": "Caught" },
        { "ErrorEquals": ["States.ALL"], "Next": "Caught" }
    ]);
    let script = [Fail("Do", "States.Runtime", "broken")];
    check(
        &task(&retry, &catch),
        &json!({}),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 TaskStateEntered {"input":{},"name":"Do"}
          3 <2 TaskScheduled {"parameters":{}}
          ! dispatch Do {}
          = / awaits task Do
        > Fail Do States.Runtime
          4 <3 TaskStarted
          5 <4 TaskFailed {"error":"States.Runtime","cause":"broken"}
          6 <5 ExecutionFailed {"error":"States.Runtime","cause":"broken"}
          = / FAILED States.Runtime: broken
    "#]],
    );
}
