//! What the observer sees of a real database.

#![allow(clippy::expect_used)]

use std::sync::Arc;

use fluxus_observe::Observer;
use fluxus_postgres::{Database, Options};
use fluxus_queue::{MIGRATION, MemoryQueue, Outgoing, PostgresQueue, Queue, QueueName};
use fluxus_schema::message::CORE_QUEUE;
use fluxus_store::{ASKING, MIGRATIONS, Store};
use fluxus_test_support::{TestDatabase, template_name};
use serde_json::json;

async fn database() -> TestDatabase {
    let texts: Vec<&str> = MIGRATIONS.iter().map(|(_, sql)| *sql).chain([MIGRATION]).collect();
    let migrate = |url: String| async move {
        let database = Database::connect(&url, Options::default()).await?;
        Store::new(database.clone()).migrate().await?;
        PostgresQueue::setup(&database).await?;
        database.close().await;
        Ok(())
    };
    TestDatabase::new(&template_name("observe", &texts), migrate).await
}

#[tokio::test]
async fn what_is_open_stuck_and_queued_is_seen() {
    let test = database().await;
    let options = Options { settings: ASKING, ..Options::ONE };
    let database = Database::connect(test.url(), options).await.expect("a database");
    let store = Store::new(database.clone());
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new());
    let observer = Observer::new(store, queue.clone());

    // The schedule's event holds nothing that matters; that it is JSON is all there is to it.
    let path = format!("{}/../../tests/events/observe.json", env!("CARGO_MANIFEST_DIR"));
    let event = std::fs::read_to_string(path).expect("a file");
    serde_json::from_str::<serde_json::Value>(&event).expect("JSON");

    let seen = observer.observe().await.expect("sees");
    assert_eq!(json!(seen.claims_open), json!({ "RECEIVED": 0, "RUNNING": 0 }));
    assert_eq!((seen.stuck_claims, seen.kept_house), (0, true));
    assert_eq!(json!(seen.queues_ready), json!({ "core": 0, "ingest": 0 }));

    let session = database.session().await.expect("a session");
    session
        .batch(
            "INSERT INTO claim (claim_id, tenant, claim_type, body, status, priority, seed,
                                attributes, received_at)
             SELECT gen_random_uuid(), 'default', 'order', '{}', 'RECEIVED', 0, decode(repeat('00', 16), 'hex'), '{}',
                    now() - minutes * interval '1 minute' FROM unnest(ARRAY[1, 10]) AS minutes;
             INSERT INTO timer (claim_id, timer_key, tenant, due_at, queue, body)
             SELECT gen_random_uuid(), 'x', 'default', now() - interval '1 hour', 'core', '{}'",
        )
        .await
        .expect("claims");
    drop(session);
    let core = QueueName::new(CORE_QUEUE).expect("a name");
    queue.send(vec![Outgoing::new(core, "{}")]).await.expect("sends");
    let seen = observer.observe().await.expect("sees");
    assert_eq!(seen.claims_open["RECEIVED"], 2);
    assert_eq!((seen.stuck_claims, seen.timers_due), (2, 1));
    assert_eq!(seen.queues_ready["core"], 1);
    assert!(!seen.kept_house, "once an hour");
}
