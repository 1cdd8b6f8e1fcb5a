//! `fluxus cost`: what a million transitions of a recipe cost on AWS.
//!
//! Claims of the recipe run through the functions' own handlers in this process, on a queue that
//! counts the requests that SQS would get and a record that counts the writes of DynamoDB; the
//! database is a real Postgres. What no run here can know, above all how long a request takes
//! on AWS, is assumed; both are printed, and every assumption is an option.

mod account;
mod assumptions;
mod bill;
mod counted;
mod prices;
mod report;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use fluxus_postgres::cluster::{Cluster, ClusterOptions};

use crate::output::Format;
pub use assumptions::Assumptions;

/// The database of a private cluster.
const DATABASE: &str = "fluxus_cost";

/// What `fluxus cost` can be told.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
A recipe can be counted whose claims end as SUCCEEDED by themselves: with tasks of fluxlings, for whom
a stand-in answers where there is none here. One that waits for a callback or for the worker of an
activity does not end.

Examples:
  fluxus cost
  fluxus cost recipe.json --input '{\"order\": \"1001\"}'
  fluxus cost recipe.json --input @order.json --through ingest --batch 100")]
pub struct Args {
    /// File with the recipe, in Amazon States Language; without one, three tasks in a row
    #[arg(value_name = "DEFINITION")]
    pub definition: Option<PathBuf>,
    /// The body of each claim: JSON, or a file with JSON
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    pub input: String,
    /// How many claims are run to count
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub claims: u64,
    /// How claims come in: each by a request of the API, or in tens by the ingest queue
    #[arg(long, value_enum, value_name = "WAY", default_value_t = Way::Api)]
    pub through: Way,
    /// How many messages an invocation gets: 10 in a busy system, fewer in a quiet one
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub batch: u32,
    /// Whether fluxlings keep a record of each task: as they declare, all, or none
    #[arg(long, value_enum, value_name = "WHO", default_value_t = Records::Declared)]
    pub records: Records,
    /// Count with this empty database instead of a private Postgres
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// How long claims may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub output: Format,
    /// What is assumed.
    #[command(flatten)]
    pub assumed: Assumptions,
}

/// How claims come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// A request each, through API Gateway
    Api,
    /// On the ingest queue, ten in a request
    Ingest,
}

/// Who keeps a record of each task in DynamoDB, so that it runs once however often its message
/// comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Records {
    /// Those fluxlings that are not idempotent
    Declared,
    /// Every fluxling
    All,
    /// No fluxling
    None,
}

/// Counts, and prints the bill.
///
/// # Errors
/// Where the recipe is not valid, its claims do not end, or Postgres cannot be started.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = run::Plan::read(args)?;
    let counts = match &args.database_url {
        Some(url) => run::count(args, &plan, url).await?,
        None => {
            let folder = tempfile::Builder::new().prefix("fluxus-cost-").tempdir()?;
            crate::output::note("starting a private Postgres");
            let dir = folder.path().join("postgres");
            let cluster = Cluster::start(&dir, ClusterOptions::default()).await?;
            cluster.create_database_if_missing(DATABASE).await?;
            let counts = run::count(args, &plan, &cluster.url(DATABASE)).await;
            cluster.stop().await?;
            counts?
        }
    };
    if cfg!(debug_assertions) {
        crate::output::note("this is a debug build: its CPU times are many times too long");
    }
    let bill = bill::Bill::of(&counts, &args.assumed);
    report::print(args, &plan, &counts, &bill)?;
    Ok(ExitCode::SUCCESS)
}
