//! Workers that poll for the tasks of activities.
//!
//! Of all that poll for the same activity one looks into the database; the others wait their turn.
//! So however many workers there are, an idle activity costs a query each [`ACTIVITY_POLL`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fluxus_schema::{Capability, Tenant};
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::limits::{ACTIVITY_POLL, MAX_POLLING};
use crate::problem::{Kind, Refusal};

type Activity = (Tenant, Capability);

/// Who polls for what.
pub(crate) struct Pollers {
    turns: Mutex<HashMap<Activity, Arc<Turn<()>>>>,
    room: Semaphore,
    closed: CancellationToken,
}

impl Default for Pollers {
    fn default() -> Self {
        let room = Semaphore::new(MAX_POLLING);
        Self { turns: Mutex::default(), room, closed: CancellationToken::new() }
    }
}

impl Pollers {
    /// Ends all waits; from now on no poll waits.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Looks until there is something or the time is over. `take` looks once.
    ///
    /// # Errors
    /// Those of `take`; and where too many poll already.
    pub(crate) async fn wait<T, F>(
        &self,
        activity: Activity,
        wait: Duration,
        mut take: impl FnMut() -> F,
    ) -> Result<Option<T>, Refusal>
    where
        F: Future<Output = Result<Option<T>, Refusal>>,
    {
        let Ok(_room) = self.room.try_acquire() else {
            let detail = format!("{MAX_POLLING} workers poll already; come again later");
            return Err(Refusal::new(Kind::Unavailable, detail));
        };
        let until = Instant::now() + wait;
        let turn = self.turn(&activity);
        let found = self.look(&turn, until, &mut take).await;
        drop(turn);
        self.forget(&activity);
        found
    }

    async fn look<T, F>(
        &self,
        turn: &Turn<()>,
        until: Instant,
        take: &mut impl FnMut() -> F,
    ) -> Result<Option<T>, Refusal>
    where
        F: Future<Output = Result<Option<T>, Refusal>>,
    {
        let _turn = tokio::select! {
            () = self.closed.cancelled() => return Ok(None),
            turn = timeout_at(until, turn.lock()) => match turn {
                Ok(turn) => turn,
                Err(_elapsed) => return Ok(None),
            },
        };
        loop {
            if let Some(found) = take().await? {
                return Ok(Some(found));
            }
            let next = Instant::now() + ACTIVITY_POLL;
            if next >= until {
                return Ok(None);
            }
            tokio::select! {
                () = self.closed.cancelled() => return Ok(None),
                () = sleep_until(next) => {}
            }
        }
    }

    fn turn(&self, activity: &Activity) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(activity.clone()).or_default().clone()
    }

    /// Forgets an activity that nobody polls for.
    fn forget(&self, activity: &Activity) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.get(activity).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(activity);
        }
    }
}
