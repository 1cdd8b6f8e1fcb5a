//! The side of DBOS Transact: three durable steps, run by clients in this process.
//!
//! DBOS works as a library: a workflow started with `run` executes in the caller's process, and
//! its start, each step and its result are rows in the database given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dbos::{Config, DBOS, step};
use hdrhistogram::Histogram;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::report::Measured;
use crate::{Plan, process};

/// What runs before anything is counted: pools fill, statements are prepared.
const WARM_UP: Duration = Duration::from_secs(3);

/// The longest latency told apart: far beyond what a run takes.
const MAX_LATENCY_US: u64 = 120_000_000;

/// How one run is told what to do.
#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    database_url: String,
    #[arg(long)]
    concurrency: usize,
    #[arg(long)]
    seconds: u64,
    #[arg(long)]
    connections: u32,
}

/// Runs this program once more, as DBOS's process.
pub async fn start(plan: &Plan, url: &str) -> anyhow::Result<Measured> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("dbos").args(["--database-url", url]);
    command.args(["--concurrency", &plan.concurrency.to_string()]);
    command.args(["--seconds", &plan.dbos_seconds.to_string()]);
    command.args(["--connections", &plan.dbos_connections.to_string()]);
    Ok(serde_json::from_value(process::json(command).await?)?)
}

/// Runs the loop and prints its numbers as JSON.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let engine = DBOS::new(Config {
        app_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        max_connections: args.connections,
        ..Config::new("peer-bench", &args.database_url)
    });
    let workflow = engine.register_workflow("three-steps", |number: u64| async move {
        let first = step("first", || async move { Ok::<u64, dbos::Error>(number + 1) }).await?;
        let second = step("second", || async move { Ok::<u64, dbos::Error>(first + 1) }).await?;
        let third = step("third", || async move { Ok::<u64, dbos::Error>(second + 1) }).await?;
        Ok::<u64, dbos::Error>(third)
    })?;
    let workflow = Arc::new(workflow);
    engine.launch().await?;

    let counted_from = Instant::now() + WARM_UP;
    let counted_until = counted_from + Duration::from_secs(args.seconds);
    let mut clients = JoinSet::new();
    for _ in 0..args.concurrency {
        let workflow = Arc::clone(&workflow);
        clients.spawn(async move {
            let mut latencies = Histogram::<u64>::new_with_bounds(1, MAX_LATENCY_US, 3)?;
            for number in 0_u64.. {
                let begun = Instant::now();
                if begun >= counted_until {
                    break;
                }
                let result = workflow.run(number).await?;
                anyhow::ensure!(result == number + 3, "three steps made {result} of {number}");
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
    let mut latencies = Histogram::<u64>::new_with_bounds(1, MAX_LATENCY_US, 3)?;
    while let Some(client) = clients.join_next().await {
        latencies.add(client?.context("run a workflow")?)?;
    }
    engine.shutdown().await;
    let ms = |quantile: f64| Duration::from_micros(latencies.value_at_quantile(quantile));
    let measured = Measured {
        engine: "dbos".to_owned(),
        per_second: latencies.len() as f64 / args.seconds as f64,
        p50_ms: ms(0.5).as_secs_f64() * 1e3,
        p99_ms: ms(0.99).as_secs_f64() * 1e3,
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}
