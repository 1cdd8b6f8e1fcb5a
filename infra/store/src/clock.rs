//! The time that all processes agree on: the database's.
//!
//! Timers, leases and deadlines are set by one process and judged by another. If each went by the
//! clock of its own machine, a wait would last as much longer as two clocks differ, a lease would
//! never end, and a task would be dropped as late that had just begun. So every process that works
//! on a database learns how far its own clock is from the database's ([`agree`]), and tells the time
//! by that ([`now`]). In between it goes by its own clock, which costs no statement.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fluxus_postgres::Database;
use fluxus_schema::Timestamp;
use tokio::time::MissedTickBehavior;

use crate::columns::Columns;
use crate::connection::Connection;
use crate::error::StoreError;

/// How far the database's clock is ahead of this process's, in milliseconds. One for the process, as
/// its clock is.
static AHEAD_MS: AtomicI64 = AtomicI64::new(0);

/// Differences up to this are left alone: they are as likely the network's as the clocks', and a
/// time that moves back and forth serves nobody.
const TOLERATED_MS: i64 = 100;

/// How often a process that lives long looks: a clock that is set is noticed before a timer is late.
const AGREE_EVERY: Duration = Duration::from_secs(1);

/// The time.
pub fn now() -> Timestamp {
    Timestamp::from_millis(own_ms().saturating_add(AHEAD_MS.load(Ordering::Relaxed)))
}

/// Asks the database for its time and goes by it from now on. One statement; do it at the start, and
/// every second or so while the process lives: clocks drift, and are set.
///
/// # Errors
/// [`StoreError`]; what was agreed on before holds on.
pub async fn agree(on: &impl Connection) -> Result<(), StoreError> {
    const ASK: &str = "-- ask for the time\nSELECT clock_timestamp() AS now";
    let (sent, sent_ms) = (Instant::now(), own_ms());
    let rows = on.query(ASK, &[]).await?;
    let took_ms = i64::try_from(sent.elapsed().as_millis()).unwrap_or(i64::MAX);
    let Some(row) = rows.first() else { return Ok(()) };
    let theirs_ms = Columns::new(row, "clock", &[]).timestamp("now")?.as_millis();
    let known_ms = AHEAD_MS.load(Ordering::Relaxed);
    if let Some(ahead_ms) = corrected(known_ms, sent_ms, took_ms, theirs_ms) {
        tracing::info!(ahead_ms, "the database's clock is ahead of this process's; it is gone by");
        AHEAD_MS.store(ahead_ms, Ordering::Relaxed);
    }
    Ok(())
}

/// Agrees again and again, for a process that lives long. Ends with the task it runs in.
pub async fn keep(database: Database) {
    let mut again = tokio::time::interval(AGREE_EVERY);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        again.tick().await;
        let agreed = async { agree(&database.session().await?).await };
        if let Err(error) = agreed.await {
            tracing::debug!(%error, "cannot ask the database for the time; going by what is known");
        }
    }
}

/// How far the other clock is ahead, if that is news: it was read at some moment of a question that
/// was sent at `sent_ms` and took so long.
fn corrected(known_ms: i64, sent_ms: i64, took_ms: i64, theirs_ms: i64) -> Option<i64> {
    let ahead_ms = theirs_ms.saturating_sub(sent_ms.saturating_add(took_ms / 2));
    let error_ms = took_ms / 2 + TOLERATED_MS;
    (ahead_ms.saturating_sub(known_ms).saturating_abs() > error_ms).then_some(ahead_ms)
}

fn own_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_corrected_by_what_the_question_cannot_explain() {
        // Equal clocks: the answer was given half-way.
        assert_eq!(corrected(0, 1_000, 40, 1_020), None);
        // A slow answer may be of any moment.
        assert_eq!(corrected(0, 1_000, 3_000, 1_000), None);
        assert_eq!(corrected(0, 1_000, 3_000, 3_900), None);
        // Minutes are not the network's.
        assert_eq!(corrected(0, 1_000, 40, 181_020), Some(180_000));
        assert_eq!(corrected(180_000, 2_000, 40, 182_025), None);
        // And when the clock is set right, that is noticed too.
        assert_eq!(corrected(180_000, 182_000, 0, 182_000), Some(0));
    }
}
