//! Measures Fluxus and DBOS Transact side by side.
//!
//! Both run a workflow of three trivial durable steps, driven in a closed loop: each of C clients
//! submits one, waits for its durable result, and submits the next. Both use databases of one
//! private Postgres with its default durability, each run a fresh one. Runs alternate, and so does
//! who goes first, so that whatever else the machine does meets both alike.
//!
//! ```text
//! cargo build --release -p fluxus-cli
//! cd tests/peer-bench && cargo run --release
//! ```

mod dbos_loop;
mod fluxus;
mod process;
mod report;
mod server;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::report::{Measured, Report};
use crate::server::Server;

#[derive(Parser)]
#[command(about = "Measures Fluxus and DBOS Transact side by side, on one Postgres")]
struct Args {
    #[command(flatten)]
    plan: Plan,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What a comparison consists of.
#[derive(clap::Args)]
struct Plan {
    /// Where the program `fluxus` is
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/fluxus"))]
    fluxus: PathBuf,
    /// How often each engine is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many clients each engine serves at a time
    #[arg(long, value_name = "N", default_value_t = 128)]
    concurrency: usize,
    /// How many claims one run of Fluxus takes
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    claims: u64,
    /// How long one run of DBOS is counted, after three seconds of warm-up
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    dbos_seconds: u64,
    /// How many connections DBOS may have
    #[arg(long, value_name = "N", default_value_t = 20)]
    dbos_connections: u32,
    /// Where the private cluster goes; it must not exist, and is removed afterwards
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Measure only one engine
    #[arg(long, value_name = "ENGINE")]
    only: Option<Engine>,
    /// Print the report as JSON alone
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// One run of DBOS in this process, as the comparison starts it
    #[command(hide = true)]
    Dbos(dbos_loop::Args),
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    Fluxus,
    Dbos,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.command {
        Some(Command::Dbos(args)) => dbos_loop::run(&args).await,
        None => compare(&args.plan).await,
    }
}

async fn compare(plan: &Plan) -> anyhow::Result<()> {
    if plan.only != Some(Engine::Dbos) && !plan.fluxus.exists() {
        anyhow::bail!(
            "there is no `{}`: run `cargo build --release -p fluxus-cli`, or name it by --fluxus",
            plan.fluxus.display()
        );
    }
    let server = Server::start(plan.folder.as_deref()).await?;
    let measured = tokio::select! {
        measured = measure(plan, &server) => measured,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("listen for Ctrl-C")?;
            Err(anyhow::anyhow!("interrupted"))
        }
    };
    // The cluster goes, whatever happened.
    let settings = server.settings().await;
    server.remove().await?;
    let report = Report::new(settings?, plan.concurrency, measured?);
    if plan.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

async fn measure(plan: &Plan, server: &Server) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for round in 1..=plan.rounds {
        let order = if round % 2 == 1 {
            [Engine::Fluxus, Engine::Dbos]
        } else {
            [Engine::Dbos, Engine::Fluxus]
        };
        for engine in
            order.into_iter().filter(|engine| plan.only.is_none_or(|only| only == *engine))
        {
            let run = match engine {
                Engine::Fluxus => {
                    let url = server.fresh_database(&format!("fluxus_{round}")).await?;
                    fluxus::run(plan, &url).await
                }
                Engine::Dbos => {
                    let url = server.fresh_database(&format!("dbos_{round}")).await?;
                    dbos_loop::start(plan, &url).await
                }
            };
            let run = run.with_context(|| format!("round {round}"))?;
            eprintln!("round {round}: {run}");
            measured.push(run);
        }
    }
    Ok(measured)
}
