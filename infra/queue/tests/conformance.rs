//! The adapters that need no service pass the one suite; `tests/sqs` runs it for the other.

#![cfg(feature = "postgres")]
#![allow(clippy::expect_used)]

mod support;

use std::sync::Arc;

use fluxus_queue::{MemoryQueue, PostgresQueueOptions, Queue, conformance};

#[tokio::test]
async fn the_memory_queue_conforms() {
    conformance::run(|| async { Arc::new(MemoryQueue::new()) as Arc<dyn Queue> }).await;
}

#[tokio::test]
async fn the_postgres_queue_conforms() {
    let (_test, queue, _database) = support::queue().await;
    conformance::run(|| async { Arc::new(queue.clone()) as Arc<dyn Queue> }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postgres_queue_conforms_on_many_threads_without_notify() {
    let options = PostgresQueueOptions { notify: false, ..PostgresQueueOptions::default() };
    let (_test, queue, _database) = support::queue_with(options).await;
    conformance::run(|| async { Arc::new(queue.clone()) as Arc<dyn Queue> }).await;
}
