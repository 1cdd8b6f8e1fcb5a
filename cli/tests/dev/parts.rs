//! `fluxus serve`: the parts as processes of their own.

use std::process::ExitStatus;

use fluxus_store::Activity;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::client::{Client, claim};
use crate::process::{Dev, PATIENCE, command};
use crate::{expect_sound, store, violations};

/// A part that is ready, and the line in which it said so.
async fn start(database_url: &str, part: &str) -> (Child, String) {
    let args = ["serve", part, "--listen", "127.0.0.1:0", "--database-url", database_url];
    let mut child = command(&args).spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("it starts in time");
    let line = line.expect("a line").expect("it does not end before it is ready");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, line)
}

async fn terminate(mut child: Child) -> ExitStatus {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill runs");
    assert!(sent.success());
    timeout(PATIENCE, child.wait()).await.expect("it ends in time").expect("waits")
}

#[tokio::test]
async fn the_parts_make_up_the_system_from_processes_of_their_own() {
    let database = fluxus_test_support::database().await;
    // Makes the tables, and puts the examples, which `serve` leaves to those who own the system.
    Dev::on(database.url(), &[]).await.interrupt().await;
    let (api, ready) = start(database.url(), "api").await;
    assert!(ready.starts_with("Ready after") && ready.contains("api; REST at http://"), "{ready}");
    let url = ready.rsplit(' ').next().expect("a URL").to_owned();
    let client = Client::new(&url);
    let submitted = client.try_submit(&claim("order-saga", |_| {}), "early").await;
    let (early, _) = submitted.expect("an answer");
    let (core, ready) = start(database.url(), "core").await;
    assert!(ready.ends_with("core"), "{ready}");
    let (other_core, _) = start(database.url(), "core").await;
    let (fluxlings, _) = start(database.url(), "fluxlings").await;
    let ended = |claim: &serde_json::Value| claim["ended_at"].is_string().then(|| claim.clone());
    let early = client.until(&format!("claims/{early}"), ended).await;
    assert_eq!(early["status"], "SUCCEEDED", "{early}");
    // Whoever waits at the API is told by a core that is another process.
    let claim = client.fulfil(&claim("order-saga", |_| {})).await;
    assert_eq!(claim["status"], "SUCCEEDED", "{claim}");
    expect_sound(&store(database.url()).await).await;
    for part in [core, other_core, fluxlings, api] {
        assert_eq!(terminate(part).await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_part_that_starts_takes_nothing_from_others_that_live() {
    let database = fluxus_test_support::database().await;
    Dev::on(database.url(), &[]).await.interrupt().await;
    let (core, _) = start(database.url(), "core").await;
    let store = store(database.url()).await;
    let session = store.session().await.expect("a session");
    // As after a restart of Postgres, which ends all sessions and with them their locks.
    let lost = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    session.batch(lost).await.expect("ends them");
    let held = "SELECT count(*) FROM pg_locks
                 WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let again = async {
        let mut looks = tokio::time::interval(crate::process::EVERY);
        loop {
            looks.tick().await;
            let rows = session.query(held, &[]).await.expect("answers");
            if rows[0].get::<_, i64>(0) == 1 {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("it announces itself again");
    drop(session);
    assert_eq!(terminate(core).await.code(), Some(0));
    assert_eq!(violations(&store, Activity::UnderWay).await.join("\n"), "");
}

#[tokio::test]
async fn tables_that_are_too_old_are_not_worked_on() {
    let database = fluxus_test_support::database().await;
    let serve = command(&["serve", "core", "--database-url", database.url()]).output();
    let output = timeout(PATIENCE, serve).await.expect("it ends in time").expect("runs");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("fluxus migrate"), "{told}");
}
