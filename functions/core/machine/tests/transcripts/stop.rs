//! An execution that is ended from outside, at each kind of wait.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::*;

fn task(retry: &Value) -> Value {
    machine(json!({
        "Do": { "Type": "Task", "Resource": "fluxling:do", "Retry": retry, "End": true,
                "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }] },
        "Caught": { "Type": "Pass", "End": true }
    }))
}

#[test]
fn at_a_task() {
    let script = [Stop, Ok("Do", json!("late")), Stop];
    check(
        &task(&json!([])),
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Do"}
              3 <2 TaskScheduled {"parameters":{}}
              ! dispatch Do {}
              = / awaits task Do
            > Stop
              4 <0 ExecutionAborted {"error":"Cancelled","cause":"by the test"}
              = / ABORTED Cancelled: by the test
            > Ok Do "late"
              rejected: TaskSucceeded does not fit a branch that is at its end
            > Stop
              rejected: Stopped does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn before_the_next_attempt() {
    let retry = json!([{ "ErrorEquals": ["States.ALL"] }]);
    check(
        &task(&retry),
        &json!({}),
        &[Fail("Do", "E", ""), TimeOut, Fire],
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
              ! timer at 1s for /
              = / awaits retry of Do at 1s
            > TimeOut
              6 <0 ExecutionTimedOut {"error":"States.Timeout","cause":"by the test"}
              = / TIMED_OUT States.Timeout: by the test
            > Fire
              rejected: TimerFired does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn at_a_wait() {
    let definition = machine(json!({ "Rest": { "Type": "Wait", "Seconds": 9, "End": true } }));
    check(
        &definition,
        &json!({}),
        &[Stop, Fire],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 WaitStateEntered {"input":{},"name":"Rest"}
              ! timer at 9s for /
              = / awaits time 9s in Rest
            > Stop
              3 <0 ExecutionAborted {"error":"Cancelled","cause":"by the test"}
              = / ABORTED Cancelled: by the test
            > Fire
              rejected: TimerFired does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn at_branches() {
    let definition = machine(json!({
        "Each": {
            "Type": "Map", "MaxConcurrency": 1, "End": true, "ItemProcessor": machine(json!({
                "Do": { "Type": "Task", "Resource": "fluxling:do", "End": true }
            }))
        }
    }));
    check(
        &definition,
        &json!([1, 2]),
        &[Stop, Ok("Do", json!("late"))],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":[1,2]}
              2 <0 MapStateEntered {"input":[1,2],"name":"Each"}
              3 <2 MapStateStarted {"length":2}
              4 <3 MapIterationStarted {"index":0,"name":"Each"}
              5 <4 TaskStateEntered /1.0 {"input":1,"name":"Do"}
              6 <5 TaskScheduled /1.0 {"parameters":1}
              ! dispatch Do 1
              = / awaits 2 branches in Each
              = /1.0 awaits task Do
              = /1.1 waits to begin at Do
            > Stop
              7 <0 ExecutionAborted {"error":"Cancelled","cause":"by the test"}
              = / ABORTED Cancelled: by the test
              = /1.0 ABORTED -: -
              = /1.1 ABORTED -: -
            > Ok Do "late"
              rejected: TaskSucceeded does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn after_the_end() {
    let definition = machine(json!({ "Done": { "Type": "Succeed" } }));
    check(
        &definition,
        &json!({}),
        &[Stop],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 SucceedStateEntered {"input":{},"name":"Done"}
              3 <2 SucceedStateExited {"name":"Done","output":{}}
              4 <3 ExecutionSucceeded {"output":{}}
              = / SUCCEEDED {}
            > Stop
              rejected: Stopped does not fit a branch that is at its end
        "#]],
    );
}
