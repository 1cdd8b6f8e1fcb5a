//! `fluxus bench`: measures throughput, latency and what they cost.
//!
//! All parts are real: intake over HTTP, Postgres with its default durability, queues, the
//! fluxling SDK. What differs between the scenarios is the load. Only the open loop, `steady` and
//! `ramp`, says what a client would see who does not wait for the system: there, latency counts
//! from the moment at which a claim was due, also where it could be submitted only later.

mod args;
mod client;
mod closed;
mod fan_out;
mod long;
mod meter;
mod mixed;
mod open;
mod payload;
mod plot;
mod recipes;
mod recorder;
mod report;
mod target;
mod tenants;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

pub use args::{Args, Scenario};

use crate::exit::Usage;
use crate::output::{Format, Printer};
use args::Target;
use report::Report;
use target::Bench;

/// The exit code of a program that was interrupted twice.
const INTERRUPTED: i32 = 130;

/// Runs the scenario and prints the numbers: those so far, where it is interrupted. `key` is for a
/// system that runs already.
///
/// # Errors
/// Where the system cannot be reached, or refuses a claim.
pub async fn run(args: &Args, key: Option<&str>) -> anyhow::Result<ExitCode> {
    let scenario = args.scenario();
    let target = scenario.target();
    scenario.check()?;
    if let Some(file) = &target.svg {
        writable(file)?;
    }
    let report = target::with(target, key, scenario.tenants(), async |bench: &Bench<'_>| {
        let stopping = stop_at_ctrl_c(bench.stop.clone());
        let measured = measure(&scenario, bench).await;
        stopping.abort();
        measured
    });
    let report = report.await?;
    print(target, &report)?;
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(scenario: &Scenario, bench: &Bench<'_>) -> anyhow::Result<Report> {
    let mut report = match scenario {
        Scenario::Closed(args) => closed::run(args, bench).await?,
        Scenario::Steady(args) => open::steady(args, bench).await?,
        Scenario::Ramp(args) => open::ramp(args, bench).await?,
        Scenario::Mixed(args) => mixed::run(args, bench).await?,
        Scenario::FanOut(args) => fan_out::run(args, bench).await?,
        Scenario::Payload(args) => payload::run(args, bench).await?,
        Scenario::Tenants(args) => tenants::run(args, bench).await?,
        Scenario::Long(args) => long::run(args, bench).await?,
    };
    report.interrupted = bench.stop.is_cancelled();
    Ok(report)
}

/// That a picture can be written there, before minutes of measuring go into it.
fn writable(file: &Path) -> Result<(), Usage> {
    let is_new = !file.exists();
    // An older picture stays as it is until there is another.
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(file);
    opened.map_err(|error| Usage(format!("--svg: cannot write `{}`: {error}", file.display())))?;
    if is_new {
        // What stays where this fails is an empty file.
        let _ = std::fs::remove_file(file);
    }
    Ok(())
}

fn print(target: &Target, report: &Report) -> anyhow::Result<()> {
    let printer = Printer::stdout(target.output);
    match target.output {
        Format::Json => printer.raw(&serde_json::to_vec(report)?)?,
        Format::Text => printer.text(&report.to_string())?,
    }
    // After the numbers, so that they are there whatever comes of the picture.
    if let Some(file) = &target.svg {
        let drawn = plot::svg(report)?;
        std::fs::write(file, drawn).with_context(|| format!("write `{}`", file.display()))?;
    }
    Ok(())
}

/// The first Ctrl-C ends the measuring, and what was measured is printed. The second ends all.
fn stop_at_ctrl_c(stop: CancellationToken) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            crate::output::note("stopping; what was measured so far comes now");
            stop.cancel();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(INTERRUPTED);
        }
    })
}
