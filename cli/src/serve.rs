//! `fluxus serve`: the system, or a part of it, on a Postgres that is there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxling_lambda::Endpoint;
use fluxus_local::{
    ApiKeys, Auth, BacklogBounds, DatabaseChoice, MAX_BACKLOG, MAX_TENANT_BACKLOG, Options,
    Progress, Role, System,
};

use crate::dev::{KEYS_VARIABLE, Signals, log, say, stop, told, with_option};
use crate::exit::{Exit, Usage};
use crate::moment::span;
use crate::output::note;

/// What `fluxus serve` can be told.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
For virtual machines and containers: one process for each part, or all in one, as many of each as
are needed. They meet in Postgres alone. Run `fluxus migrate` before, once for each version; old and
new processes may run side by side meanwhile.

Says `Ready` on stdout once it is at work, and runs until SIGTERM or Ctrl-C: then takes nothing more
in, finishes what it has in hand, and exits with 0. What a killed process had in hand is taken up by
another within seconds.

Log lines go to stderr: warnings, or what RUST_LOG says. With FLUXUS_API_KEYS=KEY:TENANT,… only
whoever has a key (of 16 characters at least) is answered, and addresses beyond this machine may be
listened on.

Examples:
  fluxus serve
  fluxus serve api --listen 0.0.0.0:7400
  fluxus serve core
  fluxus serve core fluxlings --database-url postgres://fluxus@db.internal/fluxus")]
pub struct Args {
    /// What this process does of the whole; all of it unless said
    #[arg(value_enum, value_name = "PART")]
    pub parts: Vec<Part>,
    /// The database, migrated
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
    /// Where `api` serves REST; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7400")]
    pub listen: SocketAddr,
    /// What the built-in fluxlings may reach
    #[command(flatten)]
    pub reach: Reach,
    /// How much may wait, and how long what ended is kept
    #[command(flatten)]
    pub bounds: Bounds,
}

/// A part of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// REST, and the ingest queue
    Api,
    /// Steps executions and gives out their tasks
    Core,
    /// The built-in fluxlings
    Fluxlings,
}

/// What the built-in fluxlings may reach.
#[derive(Debug, Clone, clap::Args)]
pub struct Reach {
    /// What `http.request` may reach beside the public internet: endpoints and networks, with commas
    #[arg(long, env = "FLUXUS_HTTP_ALLOW", value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub http_allow: Vec<String>,
    /// Folder whose files distributed Maps may read items from and write results to; no files
    /// without it
    #[arg(long, value_name = "DIR", env = "FLUXUS_ITEMS_FOLDER")]
    pub items_folder: Option<PathBuf>,
    /// Where Lambda functions are invoked that recipes name: an endpoint that asks for no signature,
    /// such as that of `sam local start-lambda`; none without it
    #[arg(long, value_name = "URL", env = "FLUXUS_LAMBDA_URL")]
    pub lambda_url: Option<String>,
}

/// How much may wait, and how long what ended is kept.
#[derive(Debug, Clone, clap::Args)]
pub struct Bounds {
    /// How many claims may wait to be evaluated; past it clients are told to come again
    #[arg(long, value_name = "CLAIMS", env = "FLUXUS_MAX_BACKLOG", default_value_t = MAX_BACKLOG,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub max_backlog: u64,
    /// How many of one tenant may
    #[arg(long, value_name = "CLAIMS", env = "FLUXUS_MAX_TENANT_BACKLOG",
          default_value_t = MAX_TENANT_BACKLOG, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_tenant_backlog: u64,
    /// How many days ended claims and their history are kept; for ever without it
    #[arg(long, value_name = "DAYS", env = "FLUXUS_HISTORY_RETENTION_DAYS",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub history_retention_days: Option<u32>,
}

impl Bounds {
    /// Puts them into the options.
    pub(crate) fn apply(&self, options: &mut Options) {
        options.backlog = BacklogBounds { tenant: self.max_tenant_backlog, all: self.max_backlog };
        let days = self.history_retention_days.map(u64::from);
        options.retention = days.map(|days| Duration::from_secs(days * 24 * 60 * 60));
    }
}

impl Reach {
    /// Puts it into the options.
    ///
    /// # Errors
    /// [`Usage`] for an entry or a URL that cannot be read.
    pub(crate) fn apply(&self, options: &mut Options) -> anyhow::Result<()> {
        options.items_folder = self.items_folder.clone();
        if let Some(url) = self.lambda_url.as_deref().filter(|url| !url.is_empty()) {
            let endpoint =
                Endpoint::new(url).map_err(|error| Usage(format!("--lambda-url: {error}")))?;
            options.fluxlings.push(fluxling_lambda::fluxling(Arc::new(endpoint)));
        }
        let allow = self.http_allow.iter().map(|entry| entry.trim());
        options.http_allow = allow
            .filter(|entry| !entry.is_empty())
            .map(|entry| entry.parse().map_err(|error| Usage(format!("--http-allow: {error}"))))
            .collect::<Result<_, _>>()?;
        Ok(())
    }
}

/// Runs the parts until a signal asks to stop.
///
/// # Errors
/// Where the database cannot be reached or is not migrated, or the listener cannot be had.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    log();
    let began = Instant::now();
    let mut signals = Signals::new()?;
    let options = options(args)?;
    let parts = named(&options.roles);
    let started = tokio::select! {
        started = System::start(options) => started,
        () = signals.next() => return Ok(Exit::Interrupted.into()),
    };
    let mut system = started.map_err(with_option)?;
    let took = span(began.elapsed());
    match system.api_url() {
        Some(url) => say(&format!("Ready after {took}: {parts}; REST at {url}")),
        None => say(&format!("Ready after {took}: {parts}")),
    }
    tokio::select! {
        () = signals.next() => stop(system, &mut signals).await,
        part = system.broken() => {
            let stopped = system.shutdown().await;
            Err(anyhow::anyhow!("{part} ended unexpectedly; start again to go on"))
                .or_else(|error| stopped.and(Err(error)))
        }
    }
}

fn options(args: &Args) -> anyhow::Result<Options> {
    let database = DatabaseChoice::Url(args.database_url.clone());
    let mut options = Options::new(database, args.listen);
    options.migrate = false;
    options.examples = false;
    options.roles = roles(&args.parts);
    // Whoever starts many processes reads one line of each on stdout.
    options.progress = Arc::new(|progress| {
        if !matches!(progress, Progress::Resuming { .. }) {
            note(&told(progress));
        }
    });
    args.reach.apply(&mut options)?;
    args.bounds.apply(&mut options);
    let keys = std::env::var(KEYS_VARIABLE).unwrap_or_default();
    if !keys.is_empty() {
        options.auth = Auth::Keys(ApiKeys::parse(&keys)?);
    }
    Ok(options)
}

fn roles(parts: &[Part]) -> Vec<Role> {
    let mut roles: Vec<Role> = parts
        .iter()
        .map(|part| match part {
            Part::Api => Role::Api,
            Part::Core => Role::Core,
            Part::Fluxlings => Role::Fluxlings,
        })
        .collect();
    if roles.is_empty() {
        roles = Role::ALL.to_vec();
    }
    roles.sort();
    roles.dedup();
    roles
}

fn named(roles: &[Role]) -> String {
    let names: Vec<_> = roles
        .iter()
        .map(|role| match role {
            Role::Api => "api",
            Role::Core => "core",
            Role::Fluxlings => "fluxlings",
        })
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_named_means_all_and_a_part_counts_once() {
        assert_eq!(roles(&[]), Role::ALL);
        assert_eq!(roles(&[Part::Core, Part::Api, Part::Core]), [Role::Api, Role::Core]);
        assert_eq!(named(&Role::ALL), "api, core, fluxlings");
    }
}
