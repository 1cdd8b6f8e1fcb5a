//! Activities: workers outside poll for tasks, and their history is the service's.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use fluxus_local::System;
use futures::future::join_all;
use serde_json::{Value, json};

use support::{Client, database, options};

const ARN: &str = "arn:aws:states:eu-central-1:123456789012:activity:approve";

fn recipe(fields: &Value) -> Value {
    let late = json!([{ "ErrorEquals": ["States.Timeout"], "Next": "Late" }]);
    let mut task = json!({ "Type": "Task", "Resource": ARN, "Catch": late, "End": true });
    task.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let definition = json!({ "StartAt": "Approve", "States": {
        "Approve": task, "Late": { "Type": "Pass", "End": true } } });
    json!({ "definition": definition, "claim_types": ["order.approve"] })
}

async fn history(client: &Client, id: &str) -> Vec<Value> {
    let page = client.get(&format!("claims/{id}/history")).await;
    page["events"].as_array().expect("events").clone()
}

#[tokio::test]
async fn a_worker_polls_and_answers() {
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let client = Client::new(&system);
    client.put("recipes/approval", &recipe(&json!({}))).await;
    assert_eq!(client.poll("approve", "ines", 0).await, None);
    let id = client.submit(&json!({ "type": "order.approve", "body": { "order": 7 } })).await;
    let task = client.poll("approve", "ines", 30).await.expect("a task");
    assert_eq!((&task["input"], &task["state"]), (&json!({ "order": 7 }), &json!("Approve")));
    assert_eq!(client.poll("approve", "jo", 0).await, None, "it is given out once");
    let token = task["token"].as_str().expect("a token");
    let succeed = format!("tasks/{token}/succeed");
    assert_eq!(client.post(&succeed, &json!({ "output": { "by": "ines" } })).await, 202);
    assert_eq!(client.ended(&id).await["output"], json!({ "by": "ines" }));
    let told: Vec<_> = history(&client, &id).await;
    let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = [
        "ClaimEvaluated",
        "ExecutionStarted",
        "TaskStateEntered",
        "ActivityScheduled",
        "ActivityStarted",
        "ActivitySucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(told[4]["activityStartedEventDetails"]["workerName"], "ines");
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn no_task_is_given_to_two_workers() {
    const CLAIMS: usize = 20;
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let client = Client::new(&system);
    client.put("recipes/approval", &recipe(&json!({}))).await;
    let claim = json!({ "type": "order.approve" });
    let ids = join_all((0..CLAIMS).map(|_| client.submit(&claim))).await;
    let polls = join_all((0..CLAIMS).map(|_| client.poll("approve", "one of many", 30))).await;
    let tokens: BTreeSet<_> =
        polls.iter().map(|task| task.as_ref().expect("a task")["token"].to_string()).collect();
    assert_eq!(tokens.len(), CLAIMS);
    for task in polls.into_iter().flatten() {
        let token = task["token"].as_str().expect("a token");
        let fail = format!("tasks/{token}/fail");
        assert_eq!(client.post(&fail, &json!({ "error": "No", "cause": "way" })).await, 202);
    }
    for id in ids {
        let claim = client.ended(&id).await;
        assert_eq!((&claim["status"], &claim["error"]), (&json!("FAILED"), &json!("No")));
    }
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn what_nobody_polls_for_times_out_and_silent_workers_are_noticed() {
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let client = Client::new(&system);
    client.put("recipes/approval", &recipe(&json!({ "TimeoutSeconds": 1 }))).await;
    let claim = json!({ "type": "order.approve" });
    let id = client.submit(&claim).await;
    assert_eq!(client.ended(&id).await["output"]["Error"], "States.Timeout");
    assert_eq!(client.poll("approve", "too late", 0).await, None);
    let scheduled_only = history(&client, &id).await;
    let kind = |kind: &str| scheduled_only.iter().any(|event| event["type"] == kind);
    assert!(kind("ActivityTimedOut") && !kind("ActivityStarted"), "{scheduled_only:?}");

    // The time for heartbeats begins when a worker has the task.
    client.put("recipes/approval", &recipe(&json!({ "HeartbeatSeconds": 1 }))).await;
    let id = client.submit(&claim).await;
    let polled = client.poll("approve", "silent", 5).await;
    assert!(polled.is_some(), "{}", client.get(&format!("claims/{id}/explain")).await);
    assert_eq!(client.ended(&id).await["output"]["Error"], "States.Timeout");
    system.shutdown().await.expect("stops");
}
