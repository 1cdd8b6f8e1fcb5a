//! Waiting for notifications (`LISTEN`) on a connection of its own.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client};

use super::dial::Dialer;
use super::error::DatabaseError;
use super::pool::Database;

/// How many notifications may wait to be read before the connection is no longer read from. The
/// server keeps what is left, up to 8 GB.
const BUFFERED_NOTIFICATIONS: usize = 1024;

/// The first pause before connecting again; each later one is twice as long.
const RECONNECT_FIRST: Duration = Duration::from_millis(50);

/// The longest pause before connecting again: a restarted server is found this soon.
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// What a [`Listener`] hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// Somebody sent `NOTIFY channel, 'payload'`.
    Received {
        /// The channel it came on.
        channel: String,
        /// Its text, possibly empty.
        payload: String,
    },
    /// The connection was lost and is back. Notifications in between are gone for good, so look
    /// at the tables once.
    Resumed,
}

/// Listens on channels and keeps doing so: a lost connection is opened again, with growing pauses.
#[derive(Debug)]
pub struct Listener {
    notifications: mpsc::Receiver<Notification>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Starts to listen; whatever is notified after the return is heard.
    ///
    /// # Errors
    /// [`DatabaseError`] if the first connection fails. Later ones are tried again for ever.
    pub async fn listen(database: &Database, channels: &[&str]) -> Result<Self, DatabaseError> {
        let (dialer, config) = (database.dialer().clone(), database.config().clone());
        let sql = listen_statement(channels);
        let (sender, notifications) = mpsc::channel(BUFFERED_NOTIFICATIONS);
        let connected = connect(&dialer, &config, &sql, &sender).await?;
        let task = tokio::spawn(keep_listening(dialer, config, sql, sender, connected));
        Ok(Self { notifications, task })
    }

    /// The next notification. Safe to cancel: none is lost when the future is dropped.
    pub async fn recv(&mut self) -> Notification {
        match self.notifications.recv().await {
            Some(notification) => notification,
            // The task ends only with the runtime, which then drops this future too.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A live connection: the handle that keeps it open, and the task that reads from it.
struct Connected {
    client: Client,
    reading: JoinHandle<()>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn keep_listening(
    dialer: Dialer,
    config: tokio_postgres::Config,
    sql: String,
    sender: mpsc::Sender<Notification>,
    mut connected: Connected,
) {
    loop {
        // Ends when the connection breaks; a task that was aborted ends it just the same.
        let _ended = (&mut connected.reading).await;
        let mut pause = RECONNECT_FIRST;
        connected = loop {
            tokio::time::sleep(pause).await;
            match connect(&dialer, &config, &sql, &sender).await {
                Ok(connected) => break connected,
                Err(error) => tracing::warn!(%error, "cannot listen again yet"),
            }
            pause = (pause * 2).min(RECONNECT_MAX);
        };
        if sender.send(Notification::Resumed).await.is_err() {
            return;
        }
    }
}

async fn connect(
    dialer: &Dialer,
    config: &tokio_postgres::Config,
    sql: &str,
    sender: &mpsc::Sender<Notification>,
) -> Result<Connected, DatabaseError> {
    let (client, mut connection) = dialer.open_prepared(config).await?;
    let sender = sender.clone();
    let reading = tokio::spawn(async move {
        loop {
            let message = std::future::poll_fn(|context| connection.poll_message(context)).await;
            match message {
                Some(Ok(AsyncMessage::Notification(heard))) => {
                    let channel = heard.channel().to_owned();
                    let payload = heard.payload().to_owned();
                    let notification = Notification::Received { channel, payload };
                    if sender.send(notification).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_notice)) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "lost the connection that listens");
                    return;
                }
                None => return,
            }
        }
    });
    let connected = Connected { client, reading };
    let listening = connected.client.batch_execute(sql).await;
    listening.map_err(|source| DatabaseError::statement(sql, source))?;
    Ok(connected)
}

fn listen_statement(channels: &[&str]) -> String {
    let quoted = channels.iter().map(|name| format!("LISTEN \"{}\"", name.replace('"', "\"\"")));
    quoted.collect::<Vec<_>>().join("; ")
}
