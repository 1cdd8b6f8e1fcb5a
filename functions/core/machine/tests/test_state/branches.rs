//! Parallel and Map, whose mocks answer for all that runs within them.

use expect_test::expect;
use serde_json::{Value, json};

use crate::{ALL, check, debug};

fn inner() -> Value {
    json!({ "StartAt": "Inner", "States": { "Inner": { "Type": "Pass", "End": true } } })
}

#[test]
fn a_parallel_in_jsonpath() {
    let second =
        json!({ "StartAt": "Second", "States": { "Second": { "Type": "Pass", "End": true } } });
    let state = json!({
        "Type": "Parallel", "Branches": [inner(), second], "InputPath": "$.a",
        "ResultSelector": { "first.$": "$[0]" }, "ResultPath": "$.both", "Next": "After"
    });
    let request = json!({
        "definition": state, "input": { "a": 1 }, "mock": { "result": ["x", "y"] }
    });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output {"a":1,"both":{"first":"x"}}
          nextState After
        DEBUG
          status SUCCEEDED
          output {"a":1,"both":{"first":"x"}}
          nextState After
            input {"a":1}
            afterResultSelector {"first":"x"}
            afterResultPath {"a":1,"both":{"first":"x"}}
        TRACE: the same
    "#]],
    );
}

#[test]
fn a_parallel_in_jsonata() {
    let state = json!({
        "Type": "Parallel", "QueryLanguage": "JSONata", "Branches": [inner()],
        "Arguments": "{% $states.input.a %}", "Output": "{% $states.result[0] %}", "End": true
    });
    let request = json!({
        "definition": state, "input": { "a": 1 }, "mock": { "result": [{ "b": 2 }] }
    });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output {"b":2}
        DEBUG
          status SUCCEEDED
          output {"b":2}
            input {"a":1}
        TRACE: the same
    "#]],
    );
}

#[test]
fn a_branch_that_fails_is_caught() {
    let state = json!({
        "Type": "Parallel", "Branches": [inner()], "End": true,
        "Catch": [{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "Rescue" }]
    });
    let request = json!({
        "definition": state, "mock": { "errorOutput": { "error": "Odd" } },
        "stateConfiguration": { "errorCausedByState": "Inner" }
    });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status CAUGHT_ERROR
          output {"e":{"Error":"Odd","Cause":null}}
          error Odd
          nextState Rescue
        DEBUG
          status CAUGHT_ERROR
          output {"e":{"Error":"Odd","Cause":null}}
          error Odd
          nextState Rescue
            input {}
            errorDetails {"catchIndex":0}
        TRACE: the same
    "#]],
    );
}

#[test]
fn a_map_in_jsonpath() {
    let state = json!({
        "Type": "Map", "InputPath": "$.a", "ItemsPath": "$.list", "MaxConcurrencyPath": "$.most",
        "ItemSelector": { "v.$": "$$.Map.Item.Value", "i.$": "$$.Map.Item.Index" },
        "ItemProcessor": inner(), "ResultPath": "$.made", "End": true
    });
    let request = json!({
        "definition": state, "input": { "a": { "list": ["x", "y"], "most": 2 } },
        "mock": { "result": [1, 2] }
    });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output {"a":{"list":["x","y"],"most":2},"made":[1,2]}
        DEBUG
          status SUCCEEDED
          output {"a":{"list":["x","y"],"most":2},"made":[1,2]}
            input {"a":{"list":["x","y"],"most":2}}
            afterInputPath {"list":["x","y"],"most":2}
            afterItemsPath ["x","y"]
            afterItemSelector [{"v":"x","i":0},{"v":"y","i":1}]
            maxConcurrency 2
            afterResultSelector [1,2]
            afterResultPath {"a":{"list":["x","y"],"most":2},"made":[1,2]}
        TRACE: the same
    "#]],
    );
}

#[test]
fn a_map_in_jsonata() {
    let state = json!({
        "Type": "Map", "QueryLanguage": "JSONata", "Items": "{% $states.input.list %}",
        "ItemSelector": "{% $states.context.Map.Item.Value & '!' %}", "ItemProcessor": inner(),
        "MaxConcurrency": "{% 1 + 1 %}", "Output": "{% $sum($states.result) %}", "End": true
    });
    let request = json!({
        "definition": state, "input": { "list": ["x", "y"] }, "mock": { "result": [1, 2] }
    });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output 3
        DEBUG
          status SUCCEEDED
          output 3
            input {"list":["x","y"]}
            afterItemSelector ["x!","y!"]
            maxConcurrency 2
        TRACE: the same
    "#]],
    );
}

#[test]
fn an_iteration_that_fails_fails_the_map() {
    let state = json!({ "Type": "Map", "ItemProcessor": inner(), "End": true });
    let request = json!({
        "definition": state, "input": [1],
        "mock": { "errorOutput": { "error": "Odd", "cause": "Because." } },
        "stateConfiguration": { "errorCausedByState": "Inner", "mapIterationFailureCount": 1 }
    });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status FAILED
          error Odd
          cause Because.
        DEBUG
          status FAILED
          error Odd
          cause Because.
            input [1]
            afterInputPath [1]
            afterItemsPath [1]
            maxConcurrency 0
        TRACE: the same
    "#]],
    );
}

fn distributed() -> Value {
    let config = json!({ "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" });
    let mut processor = inner();
    processor["ProcessorConfig"] = config;
    json!({ "Type": "Map", "ItemProcessor": processor, "End": true })
}

/// `state` with the members of `more`.
fn with(mut state: Value, more: &Value) -> Value {
    let members = more.as_object().expect("members").clone();
    state.as_object_mut().expect("a state").extend(members);
    state
}

#[test]
fn a_distributed_map_shows_its_items_batches_and_bounds() {
    let more = json!({
        "ItemsPath": "$.list", "ItemSelector": { "v.$": "$$.Map.Item.Value" },
        "ItemBatcher": { "MaxItemsPerBatch": 2, "BatchInput": { "of.$": "$.name" } },
        "ToleratedFailureCountPath": "$.may", "ToleratedFailurePercentage": 50
    });
    let request = json!({
        "definition": with(distributed(), &more),
        "input": { "list": [1, 2, 3], "name": "n", "may": 1 }, "mock": { "result": ["a", "b"] }
    });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output ["a","b"]
        DEBUG
          status SUCCEEDED
          output ["a","b"]
            input {"list":[1,2,3],"name":"n","may":1}
            afterInputPath {"list":[1,2,3],"name":"n","may":1}
            afterItemsPath [1,2,3]
            afterItemSelector [{"v":1},{"v":2},{"v":3}]
            afterItemBatcher [{"Items":[{"v":1},{"v":2}],"BatchInput":{"of":"n"}},{"Items":[{"v":3}],"BatchInput":{"of":"n"}}]
            maxConcurrency 0
            toleratedFailureCount 1
            toleratedFailurePercentage 50.0
            afterResultSelector ["a","b"]
            afterResultPath ["a","b"]
        TRACE: the same
    "#]],
    );
}

#[test]
fn a_distributed_map_reads_what_its_reader_is_given() {
    let reader = |config: &Value| {
        json!({ "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": config,
            "Parameters": { "Bucket": "b", "Key": "k" }
        }, "ItemSelector": { "a.$": "$$.Map.Item.Value.a" } })
    };
    let request = |config: &Value, data: &str| {
        json!({
            "definition": with(distributed(), &reader(config)), "mock": { "result": [1] },
            "stateConfiguration": { "mapItemReaderData": data }
        })
    };
    let csv = json!({ "InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW" });
    debug(
        &request(&csv, "a,b\n1,2\n"),
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output [1]
            input {}
            afterInputPath {}
            afterItemSelector [{"a":"1"}]
            maxConcurrency 0
            afterResultSelector [1]
            afterResultPath [1]
    "#]],
    );
    let pointer = json!({ "InputType": "JSON", "ItemsPointer": "/in" });
    debug(
        &request(&pointer, r#"{"in": [{"a": 1}]}"#),
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output [1]
            input {}
            afterInputPath {}
            afterItemsPointer [{"a":1}]
            afterItemSelector [{"a":1}]
            maxConcurrency 0
            afterResultSelector [1]
            afterResultPath [1]
    "#]],
    );
    let json = json!({ "InputType": "JSON" });
    debug(
        &request(&json, "{"),
        &expect![[r#"
        DEBUG
          status FAILED
          error States.ItemReaderFailed
          cause Attempting to map over non-iterable node.
            input {}
            afterInputPath {}
            maxConcurrency 0
    "#]],
    );
    let mut missing = request(&json, "[]");
    missing["stateConfiguration"] = json!({});
    debug(
        &missing,
        &expect![[r#"
        DEBUG
          refused ValidationException: ItemReader data must be specified when testing a Map state with ItemReader specified.
    "#]],
    );
}

#[test]
fn iterations_that_fail_beyond_what_is_tolerated_fail_the_map() {
    let more = json!({
        "ToleratedFailureCount": 1,
        "Retry": [{
            "ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "MaxAttempts": 1
        }],
        "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Rescue" }]
    });
    let request = |failed: u64, retries: u64| {
        json!({
            "definition": with(distributed(), &more), "input": [1, 2, 3],
            "mock": { "result": [1] },
            "stateConfiguration": {
                "mapIterationFailureCount": failed, "retrierRetryCount": retries
            }
        })
    };
    debug(
        &request(1, 0),
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output [1]
            input [1,2,3]
            afterInputPath [1,2,3]
            afterItemsPath [1,2,3]
            maxConcurrency 0
            toleratedFailureCount 1
            afterResultSelector [1]
            afterResultPath [1]
    "#]],
    );
    debug(
        &request(2, 0),
        &expect![[r#"
        DEBUG
          status RETRIABLE
          error States.ExceedToleratedFailureThreshold
          cause The specified tolerated failure threshold was exceeded
            input [1,2,3]
            afterInputPath [1,2,3]
            afterItemsPath [1,2,3]
            maxConcurrency 0
            toleratedFailureCount 1
            errorDetails {"retryIndex":0,"retryBackoffIntervalSeconds":1}
    "#]],
    );
    debug(
        &request(2, 1),
        &expect![[r#"
        DEBUG
          status CAUGHT_ERROR
          output {"Error":"States.ExceedToleratedFailureThreshold","Cause":"The specified tolerated failure threshold was exceeded"}
          error States.ExceedToleratedFailureThreshold
          cause The specified tolerated failure threshold was exceeded
          nextState Rescue
            input [1,2,3]
            afterInputPath [1,2,3]
            afterItemsPath [1,2,3]
            maxConcurrency 0
            toleratedFailureCount 1
            errorDetails {"catchIndex":0,"retryIndex":0}
    "#]],
    );
}

#[test]
fn the_result_of_a_map_that_writes_says_where() {
    let more = json!({ "ResultWriter": {
        "Resource": "arn:aws:states:::s3:putObject", "Parameters": { "Bucket": "b" }
    } });
    let request = json!({
        "definition": with(distributed(), &more), "input": [1],
        "mock": { "result": { "ResultWriterDetails": { "Bucket": "b", "Key": "k" } } }
    });
    debug(
        &request,
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output {"ResultWriterDetails":{"Bucket":"b","Key":"k"}}
            input [1]
            afterInputPath [1]
            afterItemsPath [1]
            maxConcurrency 0
            afterResultSelector {"ResultWriterDetails":{"Bucket":"b","Key":"k"}}
            afterResultPath {"ResultWriterDetails":{"Bucket":"b","Key":"k"}}
    "#]],
    );
}
