//! Keeping house: what grows is made room for, what is over is forgotten.

use std::time::Duration;

use fluxus_schema::Timestamp;
use fluxus_schema::limits::REDRIVE_WINDOW;

use crate::error::StoreError;
use crate::store::Store;
use crate::{branch, dead_message, idempotency};

/// Days for which history partitions are made ahead.
const PARTITIONS_AHEAD_DAYS: u32 = 7;

/// How long finished tasks are remembered: as long as SQS can keep a message at most.
const TASKS_REMEMBERED: Duration = Duration::from_secs(14 * 24 * 3600);

/// Most records that one statement forgets, so that it locks and logs a bounded amount.
const PURGED_AT_ONCE: usize = 10_000;

/// Most claims whose branches one statement forgets; some have very many.
const FORGOTTEN_AT_ONCE: usize = 100;

impl Store {
    /// Makes the history partitions of the coming days, forgets finished tasks that no message can
    /// come for any more, and branches that can be redriven no more. For once an hour; safe in several processes at once.
    ///
    /// # Errors
    /// [`StoreError`]; history goes to the default partition meanwhile.
    pub async fn keep_house(&self, now: Timestamp) -> Result<(), StoreError> {
        self.ensure_partitions(now, PARTITIONS_AHEAD_DAYS).await?;
        let session = self.session().await?;
        let remembered = i64::try_from(TASKS_REMEMBERED.as_millis()).unwrap_or(i64::MAX);
        let done = Timestamp::from_millis(now.as_millis().saturating_sub(remembered));
        while idempotency::purge_older(&session, done, PURGED_AT_ONCE).await?
            == PURGED_AT_ONCE as u64
        {}
        dead_message::forget_ended(&session).await?;
        let window = i64::try_from(REDRIVE_WINDOW.as_millis()).unwrap_or(i64::MAX);
        let over = Timestamp::from_millis(now.as_millis().saturating_sub(window));
        while branch::forget_kept(&session, over, FORGOTTEN_AT_ONCE).await? > 0 {}
        Ok(())
    }
}
