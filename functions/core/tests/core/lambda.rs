//! The core as a Lambda function on SQS.

use fluxus_core::lambda::{SqsEvent, handle_batch};
use fluxus_schema::message::CoreMessage;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{Footing, World, core_queue, last_task, machine};

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

#[tokio::test]
async fn only_what_cannot_be_handled_comes_again() {
    let world = World::new(Footing::Relayed, &["work"]).await;
    world.recipe("order", machine(json!({ "Do": last_task() }))).await;
    let claim_id = world.submit("order", json!({})).await;
    world.receive(&core_queue(), 10).await;
    let good = serde_json::to_string(&CoreMessage::ClaimSubmitted { claim_id }).unwrap();
    let records = [record("a", &good), record("b", "garbage"), record("c", &good)];
    let event: SqsEvent = serde_json::from_value(json!({ "Records": records })).unwrap();
    let response = handle_batch(&world.core, event, Instant::now() + TIME).await;
    assert_eq!(json!(response), json!({ "batchItemFailures": [{ "itemIdentifier": "b" }] }));
    assert_eq!(world.status(claim_id).await, "RUNNING");
    assert_eq!((world.tasks("work").await.len(), world.total("outbox").await), (1, 0));
}
