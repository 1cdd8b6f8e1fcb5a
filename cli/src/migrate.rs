//! `fluxus migrate`: brings the database's tables up to this version.

use fluxus_postgres::{Database, Options};

use crate::dev::with_option;
use crate::exit::Exit;
use crate::output::{Format, Printer, note};

/// Which database.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Prints the migrations that were applied, one on a line. Migrations only go forward, and each suits
the version before it too: run this first, deploy then.

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
pub async fn run(args: &Args) -> anyhow::Result<Exit> {
    // One to migrate on, and one to hold the lock that keeps others waiting.
    let options = Options { max_connections: 2, ..Options::default() };
    let database = Database::connect(&args.database_url, options).await;
    let database = database.map_err(|error| with_option(error.into()))?;
    let applied = fluxus_local::migrate(&database).await?;
    if applied.is_empty() {
        note("The tables are up to date.");
    }
    let lines: String = applied.iter().map(|name| format!("{name}\n")).collect();
    Printer::stdout(Format::Text).text(&lines)?;
    Ok(Exit::Ok)
}
