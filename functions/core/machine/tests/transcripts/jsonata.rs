//! States in JSONata: what goes in, what comes out, what is assigned, and how evaluations fail.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::*;

/// A machine whose states are in JSONata.
fn jsonata(states: Value) -> Value {
    let mut machine = machine(states);
    machine["QueryLanguage"] = json!("JSONata");
    machine
}

#[test]
fn a_state_computes_its_output_and_its_variables_side_by_side() {
    let definition = jsonata(json!({
        "Set": {
            "Type": "Pass",
            "Assign": { "total": "{% $sum($states.input.prices) %}", "note": "as written" },
            "Output": { "first": "{% $states.input.prices[0] %}", "kept.$": "$.prices" },
            "Next": "Use"
        },
        "Use": {
            "Type": "Pass",
            "Assign": { "total": "{% $total + 1 %}" },
            "Output": "{% {'total': $total, 'state': $states.context.State.Name} %}",
            "Next": "Done"
        },
        "Done": { "Type": "Succeed", "Output": "{% $total %}" }
    }));
    check(
        &definition,
        &json!({ "prices": [2, 3.5] }),
        &[],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"prices":[2,3.5]}}
          2 <0 PassStateEntered {"input":{"prices":[2,3.5]},"name":"Set"}
          3 <2 PassStateExited {"name":"Set","output":{"first":2,"kept.$":"$.prices"},"assignedVariables":{"total":"5.5","note":"\"as written\""},"assignedVariablesDetails":{"truncated":false}}
          4 <3 PassStateEntered {"input":{"first":2,"kept.$":"$.prices"},"name":"Use"}
          5 <4 PassStateExited {"name":"Use","output":{"total":5.5,"state":"Use"},"assignedVariables":{"total":"6.5"},"assignedVariablesDetails":{"truncated":false}}
          6 <5 SucceedStateEntered {"input":{"total":5.5,"state":"Use"},"name":"Done"}
          7 <6 SucceedStateExited {"name":"Done","output":6.5}
          8 <7 ExecutionSucceeded {"output":6.5}
          = / SUCCEEDED 6.5 with {"note":"as written","total":6.5}
    "#]],
    );
}

#[test]
fn a_choice_has_conditions_and_outputs_of_its_own() {
    let definition = jsonata(json!({
        "Branch": {
            "Type": "Choice",
            "Choices": [
                { "Condition": false, "Next": "Never" },
                {
                    "Condition": "{% $states.input.n > 1 %}", "Next": "Done",
                    "Assign": { "was": "{% $states.input.n %}" },
                    "Output": "{% 'large' %}"
                }
            ],
            "Default": "Done", "Output": "small"
        },
        "Never": { "Type": "Fail", "Error": "{% 'No' & 'pe' %}" },
        "Done": { "Type": "Succeed" }
    }));
    check(
        &definition,
        &json!({ "n": 2 }),
        &[],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"n":2}}
          2 <0 ChoiceStateEntered {"input":{"n":2},"name":"Branch"}
          3 <2 ChoiceStateExited {"name":"Branch","output":"large","assignedVariables":{"was":"2"},"assignedVariablesDetails":{"truncated":false}}
          4 <3 SucceedStateEntered {"input":"large","name":"Done"}
          5 <4 SucceedStateExited {"name":"Done","output":"large"}
          6 <5 ExecutionSucceeded {"output":"large"}
          = / SUCCEEDED "large" with {"was":2}
    "#]],
    );
    check(
        &definition,
        &json!({ "n": 1 }),
        &[],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"n":1}}
          2 <0 ChoiceStateEntered {"input":{"n":1},"name":"Branch"}
          3 <2 ChoiceStateExited {"name":"Branch","output":"small"}
          4 <3 SucceedStateEntered {"input":"small","name":"Done"}
          5 <4 SucceedStateExited {"name":"Done","output":"small"}
          6 <5 ExecutionSucceeded {"output":"small"}
          = / SUCCEEDED "small"
    "#]],
    );
    check(
        &definition,
        &json!({ "n": "two" }),
        &[],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"n":"two"}}
          2 <0 ChoiceStateEntered {"input":{"n":"two"},"name":"Branch"}
          3 <0 EvaluationFailed {"error":"States.QueryEvaluationError","cause":"An error occ… (401 bytes)
          4 <3 ExecutionFailed {"error":"States.QueryEvaluationError","cause":"An error occ… (350 bytes)
          = / FAILED States.QueryEvaluationError: An error occurred while executing the state 'Branch' (entered at the event id #2). The JSONata expression '$states.input.n > 1' specified for the field 'Choices[1]/Condition' threw an error during evaluation. T2009: The values "two" and 1 either side of operator ">" must be of the same data type
    "#]],
    );
}

#[test]
fn a_task_has_arguments_and_a_result() {
    let definition = jsonata(json!({
        "Work": {
            "Type": "Task", "Resource": "fluxling:demo.work",
            "TimeoutSeconds": "{% $states.input.patience * 2 %}",
            "Arguments": { "n": "{% $states.input.n %}" },
            "Assign": { "got": "{% $states.result.got %}" },
            "Output": "{% $merge([$states.input, $states.result]) %}",
            "Catch": [{
                "ErrorEquals": ["States.ALL"], "Next": "Caught",
                "Assign": { "why": "{% $states.errorOutput.Error %}" },
                "Output": "{% $states.errorOutput.Cause & '!' %}"
            }],
            "End": true
        },
        "Caught": { "Type": "Pass", "Output": "{% $why %}", "End": true }
    }));
    let input = json!({ "n": 1, "patience": 2 });
    check(
        &definition,
        &input,
        &[Ok("Work", json!({ "got": 7 }))],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"n":1,"patience":2}}
          2 <0 TaskStateEntered {"input":{"n":1,"patience":2},"name":"Work"}
          3 <2 TaskScheduled {"parameters":{"n":1},"timeoutInSeconds":4}
          ! dispatch Work deadline 4s {"n":1}
          ! timer at 4s for / watch
          = / awaits task Work
        > Ok Work {"got":7}
          4 <3 TaskStarted
          5 <4 TaskSucceeded {"output":{"got":7}}
          6 <5 TaskStateExited {"name":"Work","output":{"n":1,"patience":2,"got":7},"assignedVariables":{"got":"7"},"assignedVariablesDetails":{"truncated":false}}
          7 <6 ExecutionSucceeded {"output":{"n":1,"patience":2,"got":7}}
          = / SUCCEEDED {"n":1,"patience":2,"got":7} with {"got":7}
    "#]],
    );
    check(
        &definition,
        &input,
        &[Fail("Work", "Broken", "in two")],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"n":1,"patience":2}}
          2 <0 TaskStateEntered {"input":{"n":1,"patience":2},"name":"Work"}
          3 <2 TaskScheduled {"parameters":{"n":1},"timeoutInSeconds":4}
          ! dispatch Work deadline 4s {"n":1}
          ! timer at 4s for / watch
          = / awaits task Work
        > Fail Work Broken
          4 <3 TaskStarted
          5 <4 TaskFailed {"error":"Broken","cause":"in two"}
          6 <5 TaskStateExited {"name":"Work","output":"in two!","assignedVariables":{"why":"\"Broken\""},"assignedVariablesDetails":{"truncated":false}}
          7 <6 PassStateEntered {"input":"in two!","name":"Caught"}
          8 <7 PassStateExited {"name":"Caught","output":"Broken"}
          9 <8 ExecutionSucceeded {"output":"Broken"}
          = / SUCCEEDED "Broken" with {"why":"Broken"}
    "#]],
    );
    check(
        &definition,
        &json!({ "n": 1, "patience": 0.25 }),
        &[],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"n":1,"patience":0.25}}
          2 <0 TaskStateEntered {"input":{"n":1,"patience":0.25},"name":"Work"}
          3 <2 EvaluationFailed {"error":"States.QueryEvaluationError","cause":"An error occurred while executing the state 'Work' (entered at the event id #2). The TimeoutSeconds field has the value \"0.5\" which is not a valid integer","location":"TimeoutSeconds","state":"Work"}
          4 <3 TaskStateExited {"name":"Work","output":"An error occurred while executing the state 'Work' (entered at the event id #2). The TimeoutSeconds field has the value \"0.5\" which is not a valid integer!","assignedVariables":{"why":"\"States.QueryEvaluationError\""},"assignedVariablesDetails":{"truncated":false}}
          5 <4 PassStateEntered {"input":"An error occurred while executing the state 'Work' (entered at the event id #2). The TimeoutSeconds field has the value \"0.5\" which is not a valid integer!","name":"Caught"}
          6 <5 PassStateExited {"name":"Caught","output":"States.QueryEvaluationError"}
          7 <6 ExecutionSucceeded {"output":"States.QueryEvaluationError"}
          = / SUCCEEDED "States.QueryEvaluationError" with {"why":"States.QueryEvaluationError"}
    "#]],
    );
}

#[test]
fn a_failed_evaluation_is_an_event_and_can_be_caught() {
    let definition = jsonata(json!({
        "Work": {
            "Type": "Task", "Resource": "fluxling:demo.work",
            "Arguments": { "list": ["{% $states.input.missing %}"] },
            "Retry": [{ "ErrorEquals": ["States.QueryEvaluationError"], "MaxAttempts": 1 }],
            "Catch": [{ "ErrorEquals": ["States.QueryEvaluationError"], "Next": "Done" }],
            "End": true
        },
        "Done": { "Type": "Pass", "Output": "{% 1 + $states.input.Error %}", "End": true }
    }));
    check(
        &definition,
        &json!({}),
        &[Fire],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 TaskStateEntered {"input":{},"name":"Work"}
          3 <0 EvaluationFailed {"error":"States.QueryEvaluationError","cause":"An error occurred while executing the state 'Work' (entered at the event id #2). The JSONata expression '$states.input.missing' specified for the field 'Arguments/list[0]' returned nothing (undefined).","location":"Arguments/list[0]","state":"Work"}
          ! timer at 1s for /
          = / awaits retry of Work at 1s
        > Fire
          4 <3 EvaluationFailed {"error":"States.QueryEvaluationError","cause":"An error occurred while executing the state 'Work' (entered at the event id #2). The JSONata expression '$states.input.missing' specified for the field 'Arguments/list[0]' returned nothing (undefined).","location":"Arguments/list[0]","state":"Work"}
          5 <4 TaskStateExited {"name":"Work","output":{"Error":"States.QueryEvaluationError","Cause":"An error occurred while executing the state 'Work' (entered at the event id #2). The JSONata expression '$states.input.missing' specified for the field 'Arguments/list[0]' returned nothing (undefined)."}}
          6 <5 PassStateEntered {"input":{"Error":"States.QueryEvaluationError","Cause":"An error occurred while executing the state 'Work' (entered at the event id #2). The JSONata expression '$states.input.missing' specified for the field 'Arguments/list[0]' returned nothing (undefined)."},"name":"Done"}
          7 <5 EvaluationFailed {"error":"States.QueryEvaluationError","cause":"An error occ… (351 bytes)
          8 <7 ExecutionFailed {"error":"States.QueryEvaluationError","cause":"An error occ… (316 bytes)
          = / FAILED States.QueryEvaluationError: An error occurred while executing the state 'Done' (entered at the event id #6). The JSONata expression '1 + $states.input.Error' specified for the field 'Output' threw an error during evaluation. T2002: The right side of the "+" operator must evaluate to a number
    "#]],
    );
}

#[test]
fn a_map_takes_its_items_and_what_they_get_from_expressions() {
    let definition = jsonata(json!({
        "Each": {
            "Type": "Map",
            "Items": "{% [$states.input.from..$states.input.to] %}",
            "MaxConcurrency": "{% 1 %}",
            "ItemSelector": { "square": "{% $power($states.context.Map.Item.Value, 2) %}" },
            "ItemProcessor": {
                "StartAt": "Item",
                "States": { "Item": { "Type": "Pass", "Output": "{% $states.input.square %}", "End": true } }
            },
            "Output": "{% $sum($states.result) %}",
            "End": true
        }
    }));
    check(
        &definition,
        &json!({ "from": 1, "to": 3 }),
        &[],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"from":1,"to":3}}
          2 <0 MapStateEntered {"input":{"from":1,"to":3},"name":"Each"}
          3 <2 MapStateStarted {"length":3}
          4 <3 MapIterationStarted {"index":0,"name":"Each"}
          5 <4 PassStateEntered /1.0 {"input":{"square":1},"name":"Item"}
          6 <5 PassStateExited /1.0 {"name":"Item","output":1}
          7 <6 MapIterationSucceeded /1.0 {"index":0,"name":"Each"}
          8 <6 MapIterationStarted /1.1 {"index":1,"name":"Each"}
          9 <8 PassStateEntered /1.1 {"input":{"square":4},"name":"Item"}
          10 <9 PassStateExited /1.1 {"name":"Item","output":4}
          11 <10 MapIterationSucceeded /1.1 {"index":1,"name":"Each"}
          12 <10 MapIterationStarted /1.2 {"index":2,"name":"Each"}
          13 <12 PassStateEntered /1.2 {"input":{"square":9},"name":"Item"}
          14 <13 PassStateExited /1.2 {"name":"Item","output":9}
          15 <14 MapIterationSucceeded /1.2 {"index":2,"name":"Each"}
          16 <15 MapStateSucceeded
          17 <15 MapStateExited {"name":"Each","output":14}
          18 <17 ExecutionSucceeded {"output":14}
          = / SUCCEEDED 14
    "#]],
    );
    check(
        &definition,
        &json!({ "from": 1, "to": "x" }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"from":1,"to":"x"}}
              2 <0 MapStateEntered {"input":{"from":1,"to":"x"},"name":"Each"}
              3 <0 EvaluationFailed {"error":"States.QueryEvaluationError","cause":"An error occ… (371 bytes)
              4 <3 MapStateFailed
              5 <4 ExecutionFailed {"error":"States.QueryEvaluationError","cause":"An error occ… (337 bytes)
              = / FAILED States.QueryEvaluationError: An error occurred while executing the state 'Each' (entered at the event id #2). The JSONata expression '[$states.input.from..$states.input.to]' specified for the field 'Items' threw an error during evaluation. T2004: The right side of the range operator (..) must evaluate to an integer
        "#]],
    );
}

#[test]
fn a_state_may_be_in_jsonata_within_a_machine_in_jsonpath() {
    let definition = machine(json!({
        "Old": { "Type": "Pass", "Parameters": { "n.$": "$.n" }, "Next": "New" },
        "New": {
            "Type": "Wait", "QueryLanguage": "JSONata", "Seconds": "{% $states.input.n - $states.input.n %}",
            "Output": "{% $states.input.n + 1 %}", "End": true
        }
    }));
    check(
        &definition,
        &json!({ "n": 41 }),
        &[],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"n":41}}
          2 <0 PassStateEntered {"input":{"n":41},"name":"Old"}
          3 <2 PassStateExited {"name":"Old","output":{"n":41}}
          4 <3 WaitStateEntered {"input":{"n":41},"name":"New"}
          5 <4 WaitStateExited {"name":"New","output":42}
          6 <5 ExecutionSucceeded {"output":42}
          = / SUCCEEDED 42
    "#]],
    );
}
