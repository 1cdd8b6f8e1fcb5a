//! The core as a Lambda function: the sample events, and what happens when time runs out.

use std::time::{Duration, SystemTime};

use fluxus_core::lambda::{Function, SqsEvent, handle_batch};
use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, Options};
use fluxus_schema::message::CoreMessage;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::world::{Footing, World, core_queue, last_task, machine, task};

/// The time that an invocation has.
const TIME: Duration = Duration::from_secs(30);

/// As SQS gives it to a function.
fn record(id: &str, body: &str) -> Value {
    json!({
        "messageId": id, "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a", "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185"
        },
        "messageAttributes": {}, "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs", "awsRegion": "us-east-2",
        "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:fluxus-core"
    })
}

fn batch(records: &[Value]) -> SqsEvent {
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

fn sample(name: &str) -> Value {
    let path = format!("{}/../../tests/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn event(payload: Value) -> LambdaEvent<Value> {
    let mut context = Context::default();
    let end = SystemTime::now() + TIME;
    let since = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    context.deadline = u64::try_from(since.as_millis()).unwrap();
    LambdaEvent::new(payload, context)
}

fn function(world: &World) -> Function {
    Function::of(world.store.clone(), world.core.clone())
}

#[tokio::test]
async fn only_what_cannot_be_handled_comes_again() {
    let world = World::new(Footing::Scheduled, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let claim_id = world.submit("order", json!({})).await;
    world.receive(&core_queue(), 10).await;
    let good = serde_json::to_string(&CoreMessage::ClaimSubmitted { claim_id }).unwrap();
    let event = batch(&[record("a", &good), record("b", "garbage"), record("c", &good)]);
    let response = handle_batch(&world.core, event, None, Instant::now() + TIME).await;
    assert_eq!(json!(response), json!({ "batchItemFailures": [{ "itemIdentifier": "b" }] }));
    assert_eq!(world.status(claim_id).await, "RUNNING");
    assert_eq!((world.tasks("work").await.len(), world.total("outbox").await), (1, 0));
}

#[tokio::test]
async fn what_is_not_done_in_time_comes_again() {
    let world = World::new(Footing::Scheduled, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let claim_id = world.submit("order", json!({})).await;
    let good = serde_json::to_string(&CoreMessage::ClaimSubmitted { claim_id }).unwrap();
    let event = batch(&[record("a", &good), record("b", "garbage")]);

    // Somebody else holds the claim for as long as the function has.
    let others = Database::connect(world.database.url(), Options::ONE).await.unwrap();
    let mut session = others.session().await.unwrap();
    let tx = session.begin().await.unwrap();
    let lock = "SELECT FROM claim WHERE claim_id = $1 FOR UPDATE";
    tx.query(lock, &[(&claim_id.0, Type::UUID)]).await.unwrap();
    let until = Instant::now() + Duration::from_millis(200);
    let response = handle_batch(&world.core, event.clone(), None, until).await;
    let mut failed: Vec<_> =
        response.batch_item_failures.iter().map(|one| one.item_identifier.as_str()).collect();
    failed.sort_unstable();
    assert_eq!(failed, ["a", "b"]);
    assert!(until.elapsed() < TIME, "cut off, not waited for");
    tx.rollback().await.unwrap();

    // Nothing of it was done, and the one connection is good for the next invocation.
    assert_eq!(world.status(claim_id).await, "RECEIVED");
    let response = handle_batch(&world.core, event.clone(), None, Instant::now() + TIME).await;
    assert_eq!(response.batch_item_failures.len(), 1);
    assert_eq!(world.status(claim_id).await, "RUNNING");

    // Where no time is left, nothing is begun.
    let response = handle_batch(&world.core, event, None, Instant::now()).await;
    assert_eq!(response.batch_item_failures.len(), 2);
}

#[tokio::test]
async fn what_a_dead_process_left_in_the_outbox_is_sent_with_the_next_batch() {
    let world = World::new(Footing::Scheduled, &["work"]).await;
    let claim_id = world.submit("order", json!({})).await;
    let died = async |age: &str| {
        let sql = format!(
            "INSERT INTO outbox (tenant, claim_id, queue, body, delay_ms, created_at)
             VALUES ('default', $1, 'work', '{{}}', 0, now() - interval '{age}')"
        );
        let session = world.database.session().await.unwrap();
        session.query(&sql, &[(&claim_id.0, Type::UUID)]).await.unwrap();
    };
    let invoked = async || {
        let nothing = handle_batch(&world.core, batch(&[]), None, Instant::now() + TIME).await;
        assert_eq!(nothing.batch_item_failures.len(), 0);
        (world.queued(&["work"]).await, world.total("outbox").await)
    };
    died("1 minute").await;
    // Its sender may be about to send it.
    died("1 second").await;
    assert_eq!(invoked().await, (1, 1));
    // This process looked a moment ago.
    died("1 minute").await;
    assert_eq!(invoked().await, (1, 2));
}

#[tokio::test]
async fn the_sample_events_are_handled() {
    let world = World::new(Footing::Scheduled, &["work"]).await;
    let function = function(&world);
    let answer = async |name: &str| function.handle(event(sample(name))).await.unwrap();
    assert_eq!(answer("core").await, json!({ "batchItemFailures": [] }));
    let partial = answer("core-partial").await;
    assert_eq!(partial["batchItemFailures"].as_array().unwrap().len(), 1);
    let swept = answer("sweep").await;
    assert_eq!(swept, json!({ "timers": 0, "outbox": 0, "dead_letters": 0, "unserved": 0 }));
    assert_eq!(answer("migrate").await, json!({ "applied": [] }));
    let recipe = |changed| json!([{ "name": "greet", "version": 1, "changed": changed }]);
    for changed in [true, false] {
        let registered = answer("register").await;
        let expected = json!({ "fluxlings": 1, "recipes": recipe(changed), "faults": [] });
        assert_eq!(registered, expected);
    }
    let error = function.handle(event(json!({ "what": "ever" }))).await.unwrap_err();
    assert!(error.to_string().contains("migrate"), "{error}");
}

#[tokio::test]
async fn with_a_fault_nothing_is_registered() {
    let world = World::new(Footing::Scheduled, &[]).await;
    let mut wanted = sample("register");
    wanted["register"]["fluxlings"][0]["concurrency"] = json!(0);
    wanted["register"]["recipes"][0]["definition"]["StartAt"] = json!("Nowhere");
    let answer = function(&world).handle(event(wanted)).await.unwrap();
    let faults: Vec<_> =
        answer["faults"].as_array().unwrap().iter().map(|f| f["pointer"].clone()).collect();
    assert!(faults.contains(&json!("/fluxlings/0/concurrency")), "{faults:?}");
    assert!(faults.iter().any(|at| at.as_str().unwrap().starts_with("/recipes/0/definition")));
    assert_eq!((answer["fluxlings"].clone(), world.total("fluxling").await), (json!(0), 0));
}

/// The endpoint that a stack waits at: the next request to it, answered with 200.
async fn answered(listener: TcpListener) -> (String, Value) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = Vec::new();
    loop {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await.unwrap();
        text.extend_from_slice(&some[..n]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let Ok(body) = serde_json::from_str(body) else { continue };
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        return (head.to_ascii_lowercase(), body);
    }
}

/// What a stack is answered to its request.
async fn stack(function: &Function, kind: &str) -> (String, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut request = sample("migration");
    request["RequestType"] = json!(kind);
    request["ResponseURL"] = json!(format!("http://{}/x?sig", listener.local_addr().unwrap()));
    let (answer, seen) = tokio::join!(function.handle(event(request)), answered(listener));
    assert_eq!(answer.unwrap(), seen.1);
    seen
}

#[tokio::test]
async fn a_stack_is_answered_in_any_case() {
    let world = World::new(Footing::Scheduled, &[]).await;
    let working = function(&world);
    let (head, answer) = stack(&working, "Create").await;
    assert!(
        head.starts_with("put /x?sig http/1.1") && head.contains("content-type: \r\n"),
        "{head}"
    );
    assert_eq!(answer["Status"], "SUCCESS");
    assert_eq!(answer["LogicalResourceId"], "Migration");
    assert_eq!(stack(&working, "Delete").await.1["Status"], "SUCCESS");

    // Edited afterwards: the migration fails, and the stack learns why.
    let session = world.database.session().await.unwrap();
    session.batch("UPDATE fluxus_migration SET checksum = '1' WHERE version = 1").await.unwrap();
    drop(session);
    let (_, answer) = stack(&working, "Update").await;
    assert_eq!(answer["Status"], "FAILED");
    assert!(answer["Reason"].as_str().unwrap().contains("migrate"), "{answer}");
    assert_eq!(answer["PhysicalResourceId"], "fluxus-migration");
}

#[tokio::test]
async fn a_stack_learns_what_is_wrong_with_the_environment() {
    let (_, answer) = stack(&Function::from_env(), "Create").await;
    assert_eq!(answer["Status"], "FAILED");
    assert!(answer["Reason"].as_str().unwrap().contains("FLUXUS_DATABASE_URL"), "{answer}");
}

#[tokio::test]
async fn a_schedule_sends_timers_ahead() {
    let world = World::new(Footing::Scheduled, &["work"]).await;
    // A minute: nearer than two sweeps. Five: a row. Half an hour: further than a message reaches.
    let soon = task(json!({ "TimeoutSeconds": 60, "End": true }));
    let later = task(json!({ "TimeoutSeconds": 300, "End": true }));
    let wait = json!({ "Type": "Wait", "Seconds": 1800, "End": true });
    for (name, state) in [("soon", soon), ("later", later), ("wait", wait)] {
        world.recipe(name, machine(json!({ "Do": state }))).await;
        let id = world.submit(name, json!({})).await;
        world.settle().await;
        assert_eq!(world.count("timer", id).await, i64::from(name != "soon"), "{name}");
    }
    let delayed = async || world.queue.depth(&[core_queue()]).await.unwrap()[0].delayed;
    assert_eq!(delayed().await, 1, "the deadline rides on a message");
    let swept = world.core.sweep_until(Instant::now() + TIME).await.unwrap();
    assert_eq!(swept.timers, 0, "nothing is due before the next sweep but one");

    let session = world.database.session().await.unwrap();
    let sooner = "UPDATE timer SET due_at = now() + interval '70 seconds'";
    assert_eq!(session.execute(sooner, &[]).await.unwrap(), 2);
    drop(session);
    let swept = world.core.sweep_until(Instant::now() + TIME).await.unwrap();
    assert_eq!((swept.timers, world.total("timer").await), (2, 0));
    assert_eq!((delayed().await, world.queued(&["core"]).await), (3, 3), "sent with the rest");
}
