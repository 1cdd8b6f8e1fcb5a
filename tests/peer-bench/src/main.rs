//! Measures Fluxus beside other durable engines, on one machine.
//!
//! Each runs a workflow of three trivial durable steps, driven in a closed loop: each of C clients
//! has one run, waits for its durable result, and has the next run. Those on Postgres use databases
//! of one private server with its default durability, each run a fresh one. Runs take turns within
//! each round, and the order turns from round to round, so that whatever else the machine does
//! meets all alike. Medians and ratios are over the rounds.
//!
//! In each round `pgbench` says what that Postgres can do at all: inserts of the same rows that
//! Fluxus writes for one claim.
//!
//! ```text
//! cargo build --release -p fluxus-cli
//! cd tests/peer-bench && cargo run --release
//! ```
//!
//! Restate and the queue for bare jobs come from npm, into a folder of the user's cache. What cannot
//! be had is left out, and the report says why.

mod baseline;
mod closed_loop;
mod dbos;
mod engine;
mod fluxus;
mod npm;
mod process;
mod report;
mod restate;
mod rows;
mod server;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::engine::{Engine, Engines};
use crate::report::{Report, Runs};
use crate::server::Server;

#[derive(Parser)]
#[command(about = "Measures Fluxus beside other durable engines, on one machine and one Postgres")]
struct Args {
    #[command(flatten)]
    plan: Plan,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What a comparison consists of.
#[derive(clap::Args)]
pub struct Plan {
    /// Where the program `fluxus` is [default: target/release/fluxus of this checkout]
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/fluxus"), hide_default_value = true)]
    fluxus: PathBuf,
    /// Who is measured
    #[arg(long, value_name = "ENGINE", value_enum, value_delimiter = ',', default_values = ["fluxus", "dbos", "restate", "graphile-worker"])]
    engines: Vec<Engine>,
    /// How often each engine is measured with each number of clients
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many clients each engine serves at a time
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 32, 128])]
    clients: Vec<usize>,
    /// How long one run is counted, after three seconds of warm-up
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Leave out what pgbench can do on the same Postgres
    #[arg(long)]
    no_baseline: bool,
    /// Where packages from npm go [default: fluxus/peer-bench in the user's cache]
    #[arg(long, value_name = "FOLDER")]
    npm_folder: Option<PathBuf>,
    /// Where the private cluster goes; it must not exist, and is removed afterwards
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Write the report as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// One run of DBOS in this process, as the comparison starts it
    #[command(hide = true)]
    Dbos(dbos::Args),
    /// One run of Restate, as the comparison starts it
    #[command(hide = true)]
    Restate(restate::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.command {
        Some(Command::Dbos(args)) => dbos::run(&args).await,
        Some(Command::Restate(args)) => restate::run(&args).await,
        None => compare(&args.plan).await,
    }
}

async fn compare(plan: &Plan) -> anyhow::Result<()> {
    let engines = Engines::find(plan).await;
    for missing in &engines.missing {
        eprintln!("left out: {missing}");
    }
    anyhow::ensure!(!engines.ready.is_empty(), "no engine can be measured here");
    let server = Server::start(plan.folder.as_deref()).await?;
    let mut runs = Runs::default();
    let outcome = tokio::select! {
        outcome = measure(plan, &engines, &server, &mut runs) => outcome,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("listen for Ctrl-C")?;
            Err(anyhow::anyhow!("interrupted"))
        }
    };
    // The cluster goes, whatever happened; what was measured so far is printed.
    let settings = server.settings().await;
    server.remove().await?;
    let report = Report::new(settings?, &engines, plan.seconds, runs);
    if let Some(file) = &plan.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text).with_context(|| format!("write `{}`", file.display()))?;
    }
    print!("{report}");
    outcome
}

async fn measure(
    plan: &Plan,
    engines: &Engines,
    server: &Server,
    runs: &mut Runs,
) -> anyhow::Result<()> {
    let with_baseline = !plan.no_baseline && engines.ready.contains(&Engine::Fluxus);
    if with_baseline {
        eprintln!("counting the rows that Fluxus writes for a claim");
        runs.written = Some(rows::count(plan, server).await.context("count rows")?);
    }
    for round in 1..=plan.rounds {
        for clients in plan.clients.iter().copied() {
            let mut order = engines.ready.clone();
            order.rotate_left((round as usize - 1) % engines.ready.len());
            for engine in order {
                let run = engines.run(engine, plan, clients, server).await;
                let run = run.with_context(|| format!("round {round}, {}", engine.name()))?;
                eprintln!("round {round}: {run}");
                runs.measured.push(run);
            }
        }
        if let Some(written) = runs.written.as_ref().filter(|_| with_baseline) {
            let baseline = baseline::run(plan, written, server).await?;
            eprintln!("round {round}: pgbench: {:.0} rows/s", baseline.rows_per_s);
            runs.baselines.push(baseline);
        }
    }
    Ok(())
}
