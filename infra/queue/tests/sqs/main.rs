//! The SQS adapter against a server of SQS and S3, and against one that fails in part.

#![cfg(feature = "aws")]
#![allow(clippy::expect_used)]

mod fake;
mod partial;

use std::sync::Arc;
use std::time::Duration;

use fluxus_queue::bounds::{MAX_BODY_BYTES, MAX_RECEIVES};
use fluxus_queue::conformance::{self, Promises, Subject};
use fluxus_queue::sqs::INLINE_BYTES;
use fluxus_queue::sqs_event::SqsEvent;
use fluxus_queue::{Bodies, Outgoing, Queue, QueueName, Receive, S3Bodies, SqsQueue};
use fluxus_test_support::aws::{Aws, aws};
use serde_json::json;

const PREFIX: &str = "fluxus-test-";

const BUCKET: &str = "fluxus-test-bodies";

/// The queues under the prefix, with a bucket for large bodies.
async fn queue(aws: &Aws) -> SqsQueue {
    aws.create_bucket(BUCKET).await.expect("a bucket");
    let bodies: Arc<dyn Bodies> = Arc::new(S3Bodies::new(aws.config(), BUCKET));
    SqsQueue::new(aws.config(), &aws.queue_url_prefix(PREFIX), Some(bodies))
}

async fn create(aws: &Aws, name: &str) -> QueueName {
    let queue = format!("{PREFIX}{name}");
    aws.create_queue(&queue, MAX_RECEIVES).await.expect("a queue");
    QueueName::new(name).expect("a name")
}

fn at_once(max: usize) -> Receive {
    Receive { max, wait: Duration::ZERO, visibility: Duration::from_secs(600) }
}

#[tokio::test]
async fn the_sqs_queue_conforms() {
    let aws = aws().await;
    let queue = queue(&aws).await;
    let promises = Promises {
        granularity: Duration::from_secs(1),
        empty_bodies: false,
        oldest_age: false,
        // `MessageGroupId` makes queues fair, by the age that messages of each group reach.
        fair_at_once: false,
        priorities: false,
        attempts: false,
    };
    let make = || async {
        let (subject, aws) = (Arc::new(queue.clone()) as Arc<dyn Queue>, Arc::clone(&aws));
        Subject::from(subject).promising(promises).creating(move |name| {
            let aws = Arc::clone(&aws);
            Box::pin(async move {
                create(&aws, name.as_str()).await;
            })
        })
    };
    conformance::run(make).await;
}

#[tokio::test]
async fn a_large_body_of_an_event_is_resolved() {
    let aws = aws().await;
    let queue = queue(&aws).await;
    let name = create(&aws, "large").await;
    let large = "x".repeat(MAX_BODY_BYTES);
    for body in [large.as_str(), "\"small\""] {
        queue.send(vec![Outgoing::new(name.clone(), body)]).await.expect("send");
    }

    // As Lambda's event source gets them: without the adapter.
    let without = SqsQueue::new(aws.config(), &aws.queue_url_prefix(PREFIX), None);
    let raw = without.receive(&name, at_once(10)).await.expect("receive");
    assert!(raw.iter().all(|message| message.body.len() < 300), "the body is not in the message");
    let records: Vec<_> = raw
        .iter()
        .map(|one| json!({"messageId": one.id, "receiptHandle": one.receipt, "body": one.body}))
        .collect();
    let event: SqsEvent = serde_json::from_value(json!({"Records": records})).expect("an event");
    let resolved = queue.read_event(event).await;
    assert!(resolved.unresolved.is_empty());
    let mut bodies: Vec<_> = resolved.messages.into_iter().map(|message| message.body).collect();
    bodies.sort_by_key(String::len);
    assert!(bodies[0] == "\"small\"" && bodies[1] == large);
}

#[tokio::test]
async fn a_reference_leads_nowhere_but_to_its_own_body() {
    let aws = aws().await;
    let queue = queue(&aws).await;
    let name = create(&aws, "references").await;
    let bodies = queue.bodies().expect("bodies");
    let mine = bodies.put("mine").await.expect("put");
    let foreign = fluxus_queue::BodyReference { bucket: "others".to_owned(), ..mine.clone() };
    let missing = fluxus_queue::BodyReference::to(BUCKET, "never put");
    for reference in [&foreign, &missing] {
        let error = bodies.get(reference).await.expect_err("no body");
        assert!(!error.is_transient, "{error:?}");
        let text = reference.to_text();
        queue.send(vec![Outgoing::new(name.clone(), text.clone())]).await.expect("send");
        let received = queue.receive(&name, at_once(1)).await.expect("receive");
        assert_eq!(received[0].body, text, "left as it is, for whoever looks at the dead letter");
    }
    assert_eq!(bodies.get(&mine).await.expect("get"), "mine");
}

#[tokio::test]
async fn without_a_bucket_a_large_body_is_an_error_that_names_the_setting() {
    let aws = aws().await;
    let name = create(&aws, "no-bucket").await;
    let queue = SqsQueue::new(aws.config(), &aws.queue_url_prefix(PREFIX), None);
    let send = async |bytes| queue.send(vec![Outgoing::new(name.clone(), "x".repeat(bytes))]).await;
    let error = send(INLINE_BYTES + 1).await.expect_err("too large");
    assert!(error.to_string().contains("FLUXUS_BODY_BUCKET"), "{error}");
    assert!(!error.is_transient());
    send(INLINE_BYTES).await.expect("the bound itself is fine");
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_an_error_for_good() {
    let aws = aws().await;
    let queue = SqsQueue::new(aws.config(), &aws.queue_url_prefix("other-"), None);
    let name = QueueName::new("missing").expect("a name");
    let sent = queue.send(vec![Outgoing::new(name.clone(), "{}")]).await.expect_err("no queue");
    let received = queue.receive(&name, at_once(1)).await.expect_err("no queue");
    for error in [sent, received] {
        assert!(error.to_string().contains("`missing`") && !error.is_transient(), "{error:?}");
    }
}
