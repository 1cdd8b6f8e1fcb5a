//! The pool, and the counter of statements.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};

use super::dial::{Dialed, Dialer};
use super::error::{DatabaseError, server};
use super::session::Session;
use crate::environment::Settings;

/// How long one attempt to connect may take. Longer than a cross-region handshake, shorter than a
/// caller's patience. A `connect_timeout` in the URL wins.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for a free connection. A pool that is busy for longer is overloaded, and a
/// clear error serves the caller better than a longer queue.
const SESSION_WAIT: Duration = Duration::from_secs(30);

/// How many connections a pool opens at most unless told otherwise: a small server allows 100, and
/// several processes share it.
const DEFAULT_MAX_CONNECTIONS: usize = 16;

/// Where Postgres listens unless told otherwise.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// Commits that do not wait for the disk.
const RELAXED: [(&str, &str); 1] = [("synchronous_commit", "off")];

/// How statements reach the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statements {
    /// Prepared once per connection and kept: parsed and planned once. For direct connections.
    #[default]
    Prepared,
    /// Sent whole each time, leaving nothing behind on the connection. For RDS Proxy, which would
    /// pin a connection that holds prepared statements, and for PgBouncer, which would lose them.
    Unnamed,
}

/// How to use a database.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most connections to hold, and as many again for [`Database::relaxed`].
    pub max_connections: usize,
    /// How statements reach the server.
    pub statements: Statements,
    /// Whether a commit waits until it is on disk (`synchronous_commit`). Say `false` only where
    /// losing the last moments in a crash is harmless.
    pub durable: bool,
    /// Whether there is one pool for all purposes: [`Database::relaxed`] and
    /// [`Database::with_settings`] then give the same connections as they are. For a Lambda
    /// function, of which there may be hundreds, each with a connection of its own.
    pub shared: bool,
    /// Settings that hold on every connection from the beginning, such as `plan_cache_mode`. Not
    /// with [`Statements::Unnamed`]: a proxy accepts none.
    pub settings: &'static [(&'static str, &'static str)],
}

impl Options {
    /// One connection for everything, as a Lambda function has it. The default is a pool.
    pub const ONE: Self = Self {
        max_connections: 1,
        statements: Statements::Prepared,
        durable: true,
        shared: true,
        settings: &[],
    };
}

impl Default for Options {
    fn default() -> Self {
        let max_connections = DEFAULT_MAX_CONNECTIONS;
        Self { max_connections, shared: false, ..Self::ONE }
    }
}

/// A pool of connections to one database. Clones share the pool and the counter.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    /// The pool whose commits do not wait for the disk; equal to `pool` in a relaxed database.
    relaxed_pool: Pool,
    dialer: Dialer,
    config: tokio_postgres::Config,
    url: Arc<str>,
    options: Options,
    counter: Counter,
}

/// Counts the statements sent through a database and all its clones.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Database {
    /// Opens a pool and checks with one query that the server answers.
    ///
    /// # Errors
    /// [`DatabaseError`], one line that says what is wrong with URL, server, user or database.
    pub async fn connect(url: &str, options: Options) -> Result<Self, DatabaseError> {
        Settings::of(url).connect(options).await
    }

    /// Opens a pool of connections that `dialer` opens, and checks that the server answers.
    pub(crate) async fn open(
        url: &str,
        config: tokio_postgres::Config,
        dialer: Dialer,
        options: Options,
    ) -> Result<Self, DatabaseError> {
        let config = with_settings(&config, options, options.settings);
        let (pool, relaxed_pool) = pools(&config, &dialer, options)?;
        let counter = Counter::default();
        let url = url.into();
        let database = Self { pool, relaxed_pool, dialer, config, url, options, counter };
        database.session().await?.batch("SELECT 1").await?;
        Ok(database)
    }

    /// A connection from the pool; it goes back when dropped. Waits while all are busy.
    ///
    /// # Errors
    /// [`DatabaseError::Pool`] if none comes free in 30 s, [`DatabaseError::Connect`] if a new one
    /// cannot be opened.
    pub async fn session(&self) -> Result<Session, DatabaseError> {
        self.dialer.prepare(&self.config).await?;
        let client = match self.pool.get().await {
            Err(PoolError::Backend(error)) if self.dialer.refused(&error) => {
                self.dialer.prepare(&self.config).await?;
                self.pool.get().await
            }
            client => client,
        };
        let client = client.map_err(|error| self.pool_error(error))?;
        Ok(Session::new(client, self.options.statements, self.counter.clone()))
    }

    /// The same database through connections whose commits do not wait for the disk, for writes
    /// that may be lost in a crash without harm.
    ///
    /// With [`Statements::Unnamed`] it is the same durable pool under another name, because a
    /// proxy accepts no session settings.
    #[must_use]
    pub fn relaxed(&self) -> Self {
        Self { pool: self.relaxed_pool.clone(), ..self.clone() }
    }

    /// The same database through connections of its own on which these settings hold, such as
    /// `plan_cache_mode`. It opens as many connections again, and its clones share them.
    ///
    /// It is the same pool with [`Statements::Unnamed`], as a proxy accepts no session settings,
    /// and with [`Options::shared`].
    ///
    /// # Errors
    /// [`DatabaseError::Pool`] if no pool can be made; unknown settings fail when connecting.
    pub fn with_settings(&self, settings: &[(&str, &str)]) -> Result<Self, DatabaseError> {
        if self.options.shared || self.options.statements == Statements::Unnamed {
            return Ok(self.clone());
        }
        let config = with_settings(&self.config, self.options, settings);
        let (pool, relaxed_pool) = pools(&config, &self.dialer, self.options)?;
        Ok(Self { pool, relaxed_pool, config, ..self.clone() })
    }

    /// How many statements were sent so far through this database and its clones, `BEGIN` and
    /// `COMMIT` not counted. Tests pin the cost of an operation with it.
    pub fn statements_sent(&self) -> u64 {
        self.counter.0.load(Ordering::Relaxed)
    }

    /// The URL as given, password included: never log it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Closes all idle connections now and the others when they come back.
    pub async fn close(&self) {
        self.pool.close();
        self.relaxed_pool.close();
    }

    /// A connection outside of the pool, for whoever needs the driver's own client.
    ///
    /// # Errors
    /// [`DatabaseError::Connect`] or [`DatabaseError::Password`].
    pub async fn dial(&self) -> Result<Dialed, DatabaseError> {
        self.dialer.dial(&self.config).await
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    pub(super) fn config(&self) -> &tokio_postgres::Config {
        &self.config
    }

    fn pool_error(&self, error: PoolError) -> DatabaseError {
        let server = server(&self.config);
        match error {
            PoolError::Backend(source) => DatabaseError::connect(&self.config, source),
            PoolError::Timeout(TimeoutType::Wait) => {
                let (max, seconds) = (self.options.max_connections, SESSION_WAIT.as_secs());
                let reason = format!("all {max} stayed busy for {seconds} s");
                DatabaseError::Pool { server, reason }
            }
            other => DatabaseError::Pool { server, reason: other.to_string() },
        }
    }
}

impl fmt::Debug for Database {
    /// Shows the server, not the URL: that holds the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Database").field(&server(&self.config)).finish()
    }
}

/// What the driver is told where the URL leaves it open.
pub(crate) fn complete(config: &mut tokio_postgres::Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_application_name().is_none() {
        config.application_name("fluxus");
    }
}

/// The configuration with these settings, where the server lets us say so.
fn with_settings(
    config: &tokio_postgres::Config,
    options: Options,
    settings: &[(&str, &str)],
) -> tokio_postgres::Config {
    let mut config = config.clone();
    if options.statements == Statements::Prepared {
        let mut given = config.get_options().unwrap_or_default().to_owned();
        for (name, value) in settings {
            // Source: PostgreSQL manual, "Frontend/Backend Protocol", `options`.
            let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
            given.push_str(&format!(" -c {name}={value}"));
        }
        config.options(given.trim());
    }
    config
}

/// The pool, and the one whose commits do not wait for the disk.
fn pools(
    config: &tokio_postgres::Config,
    dialer: &Dialer,
    options: Options,
) -> Result<(Pool, Pool), DatabaseError> {
    let relaxed = with_settings(config, options, &RELAXED);
    let durable = if options.durable { config.clone() } else { relaxed.clone() };
    let durable = pool(durable, dialer, options)?;
    let relaxed = if options.shared { durable.clone() } else { pool(relaxed, dialer, options)? };
    Ok((durable, relaxed))
}

fn pool(
    config: tokio_postgres::Config,
    dialer: &Dialer,
    options: Options,
) -> Result<Pool, DatabaseError> {
    let name = server(&config);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Pool::builder(Manager::from_connect(config, dialer.clone(), recycling))
        .max_size(options.max_connections.max(1))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(SESSION_WAIT))
        .build()
        .map_err(|error| DatabaseError::Pool { server: name, reason: error.to_string() })
}
