//! Retention in a long-lived process: once an hour what is too old goes.

use std::time::Duration;

use anyhow::anyhow;
use fluxling::Clock;
use fluxus_schema::Timestamp;
use fluxus_store::{Retention, Store};
use tokio_util::sync::CancellationToken;

/// How often it is looked for what is too old: it goes by days.
const EVERY: Duration = Duration::from_secs(3600);

/// Most claims that go at a time, so that a shutdown need not wait for long.
const AT_ONCE: usize = 5_000;

/// Deletes what ended longer ago than `age`, until `stop`.
pub(crate) async fn run(store: &Store, age: Duration, stop: &CancellationToken) {
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    while !stop.is_cancelled() {
        let now = Clock::system().now();
        let older_than = Timestamp::from_millis(now.as_millis().saturating_sub(age_ms));
        let retention = Retention { older_than, dry_run: false, at_most: AT_ONCE };
        let pause = match store.retire(now, retention).await {
            Ok(retired) if retired.more => Duration::ZERO,
            Ok(_) => EVERY,
            Err(error) => {
                tracing::warn!("cannot delete what is too old: {:#}", anyhow!(error));
                EVERY
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
