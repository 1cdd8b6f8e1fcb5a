//! What the process is told by its environment.

use std::net::SocketAddr;

use anyhow::Context as _;
use fluxus_postgres::{Database, Options, Statements};
use fluxus_queue::{PostgresQueue, PostgresQueueOptions, QueueName};
use fluxus_schema::message::CORE_QUEUE;
use fluxus_store::{Outbound, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::app::Parts;
use crate::auth::{ApiKeys, Auth, KEYS_VARIABLE};
use crate::limits::Limits;
use crate::waiters::Hearing;

/// Where the database is.
pub const DATABASE_VARIABLE: &str = "FLUXUS_DATABASE_URL";

/// The address to listen on, where this is no Lambda.
pub const LISTEN_VARIABLE: &str = "FLUXUS_API_LISTEN";

/// Where the API listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7400";

/// Set by AWS Lambda, and by nothing else.
const LAMBDA_VARIABLE: &str = "AWS_LAMBDA_RUNTIME_API";

/// What this process is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the database is; it may hold a password.
    database_url: String,
    /// Who may ask.
    auth: Auth,
    /// How it is served.
    pub footing: Footing,
}

/// How the API is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footing {
    /// By the Lambda runtime.
    Lambda,
    /// On a socket.
    Socket {
        /// The address.
        listen: SocketAddr,
    },
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// One error that names every variable that is missing or wrong.
    pub fn from_env() -> anyhow::Result<Self> {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let mut wrong = Vec::new();
        let database_url = variable(DATABASE_VARIABLE).unwrap_or_else(|| {
            wrong.push(format!("{DATABASE_VARIABLE} is not set: where is Postgres?"));
            String::new()
        });
        let lambda = variable(LAMBDA_VARIABLE).is_some();
        let auth = match variable(KEYS_VARIABLE).map(|keys| ApiKeys::parse(&keys)) {
            Some(Ok(keys)) => Auth::Keys(keys),
            Some(Err(error)) => {
                wrong.push(error.to_string());
                Auth::Open
            }
            None if lambda => {
                wrong.push(format!("{KEYS_VARIABLE} is not set: a Lambda is open to the network"));
                Auth::Open
            }
            None => Auth::Open,
        };
        let listen = variable(LISTEN_VARIABLE).unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
        let footing = match listen.parse() {
            _ if lambda => Some(Footing::Lambda),
            Ok(listen) => Some(Footing::Socket { listen }),
            Err(_) => {
                wrong.push(format!("{LISTEN_VARIABLE} is `{listen}`, not `ADDRESS:PORT`"));
                None
            }
        };
        match footing {
            Some(footing) if wrong.is_empty() => Ok(Self { database_url, auth, footing }),
            _ => anyhow::bail!("{}", wrong.join("; ")),
        }
    }

    /// Connects to the database and makes what an [`App`](crate::App) is made of.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn parts(&self) -> anyhow::Result<Parts> {
        let lambda = self.footing == Footing::Lambda;
        let options = if lambda {
            // Two commits in flight and the reads beside them; the proxy pools the rest.
            Options { max_connections: 4, statements: Statements::Unnamed, ..Options::default() }
        } else {
            Options::default()
        };
        let database = Database::connect(&self.database_url, options).await;
        let database = database.context("connect to the database")?;
        let options = PostgresQueueOptions { notify: !lambda, ..PostgresQueueOptions::default() };
        let queue =
            PostgresQueue::new(database.clone(), options).await.context("open the queues")?;
        Ok(Parts {
            store: Store::new(database),
            outbound: Outbound::Joined(queue),
            core_queue: QueueName::new(CORE_QUEUE)?,
            auth: self.auth.clone(),
            limits: if lambda { Limits::BEHIND_API_GATEWAY } else { Limits::default() },
            hearing: if lambda { Hearing::Poll } else { Hearing::Listen },
        })
    }
}

/// Starts to log: JSON for CloudWatch, text for a terminal; `RUST_LOG` says what.
pub fn log(settings: &Settings) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.footing {
        Footing::Lambda => log.json().init(),
        Footing::Socket { .. } => log.init(),
    }
}

/// A token that is cancelled by SIGINT or SIGTERM.
///
/// # Errors
/// If the process cannot handle signals.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let signalled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        signalled.cancel();
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Settings::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn one_error_names_everything_that_is_wrong() {
        let error = read(&[(LISTEN_VARIABLE, "nowhere"), (KEYS_VARIABLE, "short:a")]);
        let text = error.expect_err("refused").to_string();
        for name in [DATABASE_VARIABLE, LISTEN_VARIABLE, KEYS_VARIABLE] {
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn a_lambda_needs_keys() {
        let url = (DATABASE_VARIABLE, "postgres://localhost/fluxus");
        assert!(read(&[url, (LAMBDA_VARIABLE, "x")]).is_err());
        let keys = (KEYS_VARIABLE, "0123456789abcdef:acme");
        let settings = read(&[url, keys, (LAMBDA_VARIABLE, "x")]).expect("reads");
        assert_eq!(settings.footing, Footing::Lambda);
        let footing = read(&[url]).expect("reads").footing;
        assert_eq!(footing, Footing::Socket { listen: DEFAULT_LISTEN.parse().expect("valid") });
    }
}
