//! Requests that wait for a claim's end.
//!
//! The core in this process tells what became of claims ([`Waiters::tell`]), and that is that. One task
//! serves all others: it is woken by a notification from another process ([`CLAIM_ENDED_CHANNEL`]) or
//! by a fallback poll, and asks with *one* query for *all* the claims that are waited for. What wakes
//! it while a query is under way makes one more query, not many: a thousand ends a second cost as few
//! queries as fit in it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fluxus_postgres::{DatabaseError, Listener};
use fluxus_schema::{Claim, ClaimId};
use fluxus_store::Store;
use fluxus_store::changes::Outcome;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::limits::{FALLBACK_POLL, MAX_WAITING, POLL};

/// The channel on which the core sends a `NOTIFY` after it committed the ends of claims.
pub const CLAIM_ENDED_CHANNEL: &str = "fluxus_claim_ended";

/// Who waits for what. Clones are one.
#[derive(Clone, Debug)]
pub struct Waiters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: Mutex<HashMap<ClaimId, Waited>>,
    /// Somebody waits, and nobody did before.
    first: Notify,
    wake: Notify,
    closed: CancellationToken,
}

/// A claim that is waited for.
#[derive(Debug)]
struct Waited {
    /// The claim as it was submitted, where that was just now.
    submitted: Option<Claim>,
    ended: watch::Sender<Option<Arc<Claim>>>,
    waiters: usize,
}

/// How the hub learns of ends in other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// By `LISTEN`, on a connection of its own.
    Listen,
    /// By asking often: a Lambda is frozen between requests and a proxy gives no `LISTEN`.
    Poll,
}

impl Waiters {
    /// Starts the task that asks; it ends when `closed`.
    pub(crate) async fn start(
        store: Store,
        hearing: Hearing,
    ) -> Result<(Self, JoinHandle<()>), DatabaseError> {
        let listener = match hearing {
            Hearing::Listen => {
                Some(Listener::listen(store.database(), &[CLAIM_ENDED_CHANNEL]).await?)
            }
            Hearing::Poll => None,
        };
        let waiters = Self::new();
        let task = tokio::spawn(waiters.clone().run(store, listener));
        Ok((waiters, task))
    }

    fn new() -> Self {
        let closed = CancellationToken::new();
        Self(Arc::new(Inner {
            waiting: Mutex::default(),
            first: Notify::new(),
            wake: Notify::new(),
            closed,
        }))
    }

    /// Has all claims that are waited for looked at. Cheap: it sets a flag.
    pub fn look(&self) {
        self.0.wake.notify_one();
    }

    /// Tells what became of claims that ended in this process, after the commit.
    pub fn tell(&self, ended: Vec<Outcome>) {
        let mut waiting = self.waiting();
        for outcome in ended {
            let Some(waited) = waiting.get_mut(&outcome.end.claim_id) else { continue };
            match waited.submitted.take().and_then(|submitted| outcome.of(submitted)) {
                Some(claim) => {
                    waited.ended.send_replace(Some(Arc::new(claim)));
                }
                None => self.look(),
            }
        }
    }

    /// Ends all waits, and every later one at once.
    pub(crate) fn close(&self) {
        self.0.closed.cancel();
    }

    /// Registers for a claim's end: from here on none is missed. None if too many wait already.
    ///
    /// The claim may have ended before: unless it is certain that it has not, have the hub
    /// [look](Self::look) once.
    pub(crate) fn register(&self, id: ClaimId, submitted: Option<Claim>) -> Option<Registration> {
        let mut waiting = self.waiting();
        let room = waiting.len() < MAX_WAITING;
        if waiting.is_empty() {
            self.0.first.notify_one();
        }
        let ended = match waiting.entry(id) {
            Entry::Occupied(mut waited) => {
                waited.get_mut().waiters += 1;
                waited.get().ended.subscribe()
            }
            Entry::Vacant(place) if room => place
                .insert(Waited { submitted, ended: watch::Sender::new(None), waiters: 1 })
                .ended
                .subscribe(),
            Entry::Vacant(_) => return None,
        };
        Some(Registration { waiters: self.clone(), id, ended })
    }

    async fn run(self, store: Store, mut listener: Option<Listener>) {
        loop {
            if !self.woken(&mut listener).await {
                return;
            }
            let ids: Vec<ClaimId> = self.waiting().keys().copied().collect();
            if ids.is_empty() {
                continue;
            }
            match store.ended(&ids).await {
                Ok(ended) => self.told(ended),
                Err(error) => {
                    let error = crate::problem::chain(&error);
                    tracing::warn!(error, "cannot ask which claims have ended; asking again");
                }
            }
        }
    }

    /// Waits for a reason to ask; false when closed.
    async fn woken(&self, listener: &mut Option<Listener>) -> bool {
        loop {
            let pause = match listener {
                _ if self.waiting().is_empty() => Duration::MAX,
                Some(_) => FALLBACK_POLL,
                None => POLL,
            };
            let heard = async {
                match listener {
                    Some(listener) => drop(listener.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.closed.cancelled() => return false,
                () = self.0.wake.notified() => return true,
                () = heard => return true,
                () = sleep(pause) => return true,
                // From now on it is worth looking.
                () = self.0.first.notified() => {}
            }
        }
    }

    fn told(&self, ended: Vec<Claim>) {
        let waiting = self.waiting();
        for claim in ended {
            if let Some(waited) = waiting.get(&claim.claim_id) {
                waited.ended.send_replace(Some(Arc::new(claim)));
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<ClaimId, Waited>> {
        // Nothing panics while it is held, and the map is whole after each line.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the waiters; given up when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    waiters: Waiters,
    id: ClaimId,
    ended: watch::Receiver<Option<Arc<Claim>>>,
}

impl Registration {
    /// The claim once it has ended; none if it has not within this time, or at shutdown.
    pub(crate) async fn ended(mut self, within: Duration) -> Option<Arc<Claim>> {
        let closed = self.waiters.0.closed.clone();
        tokio::select! {
            ended = self.ended.wait_for(Option::is_some) => ended.ok()?.clone(),
            () = tokio::time::sleep(within) => None,
            () = closed.cancelled() => None,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut waiting = self.waiters.waiting();
        if let Some(waited) = waiting.get_mut(&self.id) {
            waited.waiters -= 1;
            if waited.waiters == 0 {
                waiting.remove(&self.id);
            }
        }
    }
}

async fn sleep(pause: Duration) {
    if pause == Duration::MAX {
        std::future::pending::<()>().await;
    } else {
        tokio::time::sleep(pause).await;
    }
}
