//! Task states, whose mocks answer for whatever they call.

use expect_test::expect;
use serde_json::json;

use crate::{ALL, check, debug};

#[test]
fn a_task_in_jsonpath() {
    let state = json!({
        "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "InputPath": "$.order",
        "Parameters": { "QueueUrl": "q", "MessageBody.$": "$" },
        "ResultSelector": { "id.$": "$.MessageId" }, "ResultPath": "$.sent",
        "OutputPath": "$.sent", "Next": "Wait for it"
    });
    let request = json!({
        "definition": state, "input": { "order": { "id": 7 } },
        "mock": { "result": { "MessageId": "m-1" } }
    });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output {"id":"m-1"}
          nextState Wait for it
        DEBUG
          status SUCCEEDED
          output {"id":"m-1"}
          nextState Wait for it
            input {"order":{"id":7}}
            afterInputPath {"id":7}
            afterParameters {"QueueUrl":"q","MessageBody":{"id":7}}
            result {"MessageId":"m-1"}
            afterResultSelector {"id":"m-1"}
            afterResultPath {"order":{"id":7},"sent":{"id":"m-1"}}
        TRACE: the same
    "#]],
    );
}

#[test]
fn a_task_in_jsonata() {
    let state = json!({
        "Type": "Task", "QueryLanguage": "JSONata", "Resource": "fluxling:orders.price",
        "Arguments": { "id": "{% $states.input.id %}" }, "Assign": { "p": "{% $states.result %}" },
        "Output": { "price": "{% $states.result %}" }, "End": true
    });
    let request = json!({ "definition": state, "input": { "id": 7 }, "mock": { "result": 12 } });
    check(
        &request,
        ALL,
        &expect![[r#"
        INFO
          status SUCCEEDED
          output {"price":12}
        DEBUG
          status SUCCEEDED
          output {"price":12}
            input {"id":7}
            afterArguments {"id":7}
            result 12
            variables {"p":12}
        TRACE: the same
    "#]],
    );
}

#[test]
fn a_callback_reads_its_token() {
    let state = json!({
        "Type": "Task", "Resource": "fluxling:orders.approve.waitForTaskToken",
        "Parameters": { "token.$": "$$.Task.Token" }, "ResultPath": null, "End": true
    });
    let context = json!({ "Task": { "Token": "t-1" }, "Execution": { "Name": "n" } });
    let request = json!({ "definition": state, "mock": { "result": {} }, "context": context });
    debug(
        &request,
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output {}
            input {}
            afterInputPath {}
            afterParameters {"token":"t-1"}
            result {}
            afterResultSelector {}
            afterResultPath {}
    "#]],
    );
}

#[test]
fn a_given_context_holds_no_more_than_was_given() {
    let state = json!({
        "Type": "Task", "QueryLanguage": "JSONata", "Resource": "fluxling:a",
        "Output": "{% $states.context %}", "End": true
    });
    let context = json!({ "Map": { "Item": { "Index": 1, "Value": "b" } } });
    let request = json!({ "definition": state, "mock": { "result": 1 }, "context": context });
    debug(
        &request,
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output {"Map":{"Item":{"Index":1,"Value":"b"}}}
            input {}
            result 1
    "#]],
    );
    let request = json!({
        "definition": state, "mock": { "result": 1 }, "roleArn": "arn:aws:iam::1:role/r"
    });
    debug(
        &request,
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output {"Execution":{"Id":"arn:aws:states:us-east-1:123456789012:express:TestState:018cc251-f400-7000-8000-000000000000","Input":{},"StartTime":"2024-01-01T00:00:00.000Z","Name":"018cc251-f400-7000-8000-000000000000","RoleArn":"arn:aws:iam::1:role/r"},"StateMachine":{"Id":"arn:aws:states:us-east-1:123456789012:stateMachine:TestState","Name":"TestState"},"State":{"Name":"StateName","EnteredTime":"2024-01-01T00:00:00.000Z","RetryCount":0}}
            input {}
            result 1
    "#]],
    );
}

#[test]
fn the_trace_of_an_http_task_shows_what_would_be_sent() {
    let state = json!({
        "Type": "Task", "QueryLanguage": "JSONata", "Resource": "arn:aws:states:::http:invoke",
        "Arguments": {
            "ApiEndpoint": "https://example.com/orders", "Method": "POST",
            "InvocationConfig": { "ConnectionArn": "arn:aws:events:eu-west-1:1:connection/c/1" },
            "Headers": { "accept": "text/plain" }, "QueryParameters": { "dry": true },
            "RequestBody": { "id": "{% $states.input %}" }
        },
        "Output": "{% $states.result.ResponseBody %}", "End": true
    });
    let result = json!({
        "StatusCode": 201, "StatusText": "Created", "Headers": { "server": ["s", "t"] },
        "ResponseBody": { "ok": true }
    });
    let request = json!({ "definition": state, "input": 7, "mock": { "result": result } });
    check(
        &request,
        &["DEBUG", "TRACE"],
        &expect![[r#"
        DEBUG
          status SUCCEEDED
          output {"ok":true}
            input 7
            afterArguments {"ApiEndpoint":"https://example.com/orders","Method":"POST","InvocationConfig":{"ConnectionArn":"arn:aws:events:eu-west-1:1:connection/c/1"},"Headers":{"accept":"text/plain"},"QueryParameters":{"dry":true},"RequestBody":{"id":7}}
            result {"StatusCode":201,"StatusText":"Created","Headers":{"server":["s","t"]},"ResponseBody":{"ok":true}}
        TRACE
          status SUCCEEDED
          output {"ok":true}
            input 7
            afterArguments {"ApiEndpoint":"https://example.com/orders","Method":"POST","InvocationConfig":{"ConnectionArn":"arn:aws:events:eu-west-1:1:connection/c/1"},"Headers":{"accept":"text/plain"},"QueryParameters":{"dry":true},"RequestBody":{"id":7}}
            request {"protocol":"https","method":"POST","url":"https://example.com/orders?dry=true","headers":"[accept: text/plain]","body":"{\"id\":7}"}
            response {"protocol":"https","statusCode":"201","statusMessage":"Created","headers":"[server: s]","body":"{\"ok\":true}"}
            result {"StatusCode":201,"StatusText":"Created","Headers":{"server":["s","t"]},"ResponseBody":{"ok":true}}
    "#]],
    );
}

#[test]
fn results_are_held_against_the_api_that_is_called() {
    let state = |resource: &str| {
        let resource = format!("arn:aws:states:::{resource}");
        let parameters = json!({ "StateMachineArn": "orders" });
        json!({ "Type": "Task", "Resource": resource, "Parameters": parameters, "End": true })
    };
    let wrong = json!({ "ExecutionArn": 1 });
    for (mode, expected) in [
        (
            "STRICT",
            expect![[r#"
                INFO
                  refused ValidationException: Mock result schema validation error: Required field 'StartDate' is missing
            "#]],
        ),
        (
            "PRESENT",
            expect![[r#"
                INFO
                  refused ValidationException: Mock result schema validation error: Field 'ExecutionArn' must be a string
            "#]],
        ),
        (
            "NONE",
            expect![[r#"
                INFO
                  status SUCCEEDED
                  output {"ExecutionArn":1}
            "#]],
        ),
    ] {
        let definition = state("states:startExecution");
        let mock = json!({ "result": wrong, "fieldValidationMode": mode });
        check(&json!({ "definition": definition, "mock": mock }), &["INFO"], &expected);
    }
    let missing = json!({ "definition": state("states:startExecution"), "mock": { "result": {} } });
    check(
        &missing,
        &["INFO"],
        &expect![[r#"
            INFO
              refused ValidationException: Mock result schema validation error: Required field 'ExecutionArn' is missing
        "#]],
    );
    let unlisted = json!({
        "definition": state("aws-sdk:ec2:describeInstances"),
        "mock": { "result": { "Reservations": "none" } }
    });
    check(
        &unlisted,
        &["INFO"],
        &expect![[r#"
        INFO
          status SUCCEEDED
          output {"Reservations":"none"}
    "#]],
    );
}
