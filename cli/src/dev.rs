//! `fluxus dev`: the whole system in one process, for the laptop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fluxus_local::examples::EXAMPLES;
use fluxus_local::{ApiKeys, Auth, DatabaseChoice, ListenError, Options, Progress, System};
use fluxus_postgres::{ClusterError, DatabaseError};
use fluxus_schema::api::{HistoryPage, Submitted};
use fluxus_schema::limits::MAX_HISTORY_PAGE;
use fluxus_schema::{Claim, ClaimId, Tenant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::args::{DEFAULT_URL, Global};
use crate::claim::history;
use crate::client::Client;
use crate::exit::Exit;
use crate::moment::span;
use crate::output::{Format, Printer, note};
use crate::serve::{Bounds, Reach};
use crate::story::Story;

/// The variable that holds the API keys: not an argument, because everybody on the machine can
/// read those.
pub(crate) const KEYS_VARIABLE: &str = "FLUXUS_API_KEYS";

/// Pause between two looks at the example claim: its story is told as it happens.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the example claim is watched. It takes a second or two; a recipe of the user's own
/// under its name may take longer, and goes on unwatched.
const WATCH_FOR: Duration = Duration::from_secs(30);

/// What `fluxus dev` can be told.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Runs until Ctrl-C: then takes nothing more in, finishes what it has in hand, stops Postgres and
exits with 0. A second Ctrl-C stops at once (130). Whatever ends it, the next start in the same
folder goes on where it stopped.

Log lines go to stderr: warnings, or what RUST_LOG says. With FLUXUS_API_KEYS=KEY:TENANT,… only
whoever has a key (of 16 characters at least) is answered, and addresses beyond this machine may be
listened on.

Examples:
  fluxus dev
  fluxus dev --listen 127.0.0.1:0 --dir /tmp/try-fluxus
  fluxus dev --database-url postgres://me@localhost/fluxus --no-example")]
pub struct Args {
    /// Postgres to use; without one, an own one is started and kept under `--dir`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Where to serve REST; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7400")]
    pub listen: SocketAddr,
    /// Where the embedded Postgres keeps its data
    #[arg(long, value_name = "DIR", default_value = ".fluxus")]
    pub dir: PathBuf,
    /// Do not submit the example claim
    #[arg(long)]
    pub no_example: bool,
    /// What the built-in fluxlings may reach
    #[command(flatten)]
    pub reach: Reach,
    /// How much may wait, and how long what ended is kept
    #[command(flatten)]
    pub bounds: Bounds,
}

/// Runs the system until Ctrl-C.
///
/// # Errors
/// Where Postgres or the listener cannot be had.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    log();
    let began = Instant::now();
    let mut signals = Signals::new()?;
    let (options, key) = options(args)?;
    let mut starting = pin!(System::start(options));
    let started = tokio::select! {
        started = &mut starting => started,
        () = signals.next() => {
            note("Stopping as soon as it has started; Ctrl-C again stops at once.");
            tokio::select! {
                Ok(system) = &mut starting => return stop(system, &mut signals).await,
                () = signals.next() => return Ok(Exit::Interrupted.into()),
                else => return Ok(Exit::Interrupted.into()),
            }
        }
    };
    let mut system = started.map_err(with_option)?;
    if args.database().is_none() {
        keep_out_of_git(&args.dir);
    }
    let url = system.url();
    say(&format!("REST at {url}, ready after {}", span(began.elapsed())));
    tokio::select! {
        () = show(args, &url, key) => {}
        () = signals.next() => return stop(system, &mut signals).await,
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

/// Stops in order, unless told again to stop: then at once.
pub(crate) async fn stop(system: System, signals: &mut Signals) -> anyhow::Result<ExitCode> {
    note("Stopping: what is in hand is finished first. Ctrl-C again stops at once.");
    tokio::select! {
        stopped = system.shutdown() => {
            stopped?;
            note("Stopped. Nothing is lost: the next start goes on from here.");
            Ok(Exit::Ok.into())
        }
        // The system is dropped then, and Postgres told to stop without waiting for it.
        () = signals.next() => Ok(Exit::Interrupted.into()),
    }
}

impl Args {
    /// The database to use; a variable that is set to nothing names none.
    fn database(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }
}

/// The options, and a key to submit the example claim with where keys are wanted.
fn options(args: &Args) -> anyhow::Result<(Options, Option<String>)> {
    let database = match args.database() {
        Some(url) => DatabaseChoice::Url(url.to_owned()),
        None => DatabaseChoice::Private(args.dir.join("postgres")),
    };
    let mut options = Options::new(database, args.listen);
    options.progress = Arc::new(|progress| say(&told(progress)));
    args.reach.apply(&mut options)?;
    args.bounds.apply(&mut options);
    let keys = std::env::var(KEYS_VARIABLE).unwrap_or_default();
    if keys.is_empty() {
        return Ok((options, None));
    }
    options.auth = Auth::Keys(ApiKeys::parse(&keys)?);
    let entries = keys.split(',').filter_map(|entry| entry.trim().split_once(':'));
    let mut tenants: Vec<Tenant> = entries.filter_map(|(_, tenant)| tenant.parse().ok()).collect();
    tenants.sort();
    tenants.dedup();
    options.tenants = tenants;
    let key = keys.split(',').find_map(|entry| entry.trim().split_once(':'));
    Ok((options, key.map(|(key, _)| key.to_owned())))
}

pub(crate) fn told(progress: &Progress) -> String {
    match progress {
        Progress::StartingPostgres { dir } => {
            format!("Starting Postgres in {} …", dir.display())
        }
        Progress::Postgres { version, database, dir, was_running, took } => {
            let major = version.split('.').next().unwrap_or(version);
            let how = if *was_running { "still running, found" } else { "started" };
            match dir {
                Some(dir) => {
                    format!("Postgres {major} in {}, {how} in {}", dir.display(), span(*took))
                }
                None => format!("Postgres {major}, database `{database}`"),
            }
        }
        Progress::Migrated { applied } => match applied.len() {
            0 => "Tables are up to date".to_owned(),
            1 => "1 migration applied".to_owned(),
            applied => format!("{applied} migrations applied"),
        },
        Progress::Resuming { claims } => match claims {
            1 => "1 claim was under way and goes on".to_owned(),
            claims => format!("{claims} claims were under way and go on"),
        },
        other => format!("{other:?}"),
    }
}

/// The error in one line, with the option to change.
pub(crate) fn with_option(error: anyhow::Error) -> anyhow::Error {
    let mut line = Vec::new();
    let mut hint = None;
    for cause in error.chain() {
        line.push(cause.to_string());
        if cause.is::<ListenError>() {
            hint = Some("--listen names the address");
        } else if cause.is::<ClusterError>() {
            hint = Some("--dir names the folder, --database-url a Postgres that runs elsewhere");
        } else if let Some(error) = cause.downcast_ref::<DatabaseError>() {
            hint = Some("--database-url or DATABASE_URL names the database");
            if matches!(error, DatabaseError::Connect { .. }) {
                // It says in words of its own what its causes say.
                break;
            }
        }
    }
    match hint {
        Some(hint) => anyhow::anyhow!("{} ({hint})", line.join(": ")),
        None => error,
    }
}

/// Submits the example claim, tells its story, and says what to try next. Whatever fails here, the
/// system stays up.
async fn show(args: &Args, url: &str, key: Option<String>) {
    let mut claim = None;
    if !args.no_example {
        match example(url, key).await {
            Ok(id) => claim = Some(id),
            Err(error) => note(&crate::problem::render(&error)),
        }
    }
    say(&next_steps(url, claim));
}

/// Submits the first example as any client would, and follows it to its end.
async fn example(url: &str, key: Option<String>) -> anyhow::Result<ClaimId> {
    let [example, ..] = EXAMPLES;
    let global = Global { url: Some(url.to_owned()), api_key: key, output: Format::Text };
    let client = Client::new(&global)?;
    let claim = example.new_claim()?;
    say(&format!("\nAn example, submitted to POST /v1/claims: {}", claim.claim_type));
    let submitted = client.post(&["claims"])?.body(&claim)?.send().await;
    let submitted: Submitted = submitted.context("submit the example claim")?.read()?;
    let id = submitted.claim_id;
    let followed = tokio::time::timeout(WATCH_FOR, follow(&client, id)).await;
    if let Ok(followed) = followed {
        followed.context("follow the example claim")?;
    }
    Ok(id)
}

/// Tells a claim's story until its end. The example has one branch, so its events never move.
async fn follow(client: &Client, id: ClaimId) -> anyhow::Result<()> {
    let text = id.to_string();
    let mut story = Story::new(Printer::stdout(Format::Text).width);
    let mut told = 0;
    loop {
        let claim: Claim = client.get(&["claims", &text])?.send().await?.read()?;
        let page = history::page(client, &text, MAX_HISTORY_PAGE, false)?.send().await?;
        let page: HistoryPage = page.read()?;
        for event in page.events.iter().skip(told) {
            if let Some(line) = story.tell(event) {
                say(&line);
            }
        }
        told = told.max(page.events.len());
        if claim.status.has_ended() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn next_steps(url: &str, claim: Option<ClaimId>) -> String {
    let mut lines = vec![String::new(), format!("Fluxus is up at {url}. Ctrl-C stops it.")];
    lines.push("Try in another terminal:".to_owned());
    if url != DEFAULT_URL {
        lines.push(format!("  export FLUXUS_URL={url}"));
    }
    if let Some(id) = claim {
        lines.push(format!("  fluxus claim explain {id}"));
    }
    lines.push("  fluxus claim list".to_owned());
    lines.push("  fluxus recipe list".to_owned());
    lines.push("  fluxus fluxling list".to_owned());
    let approval = EXAMPLES.iter().find(|example| example.name == "approval");
    if let Some(Ok(claim)) = approval.map(|approval| approval.new_claim()) {
        let (claim_type, body) = (&claim.claim_type, &claim.body);
        lines.push(format!("  fluxus claim submit {claim_type} --body '{body}'"));
    }
    lines.join("\n")
}

/// A line for whoever reads along. If nobody does any more, the system goes on all the same.
pub(crate) fn say(text: &str) {
    let _ = Printer::stdout(Format::Text).text(&format!("{text}\n"));
}

/// What is in the folder is nothing to commit.
fn keep_out_of_git(dir: &Path) {
    let file = dir.join(".gitignore");
    if !file.exists() {
        // A courtesy; without it the user does it himself.
        let _ = std::fs::write(file, "*\n");
    }
}

/// Log lines go to stderr, whole, so that they stand between the lines of the story.
pub(crate) fn log() {
    use std::io::IsTerminal as _;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // An error here means that somebody has set up logging before, such as a test.
    let _already_set = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(std::io::stderr)
        .try_init();
}

/// The signals that ask a process to stop.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("handle signals");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// The next one, of any kind.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn progress_reads_well() {
        let ready = |dir: Option<&str>, was_running| Progress::Postgres {
            version: "15.18".into(),
            database: "fluxus".into(),
            dir: dir.map(PathBuf::from),
            was_running,
            took: Duration::from_millis(1234),
        };
        let dir = ".fluxus/postgres";
        let all = [
            Progress::StartingPostgres { dir: dir.into() },
            ready(Some(dir), false),
            ready(Some(dir), true),
            ready(None, false),
            Progress::Migrated { applied: vec!["V1".into(), "V2".into()] },
            Progress::Migrated { applied: vec![] },
            Progress::Resuming { claims: 1 },
            Progress::Resuming { claims: 20 },
        ];
        let text: String = all.iter().map(|progress| format!("{}\n", told(progress))).collect();
        expect![[r#"
            Starting Postgres in .fluxus/postgres …
            Postgres 15 in .fluxus/postgres, started in 1.2 s
            Postgres 15 in .fluxus/postgres, still running, found in 1.2 s
            Postgres 15, database `fluxus`
            2 migrations applied
            Tables are up to date
            1 claim was under way and goes on
            20 claims were under way and go on
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn next_steps_name_another_address() {
        assert!(!next_steps(DEFAULT_URL, None).contains("export"));
        let other = next_steps("http://127.0.0.1:9999", None);
        assert!(other.contains("export FLUXUS_URL=http://127.0.0.1:9999"), "{other}");
    }
}
