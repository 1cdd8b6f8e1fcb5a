//! The record within the process, for tests and for runs without a database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fluxus_schema::{Json, TaskToken};
use tokio::time::Instant;

use super::{Begin, Idempotency, IdempotencyError};

/// How long an outcome is kept: far longer than a message stays on a queue in memory.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The record is first swept when it has so many entries, and then whenever it has doubled.
const FIRST_SWEEP: usize = 10_000;

/// A record that lasts as long as the process. Clones are one record. It lives by tokio's clock.
#[derive(Clone, Debug, Default)]
pub struct MemoryIdempotency(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    entries: HashMap<TaskToken, Entry>,
    sweep_at: usize,
}

#[derive(Debug)]
enum Entry {
    Held { until: Instant },
    Done { outcome: Json, since: Instant },
}

impl Record {
    fn begin(&mut self, token: &TaskToken, now: Instant, lease: Duration) -> Begin {
        match self.entries.get(token) {
            Some(Entry::Done { outcome, .. }) => return Begin::Done(Arc::clone(outcome)),
            Some(Entry::Held { until }) if *until > now => return Begin::InProgress,
            Some(Entry::Held { .. }) | None => {}
        }
        self.entries.insert(token.clone(), Entry::Held { until: now + lease });
        Begin::New
    }

    /// Forgets what is past use, now and then, so that the record does not grow for ever.
    fn sweep(&mut self, now: Instant) {
        if self.entries.len() < self.sweep_at.max(FIRST_SWEEP) {
            return;
        }
        self.entries.retain(|_, entry| match entry {
            Entry::Held { until } => *until > now,
            Entry::Done { since, .. } => now.duration_since(*since) < KEEP,
        });
        self.sweep_at = self.entries.len() * 2;
    }
}

impl MemoryIdempotency {
    /// An empty record.
    pub fn new() -> Self {
        Self::default()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Idempotency for MemoryIdempotency {
    async fn begin(
        &self,
        tokens: &[TaskToken],
        lease: Duration,
    ) -> Result<Vec<Begin>, IdempotencyError> {
        let now = Instant::now();
        let mut record = self.record();
        record.sweep(now);
        Ok(tokens.iter().map(|token| record.begin(token, now, lease)).collect())
    }

    async fn extend(&self, tokens: &[TaskToken], lease: Duration) -> Result<(), IdempotencyError> {
        let end = Instant::now() + lease;
        let mut record = self.record();
        for token in tokens {
            if let Some(Entry::Held { until }) = record.entries.get_mut(token) {
                *until = end;
            }
        }
        Ok(())
    }

    async fn complete(&self, outcomes: &[(TaskToken, Json)]) -> Result<(), IdempotencyError> {
        let since = Instant::now();
        let mut record = self.record();
        for (token, outcome) in outcomes {
            if !matches!(record.entries.get(token), Some(Entry::Done { .. })) {
                let outcome = Arc::clone(outcome);
                record.entries.insert(token.clone(), Entry::Done { outcome, since });
            }
        }
        Ok(())
    }

    async fn release(&self, tokens: &[TaskToken]) -> Result<(), IdempotencyError> {
        let mut record = self.record();
        for token in tokens {
            if matches!(record.entries.get(token), Some(Entry::Held { .. })) {
                record.entries.remove(token);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn conforms() {
        super::super::conformance::check(&MemoryIdempotency::new(), "memory").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends() {
        let record = MemoryIdempotency::new();
        let token = [TaskToken::from_text("a")];
        let second = Duration::from_secs(1);
        assert_eq!(record.begin(&token, second).await.expect("begins"), [Begin::New]);
        tokio::time::advance(second / 2).await;
        record.extend(&token, second).await.expect("extends");
        tokio::time::advance(second / 2).await;
        assert_eq!(record.begin(&token, second).await.expect("begins"), [Begin::InProgress]);
        tokio::time::advance(second / 2).await;
        assert_eq!(record.begin(&token, second).await.expect("begins"), [Begin::New]);
    }

    #[tokio::test(start_paused = true)]
    async fn old_entries_are_forgotten() {
        let record = MemoryIdempotency::new();
        let tokens: Vec<_> =
            (0..FIRST_SWEEP).map(|n| TaskToken::from_text(&n.to_string())).collect();
        record.begin(&tokens, Duration::from_secs(1)).await.expect("begins");
        record.complete(&[(tokens[0].clone(), Json::default())]).await.expect("completes");
        tokio::time::advance(KEEP / 2).await;
        let last = [TaskToken::from_text("last")];
        record.begin(&last, Duration::from_secs(1)).await.expect("begins");
        assert_eq!(record.record().entries.len(), 2, "the outcome and the last");
    }
}
