//! Executions that ended without success and go on, and tasks that an operator sees to.

use expect_test::expect;
use serde_json::json;

use crate::support::*;

#[test]
fn from_the_task_that_failed_with_all_its_retries() {
    let machine = machine(json!({
        "First": { "Type": "Task", "Resource": "fluxling:first", "Next": "Second",
                   "Assign": { "kept.$": "$.n" } },
        "Second": { "Type": "Task", "Resource": "fluxling:second", "End": true,
                    "Parameters": { "n.$": "$kept", "times.$": "$$.Execution.RedriveCount" },
                    "Retry": [{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 1 }] }
    }));
    let script = [
        Ok("First", json!({ "n": 7 })),
        Fail("Second", "E", ""),
        Fire,
        Fail("Second", "E", ""),
        Ok("Second#1", json!("late")),
        Redrive,
        Redrive,
        Fail("Second", "E", ""),
        Fire,
        Ok("Second", json!("done")),
        Redrive,
    ];
    check(
        &machine,
        &json!({}),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 TaskStateEntered {"input":{},"name":"First"}
          3 <2 TaskScheduled {"parameters":{}}
          ! dispatch First {}
          = / awaits task First
        > Ok First {"n":7}
          4 <3 TaskStarted
          5 <4 TaskSucceeded {"output":{"n":7}}
          6 <5 TaskStateExited {"name":"First","output":{"n":7},"assignedVariables":{"kept":"7"},"assignedVariablesDetails":{"truncated":false}}
          7 <6 TaskStateEntered {"input":{"n":7},"name":"Second"}
          8 <7 TaskScheduled {"parameters":{"n":7,"times":0}}
          ! dispatch Second {"n":7,"times":0}
          = / awaits task Second with {"kept":7}
        > Fail Second E
          9 <8 TaskStarted
          10 <9 TaskFailed {"error":"E"}
          ! timer at 1s for /
          = / awaits retry of Second at 1s with {"kept":7}
        > Fire
          11 <10 TaskScheduled {"parameters":{"n":7,"times":0}}
          ! dispatch Second attempt 1 {"n":7,"times":0}
          = / awaits task Second with {"kept":7}
        > Fail Second E
          12 <11 TaskStarted
          13 <12 TaskFailed {"error":"E"}
          14 <13 ExecutionFailed {"error":"E"}
          = / FAILED E: - with {"kept":7}
        > Ok Second#1 "late"
          rejected: TaskSucceeded does not fit a branch that is at its end
        > Redrive
          15 <14 ExecutionRedriven {"redriveCount":0}
          16 <15 TaskScheduled {"parameters":{"n":7,"times":0}}
          ! dispatch Second {"n":7,"times":0}
          = / awaits task Second with {"kept":7}
        > Redrive
          rejected: Redriven does not fit a branch that is awaiting another answer
        > Fail Second E
          17 <16 TaskStarted
          18 <17 TaskFailed {"error":"E"}
          ! timer at 2s for /
          = / awaits retry of Second at 2s with {"kept":7}
        > Fire
          19 <18 TaskScheduled {"parameters":{"n":7,"times":0}}
          ! dispatch Second attempt 1 {"n":7,"times":0}
          = / awaits task Second with {"kept":7}
        > Ok Second "done"
          20 <19 TaskStarted
          21 <20 TaskSucceeded {"output":"done"}
          22 <21 TaskStateExited {"name":"Second","output":"done"}
          23 <22 ExecutionSucceeded {"output":"done"}
          = / SUCCEEDED "done" with {"kept":7}
        > Redrive
          rejected: Redriven does not fit a branch that is at its end
    "#]],
    );
}

#[test]
fn branches_that_succeeded_keep_their_results() {
    let machine = machine(json!({
        "Both": { "Type": "Parallel", "End": true, "Branches": [
            { "StartAt": "A", "States": { "A": { "Type": "Task", "Resource": "fluxling:a", "End": true } } },
            { "StartAt": "B", "States": { "B": { "Type": "Task", "Resource": "fluxling:b", "End": true } } },
            { "StartAt": "C", "States": { "C": { "Type": "Wait", "Seconds": 5, "End": true } } }
        ] }
    }));
    let script =
        [Ok("A", json!("a")), Fail("B", "E", "broke"), Redrive, Fire, Fire, Ok("B", json!("b"))];
    check(
        &machine,
        &json!({}),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 ParallelStateEntered {"input":{},"name":"Both"}
          3 <2 ParallelStateStarted
          4 <3 TaskStateEntered /1.0 {"input":{},"name":"A"}
          5 <4 TaskScheduled /1.0 {"parameters":{}}
          6 <3 TaskStateEntered /1.1 {"input":{},"name":"B"}
          7 <6 TaskScheduled /1.1 {"parameters":{}}
          8 <3 WaitStateEntered /1.2 {"input":{},"name":"C"}
          ! dispatch A {}
          ! dispatch B {}
          ! timer at 5s for /1.2
          = / awaits 3 branches in Both
          = /1.0 awaits task A
          = /1.1 awaits task B
          = /1.2 awaits time 5s in C
        > Ok A "a"
          9 <5 TaskStarted /1.0
          10 <9 TaskSucceeded /1.0 {"output":"a"}
          11 <10 TaskStateExited /1.0 {"name":"A","output":"a"}
          = /1.0 SUCCEEDED "a"
        > Fail B E
          12 <7 TaskStarted /1.1
          13 <12 TaskFailed /1.1 {"error":"E","cause":"broke"}
          14 <13 TaskStateAborted
          15 <13 WaitStateAborted
          16 <13 ParallelStateFailed
          17 <16 ExecutionFailed {"error":"E","cause":"broke"}
          = / FAILED E: broke
          = /1.1 FAILED E: broke
          = /1.2 ABORTED -: -
        > Redrive
          18 <17 ExecutionRedriven {"redriveCount":0}
          19 <18 TaskScheduled /1.1 {"parameters":{}}
          ! dispatch B {}
          ! timer at 5s for /1.2
          = / awaits 3 branches in Both
          = /1.1 awaits task B
          = /1.2 awaits time 5s in C
        > Fire
          rejected: TimerFired does not fit a branch that is awaiting a timer
        > Fire
          20 <18 WaitStateExited /1.2 {"name":"C","output":{}}
          = /1.2 SUCCEEDED {}
        > Ok B "b"
          21 <19 TaskStarted /1.1
          22 <21 TaskSucceeded /1.1 {"output":"b"}
          23 <22 TaskStateExited /1.1 {"name":"B","output":"b"}
          24 <23 ParallelStateSucceeded
          25 <23 ParallelStateExited {"name":"Both","output":["a","b",{}]}
          26 <25 ExecutionSucceeded {"output":["a","b",{}]}
          = / SUCCEEDED ["a","b",{}]
          = /1.0 gone
          = /1.1 gone
          = /1.2 gone
    "#]],
    );
}

#[test]
fn items_that_failed_go_on_in_turns() {
    let machine = machine(json!({
        "Each": { "Type": "Map", "MaxConcurrency": 1, "End": true,
                  "ItemProcessor": { "StartAt": "Do", "States": {
                      "Do": { "Type": "Task", "Resource": "fluxling:do", "End": true } } } }
    }));
    let script = [Ok("Do", json!(1)), Stop, Redrive, Ok("Do#2", json!(2)), Ok("Do#3", json!(3))];
    check(
        &machine,
        &json!(["one", "two", "three"]),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":["one","two","three"]}
          2 <0 MapStateEntered {"input":["one","two","three"],"name":"Each"}
          3 <2 MapStateStarted {"length":3}
          4 <3 MapIterationStarted {"index":0,"name":"Each"}
          5 <4 TaskStateEntered /1.0 {"input":"one","name":"Do"}
          6 <5 TaskScheduled /1.0 {"parameters":"one"}
          ! dispatch Do "one"
          = / awaits 3 branches in Each
          = /1.0 awaits task Do
          = /1.1 waits to begin at Do
          = /1.2 waits to begin at Do
        > Ok Do 1
          7 <6 TaskStarted /1.0
          8 <7 TaskSucceeded /1.0 {"output":1}
          9 <8 TaskStateExited /1.0 {"name":"Do","output":1}
          10 <9 MapIterationSucceeded /1.0 {"index":0,"name":"Each"}
          11 <9 MapIterationStarted /1.1 {"index":1,"name":"Each"}
          12 <11 TaskStateEntered /1.1 {"input":"two","name":"Do"}
          13 <12 TaskScheduled /1.1 {"parameters":"two"}
          ! dispatch Do "two"
          = /1.0 SUCCEEDED 1
          = /1.1 awaits task Do
        > Stop
          14 <0 ExecutionAborted {"error":"Cancelled","cause":"by the test"}
          = / ABORTED Cancelled: by the test
          = /1.1 ABORTED -: -
          = /1.2 ABORTED -: -
        > Redrive
          15 <3 ExecutionRedriven {"redriveCount":0}
          16 <15 TaskScheduled /1.1 {"parameters":"two"}
          ! dispatch Do "two"
          = / awaits 3 branches in Each
          = /1.1 awaits task Do
          = /1.2 waits to begin at Do
        > Ok Do#2 2
          17 <16 TaskStarted /1.1
          18 <17 TaskSucceeded /1.1 {"output":2}
          19 <18 TaskStateExited /1.1 {"name":"Do","output":2}
          20 <19 MapIterationSucceeded /1.1 {"index":1,"name":"Each"}
          21 <19 MapIterationStarted /1.2 {"index":2,"name":"Each"}
          22 <21 TaskStateEntered /1.2 {"input":"three","name":"Do"}
          23 <22 TaskScheduled /1.2 {"parameters":"three"}
          ! dispatch Do "three"
          = /1.1 SUCCEEDED 2
          = /1.2 awaits task Do
        > Ok Do#3 3
          24 <23 TaskStarted /1.2
          25 <24 TaskSucceeded /1.2 {"output":3}
          26 <25 TaskStateExited /1.2 {"name":"Do","output":3}
          27 <26 MapIterationSucceeded /1.2 {"index":2,"name":"Each"}
          28 <27 MapStateSucceeded
          29 <27 MapStateExited {"name":"Each","output":[1,2,3]}
          30 <29 ExecutionSucceeded {"output":[1,2,3]}
          = / SUCCEEDED [1,2,3]
          = /1.0 gone
          = /1.1 gone
          = /1.2 gone
    "#]],
    );
}

#[test]
fn what_a_caught_failure_kept_goes_with_it() {
    let inner = json!({ "StartAt": "Pair", "States": { "Pair": {
        "Type": "Parallel", "End": true, "Branches": [
            { "StartAt": "A", "States": { "A": { "Type": "Task", "Resource": "fluxling:a", "End": true } } },
            { "StartAt": "B", "States": { "B": { "Type": "Task", "Resource": "fluxling:b", "End": true } } }
        ] } } });
    let machine = machine(json!({
        "Outer": { "Type": "Parallel", "End": true, "Branches": [inner],
                   "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }] },
        "Caught": { "Type": "Pass", "End": true }
    }));
    check(
        &machine,
        &json!({}),
        &[Fail("A", "E", "")],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 ParallelStateEntered {"input":{},"name":"Outer"}
          3 <2 ParallelStateStarted
          4 <3 ParallelStateEntered /1.0 {"input":{},"name":"Pair"}
          5 <4 ParallelStateStarted /1.0
          6 <5 TaskStateEntered /1.0/1.0 {"input":{},"name":"A"}
          7 <6 TaskScheduled /1.0/1.0 {"parameters":{}}
          8 <5 TaskStateEntered /1.0/1.1 {"input":{},"name":"B"}
          9 <8 TaskScheduled /1.0/1.1 {"parameters":{}}
          ! dispatch A {}
          ! dispatch B {}
          = / awaits 1 branches in Outer
          = /1.0 awaits 2 branches in Pair
          = /1.0/1.0 awaits task A
          = /1.0/1.1 awaits task B
        > Fail A E
          10 <7 TaskStarted /1.0/1.0
          11 <10 TaskFailed /1.0/1.0 {"error":"E"}
          12 <11 TaskStateAborted /1.0
          13 <11 TaskStateAborted /1.0
          14 <11 ParallelStateFailed /1.0
          15 <14 ParallelStateFailed
          16 <15 ParallelStateExited {"name":"Outer","output":{"Error":"E","Cause":null}}
          17 <16 PassStateEntered {"input":{"Error":"E","Cause":null},"name":"Caught"}
          18 <17 PassStateExited {"name":"Caught","output":{"Error":"E","Cause":null}}
          19 <18 ExecutionSucceeded {"output":{"Error":"E","Cause":null}}
          = / SUCCEEDED {"Error":"E","Cause":null}
          = /1.0 gone
          = /1.0/1.0 gone
          = /1.0/1.1 gone
    "#]],
    );
}

#[test]
fn a_fail_state_fails_again() {
    let machine = machine(json!({ "No": { "Type": "Fail", "Error": "No", "Cause": "never" } }));
    check(
        &machine,
        &json!({}),
        &[Redrive],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 FailStateEntered {"input":{},"name":"No"}
          3 <2 ExecutionFailed {"error":"No","cause":"never"}
          = / FAILED No: never
        > Redrive
          4 <3 ExecutionRedriven {"redriveCount":0}
          5 <4 ExecutionFailed {"error":"No","cause":"never"}
    "#]],
    );
}

#[test]
fn an_operator_has_a_task_tried_again() {
    let machine = machine(json!({
        "Do": { "Type": "Task", "Resource": "fluxling:do", "TimeoutSeconds": 60, "End": true }
    }));
    let script = [Pass(50), Again("/"), Ok("Do#0", json!("late")), Ok("Do#1", json!("good"))];
    check(
        &machine,
        &json!({}),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 TaskStateEntered {"input":{},"name":"Do"}
          3 <2 TaskScheduled {"parameters":{},"timeoutInSeconds":60}
          ! dispatch Do deadline 60s {}
          ! timer at 60s for / watch
          = / awaits task Do
        > Pass(50)
        > Again /
          4 <3 TaskRetried {"by":"ines","reason":"mended"}
          5 <3 TaskScheduled {"parameters":{},"timeoutInSeconds":60}
          ! dispatch Do deadline 110s {}
          ! timer at 110s for / watch
        > Ok Do#0 "late"
          rejected: TaskSucceeded does not fit a branch that is awaiting another answer
        > Ok Do#1 "good"
          6 <5 TaskStarted
          7 <6 TaskSucceeded {"output":"good"}
          8 <7 TaskStateExited {"name":"Do","output":"good"}
          9 <8 ExecutionSucceeded {"output":"good"}
          = / SUCCEEDED "good"
    "#]],
    );
}

#[test]
fn an_operator_ends_a_task_by_hand() {
    let machine = machine(json!({
        "Ask": { "Type": "Task", "Resource": "fluxling:ask.waitForTaskToken",
                 "Parameters": { "token.$": "$$.Task.Token" }, "ResultPath": "$.said", "End": true }
    }));
    let script = [Hold("Ask"), Skip("/", json!("yes")), Callback("Ask", json!("no"))];
    check(
        &machine,
        &json!({}),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 TaskStateEntered {"input":{},"name":"Ask"}
          3 <2 TaskScheduled {"parameters":{"token":"<token>"}}
          ! dispatch Ask {"token":"<token>"}
          = / awaits task Ask
        > Hold Ask
        > Skip / "yes"
          4 <3 TaskSkipped {"by":"ines","reason":"mended"}
          5 <3 TaskStarted
          6 <5 TaskSucceeded {"output":"yes"}
          7 <6 TaskStateExited {"name":"Ask","output":{"said":"yes"}}
          8 <7 ExecutionSucceeded {"output":{"said":"yes"}}
          = / SUCCEEDED {"said":"yes"}
        > Callback Ask "no"
          rejected: TaskSucceeded does not fit a branch that is at its end
    "#]],
    );
}

#[test]
fn an_operator_does_not_wait_for_the_next_attempt() {
    let machine = machine(json!({
        "Do": { "Type": "Task", "Resource": "fluxling:do", "End": true,
                "Retry": [{ "ErrorEquals": ["States.ALL"], "IntervalSeconds": 3600 }] }
    }));
    check(
        &machine,
        &json!({}),
        &[Fail("Do", "E", ""), Again("/"), Fire],
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
          ! timer at 3600s for /
          = / awaits retry of Do at 3600s
        > Again /
          6 <5 TaskRetried {"by":"ines","reason":"mended"}
          7 <5 TaskScheduled {"parameters":{}}
          ! dispatch Do attempt 1 {}
          = / awaits task Do
        > Fire
          rejected: TimerFired does not fit a branch that is awaiting another answer
    "#]],
    );
}
