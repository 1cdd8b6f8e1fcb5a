//! Task: success, failure, timeouts, heartbeats.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::*;

fn task(fields: Value) -> Value {
    let mut task = json!({ "Type": "Task", "Resource": "fluxling:pay", "End": true });
    if let (Some(task), Value::Object(fields)) = (task.as_object_mut(), fields) {
        task.extend(fields);
    }
    machine(json!({ "Pay": task, "Caught": { "Type": "Pass", "End": true } }))
}

#[test]
fn a_result_goes_through_the_data_flow() {
    let definition = task(json!({
        "InputPath": "$.order", "Parameters": { "cents.$": "$.cents", "try.$": "$$.State.RetryCount" },
        "ResultSelector": { "receipt.$": "$.id" }, "ResultPath": "$.paid", "OutputPath": "$.paid",
        "Assign": { "receipt.$": "$.receipt" }
    }));
    let script = [Started("Pay"), Ok("Pay", json!({ "id": 7, "x": 1 })), Ok("Pay#0", json!(8))];
    check(
        &definition,
        &json!({ "order": { "cents": 5 } }),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"order":{"cents":5}}}
              2 <0 TaskStateEntered {"input":{"order":{"cents":5}},"name":"Pay"}
              3 <2 TaskScheduled {"parameters":{"cents":5,"try":0}}
              ! dispatch Pay {"cents":5,"try":0}
              = / awaits task Pay
            > Started Pay
              4 <3 TaskStarted
            > Ok Pay {"id":7,"x":1}
              5 <4 TaskSucceeded {"output":{"id":7,"x":1}}
              6 <5 TaskStateExited {"name":"Pay","output":{"receipt":7},"assignedVariables":{"receipt":"7"},"assignedVariablesDetails":{"truncated":false}}
              7 <6 ExecutionSucceeded {"output":{"receipt":7}}
              = / SUCCEEDED {"receipt":7} with {"receipt":7}
            > Ok Pay#0 8
              rejected: TaskSucceeded does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn a_failure_fails_the_execution() {
    let script = [Fail("Pay", "Card.Declined", "no money"), Ok("Pay#0", json!(1))];
    check(
        &task(json!({})),
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Pay"}
              3 <2 TaskScheduled {"parameters":{}}
              ! dispatch Pay {}
              = / awaits task Pay
            > Fail Pay Card.Declined
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"Card.Declined","cause":"no money"}
              6 <5 ExecutionFailed {"error":"Card.Declined","cause":"no money"}
              = / FAILED Card.Declined: no money
            > Ok Pay#0 1
              rejected: TaskSucceeded does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn a_long_cause_is_cut_visibly() {
    let long: &'static str = Box::leak("é".repeat(33_000).into_boxed_str());
    check(
        &task(json!({})),
        &json!({}),
        &[Fail("Pay", "E", long)],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Pay"}
              3 <2 TaskScheduled {"parameters":{}}
              ! dispatch Pay {}
              = / awaits task Pay
            > Fail Pay E
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"E","cause":"éééééééééééééééééééééééééééééééééééééé… (65554 bytes)
              6 <5 ExecutionFailed {"error":"E","cause":"éééééééééééééééééééééééééééééééééééééé… (65554 bytes)
              = / FAILED E: (32768 characters)éééé … (cut)
        "#]],
    );
}

#[test]
fn a_result_past_the_bound_is_a_failure_that_can_be_caught() {
    let definition =
        task(json!({ "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }] }));
    let script = [Ok("Pay", json!("x".repeat(300_000)))];
    check(
        &definition,
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Pay"}
              3 <2 TaskScheduled {"parameters":{}}
              ! dispatch Pay {}
              = / awaits task Pay
            > Ok Pay "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (300002 bytes)
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"States.DataLimitExceeded","cause":"The state/task 'Pay' returned a result with a size exceeding the maximum number of bytes service limit."}
              6 <5 TaskStateExited {"name":"Pay","output":{"Error":"States.DataLimitExceeded","Cause":"The state/task 'Pay' returned a result with a size exceeding the maximum number of bytes service limit."}}
              7 <6 PassStateEntered {"input":{"Error":"States.DataLimitExceeded","Cause":"The state/task 'Pay' returned a result with a size exceeding the maximum number of bytes service limit."},"name":"Caught"}
              8 <7 PassStateExited {"name":"Caught","output":{"Error":"States.DataLimitExceeded","Cause":"The state/task 'Pay' returned a result with a size exceeding the maximum number of bytes service limit."}}
              9 <8 ExecutionSucceeded {"output":{"Error":"States.DataLimitExceeded","Cause":"The state/task 'Pay' returned a result with a size exceeding the maximum number of bytes service limit."}}
              = / SUCCEEDED {"Error":"States.DataLimitExceeded","Cause":"The state/task 'Pay' returned a result with a size exceeding the maximum number of bytes service limit."}
        "#]],
    );
}

#[test]
fn a_timeout_comes_when_it_is_due_and_not_before() {
    let definition = task(json!({ "TimeoutSeconds": 5 }));
    let script = [FireEarly, Fire, FireOld, Ok("Pay#0", json!(1))];
    check(
        &definition,
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Pay"}
              3 <2 TaskScheduled {"parameters":{},"timeoutInSeconds":5}
              ! dispatch Pay deadline 5s {}
              ! timer at 5s for / watch
              = / awaits task Pay
            > FireEarly
              ! timer at 5s for / watch
            > Fire
              4 <3 TaskTimedOut {"error":"States.Timeout"}
              5 <4 ExecutionFailed {"error":"States.Timeout"}
              = / FAILED States.Timeout: -
            > FireOld
              rejected: TimerFired does not fit a branch that is at its end
              rejected: TimerFired does not fit a branch that is at its end
            > Ok Pay#0 1
              rejected: TaskSucceeded does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn a_timeout_given_by_path_keeps_the_bounds_of_a_literal() {
    let definition = task(json!({ "TimeoutSecondsPath": "$.s" }));
    check(
        &definition,
        &json!({ "s": 9 }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"s":9}}
              2 <0 TaskStateEntered {"input":{"s":9},"name":"Pay"}
              3 <2 TaskScheduled {"parameters":{"s":9},"timeoutInSeconds":9}
              ! dispatch Pay deadline 9s {"s":9}
              ! timer at 9s for / watch
              = / awaits task Pay
        "#]],
    );
    check(
        &definition,
        &json!({ "s": 0 }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"s":0}}
              2 <0 TaskStateEntered {"input":{"s":0},"name":"Pay"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Pay' (entered at the event id #2). The TimeoutSecondsPath field refers to value \"0\" which is less than 1: $.s"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Pay' (entered at the event id #2). The TimeoutSecondsPath field refers to value "0" which is less than 1: $.s
        "#]],
    );
    check(
        &definition,
        &json!({ "s": "soon" }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"s":"soon"}}
              2 <0 TaskStateEntered {"input":{"s":"soon"},"name":"Pay"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Pay' (entered at the event id #2). The TimeoutSecondsPath field refers to value \"soon\" which is not a valid integer: $.s"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Pay' (entered at the event id #2). The TimeoutSecondsPath field refers to value "soon" which is not a valid integer: $.s
        "#]],
    );
    check(
        &definition,
        &json!({ "s": u64::MAX }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"s":18446744073709551615}}
              2 <0 TaskStateEntered {"input":{"s":18446744073709551615},"name":"Pay"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Pay' (entered at the event id #2). The TimeoutSecondsPath field refers to value \"18446744073709551615\" which is more than 99999999: $.s"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Pay' (entered at the event id #2). The TimeoutSecondsPath field refers to value "18446744073709551615" which is more than 99999999: $.s
        "#]],
    );
}

#[test]
fn heartbeats_extend_the_time_and_their_absence_ends_it() {
    let definition = task(json!({
        "TimeoutSeconds": 60, "HeartbeatSeconds": 10,
        "Catch": [{ "ErrorEquals": ["States.Timeout"], "ResultPath": "$.error", "Next": "Caught" }]
    }));
    let script = [Pass(8), Beat("Pay"), Fire, Fire, Beat("Pay#0")];
    check(
        &definition,
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Pay"}
              3 <2 TaskScheduled {"parameters":{},"timeoutInSeconds":60,"heartbeatInSeconds":10}
              ! dispatch Pay deadline 60s heartbeat 10s {}
              ! timer at 10s for / watch
              = / awaits task Pay
            > Pass(8)
            > Beat Pay
              ! timer at 18s for / watch
            > Fire
              rejected: TimerFired does not fit a branch that is awaiting another answer
            > Fire
              4 <3 TaskTimedOut {"error":"States.Timeout"}
              5 <4 TaskStateExited {"name":"Pay","output":{"error":{"Error":"States.Timeout","Cause":""}}}
              6 <5 PassStateEntered {"input":{"error":{"Error":"States.Timeout","Cause":""}},"name":"Caught"}
              7 <6 PassStateExited {"name":"Caught","output":{"error":{"Error":"States.Timeout","Cause":""}}}
              8 <7 ExecutionSucceeded {"output":{"error":{"Error":"States.Timeout","Cause":""}}}
              = / SUCCEEDED {"error":{"Error":"States.Timeout","Cause":""}}
            > Beat Pay#0
              rejected: TaskHeartbeat does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn a_heartbeat_that_nobody_asked_for_changes_nothing() {
    check(
        &task(json!({})),
        &json!({}),
        &[Beat("Pay")],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Pay"}
              3 <2 TaskScheduled {"parameters":{}}
              ! dispatch Pay {}
              = / awaits task Pay
            > Beat Pay
              rejected: TaskHeartbeat does not fit a branch that is awaiting another answer
        "#]],
    );
}

#[test]
fn a_task_that_nobody_can_take_ends_at_its_timeout_and_needs_no_heartbeats() {
    let definition = task(json!({ "TimeoutSeconds": 60, "HeartbeatSeconds": 10 }));
    let script = [Hold("Pay"), Fire, Fire];
    check(
        &definition,
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Pay"}
              3 <2 TaskScheduled {"parameters":{},"timeoutInSeconds":60,"heartbeatInSeconds":10}
              ! dispatch Pay deadline 60s heartbeat 10s {}
              ! timer at 10s for / watch
              = / awaits task Pay
            > Hold Pay
            > Fire
              ! timer at 60s for / watch
            > Fire
              4 <3 TaskTimedOut {"error":"Fluxus.NoFluxling","cause":"No fluxling that offers `pay` could take the task in its time"}
              5 <4 ExecutionFailed {"error":"Fluxus.NoFluxling","cause":"No fluxling that offers `pay` could take the task in its time"}
              = / FAILED Fluxus.NoFluxling: No fluxling that offers `pay` could take the task in its time
        "#]],
    );
}
