//! States that call nothing: Pass, Choice, Wait, Succeed and Fail.

use expect_test::expect;
use serde_json::json;

use crate::{ALL, check, debug};

#[test]
fn pass_in_jsonpath() {
    let state = json!({
        "Type": "Pass", "InputPath": "$.in", "Parameters": { "n.$": "$.n" },
        "ResultPath": "$.made", "OutputPath": "$.made", "Assign": { "seen.$": "$.n" },
        "Next": "After"
    });
    let request = json!({ "definition": state, "input": { "in": { "n": 1 } } });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output {"n":1}
          nextState After
        DEBUG
          status SUCCEEDED
          output {"n":1}
          nextState After
            input {"in":{"n":1}}
            afterInputPath {"n":1}
            afterParameters {"n":1}
            afterResultSelector {"n":1}
            afterResultPath {"in":{"n":1},"made":{"n":1}}
            variables {"seen":1}
        TRACE: the same
    "#]],
    );
}

#[test]
fn pass_with_a_result_shows_no_way_into_it() {
    let state = json!({
        "Type": "Pass", "InputPath": "$.in", "Result": [1], "ResultPath": "$.one", "End": true
    });
    debug(
        &json!({ "definition": state, "input": { "in": 1 } }),
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output {"in":1,"one":[1]}
            input {"in":1}
            result [1]
            afterResultSelector [1]
            afterResultPath {"in":1,"one":[1]}
    "#]],
    );
}

#[test]
fn pass_in_jsonata() {
    let state = json!({
        "Type": "Pass", "QueryLanguage": "JSONata", "Assign": { "b": "{% $a + 1 %}" },
        "Output": { "sum": "{% $a + $states.input.n %}", "state": "{% $states.context.State %}" },
        "End": true
    });
    let request = json!({ "definition": state, "input": { "n": 1 }, "variables": { "a": 2 } });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output {"sum":3,"state":{"Name":"StateName","EnteredTime":"2024-01-01T00:00:00.000Z"}}
        DEBUG
          status SUCCEEDED
          output {"sum":3,"state":{"Name":"StateName","EnteredTime":"2024-01-01T00:00:00.000Z"}}
            input {"n":1}
            variables {"a":2,"b":3}
        TRACE: the same
    "#]],
    );
}

#[test]
fn documents_may_stand_as_json_text() {
    let request = json!({
        "definition": r#"{"Type": "Pass", "Parameters": {"v.$": "$v"}, "End": true}"#,
        "input": "[]", "variables": r#"{"v": "x"}"#
    });
    debug(
        &request,
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output {"v":"x"}
            input []
            afterInputPath []
            afterParameters {"v":"x"}
            afterResultSelector {"v":"x"}
            afterResultPath {"v":"x"}
            variables {"v":"x"}
    "#]],
    );
}

#[test]
fn choice_goes_where_its_rule_says() {
    let path = json!({
        "Type": "Choice", "InputPath": "$.a", "Default": "Else",
        "Choices": [{ "Variable": "$.n", "NumericGreaterThan": 1, "Next": "Many" }]
    });
    check(
        &json!({ "definition": path, "input": { "a": { "n": 2 } } }),
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output {"n":2}
          nextState Many
        DEBUG
          status SUCCEEDED
          output {"n":2}
          nextState Many
            input {"a":{"n":2}}
            afterInputPath {"n":2}
        TRACE: the same
    "#]],
    );
    let jsonata = json!({
        "Type": "Choice", "QueryLanguage": "JSONata", "Default": "Else",
        "Choices": [{
            "Condition": "{% $states.input.n > 1 %}", "Next": "Many", "Output": "{% 'many' %}"
        }]
    });
    check(
        &json!({ "definition": jsonata, "input": { "n": 2 } }),
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output "many"
          nextState Many
        DEBUG
          status SUCCEEDED
          output "many"
          nextState Many
            input {"n":2}
        TRACE: the same
    "#]],
    );
    debug(
        &json!({ "definition": jsonata, "input": { "n": 1 } }),
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output {"n":1}
          nextState Else
            input {"n":1}
    "#]],
    );
    let none = json!({
        "Type": "Choice", "Choices": [{ "Variable": "$.n", "IsNull": true, "Next": "Null" }]
    });
    debug(
        &json!({ "definition": none, "input": { "n": 2 } }),
        &expect![[r#"
        DEBUG
          status FAILED
          error States.NoChoiceMatched
          cause An error occurred while executing the state 'StateName' (entered at the event id #2). Failed to transition out of the state. The state does not point to a next state.
            input {"n":2}
            afterInputPath {"n":2}
    "#]],
    );
}

#[test]
fn wait_is_over_at_once() {
    let path = json!({ "Type": "Wait", "SecondsPath": "$.s", "InputPath": "$.a", "Next": "On" });
    check(
        &json!({ "definition": path, "input": { "a": { "s": 9 } } }),
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output {"s":9}
          nextState On
        DEBUG
          status SUCCEEDED
          output {"s":9}
          nextState On
            input {"a":{"s":9}}
            afterInputPath {"s":9}
        TRACE: the same
    "#]],
    );
    let jsonata = json!({
        "Type": "Wait", "QueryLanguage": "JSONata", "Seconds": "{% $states.input.s %}",
        "Output": "{% 'rested' %}", "End": true
    });
    check(
        &json!({ "definition": jsonata, "input": { "s": 9 } }),
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output "rested"
        DEBUG
          status SUCCEEDED
          output "rested"
            input {"s":9}
        TRACE: the same
    "#]],
    );
    debug(
        &json!({ "definition": jsonata, "input": { "s": "9" } }),
        &expect![[r#"
        DEBUG
          status FAILED
          error States.QueryEvaluationError
          cause An error occurred while executing the state 'StateName' (entered at the event id #2). The JSONata expression '$states.input.s' specified for the field 'Seconds' returned an unexpected result type. Expected 'number', but was 'string' for value: "9"
            input {"s":"9"}
    "#]],
    );
}

#[test]
fn succeed_ends() {
    let path = json!({ "Type": "Succeed", "InputPath": "$.a", "OutputPath": "$.b" });
    check(
        &json!({ "definition": path, "input": { "a": { "b": 1 } } }),
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output 1
        DEBUG
          status SUCCEEDED
          output 1
            input {"a":{"b":1}}
            afterInputPath {"b":1}
        TRACE: the same
    "#]],
    );
    let jsonata = json!({ "Type": "Succeed", "QueryLanguage": "JSONata", "Output": "{% 1 %}" });
    check(
        &json!({ "definition": jsonata }),
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output 1
        DEBUG
          status SUCCEEDED
          output 1
            input {}
        TRACE: the same
    "#]],
    );
}

#[test]
fn fail_fails() {
    let path = json!({ "Type": "Fail", "ErrorPath": "$.e", "Cause": "Because." });
    check(
        &json!({ "definition": path, "input": { "e": "Odd" } }),
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
            input {"e":"Odd"}
            afterInputPath {"e":"Odd"}
        TRACE: the same
    "#]],
    );
    let jsonata = json!({
        "Type": "Fail", "QueryLanguage": "JSONata", "Error": "{% $states.input.e %}"
    });
    check(
        &json!({ "definition": jsonata, "input": { "e": "Odd" } }),
        ALL,
        &expect![[r#"
        INFO
          status FAILED
          error Odd
        DEBUG
          status FAILED
          error Odd
            input {"e":"Odd"}
        TRACE: the same
    "#]],
    );
    debug(
        &json!({ "definition": jsonata }),
        &expect![[r#"
        DEBUG
          status FAILED
          error States.QueryEvaluationError
          cause An error occurred while executing the state 'StateName' (entered at the event id #2). The JSONata expression '$states.input.e' specified for the field 'Error' returned nothing (undefined).
            input {}
    "#]],
    );
}

#[test]
fn a_failure_shows_how_far_the_data_came() {
    let state = json!({
        "Type": "Pass", "InputPath": "$.a", "Parameters": { "x.$": "$.none" }, "End": true
    });
    debug(
        &json!({ "definition": state, "input": { "a": {} } }),
        &expect![[r#"
        DEBUG
          status FAILED
          error States.Runtime
          cause An error occurred while executing the state 'StateName' (entered at the event id #2). The JSONPath '$.none' specified for the field 'x.$' could not be found in the input '{}'
            input {"a":{}}
            afterInputPath {}
    "#]],
    );
}

#[test]
fn a_state_of_a_machine_is_named() {
    let machine = json!({
        "QueryLanguage": "JSONata", "StartAt": "First", "States": {
            "First": { "Type": "Pass", "Next": "Each" },
            "Each": { "Type": "Map", "End": true, "ItemProcessor": {
                "StartAt": "Inner", "States": {
                    "Inner": { "Type": "Pass", "Output": "{% $states.input + 1 %}", "End": true }
                }
            } }
        }
    });
    let request = json!({ "definition": machine, "stateName": "First" });
    debug(
        &request,
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output {}
          nextState Each
            input {}
    "#]],
    );
    let request = json!({ "definition": machine, "stateName": "Inner", "input": 1 });
    debug(
        &request,
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output 2
            input 1
    "#]],
    );
}
