//! `fluxus dev` as a process: the examples over HTTP, `kill -9` at any moment, and how it ends; and
//! its parts as processes of their own.

// Helpers of tests may fail loudly, wherever they stand.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod client;
mod examples;
mod killed;
mod load;
mod parts;
mod process;
mod stopped;

use std::time::Duration;

use fluxus_store::{Activity, Database, Store, audit};

use process::EVERY;

/// How long the last messages may be on their way once all claims have ended.
const CALM: Duration = Duration::from_secs(15);

/// The store in a database, to audit it.
async fn store(url: &str) -> Store {
    let options = fluxus_postgres::Options { max_connections: 1, ..Default::default() };
    Store::new(Database::connect(url, options).await.expect("connects"))
}

/// What is wrong at this moment.
async fn violations(store: &Store, activity: Activity) -> Vec<String> {
    let found = audit(store, activity).await.expect("audits");
    found.iter().map(ToString::to_string).collect()
}

/// Waits until nothing is under way any more, and expects all to be sound then.
async fn expect_sound(store: &Store) {
    let mut found = Vec::new();
    let drained = async {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            found = violations(store, Activity::Drained).await;
            if found.is_empty() {
                return;
            }
        }
    };
    // What is only on its way is gone soon; what is broken stays.
    if tokio::time::timeout(CALM, drained).await.is_err() {
        panic!("{} violations:\n{}", found.len(), found.join("\n"));
    }
}
