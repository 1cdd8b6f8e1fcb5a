//! Tasks that wait for somebody to call back.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::*;

fn ask() -> Value {
    machine(json!({
        "Ask": {
            "Type": "Task", "Resource": "fluxling:ask.waitForTaskToken",
            "Parameters": { "token.$": "$$.Task.Token" }, "HeartbeatSeconds": 60,
            "ResultPath": "$.answer", "End": true
        }
    }))
}

#[test]
fn the_request_is_handed_over_then_the_callback_comes() {
    let script = [
        Started("Ask"),
        Ok("Ask", json!("sent")),
        Ok("Ask", json!("sent twice")),
        Fail("Ask#0", "Fluxus.Undeliverable", "answered, but never deleted"),
        Beat("Ask#0"),
        CallbackBeat("Ask#0"),
        Callback("Ask#0", json!("yes")),
        Callback("Ask#0", json!("yes again")),
    ];
    check(
        &ask(),
        &json!({ "q": 1 }),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"q":1}}
              2 <0 TaskStateEntered {"input":{"q":1},"name":"Ask"}
              3 <2 TaskScheduled {"parameters":{"token":"<token>"},"heartbeatInSeconds":60}
              ! dispatch Ask heartbeat 60s {"token":"<token>"}
              ! timer at 60s for / watch
              = / awaits task Ask
            > Started Ask
              4 <3 TaskStarted
              ! timer at 60s for / watch
            > Ok Ask "sent"
              5 <4 TaskSubmitted {"output":"sent"}
              ! timer at 60s for / watch
              = / awaits task Ask (callback)
            > Ok Ask "sent twice"
              rejected: TaskSucceeded does not fit a branch that is awaiting another answer
            > Fail Ask#0 Fluxus.Undeliverable
              rejected: TaskFailed does not fit a branch that is awaiting another answer
            > Beat Ask#0
              rejected: TaskHeartbeat does not fit a branch that is awaiting another answer
            > CallbackBeat Ask#0
              ! timer at 60s for / watch
            > Callback Ask#0 "yes"
              6 <5 TaskSucceeded {"output":"yes"}
              7 <6 TaskStateExited {"name":"Ask","output":{"q":1,"answer":"yes"}}
              8 <7 ExecutionSucceeded {"output":{"q":1,"answer":"yes"}}
              = / SUCCEEDED {"q":1,"answer":"yes"}
            > Callback Ask#0 "yes again"
              rejected: TaskSucceeded does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn the_callback_can_be_quicker_than_the_answer_to_the_request() {
    let script = [Callback("Ask", json!("yes")), Ok("Ask#0", json!("sent"))];
    check(
        &ask(),
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Ask"}
              3 <2 TaskScheduled {"parameters":{"token":"<token>"},"heartbeatInSeconds":60}
              ! dispatch Ask heartbeat 60s {"token":"<token>"}
              ! timer at 60s for / watch
              = / awaits task Ask
            > Callback Ask "yes"
              4 <3 TaskStarted
              5 <4 TaskSucceeded {"output":"yes"}
              6 <5 TaskStateExited {"name":"Ask","output":{"answer":"yes"}}
              7 <6 ExecutionSucceeded {"output":{"answer":"yes"}}
              = / SUCCEEDED {"answer":"yes"}
            > Ok Ask#0 "sent"
              rejected: TaskSucceeded does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn the_callback_can_be_a_failure() {
    let script = [Ok("Ask", json!("sent")), CallbackFail("Ask", "No", "they said no")];
    check(
        &ask(),
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Ask"}
              3 <2 TaskScheduled {"parameters":{"token":"<token>"},"heartbeatInSeconds":60}
              ! dispatch Ask heartbeat 60s {"token":"<token>"}
              ! timer at 60s for / watch
              = / awaits task Ask
            > Ok Ask "sent"
              4 <3 TaskStarted
              5 <4 TaskSubmitted {"output":"sent"}
              ! timer at 60s for / watch
              = / awaits task Ask (callback)
            > CallbackFail Ask No
              6 <5 TaskFailed {"error":"No","cause":"they said no"}
              7 <6 ExecutionFailed {"error":"No","cause":"they said no"}
              = / FAILED No: they said no
        "#]],
    );
}

#[test]
fn the_request_can_fail() {
    let script = [Fail("Ask", "Mail.Bounced", "nobody there"), Callback("Ask#0", json!("yes"))];
    check(
        &ask(),
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Ask"}
              3 <2 TaskScheduled {"parameters":{"token":"<token>"},"heartbeatInSeconds":60}
              ! dispatch Ask heartbeat 60s {"token":"<token>"}
              ! timer at 60s for / watch
              = / awaits task Ask
            > Fail Ask Mail.Bounced
              4 <3 TaskStarted
              5 <4 TaskFailed {"error":"Mail.Bounced","cause":"nobody there"}
              6 <5 ExecutionFailed {"error":"Mail.Bounced","cause":"nobody there"}
              = / FAILED Mail.Bounced: nobody there
            > Callback Ask#0 "yes"
              rejected: TaskSucceeded does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn no_callback_and_no_heartbeat() {
    check(
        &ask(),
        &json!({}),
        &[Ok("Ask", json!("sent")), Fire, Fire],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Ask"}
              3 <2 TaskScheduled {"parameters":{"token":"<token>"},"heartbeatInSeconds":60}
              ! dispatch Ask heartbeat 60s {"token":"<token>"}
              ! timer at 60s for / watch
              = / awaits task Ask
            > Ok Ask "sent"
              4 <3 TaskStarted
              5 <4 TaskSubmitted {"output":"sent"}
              ! timer at 60s for / watch
              = / awaits task Ask (callback)
            > Fire
              rejected: TimerFired does not fit a branch that is awaiting another answer
            > Fire
              6 <5 TaskTimedOut {"error":"States.Timeout"}
              7 <6 ExecutionFailed {"error":"States.Timeout"}
              = / FAILED States.Timeout: -
        "#]],
    );
}
