//! The worker as a process of its own: what it reads from the environment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fluxus_postgres::{Database, Options, Statements};
use fluxus_queue::{PostgresQueue, PostgresQueueOptions, QueueName};
use fluxus_schema::message::{CLAIM_ENDED_CHANNEL, CORE_QUEUE};
use fluxus_store::{Outbound, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{Core, Parts, worker};

/// Workers where `FLUXUS_CORE_WORKERS` names no number: while one waits for the disk, the other
/// steps.
const DEFAULT_WORKERS: usize = 2;

/// Shortest time between two notifications of ended claims: each is a commit.
const NOTIFY_PAUSE: Duration = Duration::from_millis(5);

/// Runs until SIGINT or SIGTERM, then finishes the batches under way.
///
/// Reads `DATABASE_URL` (required), `FLUXUS_CORE_WORKERS` (2) and `FLUXUS_DATABASE_PROXY` (`true`
/// where a proxy such as RDS Proxy or `PgBouncer` pools connections).
///
/// # Errors
/// What is missing or cannot be reached.
pub async fn run() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let url = std::env::var("DATABASE_URL")
        .context("DATABASE_URL is not set; it looks like postgres://user@host:5432/fluxus")?;
    let workers = match std::env::var("FLUXUS_CORE_WORKERS") {
        Ok(text) => text.parse().with_context(|| {
            format!("FLUXUS_CORE_WORKERS is `{text}`, which is not a number of workers")
        })?,
        Err(_) => DEFAULT_WORKERS,
    };
    let proxied = std::env::var("FLUXUS_DATABASE_PROXY").is_ok_and(|text| text == "true");
    let statements = if proxied { Statements::Unnamed } else { Statements::Prepared };
    let options = Options { statements, ..Options::default() };
    let database = Database::connect(&url, options).await.context("connect to DATABASE_URL")?;
    let store = Store::stepping(database.clone());
    let queue = PostgresQueue::new(database.clone(), PostgresQueueOptions::default())
        .await
        .context("open the queues; has `fluxus migrate` been run?")?;
    let parts = Parts {
        store,
        outbound: Outbound::Joined(queue),
        core_queue: QueueName::new(CORE_QUEUE)?,
        on_ended: notifier(&database),
    };
    let core = Core::start(parts).await.context("start; has `fluxus migrate` been run?")?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        stop_signal().await;
        tracing::info!("finishing what is under way");
        stop.cancel();
    });
    tracing::info!(workers, "the core takes messages from `{CORE_QUEUE}`");
    worker::run(core, workers, shutdown).await;
    Ok(())
}

/// Tells other processes that claims ended, at most once in a while however many there are. A
/// notification that is lost delays a waiting client by its fallback poll, no more.
fn notifier(database: &Database) -> Arc<dyn Fn() + Send + Sync> {
    let wake = Arc::new(Notify::new());
    let waked = wake.clone();
    let relaxed = database.relaxed();
    tokio::spawn(async move {
        loop {
            waked.notified().await;
            let notify = async {
                let session = relaxed.session().await?;
                session.notify(CLAIM_ENDED_CHANNEL).await
            };
            if let Err(error) = notify.await {
                tracing::debug!(%error, "waiting clients will see it by themselves");
            }
            tokio::time::sleep(NOTIFY_PAUSE).await;
        }
    });
    Arc::new(move || wake.notify_one())
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
