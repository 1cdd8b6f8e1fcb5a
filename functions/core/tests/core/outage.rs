//! A database that fails for a while: nobody's message is at fault.

use std::time::Duration;

use fluxus_core::worker;
use serde_json::json;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::world::{Footing, World, last_task, machine};

/// Failures of an outage: more than a message is received before it is a dead letter.
const FAILURES: i64 = 6;

/// How long anything may take, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_for_long_makes_no_dead_letters() {
    // A sequence counts also what is rolled back.
    const FILL: &str = "CREATE SEQUENCE failures;
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM nextval('failures');
            RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
        END $$;
        CREATE TRIGGER fail BEFORE INSERT ON branch FOR EACH STATEMENT EXECUTE FUNCTION fail()";
    const FAILED: &str = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM failures";
    const RECEIVED: &str = "SELECT coalesce(max(receive_count), -1)::bigint
          FROM fluxus_queue.message WHERE queue = 'core'";
    let world = World::new(Footing::Joined, &["work"]).await;
    world.recipe("order", machine(json!({ "Work": last_task() }))).await;
    let session = world.database.session().await.unwrap();
    session.batch(FILL).await.unwrap();
    let claim = world.submit("order", json!(1)).await;
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(worker::run(world.core.clone(), 2, shutdown.clone()));
    let mut looks = interval(Duration::from_millis(20));
    let failed = async {
        while session.query(FAILED, &[]).await.unwrap()[0].get::<_, i64>(0) < FAILURES {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, failed).await.expect("it is tried again and again");
    let received: i64 = session.query(RECEIVED, &[]).await.unwrap()[0].get(0);
    assert_eq!(received, 0, "its tries count against the message");
    session.batch("DROP TRIGGER fail ON branch").await.unwrap();
    let went_on = async {
        while world.tasks("work").await.is_empty() {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, went_on).await.expect("it goes on when there is room again");
    assert_eq!(world.status(claim).await, "RUNNING");
    shutdown.cancel();
    working.await.unwrap();
}
