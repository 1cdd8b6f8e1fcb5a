//! Waking receivers: those of this process directly, those of others by `NOTIFY`.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fluxus_postgres::{Database, DatabaseError, Listener, Notification};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::QueueName;

/// How long a waiting receiver goes without looking, whatever it hears: the bound on the delay when
/// a notification is lost, or a transaction that held a message was rolled back.
pub(super) const FALLBACK_POLL: Duration = Duration::from_secs(5);

/// The least time between two `NOTIFY`s of one process. A `NOTIFY` costs a commit and wakes every
/// process; nobody notices five milliseconds.
const NOTIFY_PAUSE: Duration = Duration::from_millis(5);

/// One channel for all queues: a payload names the queue and who sent it.
const CHANNEL: &str = "fluxus_queue";

/// Whether somebody who waits must be told of a message due in so long; a later one is found when
/// the receiver looks of its own accord.
pub(super) fn is_urgent(due_in: Duration) -> bool {
    due_in < FALLBACK_POLL
}

/// Who waits for which queue, and the tasks that speak with other processes.
pub(super) struct Wakers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// One per queue that was ever waited for: as many as the program has queues.
    waiting: Mutex<HashMap<QueueName, Arc<Notify>>>,
    /// Queues of which other processes are to be told.
    untold: Mutex<BTreeSet<QueueName>>,
    something_untold: Notify,
}

impl Wakers {
    /// For one process on its own.
    pub(super) fn local() -> Self {
        Self { shared: Arc::default(), tasks: Vec::new() }
    }

    /// For several processes on one database.
    pub(super) async fn connected(database: &Database) -> Result<Self, DatabaseError> {
        let listener = Listener::listen(database, &[CHANNEL]).await?;
        let shared = Arc::<Shared>::default();
        // Tells our own notifications, which come back to us, from those of others.
        let me = uuid::Uuid::now_v7().simple().to_string();
        let hearing = tokio::spawn(hear(listener, shared.clone(), me.clone()));
        let telling = tokio::spawn(tell(database.clone(), shared.clone(), me));
        Ok(Self { shared, tasks: vec![hearing, telling] })
    }

    /// What wakes a receiver of this queue. One call wakes one receiver; if none waits, the next
    /// that is about to wait looks again instead.
    pub(super) fn of(&self, queue: &QueueName) -> Arc<Notify> {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(queue.clone()).or_default().clone()
    }

    pub(super) fn wake<'a>(&self, queues: impl IntoIterator<Item = &'a QueueName>) {
        let queues: BTreeSet<&QueueName> = queues.into_iter().collect();
        if queues.is_empty() {
            return;
        }
        queues.iter().for_each(|queue| self.shared.wake_here(queue));
        if !self.tasks.is_empty() {
            let mut untold = self.shared.untold.lock().unwrap_or_else(PoisonError::into_inner);
            untold.extend(queues.into_iter().cloned());
            drop(untold);
            self.shared.something_untold.notify_one();
        }
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for Wakers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Wakers").field("connected", &!self.tasks.is_empty()).finish()
    }
}

impl Shared {
    fn wake_here(&self, queue: &QueueName) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = waiting.get(queue) {
            waker.notify_one();
        }
    }

    fn wake_all_here(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().for_each(|waker| waker.notify_one());
    }
}

/// Wakes receivers here for what other processes sent.
async fn hear(mut listener: Listener, shared: Arc<Shared>, me: String) {
    loop {
        match listener.recv().await {
            Notification::Resumed => shared.wake_all_here(),
            Notification::Received { payload, .. } => {
                let Some((sender, queue)) = payload.split_once(' ') else { continue };
                if sender == me {
                    continue;
                }
                if let Ok(queue) = QueueName::new(queue) {
                    shared.wake_here(&queue);
                }
            }
        }
    }
}

/// Tells other processes what was sent here: the first time at once, then with pauses.
async fn tell(database: Database, shared: Arc<Shared>, me: String) {
    loop {
        shared.something_untold.notified().await;
        let queues = {
            let mut untold = shared.untold.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *untold)
        };
        if queues.is_empty() {
            continue;
        }
        if let Err(error) = notify(&database, &me, &queues).await {
            // Others look by themselves within FALLBACK_POLL.
            tracing::debug!(%error, "cannot notify other processes");
        }
        tokio::time::sleep(NOTIFY_PAUSE).await;
    }
}

/// Names of queues hold nothing that needs quoting. Sent as plain text so that it is no statement
/// in the counter: it is nobody's cost but this task's.
async fn notify(
    database: &Database,
    me: &str,
    queues: &BTreeSet<QueueName>,
) -> Result<(), DatabaseError> {
    let notify = |queue: &QueueName| format!("NOTIFY {CHANNEL}, '{me} {queue}'");
    let sql = queues.iter().map(notify).collect::<Vec<_>>().join("; ");
    database.session().await?.batch(&sql).await
}
