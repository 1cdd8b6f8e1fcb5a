//! Every function under AWS's runtime interface emulator, with the sample events of `tests/events`.
//!
//! The functions are those of `template.yaml`, as `cargo build --features aws` makes them; what they
//! ask of AWS goes to ministack. Of each it is held that it answers as it should, what it leaves in
//! its queues, and that it writes its metrics in CloudWatch's embedded format.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod events;
mod fluxlings;
mod footing;
mod outside;
mod story;

use std::path::PathBuf;
use std::time::Duration;

use fluxus_queue::{Queue, QueueName, Receive, Received};
use footing::{Footing, Running, build, functions};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Messages of one batch here: more than any test leaves.
const MANY: usize = 10;

/// Where a function is built; all of them are, once.
async fn bootstrap(binary: &str) -> PathBuf {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let built = BUILT.get_or_init(|| async { build(&functions().unwrap(), "dev").await.unwrap() });
    built.await.join(binary)
}

impl Footing {
    /// Starts a function in its dev build.
    async fn run(&self, id: &str, binary: &str, further: &[(&str, &str)]) -> Running {
        self.start(&bootstrap(binary).await, id, further).await.unwrap()
    }

    async fn core(&self) -> Running {
        self.run("CoreFunction", "fluxus-core", &[]).await
    }

    /// Makes the tables.
    async fn migrated() -> Self {
        let footing = Self::new().await.unwrap();
        let applied = footing.core().await.invoke(&sample("migrate")).await.unwrap();
        assert!(!applied["applied"].as_array().unwrap().is_empty(), "{applied}");
        footing
    }

    /// What is in a queue, taken out of it.
    async fn take(&self, name: &str) -> Vec<Received> {
        let (queue, name) = (self.queue(), QueueName::new(name).unwrap());
        let request =
            Receive { max: MANY, wait: Duration::ZERO, visibility: Duration::from_secs(60) };
        let mut taken = Vec::new();
        loop {
            let received = queue.receive(&name, request).await.unwrap();
            if received.is_empty() {
                return taken;
            }
            let receipts = received.iter().map(|one| one.receipt.clone()).collect::<Vec<_>>();
            queue.delete(&name, &receipts).await.unwrap();
            taken.extend(received);
        }
    }

    /// What is in a queue, as Lambda hands it to the queue's function.
    async fn batch(&self, name: &str) -> Value {
        let record = |one: Received| {
            json!({
                "messageId": one.id.0, "receiptHandle": one.receipt.0, "body": one.body,
                "attributes": { "ApproximateReceiveCount": one.receive_count.to_string(),
                                "SentTimestamp": one.sent_at_ms.to_string() },
                "eventSource": "aws:sqs"
            })
        };
        let records: Vec<_> = self.take(name).await.into_iter().map(record).collect();
        assert!(!records.is_empty(), "there is nothing in `{name}`");
        json!({ "Records": records })
    }
}

impl Running {
    /// Invokes it with a batch, all of which it deals with.
    async fn works_on(&self, batch: &Value) {
        assert_eq!(self.answer(batch).await, json!({ "batchItemFailures": [] }));
    }

    async fn answer(&self, event: &Value) -> Value {
        let answer = self.invoke(event).await.unwrap();
        assert!(answer.get("errorMessage").is_none(), "{answer}\n{}", self.said().unwrap());
        answer
    }

    /// Holds that it has written these metrics, each with its stack.
    fn has_told(&self, metrics: &[&str]) {
        let said = self.said().unwrap();
        let told: Vec<Value> = said
            .lines()
            .filter(|line| line.starts_with("{\"_aws\""))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for metric in metrics {
            let document = told.iter().find(|one| one.get(metric).is_some());
            let document = document.unwrap_or_else(|| panic!("no {metric} in:\n{said}"));
            assert_eq!(document["Stack"], "fluxus-rie");
            let about = &document["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(about["Namespace"], "Fluxus");
            let mut names = about["Metrics"].as_array().unwrap().iter();
            assert!(names.any(|one| one["Name"] == **metric), "{document}");
        }
    }
}

/// A sample event.
fn sample(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}
