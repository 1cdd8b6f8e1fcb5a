//! Requests that are refused, and in which words.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::{ask, shown};

/// Compares how these requests are refused, in this order.
#[track_caller]
fn refused(requests: &[Value], expected: &Expect) {
    let told: Vec<_> =
        requests.iter().map(|request| shown(&ask(request.clone())["refused"])).collect();
    expected.assert_eq(&(told.join("\n") + "\n"));
}

fn task(resource: &str) -> Value {
    json!({ "Type": "Task", "Resource": resource, "End": true })
}

fn pass() -> Value {
    json!({ "Type": "Pass", "End": true })
}

fn processor() -> Value {
    json!({ "StartAt": "A", "States": { "A": pass() } })
}

fn map() -> Value {
    json!({ "Type": "Map", "ItemProcessor": processor(), "End": true })
}

fn parallel() -> Value {
    json!({ "Type": "Parallel", "Branches": [processor()], "End": true })
}

#[test]
fn parameters_keep_their_bounds() {
    let many = json!({
        "definition": task("fluxling:a"),
        "mock": {
            "errorOutput": { "error": "e".repeat(257), "cause": "c".repeat(32_769) },
            "fieldValidationMode": "LOOSE"
        },
        "stateConfiguration": { "retrierRetryCount": -1 }
    });
    let requests = [
        json!({}),
        json!({ "definition": pass(), "inspectionLevel": "ALL" }),
        json!({ "definition": pass(), "stateName": "" }),
        json!({ "definition": pass(), "stateName": "n".repeat(81) }),
        json!({ "definition": pass(), "input": "x".repeat(262_145) }),
        many,
    ];
    refused(
        &requests,
        &expect![[r#"
        ValidationException: 1 validation error detected: Value at 'definition' failed to satisfy constraint: Member must not be null
        ValidationException: 1 validation error detected: Value 'ALL' at 'inspectionLevel' failed to satisfy constraint: Member must satisfy enum value set: [INFO, DEBUG, TRACE]
        ParamValidationError: Parameter validation failed:
        Invalid length for parameter stateName, value: 0, valid min length: 1
        ValidationException: 1 validation error detected: Value 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn' at 'stateName' failed to satisfy constraint: Member must have length less than or equal to 80
        ValidationException: 1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length less than or equal to 262144
        ValidationException: 4 validation errors detected: Value 'LOOSE' at 'mock.fieldValidationMode' failed to satisfy constraint: Member must satisfy enum value set: [STRICT, PRESENT, NONE]; Value at 'mock.errorOutput.error' failed to satisfy constraint: Member must have length less than or equal to 256; Value at 'mock.errorOutput.cause' failed to satisfy constraint: Member must have length less than or equal to 32768; Value '-1' at 'stateConfiguration.retrierRetryCount' failed to satisfy constraint: Member must have value greater than or equal to 0
    "#]],
    );
}

#[test]
fn documents_must_be_json() {
    let requests = [
        json!({ "definition": "{" }),
        json!({ "definition": pass(), "input": "{" }),
        json!({ "definition": pass(), "variables": "{" }),
        json!({ "definition": pass(), "variables": [] }),
        json!({ "definition": task("fluxling:a"), "mock": { "result": "hello" } }),
    ];
    refused(
        &requests,
        &expect![[r#"
            InvalidDefinition: Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: Unexpected end-of-input: expected close marker for Object
             at [Source: (String)"{"; line: 1, column: 2] at [Source: (String)"{"; line: 1, column: 2]'
            InvalidExecutionInput: Invalid State Machine Execution Input: 'Unexpected end-of-input: expected close marker for Object
             at [Source: (String)"{"; line: 1, column: 2]'
            ValidationException: Variables must be valid JSON: Unexpected end-of-input: expected close marker for Object
             at [Source: (String)"{"; line: 1, column: 2]
            ValidationException: Variables must be a JSON object.
            ValidationException: Mocked result must be valid JSON
        "#]],
    );
}

#[test]
fn the_definition_must_be_valid() {
    let broken = json!({ "StartAt": "B", "States": { "A": { "Type": "Pass", "End": true } } });
    let requests = [
        json!({ "definition": { "Type": "Pass" } }),
        json!({ "definition": { "Type": "Pass", "Next": 1 } }),
        json!({ "definition": processor() }),
        json!({ "definition": processor(), "stateName": "B" }),
        json!({ "definition": broken, "stateName": "A" }),
    ];
    refused(
        &requests,
        &expect![[r#"
        InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: This object should have only one of the following fields: [Next, End] at /States/StateName'
        InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Expected value of type [STRING] at /States/StateName/Next'
        InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: These fields are required: [Type] at /States/StateName'
        ValidationException: State not found in definition
        InvalidDefinition: Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /StartAt, MISSING_TRANSITION_TARGET: State "A" is not reachable. at /States/A'
    "#]],
    );
}

#[test]
fn what_calls_something_needs_a_mock() {
    let requests = [
        json!({ "definition": task("fluxling:a") }),
        json!({ "definition": task("fluxling:a"), "roleArn": "r" }),
        json!({ "definition": task("fluxling:a.waitForTaskToken") }),
        json!({ "definition": task("arn:aws:states:eu-west-1:1:activity:a") }),
        json!({ "definition": map() }),
        json!({ "definition": map(), "stateConfiguration": { "mapIterationFailureCount": 1 } }),
        json!({ "definition": pass(), "context": {} }),
    ];
    refused(
        &requests,
        &expect![[r#"
            ValidationException: RoleArn must be specified when testing a Task state
            ValidationException: A mock must be specified when testing a Task state
            InvalidDefinition: TestState API does not support '.sync' or '.waitForTaskToken' integration patterns.
            InvalidDefinition: TestState API does not support Activity tasks.
            InvalidDefinition: TestState API does not support Map or Parallel states. Supported state types include: [Task, Wait, Pass, Succeed, Fail, Choice]
            ValidationException: TestState does not support MapIterationFailureCount when a mock is not specified.
            ValidationException: TestState does not support Context when a mock is not specified.
        "#]],
    );
}

#[test]
fn what_calls_nothing_takes_no_mock() {
    let mock = json!({ "result": {} });
    let requests = [
        json!({ "definition": pass(), "mock": mock }),
        json!({ "definition": { "Type": "Succeed" }, "mock": mock }),
        json!({ "definition": { "Type": "Wait", "Seconds": 1, "End": true }, "mock": mock }),
    ];
    refused(
        &requests,
        &expect![[r#"
        ValidationException: State type 'Pass' is not supported when a mock is specified
        ValidationException: State type 'Succeed' is not supported when a mock is specified
        ValidationException: State type 'Wait' is not supported when a mock is specified
    "#]],
    );
}

#[test]
fn a_mock_answers_once() {
    let with = |mock: Value| json!({ "definition": task("fluxling:a"), "mock": mock });
    let mut revealed = with(json!({ "result": 1 }));
    revealed["revealSecrets"] = true.into();
    let requests = [
        with(json!({})),
        with(json!({ "result": 1, "errorOutput": { "error": "E" } })),
        with(json!({ "errorOutput": { "cause": "c" } })),
        revealed,
    ];
    refused(
        &requests,
        &expect![[r#"
        ValidationException: A test mock should have only one of the following fields: [result, errorOutput].
        ValidationException: A test mock should have only one of the following fields: [result, errorOutput].
        ValidationException: An error was not specified in the mocked error output.
        ValidationException: TestState does not support RevealSecrets when a mock is specified.
    "#]],
    );
}

#[test]
fn a_mock_fits_what_it_stands_for() {
    let nowhere = json!({
        "definition": parallel(), "mock": { "errorOutput": { "error": "E" } },
        "stateConfiguration": { "errorCausedByState": "Z" }
    });
    let failed = json!({
        "definition": map(), "input": [1], "mock": { "result": [1] },
        "stateConfiguration": { "mapIterationFailureCount": 2 }
    });
    let requests = [
        json!({ "definition": map(), "mock": { "result": {} } }),
        json!({ "definition": parallel(), "mock": { "result": {} } }),
        json!({ "definition": parallel(), "mock": { "result": [1, 2] } }),
        nowhere,
        failed,
    ];
    refused(
        &requests,
        &expect![[r#"
        ValidationException: Mocked result must be an array.
        ValidationException: Mocked result must be an array.
        ValidationException: Mocked result must contain the same number of items as number of Parallel branches.
        ValidationException: State not found in definition
        ValidationException: Map iteration failure count must be less than or equal to the number of Map iterations
    "#]],
    );
}

#[test]
fn a_context_object_holds_what_the_service_knows() {
    let with = |context: Value| json!({ "definition": task("fluxling:a"), "mock": { "result": 1 }, "context": context });
    let requests = [
        with(json!("{")),
        with(json!([])),
        with(json!({ "Execution": { "Id": 1 } })),
        with(json!({ "State": { "RetryCount": "1" } })),
        with(json!({ "Map": { "Item": [] } })),
        with(json!({ "Map": { "Item": { "Size": 1 } } })),
    ];
    refused(
        &requests,
        &expect![[r#"
            ValidationException: Invalid Context object provided: not valid JSON: Unexpected end-of-input: expected close marker for Object
             at [Source: (String)"{"; line: 1, column: 2]
            ValidationException: Invalid Context object provided: must be a JSON object
            ValidationException: Invalid Context object provided: Execution.Id must be a string
            ValidationException: Invalid Context object provided: State.RetryCount must be a number
            ValidationException: Invalid Context object provided: Map.Item must be an object
            ValidationException: Invalid Context object provided: Field 'Size' is not allowed
        "#]],
    );
}
