//! What the function reads from the environment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fluxus_postgres::Options;
use fluxus_queue::Queue;
use fluxus_store::{ASKING, Store};

use crate::Observer;

/// How many days ended claims and their history are kept. Not set, or 0: for ever.
pub(crate) const RETENTION_VARIABLE: &str = "FLUXUS_HISTORY_RETENTION_DAYS";

/// What the environment says.
pub(crate) struct Settings {
    database: fluxus_postgres::Settings,
    retention: Option<Duration>,
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
        let retention = retention(variable(RETENTION_VARIABLE), &mut wrong);
        match database {
            Some(database) if wrong.is_empty() => Ok(Self { database, retention }),
            _ => anyhow::bail!("{}", wrong.join("; ")),
        }
    }

    /// Opens the one connection that a Lambda function has, and the queues.
    ///
    /// # Errors
    /// If they cannot be reached.
    pub(crate) async fn observer(&self) -> anyhow::Result<Observer> {
        let options = Options { settings: ASKING, ..Options::ONE };
        let database = self.database.connect(options).await.context("connect to the database")?;
        Ok(Observer::new(Store::new(database), sqs().await?).retaining(self.retention))
    }
}

fn retention(days: Option<String>, wrong: &mut Vec<String>) -> Option<Duration> {
    const DAY_S: u64 = 24 * 60 * 60;
    let text = days.filter(|text| !text.is_empty())?;
    match text.parse::<u32>() {
        Ok(0) => None,
        Ok(days) => Some(Duration::from_secs(u64::from(days) * DAY_S)),
        Err(_) => {
            wrong.push(format!("{RETENTION_VARIABLE} is `{text}`, not a number of days"));
            None
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_a_number_of_days() {
        let read = |text: &str| {
            let mut wrong = Vec::new();
            (retention(Some(text.to_owned()), &mut wrong), wrong.len())
        };
        assert_eq!(read("90"), (Some(Duration::from_secs(90 * 86_400)), 0));
        assert_eq!((read("0"), read("")), ((None, 0), (None, 0)));
        assert_eq!((read("90d"), read("-1")), ((None, 1), (None, 1)));
    }
}
