//! Opening connections: TLS as the URL asks for it, and passwords that change.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Connection, Socket};

use super::error::DatabaseError;
use super::tls::{Stream, Tls};

/// Where passwords come from that change while the process lives.
#[async_trait]
pub trait Passwords: fmt::Debug + Send + Sync + 'static {
    /// The password to log in with now.
    ///
    /// # Errors
    /// Why there is none, in words a person can act upon.
    async fn password(
        &self,
        server: &Target,
    ) -> Result<Password, Box<dyn std::error::Error + Send + Sync>>;
}

/// What a password is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: String,
}

/// A password.
#[derive(Clone)]
pub struct Password {
    /// The password itself.
    pub text: String,
    /// Until when connections may be opened with it; none if it lasts.
    pub good_until: Option<Instant>,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").field("good_until", &self.good_until).finish_non_exhaustive()
    }
}

/// A connection that was just opened. Nothing is read from it until it is driven.
pub(super) type Opened = (Client, Connection<Socket, Stream>);

/// A connection outside of the pool, with the task that drives it; dropped, it is closed.
#[derive(Debug)]
pub struct Dialed {
    /// The driver's client.
    pub client: Client,
    driving: JoinHandle<()>,
}

impl Drop for Dialed {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

/// Opens connections. Clones share what they know of the server.
#[derive(Clone, Debug)]
pub(crate) struct Dialer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tls: Tls,
    /// Whether the server's TLS is not to be trusted and `sslmode=prefer` goes without.
    plain: AtomicBool,
    passwords: Option<Arc<dyn Passwords>>,
    current: Mutex<Option<Password>>,
}

impl Dialer {
    pub(crate) fn new(ca: Option<String>, passwords: Option<Arc<dyn Passwords>>) -> Self {
        let (plain, current) = (AtomicBool::new(false), Mutex::new(None));
        Self(Arc::new(Inner { tls: Tls::new(ca), plain, passwords, current }))
    }

    /// Sees to it that there is a password that is good now. Costs nothing while there is.
    pub(super) async fn prepare(
        &self,
        config: &tokio_postgres::Config,
    ) -> Result<(), DatabaseError> {
        let Some(passwords) = &self.0.passwords else { return Ok(()) };
        if self.current().is_some() {
            return Ok(());
        }
        let target = target(config);
        let password = passwords.password(&target).await;
        let password = password.map_err(|source| DatabaseError::Password {
            server: super::error::server(config),
            source,
        })?;
        *self.0.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(password);
        Ok(())
    }

    /// Forgets a password that the server refused: it was changed meanwhile. Whether there is hope
    /// for another one.
    pub(super) fn refused(&self, error: &tokio_postgres::Error) -> bool {
        use tokio_postgres::error::SqlState;
        let refusals = [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION];
        let is_refusal = error.code().is_some_and(|code| refusals.contains(code));
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        is_refusal && current.take().is_some()
    }

    /// Opens a connection; [`prepare`](Self::prepare) first.
    pub(super) async fn open(
        &self,
        config: &tokio_postgres::Config,
    ) -> Result<Opened, tokio_postgres::Error> {
        let mut config = config.clone();
        if let Some(password) = self.current() {
            config.password(password.text);
        }
        let prefers = config.get_ssl_mode() == SslMode::Prefer;
        if prefers && self.0.plain.load(Ordering::Relaxed) {
            config.ssl_mode(SslMode::Disable);
        }
        let opened = config.connect(self.0.tls.clone()).await;
        match opened {
            Err(error) if prefers && super::error::is_handshake(&error) => {
                // Who may be told that there is no TLS can be told so by anybody in between; so
                // going on without it is no worse than what `prefer` stands for.
                if !self.0.plain.swap(true, Ordering::Relaxed) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(
                        server = super::error::server(&config),
                        cause,
                        "goes on without TLS: the server's certificate is not trusted. Say \
                         sslmode=require and name its root in FLUXUS_DATABASE_CA, or sslmode=disable"
                    );
                }
                config.ssl_mode(SslMode::Disable).connect(self.0.tls.clone()).await
            }
            opened => opened,
        }
    }

    /// Opens a connection and drives it.
    pub(super) async fn dial(
        &self,
        config: &tokio_postgres::Config,
    ) -> Result<Dialed, DatabaseError> {
        let (client, connection) = self.open_prepared(config).await?;
        Ok(Dialed { client, driving: drive(connection) })
    }

    /// Opens a connection; once more where the password was changed meanwhile.
    pub(super) async fn open_prepared(
        &self,
        config: &tokio_postgres::Config,
    ) -> Result<Opened, DatabaseError> {
        self.prepare(config).await?;
        let opened = match self.open(config).await {
            Err(error) if self.refused(&error) => {
                self.prepare(config).await?;
                self.open(config).await
            }
            opened => opened,
        };
        opened.map_err(|source| DatabaseError::connect(config, source))
    }

    fn current(&self) -> Option<Password> {
        let current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |password: &&Password| password.good_until.is_none_or(|at| Instant::now() < at);
        current.as_ref().filter(good).cloned()
    }
}

impl deadpool_postgres::Connect for Dialer {
    fn connect(
        &self,
        config: &tokio_postgres::Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = self.open(&config).await?;
            Ok((client, drive(connection)))
        })
    }
}

fn drive(connection: Connection<Socket, Stream>) -> JoinHandle<()> {
    tokio::spawn(async move {
        // The statement that waits for the connection is told of its end as well.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to Postgres ended");
        }
    })
}

/// Whom a password is for.
fn target(config: &tokio_postgres::Config) -> Target {
    let host = match config.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
        _ => String::new(),
    };
    let port = config.get_ports().first().copied().unwrap_or(super::pool::DEFAULT_PORT);
    Target { host, port, user: config.get_user().unwrap_or_default().to_owned() }
}
