//! Reads the plans of the hot statements, at the moments when planners go wrong.

use std::time::Duration;

use fluxus_postgres::{Database, Options, Session};

use super::receive::{RECEIVE, RECEIVE_FAIRLY, TAKE, TAKE_FAIRLY};
use super::send::ANSWER;
use super::state::{CHANGE, DELETE};
use super::{PostgresQueue, PostgresQueueOptions};
use crate::{Outgoing, Queue, QueueName};

/// The plans that are kept for any parameters, and those made for these parameters.
const MODES: [&str; 2] = ["force_generic_plan", "force_custom_plan"];

const PREPARE: [(&str, &str); 7] = [
    ("answer (text[], text[], smallint[], text[], bigint[], bigint[], integer[])", ANSWER),
    ("take (text, bigint)", TAKE),
    ("take_fairly (text, bigint, text, integer)", TAKE_FAIRLY),
    ("receive_fairly (text, bigint, text, integer, bigint, integer)", RECEIVE_FAIRLY),
    ("receive (text, bigint, bigint, integer)", RECEIVE),
    ("delete (bigint[], integer[])", DELETE),
    ("change (bigint[], integer[], bigint[])", CHANGE),
];

const EXECUTE: [&str; 7] = [
    "answer ('{core}', '{acme}', '{18}', '{body}', '{0}', ARRAY[1, 2, 3, 4, 5, 6, 7, 8],
             ARRAY[1, 1, 1, 1, 1, 1, 1, 1])",
    "take ('orders', 10)",
    "take_fairly ('orders', 10, '', 32)",
    "receive_fairly ('orders', 10, '', 32, 30000000, 5)",
    "receive ('orders', 10, 30000000, 5)",
    "delete (ARRAY[1, 2, 3, 4, 5, 6, 7, 8], ARRAY[1, 1, 1, 1, 1, 1, 1, 1])",
    "change (ARRAY[1, 2, 3, 4, 5, 6, 7, 8], ARRAY[1, 1, 1, 1, 1, 1, 1, 1],
             ARRAY[0, 0, 0, 0, 0, 0, 0, 0])",
];

async fn plan(session: &Session, execute: &str) -> String {
    let rows = session.query(&format!("EXPLAIN EXECUTE {execute}"), &[]).await.expect("a plan");
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

async fn check(session: &Session, when: &str) {
    for mode in MODES {
        session.batch(&format!("SET plan_cache_mode = {mode}")).await.expect("a setting");
        for execute in EXECUTE {
            let plan = plan(session, execute).await;
            assert!(!plan.contains("Seq Scan on message"), "{when}, {mode}:\n{plan}");
            let by_index = plan.contains("using message_") || plan.contains("on message_");
            assert!(by_index, "{when}, {mode}:\n{plan}");
        }
    }
    session.batch("RESET plan_cache_mode").await.expect("a setting");
}

async fn prepare(session: &Session) {
    for (name, sql) in PREPARE {
        session.batch(&format!("PREPARE {name} AS {sql}")).await.expect("a statement");
    }
}

#[tokio::test]
async fn every_plan_uses_the_indexes_whatever_the_statistics() {
    let test = fluxus_test_support::database().await;
    let database = Database::connect(test.url(), Options::default()).await.expect("a database");
    PostgresQueue::setup(&database).await.expect("tables");
    let session = database.session().await.expect("a session");
    // Statistics are to be as stale as this test wants them.
    let off = "ALTER TABLE fluxus_queue.message SET (autovacuum_enabled = false)";
    session.batch(off).await.expect("a setting");

    prepare(&session).await;
    check(&session, "a new, empty table").await;
    session.batch("VACUUM ANALYZE fluxus_queue.message").await.expect("a vacuum");
    check(&session, "an empty table that was vacuumed").await;

    let options = PostgresQueueOptions::default();
    let queue = PostgresQueue::new(database.clone(), options).await.expect("a queue");
    let name = QueueName::new("orders").expect("a name");
    for _ in 0..5 {
        let message = |at: u32| {
            let outgoing = Outgoing::new(name.clone(), "{\"some\":\"body\"}");
            let delay = Duration::from_secs(u64::from(at % 4));
            outgoing.in_group(format!("tenant {}", at % 8)).delayed(delay)
        };
        queue.send((0..10_000).map(message).collect()).await.expect("send");
    }
    check(&session, "50,000 messages, plans and statistics of an empty table").await;
    for (statement, _) in PREPARE {
        let name = statement.split_once(' ').expect("a name and types").0;
        session.batch(&format!("DEALLOCATE {name}")).await.expect("no plan");
    }
    prepare(&session).await;
    check(&session, "50,000 messages, statistics of an empty table").await;
    session.batch("ANALYZE fluxus_queue.message").await.expect("statistics");
    check(&session, "50,000 messages, fresh statistics").await;
    session.batch("DELETE FROM fluxus_queue.message").await.expect("a deletion");
    session.batch("VACUUM ANALYZE fluxus_queue.message").await.expect("a vacuum");
    check(&session, "all gone").await;
}
