//! `fluxus bench`: measures throughput and latency.
//!
//! Clients in a closed loop submit claims of a recipe with three trivial tasks and wait for their
//! ends over HTTP. All parts are real: intake, Postgres with its default durability, queues, the
//! fluxling SDK.

mod cost;
mod load;

use std::process::ExitCode;

use anyhow::Context as _;
use fluxus_local::{DatabaseChoice, Options, System};
use fluxus_postgres::cluster::{Cluster, ClusterOptions};
use serde::Serialize;
use serde_json::json;

use crate::output::Format;
use cost::{Cost, Meter};
use load::Load;

/// Tasks of the measured recipe: each is a state, and entering a state is a transition.
const TASKS: u64 = 3;

/// Name of the measured recipe, and of its claim type.
const RECIPE: &str = "fluxus-bench";

/// Where an embedded system keeps its data for the time of the measurement.
const DATABASE: &str = "fluxus_bench";

/// What `fluxus bench` can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How many claims to submit
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub claims: u64,
    /// How many claims are under way at a time
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: u32,
    /// The system to measure; without one, an embedded system is started (`FLUXUS_URL` is not read)
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Start the embedded system on this empty database instead of a private Postgres
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    pub database_url: Option<String>,
    /// Batches that the embedded core works on at a time
    #[arg(long, value_name = "N", conflicts_with = "url")]
    pub core_workers: Option<usize>,
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub output: Format,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    claims: u64,
    concurrency: u32,
    failed: u64,
    seconds: f64,
    claims_per_s: f64,
    transitions_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Statements, log and CPU can be counted only where the system is our own.
    #[serde(flatten)]
    cost: Option<Cost>,
}

/// Submits the claims, waits for their ends and prints the numbers.
///
/// # Errors
/// Where the system cannot be reached, or refuses a claim.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report = match (&args.url, &args.database_url) {
        (Some(url), _) => measure(args, url, None).await?,
        (None, Some(database_url)) => embedded(args, database_url, None).await?,
        (None, None) => on_private_postgres(args).await?,
    };
    match args.output {
        Format::Json => anstream::println!("{}", serde_json::to_string(&report)?),
        Format::Text => print(&report),
    }
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn on_private_postgres(args: &Args) -> anyhow::Result<Report> {
    let folder = tempfile::Builder::new().prefix("fluxus-bench-").tempdir()?;
    crate::output::note("starting a private Postgres with its default durability");
    let cluster =
        Cluster::start(&folder.path().join("postgres"), ClusterOptions::default()).await?;
    cluster.create_database_if_missing(DATABASE).await?;
    let measured = embedded(args, &cluster.url(DATABASE), Some(cluster.postmaster_pid())).await;
    cluster.stop().await.context("stop the private Postgres")?;
    measured
}

async fn embedded(
    args: &Args,
    database_url: &str,
    postmaster: Option<u32>,
) -> anyhow::Result<Report> {
    let listen = "127.0.0.1:0".parse()?;
    let mut options = Options::new(DatabaseChoice::Url(database_url.to_owned()), listen);
    options.examples = false;
    options.fluxlings = vec![fluxus_local::bench::fluxling()];
    options.builtin = false;
    options.core_workers = args.core_workers.unwrap_or(options.core_workers);
    let system = System::start(options).await?;
    let meter = Meter { store: system.store().clone(), postmaster };
    let measured = measure(args, &system.url(), Some(&meter)).await;
    system.shutdown().await?;
    measured
}

async fn measure(args: &Args, url: &str, meter: Option<&Meter>) -> anyhow::Result<Report> {
    let load = Load::new(url, args.concurrency)?;
    load.put_recipe(RECIPE, &recipe()).await?;
    let warm_up = (args.claims / 10).clamp(1, 2_000);
    load.run(warm_up, RECIPE).await.context("warm up")?;
    let before = match meter {
        Some(meter) => Some(meter.read().await?),
        None => None,
    };
    let run = load.run(args.claims, RECIPE).await?;
    let cost = match (meter, before) {
        (Some(meter), Some(before)) => {
            Some(meter.read().await?.since(&before, args.claims, args.claims * TASKS))
        }
        _ => None,
    };
    let seconds = run.took.as_secs_f64();
    let claims_per_s = run.ended as f64 / seconds;
    Ok(Report {
        claims: args.claims,
        concurrency: args.concurrency,
        failed: run.failed,
        seconds,
        claims_per_s,
        transitions_per_s: claims_per_s * TASKS as f64,
        p50_ms: run.latency.value_at_quantile(0.5) as f64 / 1e3,
        p99_ms: run.latency.value_at_quantile(0.99) as f64 / 1e3,
        cost,
    })
}

/// Three tasks in a row, each of which adds one.
fn recipe() -> serde_json::Value {
    let task = |next: Option<&str>| {
        let mut state = json!({ "Type": "Task", "Resource": "fluxling:bench.add" });
        match next {
            Some(next) => state["Next"] = next.into(),
            None => state["End"] = true.into(),
        }
        state
    };
    json!({
        "Comment": "Adds one three times",
        "StartAt": "First",
        "States": { "First": task(Some("Second")), "Second": task(Some("Third")), "Third": task(None) },
    })
}

fn print(report: &Report) {
    let Report { claims, concurrency, failed, seconds, .. } = report;
    anstream::println!(
        "{claims} claims of {TASKS} tasks, {concurrency} at a time, in {seconds:.1} s"
    );
    if *failed > 0 {
        anstream::println!("failed                       {failed:>12}");
    }
    anstream::println!("claims per second            {:>12.0}", report.claims_per_s);
    anstream::println!("transitions per second       {:>12.0}", report.transitions_per_s);
    anstream::println!("latency p50                  {:>9.1} ms", report.p50_ms);
    anstream::println!("latency p99                  {:>9.1} ms", report.p99_ms);
    let Some(cost) = &report.cost else { return };
    anstream::println!("statements per transition    {:>12.2}", cost.statements_per_transition);
    anstream::println!("log bytes per transition     {:>12.0}", cost.wal_bytes_per_transition);
    if let Some(cpu) = cost.cpu_s_per_1000_claims {
        anstream::println!("CPU per 1,000 claims         {cpu:>10.2} s");
    }
}
