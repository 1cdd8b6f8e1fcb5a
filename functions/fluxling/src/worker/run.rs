//! The long-lived loop of the embedded run.

use std::sync::Arc;

use fluxus_queue::bounds::{MAX_RECEIVE, MAX_WAIT};
use fluxus_queue::{Queue, Receive};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use super::intake::Finished;
use super::outage::Outage;
use super::{BatchOutcome, Shift, Worker};
use crate::{Fluxling, Idempotency};

/// Runs a fluxling until `shutdown`; see [`Worker::run`].
pub async fn run(
    fluxling: Fluxling,
    queue: Arc<dyn Queue>,
    idempotency: Arc<dyn Idempotency>,
    shutdown: CancellationToken,
) {
    Worker::new(fluxling, queue, idempotency).run(shutdown).await;
}

impl Worker {
    /// Takes tasks and answers them until `shutdown`, at most the fluxling's concurrency at a time.
    ///
    /// At a shutdown it stops receiving and cancels the tasks' tokens; handlers have a grace period
    /// to come to an end and are answered; the rest is cut off and goes back to the queue at once.
    /// Failures of the queue are logged once and waited out.
    pub async fn run(&self, shutdown: CancellationToken) {
        let shift = Shift::new(self.clone(), shutdown.clone());
        {
            let (done, finished) = mpsc::unbounded_channel();
            let work = async {
                let answer = shift.answer_all(finished, |group| BatchOutcome::log(&group));
                tokio::join!(shift.receive_all(&shutdown, done), answer);
            };
            let time_over = async {
                shutdown.cancelled().await;
                tokio::time::sleep(self.grace).await;
            };
            tokio::select! {
                () = work => {}
                () = shift.holding.keep(self) => {}
                () = time_over => {}
            }
        }
        let failed = shift.give_back().await;
        BatchOutcome { handled: Vec::new(), failed }.log();
    }
}

impl Shift {
    /// Receives up to what is free, again and again, until `shutdown`.
    async fn receive_all(
        &self,
        shutdown: &CancellationToken,
        done: mpsc::UnboundedSender<Finished>,
    ) {
        let worker = &self.worker;
        let mut receiving = Outage::of("receive tasks");
        let mut beginning = Outage::of("begin tasks");
        while let Some(Some(slots)) = shutdown.run_until_cancelled(worker.free_slots()).await {
            let max = slots.num_permits().min(MAX_RECEIVE);
            let request = Receive { max, wait: MAX_WAIT, visibility: worker.visibility };
            let receive = worker.queue.receive(&worker.name, request);
            let Some(received) = shutdown.run_until_cancelled(receive).await else { break };
            let wait = match received {
                Ok(batch) => {
                    receiving.over();
                    if batch.is_empty() {
                        continue;
                    }
                    let begun = self.take_in(batch, Some(slots), done.clone()).await;
                    begun.map(|()| beginning.over()).map_err(|error| beginning.failed(&error)).err()
                }
                Err(error) => Some(receiving.failed(&error)),
            };
            if let Some(wait) = wait {
                shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }
}

impl Worker {
    /// Waits until a task can be taken, and takes every slot that is free then.
    async fn free_slots(&self) -> Option<OwnedSemaphorePermit> {
        let mut slots = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let more = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
        if let Ok(rest) = Arc::clone(&self.slots).try_acquire_many_owned(more) {
            slots.merge(rest);
        }
        Some(slots)
    }
}
