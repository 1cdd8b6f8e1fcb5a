//! Pass, Choice, Succeed, Fail, and how data flows through them.

use expect_test::expect;
use serde_json::json;

use crate::support::{check, machine};

#[test]
fn pass_hands_on_its_result_by_path() {
    let definition = machine(json!({
        "Result": { "Type": "Pass", "Result": 1, "ResultPath": "$.one", "Next": "Parameters" },
        "Parameters": {
            "Type": "Pass", "Parameters": { "sum.$": "States.MathAdd($.one, 2)", "was.$": "$.a" },
            "ResultPath": "$.made", "Next": "Null"
        },
        "Null": { "Type": "Pass", "Result": "lost", "ResultPath": null, "Next": "Out" },
        "Out": { "Type": "Pass", "InputPath": "$.made", "OutputPath": "$.sum", "End": true }
    }));
    check(
        &definition,
        &json!({ "a": "x" }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"a":"x"}}
              2 <0 PassStateEntered {"input":{"a":"x"},"name":"Result"}
              3 <2 PassStateExited {"name":"Result","output":{"a":"x","one":1}}
              4 <3 PassStateEntered {"input":{"a":"x","one":1},"name":"Parameters"}
              5 <4 PassStateExited {"name":"Parameters","output":{"a":"x","one":1,"made":{"sum":3,"was":"x"}}}
              6 <5 PassStateEntered {"input":{"a":"x","one":1,"made":{"sum":3,"was":"x"}},"name":"Null"}
              7 <6 PassStateExited {"name":"Null","output":{"a":"x","one":1,"made":{"sum":3,"was":"x"}}}
              8 <7 PassStateEntered {"input":{"a":"x","one":1,"made":{"sum":3,"was":"x"}},"name":"Out"}
              9 <8 PassStateExited {"name":"Out","output":3}
              10 <9 ExecutionSucceeded {"output":3}
              = / SUCCEEDED 3
        "#]],
    );
}

#[test]
fn assigned_variables_are_read_and_recorded() {
    let definition = machine(json!({
        "Set": { "Type": "Pass", "Assign": { "n.$": "$.n", "list": [1] }, "Next": "Branch" },
        "Branch": {
            "Type": "Choice",
            "Choices": [{
                "Variable": "$n", "NumericGreaterThan": 1, "Next": "Rest",
                "Assign": { "n.$": "States.MathAdd($n, 1)" }
            }],
            "Default": "Done", "Assign": { "n": "by default" }
        },
        "Rest": { "Type": "Wait", "Seconds": 0, "Assign": { "rested.$": "$.n" }, "Next": "Done" },
        "Done": { "Type": "Pass", "Parameters": { "n.$": "$n", "list.$": "$list" }, "End": true }
    }));
    check(
        &definition,
        &json!({ "n": 2 }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"n":2}}
              2 <0 PassStateEntered {"input":{"n":2},"name":"Set"}
              3 <2 PassStateExited {"name":"Set","output":{"n":2},"assignedVariables":{"n":"2","list":"[1]"},"assignedVariablesDetails":{"truncated":false}}
              4 <3 ChoiceStateEntered {"input":{"n":2},"name":"Branch"}
              5 <4 ChoiceStateExited {"name":"Branch","output":{"n":2},"assignedVariables":{"n":"3"},"assignedVariablesDetails":{"truncated":false}}
              6 <5 WaitStateEntered {"input":{"n":2},"name":"Rest"}
              7 <6 WaitStateExited {"name":"Rest","output":{"n":2},"assignedVariables":{"rested":"2"},"assignedVariablesDetails":{"truncated":false}}
              8 <7 PassStateEntered {"input":{"n":2},"name":"Done"}
              9 <8 PassStateExited {"name":"Done","output":{"n":3,"list":[1]}}
              10 <9 ExecutionSucceeded {"output":{"n":3,"list":[1]}}
              = / SUCCEEDED {"n":3,"list":[1]} with {"list":[1],"n":3,"rested":2}
        "#]],
    );
    check(
        &definition,
        &json!({ "n": 1 }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"n":1}}
              2 <0 PassStateEntered {"input":{"n":1},"name":"Set"}
              3 <2 PassStateExited {"name":"Set","output":{"n":1},"assignedVariables":{"n":"1","list":"[1]"},"assignedVariablesDetails":{"truncated":false}}
              4 <3 ChoiceStateEntered {"input":{"n":1},"name":"Branch"}
              5 <4 ChoiceStateExited {"name":"Branch","output":{"n":1},"assignedVariables":{"n":"\"by default\""},"assignedVariablesDetails":{"truncated":false}}
              6 <5 PassStateEntered {"input":{"n":1},"name":"Done"}
              7 <6 PassStateExited {"name":"Done","output":{"n":"by default","list":[1]}}
              8 <7 ExecutionSucceeded {"output":{"n":"by default","list":[1]}}
              = / SUCCEEDED {"n":"by default","list":[1]} with {"list":[1],"n":"by default"}
        "#]],
    );
}

#[test]
fn choice_takes_the_first_rule_that_matches() {
    let definition = machine(json!({
        "Pick": { "Type": "Choice", "Choices": [
            { "Variable": "$.n", "NumericEquals": 1, "Next": "One" },
            { "And": [{ "Variable": "$.n", "IsPresent": true },
                      { "Not": { "Variable": "$.n", "IsNumeric": true } }], "Next": "Word" }
        ] },
        "One": { "Type": "Succeed" },
        "Word": { "Type": "Succeed", "OutputPath": "$.n" }
    }));
    check(
        &definition,
        &json!({ "n": 1 }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"n":1}}
              2 <0 ChoiceStateEntered {"input":{"n":1},"name":"Pick"}
              3 <2 ChoiceStateExited {"name":"Pick","output":{"n":1}}
              4 <3 SucceedStateEntered {"input":{"n":1},"name":"One"}
              5 <4 SucceedStateExited {"name":"One","output":{"n":1}}
              6 <5 ExecutionSucceeded {"output":{"n":1}}
              = / SUCCEEDED {"n":1}
        "#]],
    );
    check(
        &definition,
        &json!({ "n": "one" }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"n":"one"}}
              2 <0 ChoiceStateEntered {"input":{"n":"one"},"name":"Pick"}
              3 <2 ChoiceStateExited {"name":"Pick","output":{"n":"one"}}
              4 <3 SucceedStateEntered {"input":{"n":"one"},"name":"Word"}
              5 <4 SucceedStateExited {"name":"Word","output":"one"}
              6 <5 ExecutionSucceeded {"output":"one"}
              = / SUCCEEDED "one"
        "#]],
    );
    check(
        &definition,
        &json!({ "n": 2 }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"n":2}}
              2 <0 ChoiceStateEntered {"input":{"n":2},"name":"Pick"}
              3 <2 ExecutionFailed {"error":"States.NoChoiceMatched","cause":"An error occurred while executing the state 'Pick' (entered at the event id #2). Failed to transition out of the state. The state does not point to a next state."}
              = / FAILED States.NoChoiceMatched: An error occurred while executing the state 'Pick' (entered at the event id #2). Failed to transition out of the state. The state does not point to a next state.
        "#]],
    );
}

#[test]
fn fail_says_what_it_is_told() {
    let literal = machine(json!({ "No": { "Type": "Fail", "Error": "E", "Cause": "because" } }));
    check(
        &literal,
        &json!({}),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 FailStateEntered {"input":{},"name":"No"}
              3 <2 ExecutionFailed {"error":"E","cause":"because"}
              = / FAILED E: because
        "#]],
    );
    let bare = machine(json!({ "No": { "Type": "Fail" } }));
    check(
        &bare,
        &json!({}),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 FailStateEntered {"input":{},"name":"No"}
              3 <2 ExecutionFailed
              = / FAILED -: -
        "#]],
    );
    let computed = machine(json!({ "No": {
        "Type": "Fail", "ErrorPath": "$.error", "CausePath": "States.Format('{}!', $.cause)"
    } }));
    check(
        &computed,
        &json!({ "error": "E", "cause": "why" }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"error":"E","cause":"why"}}
              2 <0 FailStateEntered {"input":{"error":"E","cause":"why"},"name":"No"}
              3 <2 ExecutionFailed {"error":"E","cause":"why!"}
              = / FAILED E: why!
        "#]],
    );
    check(
        &computed,
        &json!({ "cause": "why" }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"cause":"why"}}
              2 <0 FailStateEntered {"input":{"cause":"why"},"name":"No"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'No' (entered at the event id #2). The JSONPath '$.error' specified for the field 'ErrorPath' could not be found in the input '{\"cause\":\"why\"}'"}
              = / FAILED States.Runtime: An error occurred while executing the state 'No' (entered at the event id #2). The JSONPath '$.error' specified for the field 'ErrorPath' could not be found in the input '{"cause":"why"}'
        "#]],
    );
    check(
        &computed,
        &json!({ "error": "E", "cause": "x".repeat(40_000) }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"error":"E","cause":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (40034 bytes)
              2 <0 FailStateEntered {"input":{"error":"E","cause":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (40046 bytes)
              3 <2 ExecutionFailed {"error":"E","cause":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (32794 bytes)
              = / FAILED E: (32768 characters)xxxx … (cut)
        "#]],
    );
}

#[test]
fn a_path_that_finds_nothing_ends_the_execution_and_nothing_catches_it() {
    let definition = machine(json!({
        "Do": {
            "Type": "Task", "Resource": "fluxling:do", "Parameters": { "x.$": "$.missing" },
            "Retry": [{ "ErrorEquals": ["States.ALL"] }],
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }], "End": true
        },
        "Caught": { "Type": "Pass", "End": true }
    }));
    check(
        &definition,
        &json!({}),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Do"}
              3 <2 ExecutionFailed {"error":"States.Runtime","cause":"An error occurred while executing the state 'Do' (entered at the event id #2). The JSONPath '$.missing' specified for the field 'x.$' could not be found in the input '{}'"}
              = / FAILED States.Runtime: An error occurred while executing the state 'Do' (entered at the event id #2). The JSONPath '$.missing' specified for the field 'x.$' could not be found in the input '{}'
        "#]],
    );
}

#[test]
fn a_loop_without_a_wait_ends() {
    let definition = machine(json!({
        "A": { "Type": "Pass", "Next": "B" },
        "B": { "Type": "Choice", "Choices": [
            { "Variable": "$.stop", "IsPresent": true, "Next": "C" }], "Default": "A" },
        "C": { "Type": "Succeed" }
    }));
    let end = crate::support::last_line(&definition, &json!({}));
    expect!["= / FAILED States.Runtime: 10000 transitions without a task or a wait: a loop that would never end"].assert_eq(&end);
}

#[test]
fn a_loop_through_branches_that_never_wait_ends_too() {
    let definition = machine(json!({
        "A": {
            "Type": "Parallel", "ResultPath": null, "Next": "A",
            "Branches": [machine(json!({ "In": { "Type": "Pass", "End": true } }))],
            "Catch": [
                { "ErrorEquals": ["Never"], "Next": "Stop" },
                { "ErrorEquals": ["States.ALL"], "Next": "A" }
            ]
        },
        "Stop": { "Type": "Succeed" }
    }));
    let end = crate::support::last_line(&definition, &json!({}));
    expect!["= / FAILED States.Runtime: 10000 transitions without a task or a wait: a loop that would never end"].assert_eq(&end);
}

#[test]
fn what_a_state_makes_keeps_the_bound_on_payloads() {
    let definition = machine(json!({
        "Twice": { "Type": "Pass", "Parameters": { "a.$": "$", "b.$": "$" }, "End": true }
    }));
    check(
        &definition,
        &json!("x".repeat(200_000)),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (200012 bytes)
              2 <0 PassStateEntered {"input":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (200027 bytes)
              3 <2 ExecutionFailed {"error":"States.DataLimitExceeded","cause":"The state/task 'Twice' returned a result with a size exceeding the maximum number of bytes service limit."}
              = / FAILED States.DataLimitExceeded: The state/task 'Twice' returned a result with a size exceeding the maximum number of bytes service limit.
        "#]],
    );
}
