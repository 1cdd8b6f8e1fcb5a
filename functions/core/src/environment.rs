//! The core as a process of its own: what it reads from the environment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fluxus_postgres::{Database, Options};
use fluxus_queue::{Bodies, PostgresQueue, PostgresQueueOptions, Queue, QueueName};
use fluxus_schema::message::{CLAIM_ENDED_CHANNEL, CORE_QUEUE};
use fluxus_store::{Outbound, STEPPING, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{Core, OnEnded, Parts, Sweeps, lambda, worker};

/// How many batches a long-lived process works on at a time.
const WORKERS_VARIABLE: &str = "FLUXUS_CORE_WORKERS";

/// Workers where nobody names a number: while one waits for the disk, the other steps.
const DEFAULT_WORKERS: usize = 2;

/// How often the schedule of `template.yaml` sweeps.
const SCHEDULE: Duration = Duration::from_secs(60);

/// Shortest time between two notifications of ended claims: each is a commit.
const NOTIFY_PAUSE: Duration = Duration::from_millis(5);

/// What the environment says.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    database: fluxus_postgres::Settings,
    workers: usize,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// One error that names every variable that is missing or wrong.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let mut wrong = Vec::new();
        let database = fluxus_postgres::Settings::read(&variable, &mut wrong);
        let workers = match variable(WORKERS_VARIABLE).map(|text| (text.parse(), text)) {
            None => DEFAULT_WORKERS,
            Some((Ok(workers), _)) => workers,
            Some((Err(_), text)) => {
                wrong.push(format!("{WORKERS_VARIABLE} is `{text}`, not a number of workers"));
                DEFAULT_WORKERS
            }
        };
        match database {
            Some(database) if wrong.is_empty() => Ok(Self { database, workers }),
            _ => anyhow::bail!("{}", wrong.join("; ")),
        }
    }

    /// The store of a Lambda function, on the one connection that it has.
    pub(crate) async fn function_store(&self) -> anyhow::Result<Store> {
        let options = Options { settings: STEPPING, ..Options::ONE };
        let database = self.database.connect(options).await.context("connect to the database")?;
        Ok(Store::stepping(database))
    }
}

/// Where bodies lie that are too large for a message, if that is set.
pub(crate) type LargeBodies = Option<Arc<dyn Bodies>>;

/// The core of a Lambda function: its queues are in SQS, and a schedule sweeps.
pub(crate) async fn function_core(store: Store) -> anyhow::Result<(Core, LargeBodies)> {
    let (queue, bodies) = sqs().await?;
    let parts = Parts {
        outbound: Outbound::Relayed { queue, store: store.clone() },
        store,
        core_queue: QueueName::new(CORE_QUEUE)?,
        // Nobody waits in this process, and the others look by themselves.
        on_ended: Arc::new(|_| {}),
        sweeps: Sweeps::Every(SCHEDULE),
    };
    let core = Core::start(parts).await.context("start; was the database migrated?")?;
    Ok((core, bodies))
}

#[cfg(feature = "aws")]
async fn sqs() -> anyhow::Result<(Arc<dyn Queue>, LargeBodies)> {
    let queue = fluxus_queue::SqsQueue::from_env(fluxus_lambda::aws::config().await)?;
    let bodies = queue.bodies();
    Ok((Arc::new(queue), bodies))
}

#[cfg(not(feature = "aws"))]
#[allow(clippy::unused_async)] // With the feature it waits.
async fn sqs() -> anyhow::Result<(Arc<dyn Queue>, LargeBodies)> {
    anyhow::bail!("built without the feature `aws`, so there is no SQS")
}

/// Runs as a Lambda function where this is one; elsewhere as a worker, until SIGINT or SIGTERM,
/// and finishes the batches under way.
///
/// # Errors
/// What is missing or cannot be reached.
pub async fn run() -> anyhow::Result<()> {
    fluxus_lambda::log();
    if fluxus_lambda::is_lambda() {
        return lambda::run().await.map_err(|error| anyhow::anyhow!(error));
    }
    let settings = Settings::from_env()?;
    let options = Options::default();
    let database = settings.database.connect(options).await.context("connect to the database")?;
    let store = Store::stepping(database.clone());
    let queue = PostgresQueue::new(database.clone(), PostgresQueueOptions::default())
        .await
        .context("open the queues; has `fluxus migrate` been run?")?;
    let parts = Parts {
        store,
        outbound: Outbound::Joined(queue),
        core_queue: QueueName::new(CORE_QUEUE)?,
        on_ended: notifier(&database),
        sweeps: Sweeps::WhenDue,
    };
    let core = Core::start(parts).await.context("start; has `fluxus migrate` been run?")?;
    tokio::spawn(fluxus_store::clock::keep(database.relaxed()));
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        stop_signal().await;
        tracing::info!("finishing what is under way");
        stop.cancel();
    });
    let workers = settings.workers;
    tracing::info!(workers, "the core takes messages from `{CORE_QUEUE}`");
    worker::run(core, workers, shutdown).await;
    Ok(())
}

/// For [`Parts::on_ended`] where the API is another process: tells it that claims ended, at most once
/// in a while however many there are. A notification that is lost delays a waiting client by its
/// fallback poll, no more.
pub fn notifier(database: &Database) -> OnEnded {
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
    Arc::new(move |_| wake.notify_one())
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

#[cfg(test)]
mod tests {
    use fluxus_postgres::environment::{PROXY_VARIABLE, URL_VARIABLE};

    use super::*;

    #[test]
    fn one_error_names_everything_that_is_wrong() {
        let wrong = [(WORKERS_VARIABLE, "many"), (PROXY_VARIABLE, "perhaps")];
        let find = |name: &str| wrong.iter().find(|(known, _)| *known == name);
        let error = Settings::read(|name| find(name).map(|(_, value)| (*value).to_owned()));
        let text = error.expect_err("refused").to_string();
        for name in [URL_VARIABLE, WORKERS_VARIABLE, PROXY_VARIABLE] {
            assert!(text.contains(name), "{text}");
        }
    }
}
