//! Prints how large each function is and how fast it starts and answers, as a table:
//! `cargo run -p fluxus-tests --features aws --example lambda-table`.
//!
//! The functions are built in the profile `function` and run under AWS's runtime interface emulator on
//! this machine, with a Postgres and ministack beside them. Times are medians of ten.
//!
//! - *zip*: the bootstrap as `fluxus deploy` packs it.
//! - *init*: from the start of the process until it asks for its first invocation, as the emulator
//!   tells it: with the connection to Postgres for those that open one then, which are all that use
//!   it but observe.
//! - *no-op*: an invocation with nothing to do, seen by its caller: an empty batch for core and
//!   ingest, `GET /healthz` for the API, `{"manifest": {}}` for fluxlings. Observe has none: each
//!   event is an observation.
//!
//! With a folder as its argument it builds nothing, and takes the bootstraps from there.
//!
//! Ends with 1 where something is past its bound.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fluxus_cli::aws::bundle;
use serde_json::{Value, json};

#[allow(dead_code)] // It serves the tests too.
#[path = "../tests/rie/footing.rs"]
mod footing;

use footing::{Footing, build, functions};

/// What a function may weigh and take at most.
const MAX_ZIP_BYTES: usize = 8_000_000;
const MAX_INIT: Duration = Duration::from_millis(60);
const MAX_NO_OP: Duration = Duration::from_millis(3);

/// How often everything is measured; the median counts.
const TIMES: usize = 10;

/// Invocations before the first that counts: the caller's connection is there then, and caches are
/// warm.
const WARM_UP: usize = 3;

/// One function, measured.
struct Row {
    name: String,
    zip_bytes: usize,
    init: Duration,
    no_op: Option<Duration>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut functions = functions()?;
    functions.dedup_by(|one, other| one.binary == other.binary);
    let built = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => build(&functions, "function").await?,
    };
    let footing = Footing::new().await?;
    let core = footing.start(&built.join("fluxus-core"), "MigrateFunction", &[]).await?;
    core.invoke(&json!({ "migrate": {} })).await.context("make the tables")?;
    let mut rows = Vec::new();
    for function in &functions {
        let bootstrap = built.join(&function.binary);
        let (init, no_op) = times(&footing, &bootstrap, &function.id, &function.binary).await?;
        let (name, zip_bytes) = (function.binary.clone(), zip_bytes(&bootstrap)?);
        rows.push(Row { name, zip_bytes, init, no_op });
    }
    Ok(if print(&rows) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The medians of init and of a warm invocation with nothing to do.
async fn times(
    footing: &Footing,
    bootstrap: &Path,
    id: &str,
    binary: &str,
) -> anyhow::Result<(Duration, Option<Duration>)> {
    let event = no_op(binary)?;
    let (mut inits, mut no_ops) = (Vec::new(), Vec::new());
    for time in 0..TIMES {
        let running = footing.start(bootstrap, id, &[]).await?;
        invoke(&running, &event).await?;
        inits.push(init_of(&running.said()?).context("the emulator tells no init")?);
        if time == 0 && binary != "fluxus-observe" {
            for _ in 0..WARM_UP {
                invoke(&running, &event).await?;
            }
            for _ in 0..TIMES {
                let start = Instant::now();
                invoke(&running, &event).await?;
                no_ops.push(start.elapsed());
            }
        }
    }
    Ok((median(inits).context("measured")?, median(no_ops)))
}

async fn invoke(running: &footing::Running, event: &Value) -> anyhow::Result<()> {
    let answer = running.invoke(event).await?;
    anyhow::ensure!(answer.get("errorMessage").is_none(), "{answer}");
    Ok(())
}

/// An event that leaves this function nothing to do.
fn no_op(binary: &str) -> anyhow::Result<Value> {
    Ok(match binary {
        "fluxus-core" | "fluxus-ingest" => json!({ "Records": [] }),
        "fluxus-observe" => json!({}),
        "fluxus-api" => {
            let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/events/api.json");
            let mut event: Value = serde_json::from_str(&std::fs::read_to_string(sample)?)?;
            event["rawPath"] = json!("/healthz");
            event["requestContext"]["http"]["method"] = json!("GET");
            event
        }
        _fluxling => json!({ "manifest": {} }),
    })
}

/// How long the function took to its first question for work, in what the emulator says.
fn init_of(said: &str) -> Option<Duration> {
    let (_, report) = said.split_once("INIT REPORT(durationMs: ")?;
    let (ms, _) = report.split_once(')')?;
    Some(Duration::from_secs_f64(ms.parse::<f64>().ok()? / 1000.0))
}

fn zip_bytes(bootstrap: &Path) -> anyhow::Result<usize> {
    let folder = tempfile::tempdir()?;
    std::fs::copy(bootstrap, folder.path().join("bootstrap"))?;
    Ok(bundle::zip(folder.path())?.len())
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    let upper = times.get(times.len() / 2)?;
    let lower = times.get((times.len() - 1) / 2)?;
    Some((*upper + *lower) / 2)
}

/// Prints the table, and says whether all is within its bounds.
fn print(rows: &[Row]) -> bool {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!("| function | zip, MB | init, ms | no-op, ms |");
    println!("| --- | ---: | ---: | ---: |");
    let mut all_fit = true;
    for Row { name, zip_bytes, init, no_op } in rows {
        let fits = *zip_bytes < MAX_ZIP_BYTES
            && *init < MAX_INIT
            && no_op.is_none_or(|no_op| no_op < MAX_NO_OP);
        all_fit &= fits;
        let mark = if fits { "" } else { " **past a bound**" };
        let megabytes = *zip_bytes as f64 / 1e6;
        let no_op = no_op.map_or_else(|| "–".to_owned(), |no_op| format!("{:.2}", ms(no_op)));
        println!("| {name}{mark} | {megabytes:.1} | {:.1} | {no_op} |", ms(*init));
    }
    println!(
        "| at most | {:.1} | {:.1} | {:.2} |",
        MAX_ZIP_BYTES as f64 / 1e6,
        ms(MAX_INIT),
        ms(MAX_NO_OP)
    );
    all_fit
}
