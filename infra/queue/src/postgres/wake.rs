//! Waking receivers: those of this process directly, those of others by `NOTIFY`.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fluxus_postgres::{Database, DatabaseError, Listener, Notification};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

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

/// What the receivers of one queue wait for: something in the table, the time to look there, or
/// something that was handed over in the process, for which nobody has to look.
///
/// One call wakes one receiver; if none waits, the next that is about to wait goes on at once.
#[derive(Debug)]
pub(super) struct Bell {
    called: Notify,
    look: Mutex<Look>,
}

/// When to look into the table.
#[derive(Debug)]
struct Look {
    /// Something was sent since somebody last looked, as far as is known.
    news: bool,
    /// At the latest.
    at: Instant,
}

impl Default for Bell {
    fn default() -> Self {
        let look = Look { news: true, at: Instant::now() };
        Self { called: Notify::new(), look: Mutex::new(look) }
    }
}

impl Bell {
    /// Something is in the table.
    pub(super) fn ring(&self) {
        self.look().news = true;
        self.called.notify_one();
    }

    /// Something was handed over.
    pub(super) fn call(&self) {
        self.called.notify_one();
    }

    /// Something in the table is due in so long.
    pub(super) fn due_in(&self, time: Duration) {
        let mut look = self.look();
        look.at = look.at.min(Instant::now() + time);
        drop(look);
        self.called.notify_one();
    }

    /// Whether it is time to look into the table. Whoever is told so looks; nobody else does until
    /// there is another reason to.
    pub(super) fn is_time(&self) -> bool {
        let mut look = self.look();
        let now = Instant::now();
        let is_time = look.news || now >= look.at;
        if is_time {
            *look = Look { news: false, at: now + FALLBACK_POLL };
        }
        is_time
    }

    /// Somebody looked and found something: maybe not all.
    pub(super) fn found(&self) {
        self.look().news = true;
    }

    /// Somebody looked and found nothing; the next message is due in so long, as far as is known.
    pub(super) fn found_nothing(&self, next_in: Option<Duration>) {
        if let Some(next_in) = next_in {
            let mut look = self.look();
            // What was sent during the look may be due earlier.
            look.at = look.at.min(Instant::now() + next_in.min(FALLBACK_POLL));
        }
    }

    /// Waits until there may be something, but not past `deadline`.
    pub(super) async fn wait(&self, deadline: Option<Instant>) {
        let at = self.look().at;
        let until = deadline.map_or(at, |deadline| deadline.min(at));
        // Either way it is time to see.
        let _ = tokio::time::timeout_at(until, self.called.notified()).await;
    }

    fn look(&self) -> MutexGuard<'_, Look> {
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who waits for which queue, and the tasks that speak with other processes.
pub(super) struct Wakers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// One per queue that was ever waited for: as many as the program has queues.
    bells: Mutex<HashMap<QueueName, Arc<Bell>>>,
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

    /// What wakes the receivers of this queue.
    pub(super) fn of(&self, queue: &QueueName) -> Arc<Bell> {
        let mut bells = self.shared.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(queue) {
            return bell.clone();
        }
        bells.entry(queue.clone()).or_default().clone()
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
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(queue) {
            bell.ring();
        }
    }

    fn wake_all_here(&self) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.values().for_each(|bell| bell.ring());
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
