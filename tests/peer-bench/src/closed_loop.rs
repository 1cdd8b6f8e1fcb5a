//! Clients in a closed loop, for engines that are asked from this process.
//!
//! Each client has one workflow run, waits for its result, and has the next run.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::report::Measured;

/// What runs before anything is counted: pools fill, statements are prepared.
pub const WARM_UP: Duration = Duration::from_secs(3);

/// The longest latency told apart: far beyond what a run takes.
const MAX_LATENCY_US: u64 = 120_000_000;

/// What each step of the workflow adds up to: three steps that add one.
pub const STEPS: u64 = 3;

/// How much load there is.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Load {
    /// How many clients there are
    #[arg(long)]
    pub clients: usize,
    /// How long their workflows are counted, after the warm-up
    #[arg(long)]
    pub seconds: u64,
}

/// Runs the clients. `workflow` has one run for a client, by number, and gives its result.
pub async fn run<W, F>(engine: &str, load: Load, workflow: W) -> anyhow::Result<Measured>
where
    W: Fn(usize, u64) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<u64>> + Send,
{
    let counted_from = Instant::now() + WARM_UP;
    let counted_until = counted_from + Duration::from_secs(load.seconds);
    let mut clients = JoinSet::new();
    for client in 0..load.clients {
        let workflow = workflow.clone();
        clients.spawn(async move {
            let mut latencies = histogram()?;
            for number in 0_u64.. {
                let begun = Instant::now();
                if begun >= counted_until {
                    break;
                }
                let result = workflow(client, number).await?;
                anyhow::ensure!(result == number + STEPS, "the steps made {result} of {number}");
                let ended = Instant::now();
                // One that began while warming up counts if it ends in time: so does its opposite
                // not, and the two make up for each other.
                if ended > counted_from && ended <= counted_until {
                    let micros = ended.duration_since(begun).as_micros();
                    latencies.saturating_record(u64::try_from(micros).unwrap_or(MAX_LATENCY_US));
                }
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = histogram()?;
    while let Some(client) = clients.join_next().await {
        latencies.add(client?.context("run a workflow")?)?;
    }
    let ms = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Measured {
        engine: engine.to_owned(),
        clients: load.clients,
        per_second: latencies.len() as f64 / load.seconds as f64,
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
    })
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?)
}
