//! Parallel and Map, whose mocks answer for all that runs within them.

use expect_test::expect;
use serde_json::{Value, json};

use crate::{ALL, check};

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
