//! Requests that succeed for some of their entries.

use std::error::Error;
use std::sync::Mutex;
use std::time::Duration;

use fluxus_queue::{Outgoing, Queue, QueueError, QueueName, Receipt, SqsQueue};
use serde_json::{Value, json};

use super::fake::{Answer, Fake, fake};

fn name() -> QueueName {
    QueueName::new("core").expect("a name")
}

fn messages(bodies: impl IntoIterator<Item = String>) -> Vec<Outgoing> {
    bodies.into_iter().map(|body| Outgoing::new(name(), body)).collect()
}

fn failed(id: &str, code: &str, is_sender_fault: bool) -> Value {
    json!({"Id": id, "Code": code, "Message": "says the test", "SenderFault": is_sender_fault})
}

/// Answers a batch: each entry is done, or fails as `judge` says.
fn judged(request: &Value, judge: impl Fn(&Value) -> Option<Value>) -> Answer {
    let entries = request["Entries"].as_array().expect("entries");
    let failed: Vec<Value> = entries.iter().filter_map(judge).collect();
    let is_done = |entry: &&Value| !failed.iter().any(|one| one["Id"] == entry["Id"]);
    let done: Vec<Value> = entries
        .iter()
        .filter(is_done)
        .map(|one| json!({"Id": one["Id"], "MessageId": one["Id"], "MD5OfMessageBody": ""}))
        .collect();
    (200, json!({"Successful": done, "Failed": failed}))
}

/// The bodies of each request that was made.
fn asked(fake: &Fake) -> Vec<Vec<String>> {
    let asked = fake.asked.lock().expect("no panic");
    let body = |entry: &Value| entry["MessageBody"].as_str().unwrap_or_default().to_owned();
    let bodies = |request: &Value| {
        request["Entries"].as_array().expect("entries").iter().map(body).collect()
    };
    asked.iter().map(bodies).collect()
}

fn queue(fake: &Fake) -> SqsQueue {
    SqsQueue::new(&fake.config, &fake.url, None)
}

fn cause(error: &QueueError) -> String {
    error.source().expect("a cause").to_string()
}

#[tokio::test]
async fn what_fails_by_no_fault_of_its_own_is_sent_again_alone() {
    let first = Mutex::new(true);
    let fake = fake(move |request| {
        let is_first = std::mem::take(&mut *first.lock().expect("no panic"));
        judged(request, |entry| {
            let unlucky = is_first && entry["MessageBody"] == "b";
            unlucky
                .then(|| failed(entry["Id"].as_str().unwrap_or_default(), "InternalError", false))
        })
    });
    let fake = fake.await;
    queue(&fake).send(messages(["a", "b", "c"].map(String::from))).await.expect("send");
    assert_eq!(asked(&fake), [vec!["a", "b", "c"], vec!["b"]]);
}

#[tokio::test]
async fn a_refused_message_is_named_and_not_sent_again() {
    let fake = fake(|request| {
        judged(request, |entry| {
            let bad = entry["MessageBody"] == "b";
            let id = entry["Id"].as_str().unwrap_or_default();
            bad.then(|| failed(id, "InvalidMessageContents", true))
        })
    });
    let fake = fake.await;
    let error = queue(&fake).send(messages(["a", "b", "c"].map(String::from))).await;
    let error = error.expect_err("refused");
    assert_eq!(error.to_string(), "cannot send 1 of 3 messages (#2) to `core`");
    assert_eq!(cause(&error), "InvalidMessageContents: says the test");
    assert!(!error.is_transient());
    assert_eq!(asked(&fake).len(), 1);
}

#[tokio::test]
async fn what_goes_on_failing_ends_as_a_transient_error() {
    let fake = fake(|request| {
        judged(request, |entry| {
            let unlucky = entry["MessageBody"] == "b";
            unlucky
                .then(|| failed(entry["Id"].as_str().unwrap_or_default(), "InternalError", false))
        })
    });
    let fake = fake.await;
    let error = queue(&fake).send(messages(["a", "b"].map(String::from))).await;
    let error = error.expect_err("fails");
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(asked(&fake), [vec!["a", "b"], vec!["b"], vec!["b"], vec!["b"]]);
}

#[tokio::test]
async fn batches_keep_the_limits_of_a_request() {
    let fake = fake(|request| judged(request, |_| None)).await;
    let large = (0..3).map(|_| "x".repeat(400_000));
    let small = (0..25).map(|n| n.to_string());
    queue(&fake).send(messages(large.chain(small))).await.expect("send");
    let asked = asked(&fake);
    assert_eq!(asked.iter().map(Vec::len).sum::<usize>(), 28);
    for request in &asked {
        let bytes: usize = request.iter().map(String::len).sum();
        assert!(request.len() <= 10 && bytes <= 1024 * 1024, "{} {bytes}", request.len());
    }
    assert_eq!(asked.len(), 4, "2 large, 1 large and 9, 10, 6");
}

#[tokio::test]
async fn groups_and_delays_go_along() {
    let fake = fake(|request| judged(request, |_| None)).await;
    let message = Outgoing::new(name(), "{}").in_group("acme").delayed(Duration::from_millis(1200));
    queue(&fake).send(vec![message]).await.expect("send");
    let asked = fake.asked.lock().expect("no panic");
    let entry =
        json!({"Id": "0", "MessageBody": "{}", "DelaySeconds": 2, "MessageGroupId": "acme"});
    assert_eq!(asked[0]["Entries"], json!([entry]));
    assert_eq!(asked[0]["QueueUrl"], format!("{}core", fake.url));
}

#[tokio::test]
async fn void_receipts_are_passed_over_and_others_tried_again() {
    let first = Mutex::new(true);
    let fake = fake(move |request| {
        let is_first = std::mem::take(&mut *first.lock().expect("no panic"));
        judged(request, |entry| {
            let id = entry["Id"].as_str().unwrap_or_default();
            match entry["ReceiptHandle"].as_str() {
                Some("void") => Some(failed(id, "ReceiptHandleIsInvalid", true)),
                Some("unlucky") if is_first => Some(failed(id, "InternalError", false)),
                _ => None,
            }
        })
    });
    let fake = fake.await;
    let receipts = ["good", "void", "unlucky"].map(|text| Receipt(text.to_owned()));
    queue(&fake).delete(&name(), &receipts).await.expect("delete");
    let asked = fake.asked.lock().expect("no panic");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1]["Entries"], json!([{"Id": "2", "ReceiptHandle": "unlucky"}]));
}

#[tokio::test]
async fn what_a_request_failed_of_tells_whether_to_try_again() {
    for (status, code, is_transient) in [
        (400, "AccessDenied", false),
        (400, "QueueDoesNotExist", false),
        (400, "RequestThrottled", true),
        (400, "KmsThrottled", true),
        (500, "InternalFailure", true),
        (503, "ServiceUnavailable", true),
        (502, "", true),
    ] {
        let kind = format!("com.amazonaws.sqs#{code}");
        let fake = fake(move |_| match code {
            "" => (status, json!({})),
            _ => (status, json!({"__type": kind, "message": "says the test"})),
        });
        let fake = fake.await;
        let error = queue(&fake).send(messages(["a".to_owned()])).await.expect_err("refused");
        assert_eq!(error.is_transient(), is_transient, "{code}: {error:?}");
        assert_eq!(asked(&fake).len(), 1);
    }
}
