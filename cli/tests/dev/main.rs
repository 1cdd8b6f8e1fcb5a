//! `fluxus dev` as a process: the examples over HTTP, `kill -9` at any moment, and how it ends.

// Helpers of tests may fail loudly, wherever they stand.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod client;
mod examples;
mod killed;
mod load;
mod process;
mod stopped;

use std::time::Duration;

use fluxus_store::{Activity, Database, Store, audit};

use process::{EVERY, PATIENCE};

/// What is wrong with a database at this moment.
async fn violations(url: &str, activity: Activity) -> Vec<String> {
    let options = fluxus_postgres::Options { max_connections: 1, ..Default::default() };
    let database = Database::connect(url, options).await.expect("connects");
    let found = audit(&Store::new(database.clone()), activity).await.expect("audits");
    database.close().await;
    found.iter().map(ToString::to_string).collect()
}

/// Waits until nothing is under way any more, and expects all to be sound then.
async fn expect_sound(url: &str) {
    let mut found = Vec::new();
    let drained = async {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            found = violations(url, Activity::Drained).await;
            if found.is_empty() {
                return;
            }
        }
    };
    // What is only on its way is gone soon; what is broken stays.
    if tokio::time::timeout(PATIENCE.min(Duration::from_secs(15)), drained).await.is_err() {
        panic!("{} violations:\n{}", found.len(), found.join("\n"));
    }
}
