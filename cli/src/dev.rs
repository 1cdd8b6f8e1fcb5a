//! `fluxus dev`: the whole system in one process, for the laptop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `fluxus dev` can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Postgres to use; without one, an own one is started and kept under `--dir`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Where to serve REST and the console
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7400")]
    pub listen: SocketAddr,
    /// Where the embedded Postgres keeps its data
    #[arg(long, value_name = "DIR", default_value = ".fluxus")]
    pub dir: PathBuf,
    /// Leave out the example recipe
    #[arg(long)]
    pub no_example: bool,
}

/// Runs the system until Ctrl-C.
///
/// # Errors
/// Where Postgres or the listener cannot be had.
#[allow(clippy::unused_async)] // The body to come awaits.
pub async fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`fluxus dev` is not built in yet")
}
