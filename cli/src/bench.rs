//! `fluxus bench`: measures throughput and latency.

use std::process::ExitCode;

use crate::output::Format;

/// What `fluxus bench` can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How many claims to submit
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub claims: u64,
    /// How many claims are under way at a time
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub concurrency: usize,
    /// The system to measure; without one, an embedded system is started (`FLUXUS_URL` is not read)
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub output: Format,
}

/// Submits the claims, waits for their ends and prints the numbers.
///
/// # Errors
/// Where the system cannot be reached, or refuses a claim.
#[allow(clippy::unused_async)] // The body to come awaits.
pub async fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`fluxus bench` is not built in yet")
}
