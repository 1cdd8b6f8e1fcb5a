//! The fluxlings of a run, which note every effect they have.

use std::process::ExitCode;
use std::time::Duration;

use fluxling::{Fluxling, Task, TaskError};
use fluxus_local::{DatabaseChoice, Options, Role, System};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::house::House;
use crate::recipes::{BODY, ballast};

/// Error of a task that fails as its claim wants it.
pub const BROKEN: &str = "Fault.Broken";

/// Error of a task whose large input is not whole. No recipe catches it.
pub const SPOILED: &str = "Fault.Spoiled";

/// Input of `fault.work`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Work {
    /// The claim's idempotency key.
    key: String,
    /// Names the step within the claim.
    step: String,
    /// Attempts that fail.
    #[serde(default)]
    failing: u32,
    /// How long it takes.
    #[serde(default)]
    nap_ms: u64,
    /// Something large, as [`ballast`] gives it; the result has the like then.
    ballast: Option<String>,
}

/// What came of a step. The nonce is another each time it is done.
#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    key: String,
    step: String,
    nonce: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ballast: Option<String>,
}

async fn work(task: Task<Work>) -> Result<Done, TaskError> {
    let Work { key, step, failing, nap_ms, ballast: given } = &task.input;
    sleep_until(Instant::now() + Duration::from_millis(*nap_ms)).await;
    if task.attempt() < *failing {
        return Err(TaskError::fatal(BROKEN, "as wanted"));
    }
    if given.as_ref().is_some_and(|text| *text != ballast(BODY)) {
        return Err(TaskError::fatal(SPOILED, "the input is not what the claim has"));
    }
    let nonce = Uuid::now_v7().simple().to_string();
    House::from_env().note_effect(key, step, &nonce);
    let ballast = given.as_ref().map(|_| ballast(step));
    Ok(Done { key: key.clone(), step: step.clone(), nonce, ballast })
}

/// Input of `fault.ask`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Ask {
    /// The claim's idempotency key.
    key: String,
    /// Names the step within the claim.
    step: String,
    /// What to answer with.
    token: String,
}

async fn ask(task: Task<Ask>) -> Result<(), TaskError> {
    let Ask { key, step, token } = &task.input;
    House::from_env().note_asked(key, step, token);
    Ok(())
}

fn fluxling() -> Fluxling {
    Fluxling::new("fault-worker")
        .description("Notes what it does.")
        .capability("fault.work", work)
        .capability("fault.ask", ask)
        .timeout(Duration::from_secs(20))
}

/// Is a process of the fluxlings, until SIGTERM; with API and core in it, where there is an address to
/// listen on.
pub async fn run(database_url: &str, listen: Option<&str>) -> anyhow::Result<ExitCode> {
    // As `fluxus serve` does, for whoever looks for what went wrong.
    tracing_subscriber::fmt()
        .with_env_filter("warn")
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let mut terminate = signal(SignalKind::terminate())?;
    let address = listen.unwrap_or("127.0.0.1:0").parse()?;
    let mut options = Options::new(DatabaseChoice::Url(database_url.to_owned()), address);
    options.roles = vec![Role::Fluxlings];
    if listen.is_some() {
        options.roles.extend([Role::Api, Role::Core]);
    }
    options.migrate = false;
    options.examples = false;
    options.builtin = false;
    options.fluxlings = vec![fluxling()];
    let mut system = System::start(options).await?;
    println!("Ready");
    tokio::select! {
        _ = terminate.recv() => system.shutdown().await?,
        part = system.broken() => anyhow::bail!("{part} ended unexpectedly"),
    }
    Ok(ExitCode::SUCCESS)
}
