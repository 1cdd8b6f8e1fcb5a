//! The SDK's idempotency record in Postgres, for fluxlings that run beside it.

use std::time::Duration;

use async_trait::async_trait;
use fluxling::{Begin, Clock, Idempotency, IdempotencyError};
use fluxus_schema::{Json, TaskToken, Tenant};
use fluxus_store::{Outcome, Store, StoreError, idempotency, payload};

/// The record in the store's table. Clones are one.
///
/// Beginning and completing are durable: after a crash of the database, no task is taken for new
/// that was begun, nor for undone that was done.
#[derive(Clone, Debug)]
pub struct StoreIdempotency {
    store: Store,
    /// The port names no tenant, and a token is unique among all: the rows carry this one.
    tenant: Tenant,
    clock: Clock,
}

impl StoreIdempotency {
    /// The record in this store.
    pub fn new(store: Store) -> Self {
        Self { store, tenant: Tenant::default(), clock: Clock::new(fluxus_store::clock::now) }
    }
}

#[async_trait]
impl Idempotency for StoreIdempotency {
    async fn begin(
        &self,
        tokens: &[TaskToken],
        lease: Duration,
    ) -> Result<Vec<Begin>, IdempotencyError> {
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        const ACTION: &str = "begin tasks";
        let asked: Vec<_> = tokens.iter().map(|token| (token.as_str(), &self.tenant)).collect();
        let begun = async {
            let session = self.store.session().await?;
            let mut begun = idempotency::begin(&session, &asked, lease, self.clock.now()).await?;
            let known = begun.iter_mut().filter_map(|begin| match &mut begin.outcome {
                Outcome::Done(text) => {
                    let token = TaskToken::from_text(&begin.token);
                    Some((token.address().ok()?.claim_id, text))
                }
                Outcome::New | Outcome::InProgress => None,
            });
            payload::restore_texts(&session, known.collect()).await?;
            Ok::<_, StoreError>(begun)
        };
        let begun = begun.await.map_err(IdempotencyError::while_doing(ACTION))?;
        let read = |begin: idempotency::Begin| match begin.outcome {
            Outcome::New => Ok(Begin::New),
            Outcome::InProgress => Ok(Begin::InProgress),
            Outcome::Done(text) => serde_json::from_str(&text).map(Begin::Done),
        };
        let begun: Result<_, serde_json::Error> = begun.into_iter().map(read).collect();
        begun.map_err(IdempotencyError::while_doing(ACTION))
    }

    async fn extend(&self, tokens: &[TaskToken], lease: Duration) -> Result<(), IdempotencyError> {
        if tokens.is_empty() {
            return Ok(());
        }
        let tokens: Vec<_> = tokens.iter().map(TaskToken::as_str).collect();
        let extended = async {
            let session = self.store.session().await?;
            idempotency::extend(&session, &tokens, lease, self.clock.now()).await
        };
        extended.await.map_err(IdempotencyError::while_doing("extend leases"))
    }

    async fn complete(&self, outcomes: &[(TaskToken, Json)]) -> Result<(), IdempotencyError> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let mut payloads = Vec::new();
        let texts = outcomes.iter().map(|(token, outcome)| {
            let text = outcome.to_string();
            match token.address() {
                // Of the claim, which has it in its history too.
                Ok(at) => payload::take_apart(at.claim_id, &self.tenant, text, &mut payloads),
                Err(_) => text,
            }
        });
        let texts: Vec<_> = texts.collect();
        let rows: Vec<_> = outcomes
            .iter()
            .zip(&texts)
            .map(|((token, _), text)| (token.as_str(), &self.tenant, &**text))
            .collect();
        let completed = async {
            let session = self.store.session().await?;
            payload::put(&session, &payloads).await?;
            idempotency::complete(&session, &rows, self.clock.now()).await
        };
        completed.await.map_err(IdempotencyError::while_doing("complete tasks"))
    }

    async fn release(&self, tokens: &[TaskToken]) -> Result<(), IdempotencyError> {
        if tokens.is_empty() {
            return Ok(());
        }
        let tokens: Vec<_> = tokens.iter().map(TaskToken::as_str).collect();
        let released = async {
            let session = self.store.session().await?;
            idempotency::release(&session, &tokens).await
        };
        released.await.map_err(IdempotencyError::while_doing("release tasks"))
    }
}
