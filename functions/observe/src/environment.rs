//! What the function reads from the environment.

use std::sync::Arc;

use anyhow::Context as _;
use fluxus_postgres::Options;
use fluxus_queue::Queue;
use fluxus_store::{ASKING, Store};

use crate::Observer;

/// What the environment says.
pub(crate) struct Settings {
    database: fluxus_postgres::Settings,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// One error that names every variable that is missing or wrong.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let mut wrong = Vec::new();
        let variable = |name: &str| std::env::var(name).ok();
        let database = fluxus_postgres::Settings::read(variable, &mut wrong);
        Ok(Self { database: database.with_context(|| wrong.join("; "))? })
    }

    /// Opens the one connection that a Lambda function has, and the queues.
    ///
    /// # Errors
    /// If they cannot be reached.
    pub(crate) async fn observer(&self) -> anyhow::Result<Observer> {
        let options = Options { settings: ASKING, ..Options::ONE };
        let database = self.database.connect(options).await.context("connect to the database")?;
        Ok(Observer::new(Store::new(database), sqs().await?))
    }
}

#[cfg(feature = "aws")]
async fn sqs() -> anyhow::Result<Arc<dyn Queue>> {
    let queue = fluxus_queue::SqsQueue::from_env(fluxus_lambda::aws::config().await)?;
    Ok(Arc::new(queue))
}

#[cfg(not(feature = "aws"))]
#[allow(clippy::unused_async)] // With the feature it waits.
async fn sqs() -> anyhow::Result<Arc<dyn Queue>> {
    anyhow::bail!("built without the feature `aws`, so there is no SQS")
}
