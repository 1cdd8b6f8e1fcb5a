//! The worker: from messages on a fluxling's queue to answers on the core's.
//!
//! ```text
//! receive ─► take in: read, one `begin` ─► attempts, side by side ─► answer, in groups:
//!                                                                    one `complete`, one `answer`
//!            keep: visibility, leases, heartbeats
//! ```
//!
//! Answers go out in groups: whatever has finished by the time the group before is sent. So a fast
//! task never waits for a slow one of its batch, and a busy worker still makes a constant number of
//! calls per group.

mod answer;
mod attempt;
mod holding;
mod intake;
mod outage;
mod outcome;
mod run;

use std::sync::Arc;
use std::time::Duration;

use fluxus_queue::bounds::{MAX_RECEIVES, MAX_VISIBILITY};
use fluxus_queue::{Queue, QueueName, Received};
use fluxus_schema::message::CORE_QUEUE;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Clock, Fluxling, Idempotency};
use holding::Holding;

pub use outcome::{BatchOutcome, NotHandled, Reason};
pub use run::run;

/// How long messages stay hidden, and leases hold, unless they are renewed: the time after which
/// another worker takes over from one that died.
const VISIBILITY: Duration = Duration::from_secs(60);

/// The shortest visibility timeout: renewals must come well before it ends.
const MIN_VISIBILITY: Duration = Duration::from_secs(1);

/// How long handlers may go on after a shutdown began: what Kubernetes and systemd allow, with room
/// for the last answers.
const GRACE: Duration = Duration::from_secs(20);

/// Runs a fluxling's tasks. Clones are one worker: they share its concurrency.
#[derive(Clone)]
pub struct Worker {
    fluxling: Arc<Fluxling>,
    queue: Arc<dyn Queue>,
    idempotency: Arc<dyn Idempotency>,
    name: QueueName,
    core: QueueName,
    clock: Clock,
    visibility: Duration,
    grace: Duration,
    max_receives: u32,
    deletes: bool,
    slots: Arc<Semaphore>,
}

impl Worker {
    /// A worker that takes tasks from the fluxling's queue and answers on the core's.
    #[expect(clippy::expect_used, reason = "a constant that the tests check")]
    pub fn new(
        fluxling: Fluxling,
        queue: Arc<dyn Queue>,
        idempotency: Arc<dyn Idempotency>,
    ) -> Self {
        let most = fluxling.max_concurrency().min(Semaphore::MAX_PERMITS);
        Self {
            name: fluxling.queue(),
            core: QueueName::new(CORE_QUEUE).expect("CORE_QUEUE is a queue name"),
            clock: Clock::system(),
            visibility: VISIBILITY,
            grace: GRACE,
            max_receives: MAX_RECEIVES,
            deletes: true,
            slots: Arc::new(Semaphore::new(most)),
            fluxling: Arc::new(fluxling),
            queue,
            idempotency,
        }
    }

    /// Answers on another queue than [`CORE_QUEUE`].
    #[must_use]
    pub fn core_queue(self, core: QueueName) -> Self {
        Self { core, ..self }
    }

    /// Judges deadlines by another clock than the machine's.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Hides messages and holds leases for so long at a time instead of 60 s; 1 s to 12 h. They are
    /// renewed while handlers run. After a crash, tasks are taken over when it is past.
    #[must_use]
    pub fn visibility(self, visibility: Duration) -> Self {
        Self { visibility: visibility.clamp(MIN_VISIBILITY, MAX_VISIBILITY), ..self }
    }

    /// Lets handlers go on for so long after a shutdown began, instead of 20 s.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// How often the queue delivers a message, where that is not [`MAX_RECEIVES`]: the last time, a
    /// task that wants to be retried later is answered as failed.
    #[must_use]
    pub fn max_receives(self, max_receives: u32) -> Self {
        Self { max_receives, ..self }
    }

    /// How long a lease holds: it has ended when the message of a worker that died comes again.
    fn lease(&self) -> Duration {
        self.visibility * 5 / 6
    }

    /// How long the delivery of a task waits that is in progress elsewhere. By the time its receives
    /// are used up the task's time is over too, so that it does not become a dead letter of a task
    /// that is well and alive.
    fn busy_wait(&self) -> Duration {
        let waits = self.max_receives.saturating_sub(2).max(1);
        (self.fluxling.task_timeout() / waits).clamp(self.visibility, MAX_VISIBILITY)
    }

    /// Leaves deleting handled messages to the caller of [`handle_batch`](Self::handle_batch), as on
    /// Lambda, where the service does it.
    #[must_use]
    pub fn leave_deleting(self) -> Self {
        Self { deletes: false, ..self }
    }

    /// Handles messages that the caller received, and returns when all are dealt with: their tasks
    /// done and answered, or left for another delivery.
    pub async fn handle_batch(&self, batch: Vec<Received>) -> BatchOutcome {
        self.handle_batch_until(batch, None).await
    }

    /// Like [`handle_batch`](Self::handle_batch), but stops at `until`: tasks that are not answered
    /// by then are cut off and left for another delivery.
    pub async fn handle_batch_until(
        &self,
        batch: Vec<Received>,
        until: Option<Instant>,
    ) -> BatchOutcome {
        let shift = Shift::new(self.clone(), CancellationToken::new());
        let mut outcome = BatchOutcome::default();
        {
            let (done, finished) = mpsc::unbounded_channel();
            let work = async {
                // Its error is the reason of every message it concerns.
                let _ = shift.take_in(batch, None, done).await;
                shift.answer_all(finished, |group| outcome.extend(group)).await;
            };
            let time_over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = work => {}
                () = shift.holding.keep(self) => {}
                () = time_over => {}
            }
        }
        outcome.failed.extend(shift.give_back().await);
        outcome
    }
}

/// What is in work together: one batch, or everything of one run.
struct Shift {
    worker: Worker,
    /// Asks handlers to stop.
    stop: CancellationToken,
    /// Stops them.
    abort: CancellationToken,
    holding: Arc<Holding>,
    /// Whoever drops the shift midway leaves no handler running.
    _abort: DropGuard,
}

impl Shift {
    fn new(worker: Worker, stop: CancellationToken) -> Self {
        let abort = CancellationToken::new();
        let guard = abort.clone().drop_guard();
        Self { worker, stop, abort, holding: Arc::default(), _abort: guard }
    }

    /// Stops what still runs and frees its messages for others at once.
    async fn give_back(&self) -> Vec<NotHandled> {
        self.abort.cancel();
        let rest = self.holding.take_all();
        if rest.is_empty() {
            return Vec::new();
        }
        let tokens: Vec<_> = rest.iter().map(|held| held.token.clone()).collect();
        let receipts = rest.iter().flat_map(|held| &held.messages);
        let at_once: Vec<_> = receipts.map(|m| (m.receipt.clone(), Duration::ZERO)).collect();
        self.worker.free(&tokens, &at_once).await;
        let messages = rest.into_iter().flat_map(|held| held.messages);
        messages.map(|message| message.not_handled(Reason::CutOff)).collect()
    }
}
