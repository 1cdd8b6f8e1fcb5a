//! What the worker has taken and not answered yet, and keeping it until then.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fluxus_queue::{Outgoing, Receipt};
use fluxus_schema::TaskToken;
use fluxus_schema::message::CoreMessage;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Worker;
use super::intake::Whose;
use super::outcome::Message;
use crate::error::chain;

/// Renewals come this many times as often as needed, so that one or two may fail.
const RENEWALS_PER_TERM: u32 = 3;

/// What is due within this part of its interval is done together with what is due now.
const TOGETHER: u32 = 6;

/// Heartbeats are not sent more often than this, whatever a recipe asks for.
const MIN_HEARTBEAT: Duration = Duration::from_millis(100);

/// Names what is held: a token may be held twice, where the fluxling is idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HoldId(u64);

/// One task in work.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) token: TaskToken,
    pub(super) whose: Whose,
    /// Its deliveries: more than one where a batch holds duplicates.
    pub(super) messages: Vec<Message>,
    renew_at: Instant,
    heartbeat: Option<(Duration, Instant)>,
}

impl Held {
    pub(super) fn new(
        token: TaskToken,
        whose: Whose,
        messages: Vec<Message>,
        visibility: Duration,
        heartbeat: Option<Duration>,
    ) -> Self {
        let now = Instant::now();
        let heartbeat = heartbeat.map(|term| {
            let every = (term / RENEWALS_PER_TERM).max(MIN_HEARTBEAT);
            (every, now + every)
        });
        let renew_at = now + visibility / RENEWALS_PER_TERM;
        Self { token, whose, messages, renew_at, heartbeat }
    }

    fn due(&self) -> Instant {
        self.heartbeat.map_or(self.renew_at, |(_, at)| at.min(self.renew_at))
    }
}

/// Everything in work.
#[derive(Debug, Default)]
pub(super) struct Holding {
    held: Mutex<Table>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    rows: BTreeMap<HoldId, Held>,
}

/// What is to be done now to keep what is held.
#[derive(Default)]
pub(super) struct Due {
    pub(super) tokens: Vec<TaskToken>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) heartbeats: Vec<(TaskToken, Whose)>,
}

impl Holding {
    /// Holds one more. Call [`Self::wake`] after the last of a batch.
    pub(super) fn add(&self, held: Held) -> HoldId {
        let mut table = self.table();
        table.last += 1;
        let id = HoldId(table.last);
        table.rows.insert(id, held);
        id
    }

    /// Makes [`Self::keep`] look at what was added.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(super) fn remove(&self, ids: impl IntoIterator<Item = HoldId>) {
        let mut table = self.table();
        for id in ids {
            table.rows.remove(&id);
        }
    }

    pub(super) fn take_all(&self) -> Vec<Held> {
        std::mem::take(&mut self.table().rows).into_values().collect()
    }

    /// What one task needs to be kept now, whether due or not; nothing if it is held no more.
    pub(super) fn due_of(&self, id: HoldId, visibility: Duration) -> Due {
        let now = Instant::now();
        let mut due = Due::default();
        if let Some(held) = self.table().rows.get_mut(&id) {
            held.renew_at = now + visibility / RENEWALS_PER_TERM;
            if let Some((every, at)) = &mut held.heartbeat {
                *at = now + *every;
            }
            due.tokens.push(held.token.clone());
            due.receipts.extend(held.messages.iter().map(|m| m.receipt.clone()));
            due.heartbeats.push((held.token.clone(), held.whose.clone()));
        }
        due
    }

    /// Renews visibility and leases and sends heartbeats, each when due, until it is dropped.
    pub(super) async fn keep(&self, worker: &Worker) {
        let never: Infallible = self.keep_on(worker).await;
        match never {}
    }

    async fn keep_on(&self, worker: &Worker) -> Infallible {
        loop {
            let next = self.table().rows.values().map(Held::due).min();
            let Some(next) = next else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = self.changed.notified() => continue,
                () = tokio::time::sleep_until(next) => {}
            }
            let due = self.take_due(worker.visibility);
            if let Err(error) = worker.keep(due).await {
                tracing::warn!(error, "cannot keep tasks in work; will try again");
            }
        }
    }

    fn take_due(&self, visibility: Duration) -> Due {
        let now = Instant::now();
        let term = visibility / RENEWALS_PER_TERM;
        let mut due = Due::default();
        for held in self.table().rows.values_mut() {
            if held.renew_at <= now + term / TOGETHER {
                held.renew_at = now + term;
                due.tokens.push(held.token.clone());
                due.receipts.extend(held.messages.iter().map(|m| m.receipt.clone()));
            }
            if let Some((every, at)) = &mut held.heartbeat
                && *at <= now + *every / TOGETHER
            {
                *at = now + *every;
                due.heartbeats.push((held.token.clone(), held.whose.clone()));
            }
        }
        due
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Does what is due, side by side: at most one call for each of visibility, leases, heartbeats.
    pub(super) async fn keep(&self, due: Due) -> Result<(), String> {
        let Due { tokens, receipts, heartbeats } = due;
        let hide = async {
            if receipts.is_empty() {
                return Ok(());
            }
            let changes: Vec<_> = receipts.into_iter().map(|r| (r, self.visibility)).collect();
            let hidden = self.queue.change_visibility(&self.name, &changes).await;
            hidden.map_err(|error| chain(&error))
        };
        let extend = async {
            if tokens.is_empty() || self.fluxling.is_idempotent() {
                return Ok(());
            }
            let extended = self.idempotency.extend(&tokens, self.lease()).await;
            extended.map_err(|error| chain(&error))
        };
        let beat = async {
            if heartbeats.is_empty() {
                return Ok(());
            }
            let messages = heartbeats
                .into_iter()
                .map(|(token, whose)| self.to_core(&whose, &CoreMessage::TaskHeartbeat { token }));
            self.queue.send(messages.collect()).await.map_err(|error| chain(&error))
        };
        let (hidden, extended, beaten) = tokio::join!(hide, extend, beat);
        beaten.and(hidden).and(extended)
    }

    /// A message to the core.
    fn to_core(&self, whose: &Whose, message: &CoreMessage) -> Outgoing {
        let body = serde_json::to_string(message).unwrap_or_default();
        whose.sends(Outgoing::new(self.core.clone(), body))
    }
}
