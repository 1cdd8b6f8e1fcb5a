//! The client: what is submitted over HTTP, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::recipes::Recipe;

/// Seconds that a client waits for a claim's end in one request. It asks again then.
const WAIT_S: u32 = 30;

/// How often a client asks whether a claim has ended before it counts as failed: as many waits as
/// are ten minutes.
const MAX_WAITS: u32 = 20;

/// A client of one tenant. Clones share its connections.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Arc<str>,
    key: Option<Arc<str>>,
}

/// How a claim ended, seen by its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// As it should.
    Well,
    /// Otherwise, or not at all.
    Badly,
    /// Nobody waited for it: the measuring was stopped.
    Unseen,
}

impl Client {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(usize::MAX);
        Ok(Self { http: http.build()?, url: url.trim_end_matches('/').into(), key: None })
    }

    /// The same client for the tenant of this key.
    pub(super) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.into()), ..self.clone() }
    }

    /// Puts a recipe, for claims of a type of its name.
    pub(super) async fn put(&self, recipe: &Recipe) -> anyhow::Result<()> {
        let url = format!("{}/v1/recipes/{}", self.url, recipe.name);
        let body = json!({ "definition": recipe.definition, "claim_types": [recipe.name] });
        let request = self.authorised(self.http.put(url)).json(&body);
        let answer = request.send().await.context("put the recipe")?;
        if !answer.status().is_success() {
            bail!("the recipe `{}` was refused: {}", recipe.name, answer.text().await?);
        }
        Ok(())
    }

    /// Submits a claim and waits for its end.
    pub(super) async fn fulfil(
        &self,
        recipe: &Recipe,
        stop: &CancellationToken,
    ) -> anyhow::Result<Ended> {
        tokio::select! {
            ended = self.ended(recipe) => ended,
            () = stop.cancelled() => Ok(Ended::Unseen),
        }
    }

    async fn ended(&self, recipe: &Recipe) -> anyhow::Result<Ended> {
        // Asked again with the same key, it is the same claim.
        let mut key = None;
        for _ in 0..MAX_WAITS {
            let mut request = self.submission(recipe).header("prefer", format!("wait={WAIT_S}"));
            if recipe.is_long {
                let key = key.get_or_insert_with(unique_key);
                request = request.header("idempotency-key", key.as_str());
            }
            let answer = request.send().await.context("submit a claim")?;
            let claim: Value = answer.json().await.context("read the answer to a claim")?;
            match claim["status"].as_str() {
                Some("SUCCEEDED") if recipe.is_right(&claim["output"]) => return Ok(Ended::Well),
                Some("RECEIVED" | "RUNNING") if recipe.is_long => {}
                _ => {
                    tracing::warn!(%claim, "a claim did not succeed");
                    return Ok(Ended::Badly);
                }
            }
        }
        Ok(Ended::Badly)
    }

    /// Submits a claim and leaves it.
    pub(super) async fn submit(&self, recipe: &Recipe) -> anyhow::Result<()> {
        loop {
            let answer = self.submission(recipe).send().await.context("submit a claim")?;
            if answer.status().is_success() {
                answer.bytes().await?;
                return Ok(());
            }
            // Told to come back later, a client does.
            let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let Some(seconds) = after.and_then(|seconds| seconds.parse().ok()) else {
                bail!("a claim was refused: {}", answer.text().await?);
            };
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    }

    /// Whether a claim of this tenant is open.
    pub(super) async fn has_open(&self) -> anyhow::Result<bool> {
        let url = format!("{}/v1/claims?status=RECEIVED,RUNNING&limit=1", self.url);
        let answer = self.authorised(self.http.get(url)).send().await.context("list claims")?;
        let list: Value = answer.json().await.context("read the list of claims")?;
        let claims = list["claims"].as_array().context("the list of claims has no `claims`")?;
        Ok(!claims.is_empty())
    }

    fn submission(&self, recipe: &Recipe) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}/v1/claims", self.url));
        let request = self.authorised(request).header(CONTENT_TYPE, "application/json");
        request.body(recipe.claim.as_ref().to_owned())
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.key {
            Some(key) => request.header(AUTHORIZATION, format!("Bearer {key}")),
            None => request,
        }
    }
}

/// An idempotency key that nobody has used.
fn unique_key() -> String {
    static KEYS: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let number = KEYS.fetch_add(1, Ordering::Relaxed);
    format!("bench-{}-{}-{number}", std::process::id(), now.as_nanos())
}

/// Latency from `since` until now.
pub(super) fn micros_since(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
