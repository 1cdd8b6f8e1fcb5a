//! Clients in a closed loop: submit, wait for the end, next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Longest latency that is told apart, in microseconds: two minutes.
const MAX_LATENCY_US: u64 = 120_000_000;

/// Seconds that a client waits for a claim's end in one request.
const WAIT_S: u32 = 30;

/// The clients.
pub(super) struct Load {
    client: Client,
    url: String,
    concurrency: u32,
}

/// What one run came to.
pub(super) struct Run {
    pub(super) took: Duration,
    pub(super) ended: u64,
    pub(super) failed: u64,
    /// From the request to the answer that the claim has ended, in microseconds.
    pub(super) latency: Histogram<u64>,
}

impl Load {
    pub(super) fn new(url: &str, concurrency: u32) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().pool_max_idle_per_host(usize::MAX).build()?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), concurrency })
    }

    /// Puts the recipe that is measured, for claims of a type of its name.
    pub(super) async fn put_recipe(&self, name: &str, definition: &Value) -> anyhow::Result<()> {
        let url = format!("{}/v1/recipes/{name}", self.url);
        let body = json!({ "definition": definition, "claim_types": [name] });
        let answer = self.client.put(url).json(&body).send().await.context("put the recipe")?;
        if !answer.status().is_success() {
            bail!("the recipe was refused: {}", answer.text().await?);
        }
        Ok(())
    }

    /// Has `claims` claims fulfilled.
    pub(super) async fn run(&self, claims: u64, claim_type: &str) -> anyhow::Result<Run> {
        let body = Arc::new(json!({ "type": claim_type, "body": { "n": 0 } }).to_string());
        let left = Arc::new(AtomicU64::new(claims));
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..u64::from(self.concurrency).min(claims) {
            let url = format!("{}/v1/claims", self.url);
            clients.spawn(client(self.client.clone(), url, body.clone(), left.clone()));
        }
        let mut run = Run { took: Duration::ZERO, ended: 0, failed: 0, latency: histogram()? };
        while let Some(client) = clients.join_next().await {
            let (latency, failed) = client??;
            run.ended += latency.len();
            run.failed += failed;
            run.latency.add(latency)?;
        }
        run.took = began.elapsed();
        Ok(run)
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?)
}

async fn client(
    client: Client,
    url: String,
    body: Arc<String>,
    left: Arc<AtomicU64>,
) -> anyhow::Result<(Histogram<u64>, u64)> {
    let mut latency = histogram()?;
    let mut failed = 0;
    let take = |left: u64| left.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let began = Instant::now();
        let request = client
            .post(&url)
            .header("content-type", "application/json")
            .header("prefer", format!("wait={WAIT_S}"))
            .body(body.as_str().to_owned());
        let answer = request.send().await.context("submit a claim")?;
        let claim: Value = answer.json().await.context("read the answer to a claim")?;
        if claim["status"] == "SUCCEEDED" && claim["output"]["n"] == 3 {
            latency
                .saturating_record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        } else {
            failed += 1;
            tracing::warn!(%claim, "a claim did not succeed");
        }
    }
    Ok((latency, failed))
}
