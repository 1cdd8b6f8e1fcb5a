//! The client: what is submitted over HTTP, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::recipes::Recipe;
use crate::client::{self, ClientError};
use crate::table::cut;

/// Seconds that a client waits for a claim's end in one request. It asks again then.
const WAIT_S: u32 = 30;

/// How often a client asks whether a claim has ended before it counts as failed: as many waits as
/// are ten minutes.
const MAX_WAITS: u32 = 20;

/// Longest time for an answer: the wait in it, and as long again for a system under load.
const TIMEOUT: Duration = Duration::from_secs(2 * WAIT_S as u64);

/// Most characters of the reason for a failure: what tells it from others stands at the front.
const MAX_REASON_CHARS: usize = 160;

/// A client of one tenant. Clones share its connections.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Arc<str>,
    key: Option<Arc<str>>,
}

/// How a claim ended, seen by its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// As it should.
    Well,
    /// Otherwise, or not at all, for this reason.
    Badly(String),
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
        let put = || self.authorised(self.http.put(&url)).json(&body);
        self.answer(put).await.with_context(|| format!("put the recipe `{}`", recipe.name))?;
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
        let key = recipe.is_long.then(unique_key);
        for _ in 0..MAX_WAITS {
            let submission = || {
                let request = self.submission(recipe).header("prefer", format!("wait={WAIT_S}"));
                match &key {
                    Some(key) => request.header("idempotency-key", key.as_str()),
                    None => request,
                }
            };
            let claim = match self.answer(submission).await {
                Ok(claim) => claim,
                Err(error @ ClientError::Refused(_)) => return Ok(badly(&error.to_string())),
                Err(error) => return Err(error).context("submit a claim"),
            };
            match claim["status"].as_str() {
                Some("SUCCEEDED") if recipe.is_right(&claim["output"]) => return Ok(Ended::Well),
                Some("RECEIVED" | "RUNNING") if recipe.is_long => {}
                status => {
                    tracing::warn!(%claim, "a claim did not succeed");
                    return Ok(badly(&reason(status.unwrap_or("no status"), &claim)));
                }
            }
        }
        Ok(badly(&format!("it did not end in {} s", WAIT_S * MAX_WAITS)))
    }

    /// Submits a claim and leaves it.
    pub(super) async fn submit(&self, recipe: &Recipe) -> anyhow::Result<()> {
        self.answer(|| self.submission(recipe)).await.context("submit a claim")?;
        Ok(())
    }

    /// Whether a claim of this tenant is open.
    pub(super) async fn has_open(&self) -> anyhow::Result<bool> {
        let url = format!("{}/v1/claims?status=RECEIVED,RUNNING&limit=1", self.url);
        let list = self.answer(|| self.authorised(self.http.get(&url))).await;
        let list = list.context("list claims")?;
        let claims = list["claims"].as_array().context("the list of claims has no `claims`")?;
        Ok(!claims.is_empty())
    }

    /// The answer to a request, which is sent again as long as there is no room for it: told to come
    /// back later, a client does.
    async fn answer(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Value, ClientError> {
        loop {
            let failed = |error| client::explain(&self.url, &error, TIMEOUT, 0);
            let answer = request().timeout(TIMEOUT).send().await.map_err(failed)?;
            if let Some(after) = client::no_room(&answer) {
                tokio::time::sleep(after).await;
                continue;
            }
            let status = answer.status();
            let bytes = answer.bytes().await.map_err(failed)?;
            let value = serde_json::from_slice(&bytes).ok().filter(|_| status.is_success());
            return value.ok_or_else(|| client::refused(&self.url, status, &bytes));
        }
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

fn badly(reason: &str) -> Ended {
    Ended::Badly(cut(reason, MAX_REASON_CHARS))
}

/// Why a claim did not end as it should, in words that do not name the claim.
fn reason(status: &str, claim: &Value) -> String {
    match (status, claim["error"].as_str(), claim["cause"].as_str()) {
        ("SUCCEEDED", ..) => "SUCCEEDED, with another output than it should".to_owned(),
        ("RECEIVED" | "RUNNING", ..) => format!("still {status} after {WAIT_S} s"),
        (_, Some(error), Some(cause)) => format!("{status}: {error}: {cause}"),
        (_, Some(error), None) => format!("{status}: {error}"),
        (_, None, Some(cause)) => format!("{status}: {cause}"),
        (_, None, None) => status.to_owned(),
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
