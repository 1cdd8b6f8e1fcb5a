//! The side of DBOS Transact: three durable steps, run by clients in this process.
//!
//! DBOS works as a library: a workflow started with `run` executes in the caller's process, and
//! its start, each step and its result are rows in the database given.

use std::sync::Arc;

use dbos::{Config, DBOS, step};

use crate::closed_loop::{self, Load};

/// How many connections DBOS may have: more make it slower on few cores.
const CONNECTIONS: u32 = 20;

/// How one run is told what to do.
#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    database_url: String,
    #[command(flatten)]
    load: Load,
}

/// Runs the loop and prints its numbers as JSON.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let engine = DBOS::new(Config {
        app_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        max_connections: CONNECTIONS,
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
    let measured = closed_loop::run("dbos", args.load, move |_client, number| {
        let workflow = Arc::clone(&workflow);
        async move { Ok(workflow.run(number).await?) }
    });
    let measured = measured.await?;
    engine.shutdown().await;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}
