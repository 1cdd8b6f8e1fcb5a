//! The orchestrator as a long-lived process: workers that take batches, and the sweep beside them.

use std::time::Duration;

use fluxus_queue::{PostgresQueue, Receive};
use fluxus_store::Outbound;
use rand::Rng as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Core;
use crate::batch::Next;
use crate::clock;
use crate::error::chain;

/// Most messages that a batch takes from the table, and as many that were handed over; of answers given
/// in this process the last group is not divided. Larger ones save little and hold their locks longer.
pub(crate) const MAX_BATCH: usize = 500;

/// How long a receive waits for the first message. A message wakes it at once.
const WAIT: Duration = Duration::from_secs(20);

/// How long a batch may take before its messages come again: far more than a batch takes.
const VISIBILITY: Duration = Duration::from_secs(15);

/// Longest time between two sweeps. Timers that are due earlier are swept when they are due.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Shortest time between two sweeps, so that many timers in a row share one.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// How often history partitions and old records are looked after.
const HOUSE_EVERY: Duration = Duration::from_secs(3600);

/// How often bodies of messages that are gone are deleted.
const BODIES_EVERY: Duration = Duration::from_secs(60);

/// Pause after a failed receive or sweep; jitter keeps processes apart.
const BACKOFF: Duration = Duration::from_millis(500);

/// Failures in a row that are worth a line in the log: a deadlock, or a connection that was lost, is
/// over by then.
const PERSISTENT: u32 = 3;

/// Runs `workers` workers and the sweep until `shutdown`, and returns once all batches that were
/// taken are dealt with.
pub async fn run(core: Core, workers: usize, shutdown: CancellationToken) {
    let mut tasks = JoinSet::new();
    for _ in 0..workers.max(1) {
        tasks.spawn(work(core.clone(), shutdown.clone()));
    }
    tasks.spawn(sweep(core.clone(), shutdown));
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a worker of the core ended badly");
        }
    }
    // What was handed over and not taken any more is there for other processes at once.
    if let Outbound::Joined(queue) = core.outbound()
        && let Err(error) = queue.give_back(Some(core.core_queue())).await
    {
        tracing::warn!(error = chain(&error), "some messages wait for their visibility timeout");
    }
}

async fn work(core: Core, shutdown: CancellationToken) {
    match core.outbound().clone() {
        Outbound::Joined(queue) => work_joined(&core, &queue, &shutdown).await,
        Outbound::Relayed { .. } => {
            while !shutdown.is_cancelled() {
                receive(&core, WAIT, &shutdown).await;
            }
        }
    }
}

/// The queue is in the same database, so a batch is taken in the transaction that deals with it.
async fn work_joined(core: &Core, queue: &PostgresQueue, shutdown: &CancellationToken) {
    let mut failures: u32 = 0;
    let _takes = queue.takes(core.core_queue());
    while !shutdown.is_cancelled() {
        let next = core.handle_next(queue, MAX_BATCH, VISIBILITY).await;
        failures = if next.is_ok() { 0 } else { failures.saturating_add(1) };
        match next {
            Ok(Next::Handled) => {}
            Ok(Next::Nothing) => {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = queue.idle(core.core_queue()) => {}
                }
            }
            // To receive the messages would count against them, and an outage of a minute would make
            // dead letters of them all.
            Err(error) if error.is_outage() => {
                if failures == PERSISTENT {
                    tracing::warn!(error = chain(&error), "cannot handle messages; trying on");
                }
                if failures > 1 {
                    pause(backoff(), shutdown).await;
                }
            }
            // Somebody was quicker. What was at hand is not any more, so those branches are read now;
            // and where others at hand were stale too, all of them.
            Err(error) if error.is_conflict() && failures < PERSISTENT => {
                if failures > 1 {
                    core.forget_at_hand();
                }
            }
            Err(error) => {
                tracing::debug!(error = chain(&error), "receiving the batch that failed");
                // What was handed over in this process has to be received as well.
                if let Err(error) = queue.give_back(Some(core.core_queue())).await {
                    tracing::warn!(error = chain(&error), "cannot give a batch back");
                }
                receive(core, Duration::ZERO, shutdown).await;
            }
        }
    }
}

/// Receives one batch and deals with it.
async fn receive(core: &Core, wait: Duration, shutdown: &CancellationToken) {
    let queue = core.outbound().queue();
    let request = Receive { max: MAX_BATCH, wait, visibility: VISIBILITY };
    let received = tokio::select! {
        () = shutdown.cancelled() => return,
        received = queue.receive(core.core_queue(), request) => received,
    };
    match received {
        Ok(batch) if batch.is_empty() => {}
        Ok(batch) => {
            let handled = core.handle(batch).await;
            // Kept for whoever looks at the dead letter that comes of it, in the end.
            if !handled.failed.is_empty()
                && let Err(error) = queue.note_failures(core.core_queue(), &handled.failed).await
            {
                tracing::debug!(error = chain(&error), "cannot note why messages failed");
            }
            if !handled.deleted
                && let Err(error) = queue.delete(core.core_queue(), &handled.done).await
            {
                tracing::warn!(error = chain(&error), "handled messages will come again");
            }
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot receive; trying again");
            pause(backoff(), shutdown).await;
        }
    }
}

async fn sweep(core: Core, shutdown: CancellationToken) {
    let mut house_at = tokio::time::Instant::now();
    let mut bodies_at = house_at;
    while !shutdown.is_cancelled() {
        if tokio::time::Instant::now() >= house_at {
            match core.keep_house().await {
                Ok(()) => house_at += HOUSE_EVERY,
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "cannot make history partitions, or forget old tasks"
                    );
                }
            }
        }
        if let Outbound::Joined(queue) = core.outbound()
            && tokio::time::Instant::now() >= bodies_at
        {
            bodies_at += BODIES_EVERY;
            if let Err(error) = queue.purge_bodies().await {
                tracing::warn!(error = chain(&error), "cannot delete bodies of messages");
            }
        }
        let next = match core.sweep().await {
            Ok(swept) if swept.is_full() => Duration::ZERO,
            Ok(swept) => {
                let until = swept.next_due.map(|due| due.since(clock::now()));
                until.unwrap_or(SWEEP_EVERY).clamp(SWEEP_PAUSE, SWEEP_EVERY)
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "cannot sweep; trying again");
                backoff()
            }
        };
        pause(next, &shutdown).await;
    }
}

fn backoff() -> Duration {
    BACKOFF.mul_f64(rand::rng().random_range(0.5..1.5))
}

async fn pause(time: Duration, shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}
