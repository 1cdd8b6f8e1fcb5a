//! The record in DynamoDB, and a fluxling on SQS and DynamoDB, against a server of both.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use fluxling::idempotency::conformance;
use fluxling::lambda::{SqsEvent, handle_event};
use fluxling::{Begin, DynamoIdempotency, Fluxling, Idempotency, Task, Worker};
use fluxus_queue::bounds::MAX_RECEIVES;
use fluxus_queue::{Bodies, Outgoing, Queue, QueueName, Receive, S3Bodies, SqsQueue};
use fluxus_schema::message::CORE_QUEUE;
use fluxus_schema::{Json, TaskToken};
use fluxus_test_support::aws::{Aws, aws};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A record in a table of its own, with a bucket for large outcomes.
async fn record(aws: &Aws, name: &str) -> DynamoIdempotency {
    aws.create_table(name, "token", "expires_at").await.unwrap();
    let bucket = format!("{name}-bodies");
    aws.create_bucket(&bucket).await.unwrap();
    let bodies: Arc<dyn Bodies> = Arc::new(S3Bodies::new(aws.config(), &bucket));
    DynamoIdempotency::new(aws.config(), name, Some(bodies))
}

#[tokio::test]
async fn the_dynamodb_record_conforms() {
    let aws = aws().await;
    conformance::check(&record(&aws, "conforms").await, "run").await;
}

#[tokio::test]
async fn a_large_outcome_is_kept_beside_the_table() {
    let aws = aws().await;
    let record = record(&aws, "large").await;
    let token = [TaskToken::from_text("large")];
    let outcome = Json::new(json!({"output": "ü".repeat(300_000)}));
    assert_eq!(record.begin(&token, HOUR).await.unwrap(), [Begin::New]);
    record.complete(&[(token[0].clone(), Arc::clone(&outcome))]).await.unwrap();
    record.complete(&[(token[0].clone(), Json::default())]).await.unwrap();
    record.release(&token).await.unwrap();
    assert!(record.begin(&token, HOUR).await.unwrap() == [Begin::Done(outcome.clone())]);

    let without = DynamoIdempotency::new(aws.config(), "large", None);
    let other = [(TaskToken::from_text("other"), outcome)];
    let error = without.complete(&other).await.unwrap_err();
    assert!(error.source.to_string().contains("FLUXUS_BODY_BUCKET"), "{error:?}");
}

#[tokio::test]
async fn a_batch_larger_than_what_is_written_at_a_time_keeps_its_order() {
    let aws = aws().await;
    let record = record(&aws, "many").await;
    let tokens: Vec<_> = (0..100).map(|n| TaskToken::from_text(&format!("t{n}"))).collect();
    let held: Vec<_> = tokens.iter().step_by(2).cloned().collect();
    record.begin(&held, HOUR).await.unwrap();
    let begun = record.begin(&tokens, HOUR).await.unwrap();
    let want = [Begin::InProgress, Begin::New];
    assert!(begun.iter().zip(want.iter().cycle()).all(|(got, want)| got == want));
}

#[tokio::test]
async fn an_error_names_what_was_done_and_why_not() {
    let aws = aws().await;
    let record = DynamoIdempotency::new(aws.config(), "no-such-table", None);
    let error = record.begin(&[TaskToken::from_text("a")], HOUR).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot begin tasks in the idempotency record");
}

/// Queues of their own, with a bucket for large bodies: the adapter with it and without.
async fn queues(aws: &Aws, prefix: &str, fluxling: &Fluxling) -> [SqsQueue; 2] {
    for name in [CORE_QUEUE, fluxling.queue().as_str()] {
        aws.create_queue(&format!("{prefix}{name}"), MAX_RECEIVES).await.unwrap();
    }
    let bucket = format!("{prefix}bodies");
    aws.create_bucket(&bucket).await.unwrap();
    let bodies: Arc<dyn Bodies> = Arc::new(S3Bodies::new(aws.config(), &bucket));
    let url = aws.queue_url_prefix(prefix);
    [Some(bodies), None].map(|bodies| SqsQueue::new(aws.config(), &url, bodies))
}

async fn take(queue: &SqsQueue, name: &QueueName) -> Vec<Value> {
    let request = Receive { max: 10, wait: Duration::ZERO, visibility: Duration::from_secs(60) };
    let received = queue.receive(name, request).await.unwrap();
    let receipts: Vec<_> = received.iter().map(|one| one.receipt.clone()).collect();
    queue.delete(name, &receipts).await.unwrap();
    let record = |one: fluxus_queue::Received| json!({"messageId": one.id, "receiptHandle": one.receipt, "body": one.body});
    received.into_iter().map(record).collect()
}

fn task(token: &str, input: &Value) -> String {
    let task = json!({
        "token": token, "capability": "text.length", "input": input, "tenant": "default",
        "claim_id": "01890a5d-ac96-774b-bcce-b302099a8057", "recipe": "length", "state": "Length",
        "attempt": 0, "scheduled_at": "2026-11-23T16:25:00.500Z",
    });
    task.to_string()
}

#[tokio::test]
async fn a_batch_of_lambda_is_answered_once_and_replayed_after() {
    let aws = aws().await;
    for (is_idempotent, runs) in [(false, 1), (true, 2)] {
        let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let length = move |task: Task<String>| {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move { Ok(task.input.len()) }
        };
        let fluxling = Fluxling::new("text").capability("text.length", length);
        let fluxling = fluxling.idempotent(is_idempotent);
        let prefix = format!("replayed-{is_idempotent}-");
        let [queue, raw] = queues(&aws, &prefix, &fluxling).await;
        // An idempotent fluxling never asks: its table need not be there.
        let record: Arc<dyn Idempotency> = match is_idempotent {
            false => Arc::new(record(&aws, "replayed").await),
            true => Arc::new(DynamoIdempotency::new(aws.config(), "no-such-table", None)),
        };
        let name = fluxling.queue();
        let core = QueueName::new(CORE_QUEUE).unwrap();
        let worker = Worker::new(fluxling, Arc::new(queue.clone()), record);
        let bodies = queue.bodies();

        let text = "x".repeat(2_000_000);
        let message = Outgoing::new(name.clone(), task("token-1", &json!(text)));
        queue.send(vec![message]).await.unwrap();
        // As the event source hands it over: with the reference.
        let records = take(&raw, &name).await;
        assert!(records[0].to_string().len() < 1000);
        for _ in 0..2 {
            let event: SqsEvent = serde_json::from_value(json!({"Records": records})).unwrap();
            let response = handle_event(&worker, event, bodies.as_deref(), None).await;
            assert_eq!(response.batch_item_failures, []);
            let answers = take(&queue, &core).await;
            let answer: Value = serde_json::from_str(answers[0]["body"].as_str().unwrap()).unwrap();
            assert_eq!(answer["output"], 2_000_000);
        }
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), runs);
    }
}
