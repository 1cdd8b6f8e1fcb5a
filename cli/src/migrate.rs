//! `fluxus migrate`: brings the database's tables up to this version.

use crate::exit::Exit;

/// Which database.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Migrations only go forward, and each suits the version before it too: run this first, deploy then.

Example:
  fluxus migrate --database-url postgres://fluxus@db.internal/fluxus")]
pub struct Args {
    /// The database to migrate
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
}

/// Migrates the database.
///
/// # Errors
/// Where the database cannot be reached, or a migration fails; nothing of it stays then.
#[allow(clippy::unused_async)] // The call to come awaits.
pub async fn run(_args: &Args) -> anyhow::Result<Exit> {
    anyhow::bail!("`fluxus migrate` is not built in yet")
}
