//! Requests that are refused, and in which words.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::{ask, shown};

#[track_caller]
fn refused(request: &Value, expected: &Expect) {
    expected.assert_eq(&shown(&ask(request.clone())["refused"]));
}

fn task(resource: &str) -> Value {
    json!({ "Type": "Task", "Resource": resource, "Parameters": {}, "End": true })
}

fn pass() -> Value {
    json!({ "Type": "Pass", "End": true })
}

#[test]
fn parameters_keep_their_bounds() {
    refused(
        &json!({}),
        &expect![
            "ValidationException: 1 validation error detected: Value at 'definition' failed to satisfy constraint: Member must not be null"
        ],
    );
    refused(
        &json!({ "definition": pass(), "inspectionLevel": "ALL" }),
        &expect![
            "ValidationException: 1 validation error detected: Value 'ALL' at 'inspectionLevel' failed to satisfy constraint: Member must satisfy enum value set: [INFO, DEBUG, TRACE]"
        ],
    );
    refused(
        &json!({ "definition": pass(), "stateName": "" }),
        &expect![[r#"
        ParamValidationError: Parameter validation failed:
        Invalid length for parameter stateName, value: 0, valid min length: 1"#]],
    );
    refused(
        &json!({ "definition": pass(), "stateName": "n".repeat(81) }),
        &expect![
            "ValidationException: 1 validation error detected: Value 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn' at 'stateName' failed to satisfy constraint: Member must have length less than or equal to 80"
        ],
    );
    let request = json!({
        "definition": task("fluxling:a"),
        "mock": {
            "errorOutput": { "error": "e".repeat(257), "cause": "c".repeat(32_769) },
            "fieldValidationMode": "LOOSE"
        },
        "stateConfiguration": { "retrierRetryCount": -1 }
    });
    refused(
        &request,
        &expect![
            "ValidationException: 4 validation errors detected: Value 'LOOSE' at 'mock.fieldValidationMode' failed to satisfy constraint: Member must satisfy enum value set: [STRICT, PRESENT, NONE]; Value at 'mock.errorOutput.error' failed to satisfy constraint: Member must have length less than or equal to 256; Value at 'mock.errorOutput.cause' failed to satisfy constraint: Member must have length less than or equal to 32768; Value '-1' at 'stateConfiguration.retrierRetryCount' failed to satisfy constraint: Member must have value greater than or equal to 0"
        ],
    );
    let request = json!({ "definition": pass(), "input": "x".repeat(262_145) });
    refused(
        &request,
        &expect![
            "ValidationException: 1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length less than or equal to 262144"
        ],
    );
}

#[test]
fn documents_must_be_json() {
    refused(
        &json!({ "definition": "{" }),
        &expect![
            "InvalidDefinition: Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: Invalid JSON description: EOF while parsing an object at line 1 column 1'"
        ],
    );
    refused(
        &json!({ "definition": pass(), "input": "{" }),
        &expect![
            "InvalidExecutionInput: Invalid State Machine Execution Input: 'EOF while parsing an object at line 1 column 1'"
        ],
    );
    refused(
        &json!({ "definition": pass(), "variables": "{" }),
        &expect![
            "ValidationException: Variables must be valid JSON: EOF while parsing an object at line 1 column 1"
        ],
    );
    refused(
        &json!({ "definition": pass(), "variables": [] }),
        &expect!["ValidationException: Variables must be a JSON object."],
    );
    let mock = json!({ "result": "hello" });
    refused(
        &json!({ "definition": task("fluxling:a"), "mock": mock }),
        &expect!["ValidationException: Mocked result must be valid JSON"],
    );
}

#[test]
fn the_definition_must_be_valid() {
    refused(
        &json!({ "definition": { "Type": "Pass" } }),
        &expect![
            "InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: This object should have only one of the following fields: [Next, End] at /States/StateName, MISSING_END_STATE: Workflow has no terminal state at '"
        ],
    );
    let machine = json!({ "StartAt": "A", "States": { "A": pass() } });
    refused(
        &json!({ "definition": machine, "stateName": "B" }),
        &expect!["ValidationException: State not found in definition"],
    );
    let broken = json!({ "StartAt": "B", "States": { "A": { "Type": "Pass", "End": true } } });
    refused(
        &json!({ "definition": broken, "stateName": "A" }),
        &expect![
            r#"InvalidDefinition: Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /StartAt, MISSING_TRANSITION_TARGET: State "A" is not reachable. at /States/A'"#
        ],
    );
}

#[test]
fn what_calls_something_needs_a_mock() {
    refused(
        &json!({ "definition": task("fluxling:a") }),
        &expect!["ValidationException: RoleArn must be specified when testing a Task state"],
    );
    refused(
        &json!({ "definition": task("fluxling:a"), "roleArn": "r" }),
        &expect!["ValidationException: A mock must be specified when testing a Task state"],
    );
    let mut callback = task("arn:aws:states:::sqs:sendMessage.waitForTaskToken");
    callback["Parameters"] = json!({ "QueueUrl": "q", "MessageBody.$": "$$.Task.Token" });
    refused(
        &json!({ "definition": callback }),
        &expect![
            "InvalidDefinition: TestState API does not support '.sync' or '.waitForTaskToken' integration patterns."
        ],
    );
    let activity = task("arn:aws:states:eu-west-1:1:activity:a");
    refused(
        &json!({ "definition": activity }),
        &expect!["InvalidDefinition: TestState API does not support Activity tasks."],
    );
    let processor = json!({ "StartAt": "A", "States": { "A": pass() } });
    let map = json!({ "Type": "Map", "ItemProcessor": processor, "End": true });
    refused(
        &json!({ "definition": map }),
        &expect![
            "InvalidDefinition: TestState API does not support Map or Parallel states. Supported state types include: [Task, Wait, Pass, Succeed, Fail, Choice]"
        ],
    );
    let configuration = json!({ "mapIterationFailureCount": 1 });
    let request = json!({ "definition": map, "stateConfiguration": configuration });
    refused(
        &request,
        &expect![
            "ValidationException: TestState does not support MapIterationFailureCount when a mock is not specified."
        ],
    );
    refused(
        &json!({ "definition": pass(), "context": {} }),
        &expect![
            "ValidationException: TestState does not support Context when a mock is not specified."
        ],
    );
}

#[test]
fn what_calls_nothing_takes_no_mock() {
    let mock = json!({ "result": {} });
    refused(
        &json!({ "definition": pass(), "mock": mock }),
        &expect![
            "ValidationException: State type 'Pass' is not supported when a mock is specified"
        ],
    );
    refused(
        &json!({ "definition": { "Type": "Succeed" }, "mock": mock }),
        &expect![
            "ValidationException: State type 'Succeed' is not supported when a mock is specified"
        ],
    );
    let wait = json!({ "Type": "Wait", "Seconds": 1, "End": true });
    refused(
        &json!({ "definition": wait, "mock": mock }),
        &expect![
            "ValidationException: State type 'Wait' is not supported when a mock is specified"
        ],
    );
}

#[test]
fn a_mock_answers_once() {
    let with = |mock: Value| json!({ "definition": task("fluxling:a"), "mock": mock });
    refused(
        &with(json!({})),
        &expect![
            "ValidationException: A test mock should have only one of the following fields: [result, errorOutput]."
        ],
    );
    refused(
        &with(json!({ "result": 1, "errorOutput": { "error": "E" } })),
        &expect![
            "ValidationException: A test mock should have only one of the following fields: [result, errorOutput]."
        ],
    );
    refused(
        &with(json!({ "errorOutput": { "cause": "c" } })),
        &expect!["ValidationException: An error was not specified in the mocked error output."],
    );
    let mut request = with(json!({ "result": 1 }));
    request["revealSecrets"] = true.into();
    refused(
        &request,
        &expect![
            "ValidationException: TestState does not support RevealSecrets when a mock is specified."
        ],
    );
}

#[test]
fn a_mock_fits_what_it_stands_for() {
    let processor = json!({ "StartAt": "A", "States": { "A": pass() } });
    let map = json!({ "Type": "Map", "ItemProcessor": processor, "End": true });
    refused(
        &json!({ "definition": map, "mock": { "result": {} } }),
        &expect!["ValidationException: Mocked result must be an array."],
    );
    let parallel = json!({ "Type": "Parallel", "Branches": [processor], "End": true });
    refused(
        &json!({ "definition": parallel, "mock": { "result": {} } }),
        &expect!["ValidationException: Mocked result must be an array."],
    );
    refused(
        &json!({ "definition": parallel, "mock": { "result": [1, 2] } }),
        &expect![
            "ValidationException: Mocked result must contain the same number of items as number of Parallel branches."
        ],
    );
    let request = json!({
        "definition": parallel, "mock": { "errorOutput": { "error": "E" } },
        "stateConfiguration": { "errorCausedByState": "Z" }
    });
    refused(&request, &expect!["ValidationException: State not found in definition"]);
}

#[test]
fn a_context_object_holds_what_the_service_knows() {
    let with = |context: Value| json!({ "definition": task("fluxling:a"), "mock": { "result": 1 }, "context": context });
    refused(
        &with(json!("{")),
        &expect![
            "ValidationException: Invalid Context object provided: not valid JSON: EOF while parsing an object at line 1 column 1"
        ],
    );
    refused(
        &with(json!([])),
        &expect!["ValidationException: Invalid Context object provided: must be a JSON object"],
    );
    refused(
        &with(json!({ "Execution": { "Id": 1 } })),
        &expect![
            "ValidationException: Invalid Context object provided: Execution.Id must be a string"
        ],
    );
    refused(
        &with(json!({ "State": { "RetryCount": "1" } })),
        &expect![
            "ValidationException: Invalid Context object provided: State.RetryCount must be a number"
        ],
    );
    refused(
        &with(json!({ "Map": { "Item": [] } })),
        &expect![
            "ValidationException: Invalid Context object provided: Map.Item must be an object"
        ],
    );
    refused(
        &with(json!({ "Map": { "Item": { "Size": 1 } } })),
        &expect![
            "ValidationException: Invalid Context object provided: Field 'Size' is not allowed"
        ],
    );
}
