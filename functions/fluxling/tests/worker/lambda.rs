//! The Lambda entry, with an event as SQS hands it over.

use fluxling::lambda::{SqsEvent, handle_event};
use fluxling::{Fluxling, Task};
use serde_json::json;

use crate::support::{Bench, failed, succeeded};

/// The event of the AWS Lambda developer guide ("Using Lambda with Amazon SQS"), with bodies of ours.
const EVENT: &str = include_str!("recorded/sqs_event.json");

fn event() -> SqsEvent {
    serde_json::from_str(EVENT).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_answered_and_what_failed_is_reported() {
    let double = |task: Task<i64>| async move { Ok(task.input * 2) };
    let bench = Bench::new(Fluxling::new("math").capability("math.double", double));
    let response = handle_event(&bench.worker, event(), None, None).await;
    let want = json!({"batchItemFailures": [
        {"itemIdentifier": "2e1424d4-f796-459a-8184-9c92662be6da"},
    ]});
    assert_eq!(serde_json::to_value(response).unwrap(), want);
    let cause = "the input: invalid type: string \"x\", expected i64";
    let want = [succeeded("token-1", json!(42)), failed("token-3", "Fluxling.InvalidInput", cause)];
    assert_eq!(bench.answers().await, want);
    assert_eq!(bench.calls.take(), "begin 1, complete 1, send 1", "the service deletes");
}

#[test]
fn an_event_becomes_messages() {
    let messages: Vec<fluxus_queue::Received> =
        event().records.into_iter().map(Into::into).collect();
    assert_eq!(messages[1].id.0, "2e1424d4-f796-459a-8184-9c92662be6da");
    assert_eq!((messages[1].receive_count, messages[1].sent_at_ms), (3, 1_545_082_650_636));
    assert_eq!(messages[1].receipt.0, "AQEBzWwaftRI0KuVm4tP+/7q1rGgNqicHq...");
}
