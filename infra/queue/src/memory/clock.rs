//! The time by which a [`MemoryQueue`](super::MemoryQueue) lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// A clock that runs by itself, or one that a test moves.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Kind>);

#[derive(Debug)]
struct Kind {
    /// The moment of a manual clock, or of the start of the machine's; microseconds since 1970.
    at_us: AtomicI64,
    /// When the machine's clock was read, from where it runs on steadily; none if manual.
    since: Option<Instant>,
    moved: Notify,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(micros(now), Some(Instant::now()))
    }

    /// A clock that stands at so many milliseconds since 1970 until it is moved.
    pub fn manual(at_ms: i64) -> Self {
        Self::at(at_ms.saturating_mul(1000), None)
    }

    /// Moves a manual clock and wakes who waits for it. The machine's clock is not impressed.
    pub fn advance(&self, by: Duration) {
        if self.0.since.is_none() {
            self.0.at_us.fetch_add(micros(by), Ordering::SeqCst);
            self.0.moved.notify_waiters();
        }
    }

    /// The time in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_us() / 1000
    }

    pub(super) fn now_us(&self) -> i64 {
        let at = self.0.at_us.load(Ordering::SeqCst);
        self.0.since.map_or(at, |since| at + micros(since.elapsed()))
    }

    /// Resolves when a manual clock is moved.
    pub(super) fn moved(&self) -> Notified<'_> {
        self.0.moved.notified()
    }

    /// Resolves at that time by the machine's clock; never by a manual one.
    pub(super) async fn sleep_until(&self, at_us: i64) {
        if self.0.since.is_none() {
            return std::future::pending().await;
        }
        let left = u64::try_from(at_us - self.now_us()).unwrap_or_default();
        tokio::time::sleep(Duration::from_micros(left)).await;
    }

    fn at(at_us: i64, since: Option<Instant>) -> Self {
        Self(Arc::new(Kind { at_us: AtomicI64::new(at_us), since, moved: Notify::new() }))
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
