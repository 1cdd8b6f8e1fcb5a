//! Executions that tasks start, and wait for.

use fluxus_schema::history::EventKind;
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{ClaimId, ClaimStatus, TaskToken};
use fluxus_store::{Activity, audit};
use serde_json::{Value, json};

use crate::world::{Footing, World, core_queue, failed, last_task, machine, succeeded, task};

/// A task that starts an execution, with further fields.
fn start(pattern: &str, parameters: Value, fields: Value) -> Value {
    let resource = format!("arn:aws:states:::states:startExecution{pattern}");
    task(fields).as_object().map_or(json!(null), |fields| {
        let mut task = fields.clone();
        task.insert("Resource".to_owned(), json!(resource));
        task.insert("Parameters".to_owned(), parameters);
        Value::Object(task)
    })
}

/// A recipe `parent` that starts one of `child`, whose only task asks for `work`.
async fn world(pattern: &str, fields: Value) -> World {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("child", machine(json!({ "Do": last_task() }))).await;
    let parameters = json!({ "StateMachineArn": "child", "Input.$": "$.input" });
    let start = start(pattern, parameters, fields);
    world.recipe("parent", machine(json!({ "Start": start }))).await;
    world
}

async fn submit(world: &World) -> ClaimId {
    let id = world.submit("parent", json!({ "input": { "n": 1 } })).await;
    world.settle().await;
    id
}

/// The one execution that `parent` waits for.
async fn child(world: &World, parent: ClaimId) -> ClaimId {
    let submitted = world.details(parent, EventKind::TaskSubmitted).await;
    let output: Value = serde_json::from_str(submitted[0]["output"].as_str().unwrap()).unwrap();
    output["ExecutionArn"].as_str().unwrap().parse().unwrap()
}

async fn answer(world: &World, with: impl Fn(&TaskToken) -> CoreMessage) {
    for task in world.tasks("work").await {
        world.send(&with(&task.token)).await;
    }
    world.settle().await;
}

/// Nobody works on the tasks that are on the fluxlings' queues.
async fn sound(world: &World) {
    assert_eq!(audit(&world.store, Activity::UnderWay).await.unwrap(), vec![]);
    assert_eq!(world.queued(&["core"]).await, 0);
}

#[tokio::test]
async fn the_end_of_an_execution_is_the_result_of_the_task_that_started_it() {
    let world = world(".sync:2", json!({ "End": true })).await;
    let parent = submit(&world).await;
    let child = child(&world, parent).await;
    let claim = world.claim(child).await;
    assert_eq!(claim.parent, Some(parent));
    assert_eq!((claim.claim_type.as_str(), claim.body), ("execution", json!({ "n": 1 })));
    sound(&world).await;
    answer(&world, |token| succeeded(token, json!({ "done": true }))).await;
    assert_eq!(world.status(parent).await, "SUCCEEDED");
    let mut output = world.claim(parent).await.output.unwrap();
    for date in ["StartDate", "StopDate"] {
        assert!(output[date].as_i64().is_some_and(|ms| ms > 1_600_000_000_000), "{output}");
        output.as_object_mut().unwrap().shift_remove(date);
    }
    let expected = json!({
        "ExecutionArn": child, "Input": { "n": 1 }, "InputDetails": { "Included": true },
        "Name": child, "Output": { "done": true }, "OutputDetails": { "Included": true },
        "StateMachineArn": "child:1", "Status": "SUCCEEDED"
    });
    assert_eq!(output, expected);
    sound(&world).await;
}

#[tokio::test]
async fn without_a_version_input_and_output_are_texts() {
    let world = world(".sync", json!({ "End": true })).await;
    let parent = submit(&world).await;
    answer(&world, |token| succeeded(token, json!([1]))).await;
    let output = world.claim(parent).await.output.unwrap();
    assert_eq!((&output["Input"], &output["Output"]), (&json!(r#"{"n":1}"#), &json!("[1]")));
}

#[tokio::test]
async fn a_failed_execution_fails_its_task_with_its_description() {
    let world = world(".sync", json!({ "End": true })).await;
    let parent = submit(&world).await;
    let child = child(&world, parent).await;
    answer(&world, |token| failed(token, "Broken")).await;
    assert_eq!(world.status(child).await, "FAILED Broken");
    let claim = world.claim(parent).await;
    assert_eq!(claim.error.as_deref(), Some("States.TaskFailed"));
    let cause: Value = serde_json::from_str(&claim.cause.unwrap()).unwrap();
    assert_eq!((&cause["Error"], &cause["Cause"]), (&json!("Broken"), &json!("because")));
    assert_eq!((&cause["Status"], &cause["Input"]), (&json!("FAILED"), &json!(r#"{"n":1}"#)));
    sound(&world).await;
}

#[tokio::test]
async fn one_that_is_not_waited_for_goes_on_by_itself() {
    let world = world("", json!({ "End": true })).await;
    let parent = submit(&world).await;
    assert_eq!(world.status(parent).await, "SUCCEEDED");
    let output = world.claim(parent).await.output.unwrap();
    let child: ClaimId = output["ExecutionArn"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.status(child).await, "RUNNING");
    assert_eq!(world.total("waiter").await, 0);
    answer(&world, |token| succeeded(token, json!(1))).await;
    assert_eq!(world.status(child).await, "SUCCEEDED");
    sound(&world).await;
}

#[tokio::test]
async fn an_execution_can_call_back() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("child", machine(json!({ "Do": last_task() }))).await;
    let parameters = json!({ "StateMachineArn": "child", "Input": { "token.$": "$$.Task.Token" } });
    let start = start(".waitForTaskToken", parameters, json!({ "End": true }));
    world.recipe("parent", machine(json!({ "Start": start }))).await;
    let parent = submit(&world).await;
    let task = world.tasks("work").await.remove(0);
    let token = TaskToken::from_text(task.input["token"].as_str().unwrap());
    world.send(&succeeded(&task.token, json!(1))).await;
    world.settle().await;
    assert_eq!(world.status(parent).await, "RUNNING", "the end of the execution is no callback");
    world.send(&succeeded(&token, json!("called"))).await;
    world.settle().await;
    assert_eq!(world.claim(parent).await.output, Some(json!("called")));
}

#[tokio::test]
async fn stopping_the_one_that_waits_stops_the_one_it_waits_for() {
    let world = world(".sync", json!({ "End": true })).await;
    let parent = submit(&world).await;
    let child = child(&world, parent).await;
    let stopped = CoreMessage::Stopped {
        claim_id: parent,
        status: ClaimStatus::Aborted,
        error: None,
        cause: None,
        redrive_count: None,
    };
    world.send(&stopped).await;
    world.settle().await;
    assert_eq!(world.status(parent).await, "ABORTED");
    assert_eq!(world.status(child).await, "ABORTED");
    assert!(world.claim(child).await.cause.unwrap().contains(&parent.to_string()));
    sound(&world).await;
}

#[tokio::test]
async fn a_failed_sibling_stops_the_execution_that_a_branch_waits_for() {
    let world = World::new(Footing::Joined, &["work", "break"]).await;
    world.recipe("child", machine(json!({ "Do": last_task() }))).await;
    let waits = start(".sync", json!({ "StateMachineArn": "child" }), json!({ "End": true }));
    let breaks = json!({ "Type": "Task", "Resource": "fluxling:break", "End": true });
    let both = json!({ "Type": "Parallel", "End": true, "Branches": [
        machine(json!({ "Waits": waits })), machine(json!({ "Breaks": breaks }))
    ] });
    world.recipe("parent", machine(json!({ "Both": both }))).await;
    let parent = submit(&world).await;
    let child = child(&world, parent).await;
    let task = world.tasks("break").await.remove(0);
    world.send(&failed(&task.token, "Broken")).await;
    world.settle().await;
    assert_eq!(world.status(parent).await, "FAILED Broken");
    assert_eq!(world.status(child).await, "ABORTED");
    sound(&world).await;
}

#[tokio::test]
async fn the_time_of_a_task_leaves_its_execution_running() {
    let world = world(".sync", json!({ "End": true, "TimeoutSeconds": 1 })).await;
    let parent = submit(&world).await;
    let child = child(&world, parent).await;
    world.sweep_timer().await;
    world.settle().await;
    assert_eq!(world.status(parent).await, "FAILED States.Timeout");
    assert_eq!(world.status(child).await, "RUNNING");
    answer(&world, |token| succeeded(token, json!(1))).await;
    assert_eq!(world.status(child).await, "SUCCEEDED");
    assert_eq!(world.total("waiter").await, 0);
    sound(&world).await;
}

#[tokio::test]
async fn a_name_that_is_taken_stands_for_the_same_execution() {
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("child", machine(json!({ "Do": last_task() }))).await;
    let parameters = json!({ "StateMachineArn": "child", "Name": "one", "Input.$": "$.input" });
    let start = start(".sync", parameters, json!({ "End": true }));
    world.recipe("parent", machine(json!({ "Start": start }))).await;
    let first = submit(&world).await;
    let same = submit(&world).await;
    let other = world.submit("parent", json!({ "input": { "n": 2 } })).await;
    world.settle().await;
    const TAKEN: &str = "FAILED StepFunctions.ExecutionAlreadyExistsException";
    assert_eq!(world.status(other).await, TAKEN);
    assert_eq!(child(&world, first).await, child(&world, same).await);
    assert_eq!(world.tasks("work").await.len(), 1, "one execution");
    let child = child(&world, first).await;
    let stopped = CoreMessage::Stopped {
        claim_id: child,
        status: ClaimStatus::Aborted,
        error: Some("Enough".to_owned()),
        cause: None,
        redrive_count: None,
    };
    world.send(&stopped).await;
    world.settle().await;
    for parent in [first, same] {
        assert_eq!(world.status(parent).await, "FAILED States.TaskFailed");
    }
    assert_eq!(world.status(submit(&world).await).await, TAKEN, "also after its end");
    let submit_failed = world.details(other, EventKind::TaskSubmitFailed).await;
    assert_eq!(submit_failed.len(), 1);
    sound(&world).await;
}

#[tokio::test]
async fn a_recipe_that_does_not_exist_fails_the_task() {
    let world = World::new(Footing::Joined, &[]).await;
    for (pattern, event) in [("", EventKind::TaskFailed), (".sync", EventKind::TaskSubmitFailed)] {
        let parameters = json!({ "StateMachineArn": "nobody:7" });
        let start = start(pattern, parameters, json!({ "End": true }));
        world.recipe("parent", machine(json!({ "Start": start }))).await;
        let parent = submit(&world).await;
        assert_eq!(
            world.status(parent).await,
            "FAILED StepFunctions.StateMachineDoesNotExistException"
        );
        assert_eq!(world.details(parent, event).await.len(), 1);
    }
    sound(&world).await;
}

#[tokio::test]
async fn a_recipe_that_waits_for_itself_comes_to_an_end() {
    let world = World::new(Footing::Joined, &[]).await;
    let start = start(".sync", json!({ "StateMachineArn": "parent" }), json!({ "End": true }));
    world.recipe("parent", machine(json!({ "Start": start }))).await;
    let parent = submit(&world).await;
    assert_eq!(world.status(parent).await, "FAILED States.TaskFailed");
    let cause = world.claim(parent).await.cause.unwrap();
    assert!(cause.contains("States.TaskFailed"), "{cause}");
    assert_eq!(world.total("claim").await, 33);
    sound(&world).await;
}

#[tokio::test]
async fn many_executions_cost_as_many_statements_as_one() {
    let mut costs = Vec::new();
    for n in [1, 100] {
        let world = world(".sync", json!({ "End": true })).await;
        submit(&world).await;
        world.tasks("work").await;
        for _ in 0..n {
            world.submit("parent", json!({ "input": {} })).await;
        }
        let mut cost = Vec::new();
        // The parents begin, then their executions; those are answered, then the parents.
        for round in 0..4 {
            if round == 2 {
                for task in world.tasks("work").await {
                    world.send(&succeeded(&task.token, json!(1))).await;
                }
            }
            let batch = world.receive(&core_queue(), 1_000).await;
            assert_eq!(batch.len(), n, "in round {round}");
            let before = world.database.statements_sent();
            assert_eq!(world.handle(batch).await.failed, vec![]);
            cost.push(world.database.statements_sent() - before);
        }
        costs.push(cost);
    }
    // The picture of the fluxlings is looked at anew every half second, whoever comes by.
    const LOOK: u64 = 4;
    for (one, many) in costs[0].iter().zip(&costs[1]) {
        assert!(*many <= one + LOOK && *one <= many + LOOK && *one < 25, "{costs:?}");
    }
}
