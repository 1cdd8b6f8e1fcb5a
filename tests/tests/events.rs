//! The sample events in `tests/events`: each is one of a function that there is, and those of
//! fluxlings are worked on.

#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fluxling::lambda::{SqsEvent, handle_event};
use fluxling::{MemoryIdempotency, Worker};
use fluxus_queue::{MemoryQueue, Queue, QueueName, Receive};
use fluxus_schema::message::{CORE_QUEUE, CoreMessage};

/// Events of the functions that are not fluxlings; their own tests handle them.
const OTHERS: [&str; 11] = [
    "api",
    "api-iam",
    "core",
    "core-partial",
    "ingest",
    "manifest",
    "migrate",
    "migration",
    "observe",
    "register",
    "sweep",
];

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/events");

/// What the events of fluxlings begin with; the fluxling's name follows.
const FLUXLING: &str = "fluxling-";

fn names() -> BTreeSet<String> {
    let files = std::fs::read_dir(FOLDER).expect("the folder");
    let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
}

#[test]
fn every_event_is_one_of_a_function() {
    let others = names().into_iter().filter(|name| !name.starts_with(FLUXLING));
    assert_eq!(others.collect::<Vec<_>>(), OTHERS);
}

#[tokio::test]
async fn fluxlings_answer_their_sample_events() {
    let names = names();
    for name in names.iter().filter_map(|name| name.strip_prefix(FLUXLING)) {
        let mut all = fluxus_local::builtin(Vec::new(), None).into_iter();
        let short = |one: &fluxling::Fluxling| {
            let whole = one.name().to_string();
            whole.strip_prefix(FLUXLING).unwrap_or(&whole) == name
        };
        let Some(fluxling) = all.find(short) else { continue };
        let text = std::fs::read_to_string(format!("{FOLDER}/{FLUXLING}{name}.json"));
        let event: SqsEvent = serde_json::from_str(&text.expect("a file")).expect("an event");
        let queue = Arc::new(MemoryQueue::new());
        let worker = Worker::new(fluxling, queue.clone(), Arc::new(MemoryIdempotency::default()));
        let response = handle_event(&worker, event, None, None).await;
        assert!(response.batch_item_failures.is_empty(), "{name}");
        let core = QueueName::new(CORE_QUEUE).expect("a name");
        let request = Receive { max: 1, wait: Duration::ZERO, visibility: Duration::ZERO };
        let answers = queue.receive(&core, request).await.expect("receives");
        let answer = answers.first().expect("an answer");
        let answer: CoreMessage = serde_json::from_str(&answer.body).expect("a message");
        // Without a network, or a place to read from, a task fails, and says so.
        let failed = matches!(name, "http" | "items");
        let expected = matches!(answer, CoreMessage::TaskSucceeded { .. });
        assert!(expected || failed, "{name}: {answer:?}");
    }
}
