//! Tasks that ask a service of AWS: what only a simulation runs, and child executions.

use expect_test::expect;
use fluxus_machine::{Case, Definition};
use fluxus_schema::history::EventKind;
use serde_json::{Value, json};

use crate::support::*;

/// A task with the payload that its service cannot do without.
fn ask(resource: &str) -> Value {
    let mut task = json!({ "Type": "Task", "Resource": resource, "End": true });
    if resource.starts_with("arn:aws:states:::lambda") {
        task["Parameters"] = json!({ "FunctionName": "f" });
    } else if resource.starts_with("arn:aws:states:::sqs") {
        task["Parameters"] = json!({ "QueueUrl": "q", "MessageBody": "m" });
    } else if resource.starts_with("arn:aws:states:::states") {
        task["Parameters"] = json!({ "StateMachineArn": "s" });
    } else if resource.starts_with("arn:aws:states:::") {
        task["Parameters"] = json!({});
    }
    machine(json!({ "Ask": task }))
}

#[test]
fn a_job_is_submitted_then_its_end_is_waited_for() {
    let script = [
        Started("Ask"),
        Submitted("Ask", json!({ "JobId": 1 })),
        Submitted("Ask", json!("twice")),
        Ok("Ask", json!({ "Status": "SUCCEEDED" })),
        Ok("Ask#0", json!("twice")),
    ];
    check(
        &ask("arn:aws:states:::batch:submitJob.sync"),
        &json!({}),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 TaskStateEntered {"input":{},"name":"Ask"}
          3 <2 TaskScheduled {"parameters":{}}
          ! dispatch Ask {}
          = / awaits task Ask
        > Started Ask
          4 <3 TaskStarted
        > Submitted Ask {"JobId":1}
          5 <4 TaskSubmitted {"output":{"JobId":1}}
          = / awaits task Ask (callback)
        > Submitted Ask "twice"
          rejected: TaskSubmitted does not fit a branch that is awaiting another answer
        > Ok Ask {"Status":"SUCCEEDED"}
          6 <5 TaskSucceeded {"output":{"Status":"SUCCEEDED"}}
          7 <6 TaskStateExited {"name":"Ask","output":{"Status":"SUCCEEDED"}}
          8 <7 ExecutionSucceeded {"output":{"Status":"SUCCEEDED"}}
          = / SUCCEEDED {"Status":"SUCCEEDED"}
        > Ok Ask#0 "twice"
          rejected: TaskSucceeded does not fit a branch that is at its end
    "#]],
    );
}

#[test]
fn whoever_answers_at_once_submits_nothing() {
    let script = [Submitted("Ask", json!(1)), Ok("Ask", json!(2))];
    check(
        &ask("arn:aws:states:::sqs:sendMessage"),
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Ask"}
              3 <2 TaskScheduled {"parameters":{"QueueUrl":"q","MessageBody":"m"}}
              ! dispatch Ask {"QueueUrl":"q","MessageBody":"m"}
              = / awaits task Ask
            > Submitted Ask 1
              rejected: TaskSubmitted does not fit a branch that is awaiting another answer
            > Ok Ask 2
              4 <3 TaskStarted
              5 <4 TaskSucceeded {"output":2}
              6 <5 TaskStateExited {"name":"Ask","output":2}
              7 <6 ExecutionSucceeded {"output":2}
              = / SUCCEEDED 2
        "#]],
    );
}

#[test]
fn a_failure_can_have_an_event_of_its_own() {
    let batch = ask("arn:aws:states:::batch:submitJob.sync");
    let script = [FailAs("Ask", EventKind::TaskSubmitFailed, "Batch.ServerException")];
    check(
        &batch,
        &json!({}),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{}}
          2 <0 TaskStateEntered {"input":{},"name":"Ask"}
          3 <2 TaskScheduled {"parameters":{}}
          ! dispatch Ask {}
          = / awaits task Ask
        > FailAs Ask TaskSubmitFailed Batch.ServerException
          4 <3 TaskStarted
          5 <4 TaskSubmitFailed {"error":"Batch.ServerException"}
          6 <5 ExecutionFailed {"error":"Batch.ServerException"}
          = / FAILED Batch.ServerException: -
    "#]],
    );
    let function = ask("arn:aws:lambda:us-east-1:1:function:f");
    let script = [FailAs("Ask", EventKind::LambdaFunctionScheduleFailed, "States.Runtime")];
    check(
        &function,
        &json!({}),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{}}
              2 <0 TaskStateEntered {"input":{},"name":"Ask"}
              3 <2 LambdaFunctionScheduled {"input":{}}
              ! dispatch Ask {"FunctionName":"arn:aws:lambda:us-east-1:1:function:f","Payload":{}}
              = / awaits task Ask
            > FailAs Ask LambdaFunctionScheduleFailed States.Runtime
              4 <3 LambdaFunctionScheduleFailed {"error":"States.Runtime"}
              5 <4 ExecutionFailed {"error":"States.Runtime"}
              = / FAILED States.Runtime: -
        "#]],
    );
}

#[test]
fn credentials_are_noted() {
    let definition = machine(json!({
        "Ask": {
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true,
            "Parameters": { "FunctionName": "f" },
            "Credentials": { "RoleArn.$": "$.role" }
        }
    }));
    check(
        &definition,
        &json!({ "role": "arn:aws:iam::1:role/r" }),
        &[],
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":{"role":"arn:aws:iam::1:role/r"}}
              2 <0 TaskStateEntered {"input":{"role":"arn:aws:iam::1:role/r"},"name":"Ask"}
              3 <2 TaskScheduled {"parameters":{"FunctionName":"f"},"taskCredentials":{"roleArn":"arn:aws:iam::1:role/r"}}
              ! dispatch Ask {"FunctionName":"f"}
              = / awaits task Ask
        "#]],
    );
}

#[test]
fn results_in_text_are_read() {
    let result = |resource: &str| {
        let mocks = json!({ "Ask": { "0": { "Return": "[1]" } } });
        let case = json!({ "id": "", "definition": ask(resource), "mocks": mocks });
        let case: Case = serde_json::from_value(case).expect("a case");
        case.run()["output"].clone()
    };
    assert_eq!(result("arn:aws:lambda:us-east-1:1:function:f"), json!([1]));
    assert_eq!(result("arn:aws:states:us-east-1:1:activity:a"), json!([1]));
    assert_eq!(result("arn:aws:states:::sqs:sendMessage.waitForTaskToken"), json!([1]));
    assert_eq!(result("arn:aws:states:::lambda:invoke"), json!("[1]"));
    assert_eq!(result("fluxling:count"), json!("[1]"));
}

#[test]
fn an_activity_that_nobody_made_fails_its_task() {
    let definition = ask("arn:aws:states:us-east-1:1:activity:a");
    let case = json!({ "id": "", "definition": definition });
    let case: Case = serde_json::from_value(case).expect("a case");
    let ended = case.run();
    expect![[r#""States.Runtime": "An error occurred while executing the state 'Ask' (entered at the event id #2). The activity arn:aws:states:us-east-1:1:activity:a does not exist.""#]].assert_eq(&format!("{}: {}", ended["error"], ended["cause"]));
}

#[test]
fn what_cannot_be_run_for_real_is_told_with_what_can() {
    let told = |resource: &str| -> String {
        let definition = Definition::parse(&ask(resource)).expect("a definition");
        let faults = definition.unsupported();
        faults.iter().map(|fault| format!("{}: {}\n", fault.pointer, fault.detail)).collect()
    };
    let all = [
        "arn:aws:states:us-east-1:1:activity:a",
        "arn:aws:states:us-east-1:1:activity:to do",
        "arn:aws:states:::http:invoke",
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "arn:aws:states:::aws-sdk:s3:getObject",
        "arn:aws:states:::aws-sdk:sfn:sendTaskSuccess",
        "arn:aws:states:::aws-sdk:sfn:startExecution",
        "arn:aws:states:::states:startExecution.sync:2",
        "arn:aws:states:::batch:submitJob.sync",
        "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "arn:aws:lambda:us-east-1:1:function:f",
        "fluxling:works",
    ]
    .map(told);
    expect![[r#"
        /States/Ask/Resource: an activity of that name runs only in a simulation, with mocks; give the activity a name of letters, digits and `._-/`
        /States/Ask/Resource: `http:invoke` runs only in a simulation, with mocks; use `fluxling:http.request`
        /States/Ask/Resource: `sqs:sendMessage.waitForTaskToken` runs only in a simulation, with mocks; write a fluxling that does it and name its capability, such as `fluxling:sqs.sendMessage.waitForTaskToken`
        /States/Ask/Resource: `aws-sdk:s3:getObject` runs only in a simulation, with mocks; write a fluxling that does it and name its capability, such as `fluxling:s3.getObject`
        /States/Ask/Resource: `aws-sdk:sfn:sendTaskSuccess` runs only in a simulation, with mocks; use `fluxling:http.request` with `/v1/tasks/{token}` of the API
        /States/Ask/Resource: `aws-sdk:sfn:startExecution` runs only in a simulation, with mocks; use `arn:aws:states:::states:startExecution`, with `.sync:2` to wait for its end
        /States/Ask/Resource: `batch:submitJob.sync` runs only in a simulation, with mocks; write a fluxling that does it and name its capability, such as `fluxling:batch.submitJob`
    "#]].assert_eq(&all.concat());
}

#[test]
fn data_sets_that_no_fluxling_reads_are_told() {
    let told = |(resource, config): (&str, Value)| -> String {
        let processor = json!({
            "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" },
            "StartAt": "Item", "States": { "Item": { "Type": "Pass", "End": true } },
        });
        let reader = json!({
            "Resource": resource, "ReaderConfig": config, "Parameters": { "Bucket": "b" },
        });
        let writer = json!({ "Resource": "arn:aws:states:::s3:putObject", "Parameters": {} });
        let each = json!({
            "Type": "Map", "ItemReader": reader, "ItemProcessor": processor, "ResultWriter": writer,
            "End": true,
        });
        let definition = json!({ "StartAt": "Each", "States": { "Each": each } });
        let faults = Definition::parse(&definition).expect("a definition").unsupported();
        faults.iter().map(|fault| format!("{}: {}\n", fault.pointer, fault.detail)).collect()
    };
    let (get, list) = ("arn:aws:states:::s3:getObject", "arn:aws:states:::s3:listObjectsV2");
    let all = [
        (get, json!({ "InputType": "JSONL" })),
        (get, json!({ "InputType": "MANIFEST" })),
        (get, json!({ "InputType": "PARQUET" })),
        (list, json!({ "Transformation": "NONE" })),
        (list, json!({ "Transformation": "LOAD_AND_FLATTEN", "InputType": "JSON" })),
        (list, json!({ "Transformation": "LOAD_AND_FLATTEN", "InputType": "PARQUET" })),
        ("fluxling:parquet.read", json!({ "InputType": "PARQUET" })),
    ];
    expect![[r#"
        /States/Each/ItemReader/ReaderConfig/InputType: `MANIFEST` runs only in a simulation; give the items as JSON, JSONL or CSV, or write a fluxling that reads it and name its capability, such as `fluxling:manifest.read`
        /States/Each/ItemReader/ReaderConfig/InputType: `PARQUET` runs only in a simulation; give the items as JSON, JSONL or CSV, or write a fluxling that reads it and name its capability, such as `fluxling:parquet.read`
        /States/Each/ItemReader/ReaderConfig/InputType: `PARQUET` runs only in a simulation; give the items as JSON, JSONL or CSV, or write a fluxling that reads it and name its capability, such as `fluxling:parquet.read`
    "#]].assert_eq(&all.map(told).concat());
}

#[test]
fn a_lambda_function_is_invoked_by_a_fluxling() {
    let by_arn = ask("arn:aws:lambda:us-east-1:1:function:f");
    let answered = Ok("Ask", json!({ "sum": 3 }));
    check(
        &by_arn,
        &json!([1, 2]),
        &[answered],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":[1,2]}
          2 <0 TaskStateEntered {"input":[1,2],"name":"Ask"}
          3 <2 LambdaFunctionScheduled {"input":[1,2]}
          ! dispatch Ask {"FunctionName":"arn:aws:lambda:us-east-1:1:function:f","Payload":[1,2]}
          = / awaits task Ask
        > Ok Ask {"sum":3}
          4 <3 LambdaFunctionStarted
          5 <4 LambdaFunctionSucceeded {"output":{"sum":3}}
          6 <5 TaskStateExited {"name":"Ask","output":{"sum":3}}
          7 <6 ExecutionSucceeded {"output":{"sum":3}}
          = / SUCCEEDED {"sum":3}
    "#]],
    );
    let invoke = machine(json!({ "Ask": {
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": { "FunctionName": "f", "Payload": { "x.$": "$" } }, "End": true
    } }));
    let answered = Ok("Ask", json!({ "StatusCode": 200, "Payload": null }));
    check(
        &invoke,
        &json!(7),
        &[answered],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":7}
          2 <0 TaskStateEntered {"input":7,"name":"Ask"}
          3 <2 TaskScheduled {"parameters":{"FunctionName":"f","Payload":{"x":7}}}
          ! dispatch Ask {"FunctionName":"f","Payload":{"x":7}}
          = / awaits task Ask
        > Ok Ask {"StatusCode":200,"Payload":null}
          4 <3 TaskStarted
          5 <4 TaskSubmitted {"output":{"StatusCode":200,"Payload":null}}
          = / awaits task Ask (callback)
    "#]],
    );
}
