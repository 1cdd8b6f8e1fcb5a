//! Parallel and Map.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::*;

fn one_task(name: &str) -> Value {
    machine(json!({ name: { "Type": "Task", "Resource": "fluxling:do", "End": true } }))
}

fn parallel(fields: Value) -> Value {
    let mut both = json!({
        "Type": "Parallel", "End": true, "Branches": [one_task("A"), one_task("B")]
    });
    if let (Some(both), Value::Object(fields)) = (both.as_object_mut(), fields) {
        both.extend(fields);
    }
    machine(json!({ "Both": both, "Caught": { "Type": "Pass", "End": true } }))
}

fn map(fields: Value) -> Value {
    let mut each = json!({
        "Type": "Map", "End": true, "ItemsPath": "$.items", "ItemProcessor": one_task("Do")
    });
    if let (Some(each), Value::Object(fields)) = (each.as_object_mut(), fields) {
        each.extend(fields);
    }
    machine(json!({ "Each": each, "Caught": { "Type": "Pass", "End": true } }))
}

#[test]
fn a_parallel_gathers_its_branches_in_order() {
    let definition = parallel(json!({
        "Parameters": { "n.$": "$.n" }, "ResultSelector": { "b.$": "$[1]" }, "ResultPath": "$.out"
    }));
    let script = [Ok("B", json!("b")), Ok("A", json!("a")), Ok("A#0", json!("again"))];
    check(
        &definition,
        &json!({ "n": 1 }),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"n":1}}
              2 <0 ParallelStateEntered {"input":{"n":1},"name":"Both"}
              3 <2 ParallelStateStarted
              4 <3 TaskStateEntered /1.0 {"input":{"n":1},"name":"A"}
              5 <4 TaskScheduled /1.0 {"parameters":{"n":1}}
              6 <3 TaskStateEntered /1.1 {"input":{"n":1},"name":"B"}
              7 <6 TaskScheduled /1.1 {"parameters":{"n":1}}
              ! dispatch A {"n":1}
              ! dispatch B {"n":1}
              = / awaits 2 branches in Both
              = /1.0 awaits task A
              = /1.1 awaits task B
            > Ok B "b"
              8 <7 TaskStarted /1.1
              9 <8 TaskSucceeded /1.1 {"output":"b"}
              10 <9 TaskStateExited /1.1 {"name":"B","output":"b"}
              = /1.1 SUCCEEDED "b"
            > Ok A "a"
              11 <5 TaskStarted /1.0
              12 <11 TaskSucceeded /1.0 {"output":"a"}
              13 <12 TaskStateExited /1.0 {"name":"A","output":"a"}
              14 <13 ParallelStateSucceeded
              15 <13 ParallelStateExited {"name":"Both","output":{"n":1,"out":{"b":"b"}}}
              16 <15 ExecutionSucceeded {"output":{"n":1,"out":{"b":"b"}}}
              = / SUCCEEDED {"n":1,"out":{"b":"b"}}
              = /1.0 gone
              = /1.1 gone
            > Ok A#0 "again"
              rejected: TaskSucceeded does not fit a branch that is gone
        "#]],
    );
}

#[test]
fn a_failed_branch_aborts_its_siblings() {
    let script = [Fail("B", "E", "b broke"), Ok("A", json!("late"))];
    check(
        &parallel(json!({})),
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
              ! dispatch A {}
              ! dispatch B {}
              = / awaits 2 branches in Both
              = /1.0 awaits task A
              = /1.1 awaits task B
            > Fail B E
              8 <7 TaskStarted /1.1
              9 <8 TaskFailed /1.1 {"error":"E","cause":"b broke"}
              10 <9 TaskStateAborted
              11 <9 TaskStateAborted
              12 <9 ParallelStateFailed
              13 <12 ExecutionFailed {"error":"E","cause":"b broke"}
              = / FAILED E: b broke
              = /1.0 ABORTED -: -
              = /1.1 FAILED E: b broke
            > Ok A "late"
              rejected: TaskSucceeded does not fit a branch that is at its end
        "#]],
    );
}

#[test]
fn a_failed_parallel_can_be_caught() {
    let definition = parallel(json!({
        "Catch": [{ "ErrorEquals": ["E"], "ResultPath": "$.error", "Next": "Caught" }]
    }));
    let script = [Ok("A", json!(1)), Fail("B", "E", "b broke")];
    check(
        &definition,
        &json!({ "n": 1 }),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"n":1}}
              2 <0 ParallelStateEntered {"input":{"n":1},"name":"Both"}
              3 <2 ParallelStateStarted
              4 <3 TaskStateEntered /1.0 {"input":{"n":1},"name":"A"}
              5 <4 TaskScheduled /1.0 {"parameters":{"n":1}}
              6 <3 TaskStateEntered /1.1 {"input":{"n":1},"name":"B"}
              7 <6 TaskScheduled /1.1 {"parameters":{"n":1}}
              ! dispatch A {"n":1}
              ! dispatch B {"n":1}
              = / awaits 2 branches in Both
              = /1.0 awaits task A
              = /1.1 awaits task B
            > Ok A 1
              8 <5 TaskStarted /1.0
              9 <8 TaskSucceeded /1.0 {"output":1}
              10 <9 TaskStateExited /1.0 {"name":"A","output":1}
              = /1.0 SUCCEEDED 1
            > Fail B E
              11 <7 TaskStarted /1.1
              12 <11 TaskFailed /1.1 {"error":"E","cause":"b broke"}
              13 <12 TaskStateAborted
              14 <12 ParallelStateFailed
              15 <14 ParallelStateExited {"name":"Both","output":{"n":1,"error":{"Error":"E","Cause":"b broke"}}}
              16 <15 PassStateEntered {"input":{"n":1,"error":{"Error":"E","Cause":"b broke"}},"name":"Caught"}
              17 <16 PassStateExited {"name":"Caught","output":{"n":1,"error":{"Error":"E","Cause":"b broke"}}}
              18 <17 ExecutionSucceeded {"output":{"n":1,"error":{"Error":"E","Cause":"b broke"}}}
              = / SUCCEEDED {"n":1,"error":{"Error":"E","Cause":"b broke"}}
              = /1.0 gone
              = /1.1 gone
        "#]],
    );
}

#[test]
fn a_failed_parallel_can_be_tried_again() {
    let definition = parallel(json!({
        "Retry": [{ "ErrorEquals": ["E"], "IntervalSeconds": 4, "MaxAttempts": 1 }]
    }));
    let script = [
        Fail("B", "E", "once"),
        Fire,
        Ok("A#0", json!("of the first try")),
        Ok("A#1", json!("a")),
        Ok("B", json!("b")),
    ];
    check(
        &definition,
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
              ! dispatch A {}
              ! dispatch B {}
              = / awaits 2 branches in Both
              = /1.0 awaits task A
              = /1.1 awaits task B
            > Fail B E
              8 <7 TaskStarted /1.1
              9 <8 TaskFailed /1.1 {"error":"E","cause":"once"}
              10 <9 TaskStateAborted
              11 <9 TaskStateAborted
              ! timer at 4s for /
              = / awaits retry of Both at 4s
              = /1.0 gone
              = /1.1 gone
            > Fire
              12 <9 ParallelStateStarted
              13 <12 TaskStateEntered /3.0 {"input":{},"name":"A"}
              14 <13 TaskScheduled /3.0 {"parameters":{}}
              15 <12 TaskStateEntered /3.1 {"input":{},"name":"B"}
              16 <15 TaskScheduled /3.1 {"parameters":{}}
              ! dispatch A {}
              ! dispatch B {}
              = /3.0 awaits task A
              = /3.1 awaits task B
              = / awaits 2 branches in Both
            > Ok A#0 "of the first try"
              rejected: TaskSucceeded does not fit a branch that is gone
            > Ok A#1 "a"
              17 <14 TaskStarted /3.0
              18 <17 TaskSucceeded /3.0 {"output":"a"}
              19 <18 TaskStateExited /3.0 {"name":"A","output":"a"}
              = /3.0 SUCCEEDED "a"
            > Ok B "b"
              20 <16 TaskStarted /3.1
              21 <20 TaskSucceeded /3.1 {"output":"b"}
              22 <21 TaskStateExited /3.1 {"name":"B","output":"b"}
              23 <22 ParallelStateSucceeded
              24 <22 ParallelStateExited {"name":"Both","output":["a","b"]}
              25 <24 ExecutionSucceeded {"output":["a","b"]}
              = / SUCCEEDED ["a","b"]
              = /3.0 gone
              = /3.1 gone
        "#]],
    );
}

#[test]
fn a_map_runs_its_items_side_by_side() {
    let definition = map(json!({
        "ItemSelector": {
            "i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "all.$": "$.all"
        }
    }));
    let script = [Ok("Do#1", json!("second")), Ok("Do#0", json!("first"))];
    check(
        &definition,
        &json!({ "items": ["x", "y"], "all": 1 }),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"items":["x","y"],"all":1}}
              2 <0 MapStateEntered {"input":{"items":["x","y"],"all":1},"name":"Each"}
              3 <2 MapStateStarted {"length":2}
              4 <3 MapIterationStarted {"index":0,"name":"Each"}
              5 <3 MapIterationStarted {"index":1,"name":"Each"}
              6 <4 TaskStateEntered /1.0 {"input":{"i":0,"v":"x","all":1},"name":"Do"}
              7 <6 TaskScheduled /1.0 {"parameters":{"i":0,"v":"x","all":1}}
              8 <5 TaskStateEntered /1.1 {"input":{"i":1,"v":"y","all":1},"name":"Do"}
              9 <8 TaskScheduled /1.1 {"parameters":{"i":1,"v":"y","all":1}}
              ! dispatch Do {"i":0,"v":"x","all":1}
              ! dispatch Do {"i":1,"v":"y","all":1}
              = / awaits 2 branches in Each
              = /1.0 awaits task Do
              = /1.1 awaits task Do
            > Ok Do#1 "second"
              10 <9 TaskStarted /1.1
              11 <10 TaskSucceeded /1.1 {"output":"second"}
              12 <11 TaskStateExited /1.1 {"name":"Do","output":"second"}
              13 <12 MapIterationSucceeded /1.1 {"index":1,"name":"Each"}
              = /1.1 SUCCEEDED "second"
            > Ok Do#0 "first"
              14 <7 TaskStarted /1.0
              15 <14 TaskSucceeded /1.0 {"output":"first"}
              16 <15 TaskStateExited /1.0 {"name":"Do","output":"first"}
              17 <16 MapIterationSucceeded /1.0 {"index":0,"name":"Each"}
              18 <17 MapStateSucceeded
              19 <17 MapStateExited {"name":"Each","output":["first","second"]}
              20 <19 ExecutionSucceeded {"output":["first","second"]}
              = / SUCCEEDED ["first","second"]
              = /1.0 gone
              = /1.1 gone
        "#]],
    );
}

#[test]
fn a_map_runs_its_items_in_turns() {
    let definition = map(json!({ "MaxConcurrency": 2 }));
    let script = [Ok("Do#1", json!(1)), Ok("Do#0", json!(0)), Ok("Do#2", json!(2))];
    check(
        &definition,
        &json!({ "items": [0, 1, 2] }),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"items":[0,1,2]}}
              2 <0 MapStateEntered {"input":{"items":[0,1,2]},"name":"Each"}
              3 <2 MapStateStarted {"length":3}
              4 <3 MapIterationStarted {"index":0,"name":"Each"}
              5 <3 MapIterationStarted {"index":1,"name":"Each"}
              6 <4 TaskStateEntered /1.0 {"input":0,"name":"Do"}
              7 <6 TaskScheduled /1.0 {"parameters":0}
              8 <5 TaskStateEntered /1.1 {"input":1,"name":"Do"}
              9 <8 TaskScheduled /1.1 {"parameters":1}
              ! dispatch Do 0
              ! dispatch Do 1
              = / awaits 3 branches in Each
              = /1.0 awaits task Do
              = /1.1 awaits task Do
              = /1.2 waits to begin at Do
            > Ok Do#1 1
              10 <9 TaskStarted /1.1
              11 <10 TaskSucceeded /1.1 {"output":1}
              12 <11 TaskStateExited /1.1 {"name":"Do","output":1}
              13 <12 MapIterationSucceeded /1.1 {"index":1,"name":"Each"}
              14 <12 MapIterationStarted /1.2 {"index":2,"name":"Each"}
              15 <14 TaskStateEntered /1.2 {"input":2,"name":"Do"}
              16 <15 TaskScheduled /1.2 {"parameters":2}
              ! dispatch Do 2
              = /1.1 SUCCEEDED 1
              = /1.2 awaits task Do
            > Ok Do#0 0
              17 <7 TaskStarted /1.0
              18 <17 TaskSucceeded /1.0 {"output":0}
              19 <18 TaskStateExited /1.0 {"name":"Do","output":0}
              20 <19 MapIterationSucceeded /1.0 {"index":0,"name":"Each"}
              = /1.0 SUCCEEDED 0
            > Ok Do#2 2
              21 <16 TaskStarted /1.2
              22 <21 TaskSucceeded /1.2 {"output":2}
              23 <22 TaskStateExited /1.2 {"name":"Do","output":2}
              24 <23 MapIterationSucceeded /1.2 {"index":2,"name":"Each"}
              25 <24 MapStateSucceeded
              26 <24 MapStateExited {"name":"Each","output":[0,1,2]}
              27 <26 ExecutionSucceeded {"output":[0,1,2]}
              = / SUCCEEDED [0,1,2]
              = /1.0 gone
              = /1.1 gone
              = /1.2 gone
        "#]],
    );
}

#[test]
fn a_map_of_nothing_and_a_map_of_no_array() {
    check(
        &map(json!({})),
        &json!({ "items": [] }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"items":[]}}
              2 <0 MapStateEntered {"input":{"items":[]},"name":"Each"}
              3 <2 MapStateStarted {"length":0}
              4 <3 MapStateSucceeded
              5 <3 MapStateExited {"name":"Each","output":[]}
              6 <5 ExecutionSucceeded {"output":[]}
              = / SUCCEEDED []
        "#]],
    );
    check(
        &map(json!({})),
        &json!({ "items": {} }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"items":{}}}
              2 <0 MapStateEntered {"input":{"items":{}},"name":"Each"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Each' (entered at the event id #2). Reference path \"$.items\" must point to array."}
              = / FAILED States.Runtime: An error occurred while executing the state 'Each' (entered at the event id #2). Reference path "$.items" must point to array.
        "#]],
    );
    let limited = map(json!({ "MaxConcurrencyPath": "$.most" }));
    check(
        &limited,
        &json!({ "items": [1], "most": "two" }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"items":[1],"most":"two"}}
              2 <0 MapStateEntered {"input":{"items":[1],"most":"two"},"name":"Each"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Each' (entered at the event id #2). The MaxConcurrencyPath field refers to value \"two\" which is not a valid integer: $.most"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Each' (entered at the event id #2). The MaxConcurrencyPath field refers to value "two" which is not a valid integer: $.most
        "#]],
    );
}

#[test]
fn a_failed_item_aborts_the_others() {
    let definition = map(json!({
        "MaxConcurrency": 2, "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }]
    }));
    let script = [Fail("Do#0", "E", "first"), Ok("Do#1", json!("late"))];
    check(
        &definition,
        &json!({ "items": [0, 1, 2] }),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"items":[0,1,2]}}
              2 <0 MapStateEntered {"input":{"items":[0,1,2]},"name":"Each"}
              3 <2 MapStateStarted {"length":3}
              4 <3 MapIterationStarted {"index":0,"name":"Each"}
              5 <3 MapIterationStarted {"index":1,"name":"Each"}
              6 <4 TaskStateEntered /1.0 {"input":0,"name":"Do"}
              7 <6 TaskScheduled /1.0 {"parameters":0}
              8 <5 TaskStateEntered /1.1 {"input":1,"name":"Do"}
              9 <8 TaskScheduled /1.1 {"parameters":1}
              ! dispatch Do 0
              ! dispatch Do 1
              = / awaits 3 branches in Each
              = /1.0 awaits task Do
              = /1.1 awaits task Do
              = /1.2 waits to begin at Do
            > Fail Do#0 E
              10 <7 TaskStarted /1.0
              11 <10 TaskFailed /1.0 {"error":"E","cause":"first"}
              12 <11 MapIterationFailed {"index":0,"name":"Each"}
              13 <11 TaskStateAborted
              14 <11 MapIterationAborted {"index":1,"name":"Each"}
              15 <11 TaskStateAborted
              16 <11 MapStateFailed
              17 <16 MapStateExited {"name":"Each","output":{"Error":"E","Cause":"first"}}
              18 <17 PassStateEntered {"input":{"Error":"E","Cause":"first"},"name":"Caught"}
              19 <18 PassStateExited {"name":"Caught","output":{"Error":"E","Cause":"first"}}
              20 <19 ExecutionSucceeded {"output":{"Error":"E","Cause":"first"}}
              = / SUCCEEDED {"Error":"E","Cause":"first"}
              = /1.0 gone
              = /1.1 gone
              = /1.2 gone
            > Ok Do#1 "late"
              rejected: TaskSucceeded does not fit a branch that is gone
        "#]],
    );
}

#[test]
fn a_failed_map_can_be_tried_again() {
    let definition = map(json!({
        "Retry": [{ "ErrorEquals": ["E"], "IntervalSeconds": 1, "MaxAttempts": 1 }]
    }));
    let script = [Fail("Do", "E", "once"), Fire, Fail("Do", "E", "twice")];
    check(
        &definition,
        &json!({ "items": [0] }),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"items":[0]}}
              2 <0 MapStateEntered {"input":{"items":[0]},"name":"Each"}
              3 <2 MapStateStarted {"length":1}
              4 <3 MapIterationStarted {"index":0,"name":"Each"}
              5 <4 TaskStateEntered /1.0 {"input":0,"name":"Do"}
              6 <5 TaskScheduled /1.0 {"parameters":0}
              ! dispatch Do 0
              = / awaits 1 branches in Each
              = /1.0 awaits task Do
            > Fail Do E
              7 <6 TaskStarted /1.0
              8 <7 TaskFailed /1.0 {"error":"E","cause":"once"}
              9 <8 MapIterationFailed {"index":0,"name":"Each"}
              10 <8 TaskStateAborted
              ! timer at 1s for /
              = / awaits retry of Each at 1s
              = /1.0 gone
            > Fire
              11 <8 MapStateStarted {"length":1}
              12 <11 MapIterationStarted {"index":0,"name":"Each"}
              13 <12 TaskStateEntered /3.0 {"input":0,"name":"Do"}
              14 <13 TaskScheduled /3.0 {"parameters":0}
              ! dispatch Do 0
              = /3.0 awaits task Do
              = / awaits 1 branches in Each
            > Fail Do E
              15 <14 TaskStarted /3.0
              16 <15 TaskFailed /3.0 {"error":"E","cause":"twice"}
              17 <16 MapIterationFailed {"index":0,"name":"Each"}
              18 <16 TaskStateAborted
              19 <16 MapStateFailed
              20 <19 ExecutionFailed {"error":"E","cause":"twice"}
              = / FAILED E: twice
              = /3.0 FAILED E: twice
        "#]],
    );
}

#[test]
fn a_parallel_in_each_item_of_a_map() {
    let inner = json!({
        "Type": "Parallel", "End": true, "Branches": [one_task("A"), {
            "StartAt": "B", "States": { "B": {
                "Type": "Pass", "Parameters": { "i.$": "$$.Map.Item.Index" }, "End": true
            } }
        }]
    });
    let definition = map(json!({
        "ItemProcessor": { "StartAt": "Two", "States": { "Two": inner } }
    }));
    let script = [Ok("A#1", json!("a1")), Ok("A#0", json!("a0"))];
    check(
        &definition,
        &json!({ "items": [7, 8] }),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"items":[7,8]}}
              2 <0 MapStateEntered {"input":{"items":[7,8]},"name":"Each"}
              3 <2 MapStateStarted {"length":2}
              4 <3 MapIterationStarted {"index":0,"name":"Each"}
              5 <3 MapIterationStarted {"index":1,"name":"Each"}
              6 <4 ParallelStateEntered /1.0 {"input":7,"name":"Two"}
              7 <6 ParallelStateStarted /1.0
              8 <5 ParallelStateEntered /1.1 {"input":8,"name":"Two"}
              9 <8 ParallelStateStarted /1.1
              10 <7 TaskStateEntered /1.0/1.0 {"input":7,"name":"A"}
              11 <10 TaskScheduled /1.0/1.0 {"parameters":7}
              12 <7 PassStateEntered /1.0/1.1 {"input":7,"name":"B"}
              13 <12 PassStateExited /1.0/1.1 {"name":"B","output":{"i":0}}
              14 <9 TaskStateEntered /1.1/1.0 {"input":8,"name":"A"}
              15 <14 TaskScheduled /1.1/1.0 {"parameters":8}
              16 <9 PassStateEntered /1.1/1.1 {"input":8,"name":"B"}
              17 <16 PassStateExited /1.1/1.1 {"name":"B","output":{"i":1}}
              ! dispatch A 7
              ! dispatch A 8
              = / awaits 2 branches in Each
              = /1.0 awaits 2 branches in Two
              = /1.0/1.0 awaits task A
              = /1.0/1.1 SUCCEEDED {"i":0}
              = /1.1 awaits 2 branches in Two
              = /1.1/1.0 awaits task A
              = /1.1/1.1 SUCCEEDED {"i":1}
            > Ok A#1 "a1"
              18 <15 TaskStarted /1.1/1.0
              19 <18 TaskSucceeded /1.1/1.0 {"output":"a1"}
              20 <19 TaskStateExited /1.1/1.0 {"name":"A","output":"a1"}
              21 <20 ParallelStateSucceeded /1.1
              22 <20 ParallelStateExited /1.1 {"name":"Two","output":["a1",{"i":1}]}
              23 <22 MapIterationSucceeded /1.1 {"index":1,"name":"Each"}
              = /1.1 SUCCEEDED ["a1",{"i":1}]
              = /1.1/1.0 gone
              = /1.1/1.1 gone
            > Ok A#0 "a0"
              24 <11 TaskStarted /1.0/1.0
              25 <24 TaskSucceeded /1.0/1.0 {"output":"a0"}
              26 <25 TaskStateExited /1.0/1.0 {"name":"A","output":"a0"}
              27 <26 ParallelStateSucceeded /1.0
              28 <26 ParallelStateExited /1.0 {"name":"Two","output":["a0",{"i":0}]}
              29 <28 MapIterationSucceeded /1.0 {"index":0,"name":"Each"}
              30 <29 MapStateSucceeded
              31 <29 MapStateExited {"name":"Each","output":[["a0",{"i":0}],["a1",{"i":1}]]}
              32 <31 ExecutionSucceeded {"output":[["a0",{"i":0}],["a1",{"i":1}]]}
              = / SUCCEEDED [["a0",{"i":0}],["a1",{"i":1}]]
              = /1.0/1.0 gone
              = /1.0/1.1 gone
              = /1.0 gone
              = /1.1 gone
        "#]],
    );
    let failed = [Ok("A#1", json!("a1")), Fail("A#0", "E", "deep down")];
    check(
        &definition,
        &json!({ "items": [7, 8] }),
        &failed,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"items":[7,8]}}
              2 <0 MapStateEntered {"input":{"items":[7,8]},"name":"Each"}
              3 <2 MapStateStarted {"length":2}
              4 <3 MapIterationStarted {"index":0,"name":"Each"}
              5 <3 MapIterationStarted {"index":1,"name":"Each"}
              6 <4 ParallelStateEntered /1.0 {"input":7,"name":"Two"}
              7 <6 ParallelStateStarted /1.0
              8 <5 ParallelStateEntered /1.1 {"input":8,"name":"Two"}
              9 <8 ParallelStateStarted /1.1
              10 <7 TaskStateEntered /1.0/1.0 {"input":7,"name":"A"}
              11 <10 TaskScheduled /1.0/1.0 {"parameters":7}
              12 <7 PassStateEntered /1.0/1.1 {"input":7,"name":"B"}
              13 <12 PassStateExited /1.0/1.1 {"name":"B","output":{"i":0}}
              14 <9 TaskStateEntered /1.1/1.0 {"input":8,"name":"A"}
              15 <14 TaskScheduled /1.1/1.0 {"parameters":8}
              16 <9 PassStateEntered /1.1/1.1 {"input":8,"name":"B"}
              17 <16 PassStateExited /1.1/1.1 {"name":"B","output":{"i":1}}
              ! dispatch A 7
              ! dispatch A 8
              = / awaits 2 branches in Each
              = /1.0 awaits 2 branches in Two
              = /1.0/1.0 awaits task A
              = /1.0/1.1 SUCCEEDED {"i":0}
              = /1.1 awaits 2 branches in Two
              = /1.1/1.0 awaits task A
              = /1.1/1.1 SUCCEEDED {"i":1}
            > Ok A#1 "a1"
              18 <15 TaskStarted /1.1/1.0
              19 <18 TaskSucceeded /1.1/1.0 {"output":"a1"}
              20 <19 TaskStateExited /1.1/1.0 {"name":"A","output":"a1"}
              21 <20 ParallelStateSucceeded /1.1
              22 <20 ParallelStateExited /1.1 {"name":"Two","output":["a1",{"i":1}]}
              23 <22 MapIterationSucceeded /1.1 {"index":1,"name":"Each"}
              = /1.1 SUCCEEDED ["a1",{"i":1}]
              = /1.1/1.0 gone
              = /1.1/1.1 gone
            > Fail A#0 E
              24 <11 TaskStarted /1.0/1.0
              25 <24 TaskFailed /1.0/1.0 {"error":"E","cause":"deep down"}
              26 <25 TaskStateAborted /1.0
              27 <25 ParallelStateFailed /1.0
              28 <27 MapIterationFailed {"index":0,"name":"Each"}
              29 <27 MapStateFailed
              30 <29 ExecutionFailed {"error":"E","cause":"deep down"}
              = / FAILED E: deep down
              = /1.0 FAILED E: deep down
              = /1.0/1.0 FAILED E: deep down
        "#]],
    );
}

#[test]
fn branches_read_the_variables_of_before_and_keep_theirs() {
    let definition = machine(json!({
        "Set": { "Type": "Pass", "Assign": { "outer": 1 }, "Next": "Both" },
        "Both": { "Type": "Parallel", "End": true, "Branches": [{
            "StartAt": "In", "States": { "In": {
                "Type": "Pass", "Parameters": { "o.$": "$outer" }, "Assign": { "inner": 2 },
                "End": true
            } }
        }] }
    }));
    check(
        &definition,
        &json!({}),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 PassStateEntered {"input":{},"name":"Set"}
              3 <2 PassStateExited {"name":"Set","output":{},"assignedVariables":{"outer":"1"},"assignedVariablesDetails":{"truncated":false}}
              4 <3 ParallelStateEntered {"input":{},"name":"Both"}
              5 <4 ParallelStateStarted
              6 <5 PassStateEntered /1.0 {"input":{},"name":"In"}
              7 <6 PassStateExited /1.0 {"name":"In","output":{"o":1},"assignedVariables":{"inner":"2"},"assignedVariablesDetails":{"truncated":false}}
              8 <7 ParallelStateSucceeded
              9 <7 ParallelStateExited {"name":"Both","output":[{"o":1}]}
              10 <9 ExecutionSucceeded {"output":[{"o":1}]}
              = / SUCCEEDED [{"o":1}] with {"outer":1}
        "#]],
    );
}
