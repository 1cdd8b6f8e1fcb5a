//! Wait in its four forms.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::*;

fn wait(how: Value) -> Value {
    let mut wait = json!({ "Type": "Wait", "End": true });
    if let (Some(wait), Value::Object(how)) = (wait.as_object_mut(), how) {
        wait.extend(how);
    }
    machine(json!({ "Rest": wait }))
}

#[test]
fn seconds() {
    let definition = wait(json!({ "Seconds": 30 }));
    check(
        &definition,
        &json!({ "a": 1 }),
        &[FireEarly, Fire, FireOld],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"a":1}}
              2 <0 WaitStateEntered {"input":{"a":1},"name":"Rest"}
              ! timer at 30s for /
              = / awaits time 30s in Rest
            > FireEarly
              ! timer at 30s for /
            > Fire
              3 <2 WaitStateExited {"name":"Rest","output":{"a":1}}
              4 <3 ExecutionSucceeded {"output":{"a":1}}
              = / SUCCEEDED {"a":1}
            > FireOld
              rejected: TimerFired does not fit a branch that is at its end
              rejected: TimerFired does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn seconds_by_path() {
    let definition = wait(json!({ "SecondsPath": "$.s" }));
    check(
        &definition,
        &json!({ "s": 3 }),
        &[Fire],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"s":3}}
              2 <0 WaitStateEntered {"input":{"s":3},"name":"Rest"}
              ! timer at 3s for /
              = / awaits time 3s in Rest
            > Fire
              3 <2 WaitStateExited {"name":"Rest","output":{"s":3}}
              4 <3 ExecutionSucceeded {"output":{"s":3}}
              = / SUCCEEDED {"s":3}
        "#]],
    );
    check(
        &definition,
        &json!({ "s": -1 }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"s":-1}}
              2 <0 WaitStateEntered {"input":{"s":-1},"name":"Rest"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Rest' (entered at the event id #2). The SecondsPath parameter references a negative value: $.s == -1"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Rest' (entered at the event id #2). The SecondsPath parameter references a negative value: $.s == -1
        "#]],
    );
    check(
        &definition,
        &json!({ "s": 1.5 }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"s":1.5}}
              2 <0 WaitStateEntered {"input":{"s":1.5},"name":"Rest"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Rest' (entered at the event id #2). The SecondsPath parameter cannot be parsed as a long value: $.s == 1.5"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Rest' (entered at the event id #2). The SecondsPath parameter cannot be parsed as a long value: $.s == 1.5
        "#]],
    );
    check(
        &definition,
        &json!({}),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 WaitStateEntered {"input":{},"name":"Rest"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Rest' (entered at the event id #2). The SecondsPath parameter does not reference an input value: $.s"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Rest' (entered at the event id #2). The SecondsPath parameter does not reference an input value: $.s
        "#]],
    );
    check(
        &definition,
        &json!({ "s": u64::MAX }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"s":18446744073709551615}}
              2 <0 WaitStateEntered {"input":{"s":18446744073709551615},"name":"Rest"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Rest' (entered at the event id #2). The SecondsPath parameter references a value above 99999999: $.s == 18446744073709551615"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Rest' (entered at the event id #2). The SecondsPath parameter references a value above 99999999: $.s == 18446744073709551615
        "#]],
    );
}

#[test]
fn a_moment() {
    let definition = wait(json!({ "Timestamp": "1970-01-01T00:20:00Z" }));
    check(
        &definition,
        &json!({}),
        &[Fire],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 WaitStateEntered {"input":{},"name":"Rest"}
              ! timer at 200s for /
              = / awaits time 200s in Rest
            > Fire
              3 <2 WaitStateExited {"name":"Rest","output":{}}
              4 <3 ExecutionSucceeded {"output":{}}
              = / SUCCEEDED {}
        "#]],
    );
    let past = wait(json!({ "Timestamp": "1970-01-01T00:00:00Z" }));
    check(
        &past,
        &json!({}),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 WaitStateEntered {"input":{},"name":"Rest"}
              3 <2 WaitStateExited {"name":"Rest","output":{}}
              4 <3 ExecutionSucceeded {"output":{}}
              = / SUCCEEDED {}
        "#]],
    );
}

#[test]
fn a_moment_by_path() {
    let definition = wait(json!({ "TimestampPath": "$.t" }));
    check(
        &definition,
        &json!({ "t": "1970-01-01T01:20:00+01:00" }),
        &[Fire],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"t":"1970-01-01T01:20:00+01:00"}}
              2 <0 WaitStateEntered {"input":{"t":"1970-01-01T01:20:00+01:00"},"name":"Rest"}
              ! timer at 200s for /
              = / awaits time 200s in Rest
            > Fire
              3 <2 WaitStateExited {"name":"Rest","output":{"t":"1970-01-01T01:20:00+01:00"}}
              4 <3 ExecutionSucceeded {"output":{"t":"1970-01-01T01:20:00+01:00"}}
              = / SUCCEEDED {"t":"1970-01-01T01:20:00+01:00"}
        "#]],
    );
    check(
        &definition,
        &json!({ "t": "tomorrow" }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"t":"tomorrow"}}
              2 <0 WaitStateEntered {"input":{"t":"tomorrow"},"name":"Rest"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Rest' (entered at the event id #2). The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: $.t == tomorrow"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Rest' (entered at the event id #2). The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: $.t == tomorrow
        "#]],
    );
    check(
        &definition,
        &json!({ "t": 5 }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"t":5}}
              2 <0 WaitStateEntered {"input":{"t":5},"name":"Rest"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Rest' (entered at the event id #2). The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: $.t == 5"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Rest' (entered at the event id #2). The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: $.t == 5
        "#]],
    );
}
