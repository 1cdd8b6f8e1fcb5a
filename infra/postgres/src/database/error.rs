//! What can go wrong with a database, and whether trying again may help.

use std::io;

use tokio_postgres::error::{DbError, SqlState};

/// A failure to reach the database or to run a statement in it.
///
/// No variant shows a password: a server is named by host, port and database only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The text is neither `postgres://…` nor `key=value …`. Correct it; trying again is in vain.
    #[error("the Postgres URL cannot be read")]
    InvalidUrl {
        /// What the parser objects to.
        source: tokio_postgres::Error,
    },

    /// There is no password to connect with: a secret cannot be read, or a token not be made.
    #[error("there is no password for Postgres at `{server}`")]
    Password {
        /// Host, port and database.
        server: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The settings cannot be met by this build, or contradict each other. Correct them.
    #[error("{0}")]
    Settings(String),

    /// No connection came about.
    #[error("cannot connect to Postgres at `{server}`: {reason}")]
    Connect {
        /// Host, port and database.
        server: String,
        /// What is wrong, in words a person can act upon.
        reason: String,
        /// What the driver says.
        source: tokio_postgres::Error,
    },

    /// All connections of the pool stayed busy, or the pool was closed.
    #[error("no free connection to `{server}`: {reason}")]
    Pool {
        /// Host, port and database.
        server: String,
        /// Why none came free.
        reason: String,
    },

    /// A statement failed. Unless it was a commit, nothing of it took effect.
    #[error("cannot {action}")]
    Statement {
        /// What was attempted: the caller's words, or the beginning of the SQL.
        action: String,
        /// What the driver or the server says.
        source: tokio_postgres::Error,
    },
}

impl DatabaseError {
    /// Whether the same call may succeed later: the connection was lost, the server is starting,
    /// stopping or full, or the transaction lost a race with another one.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::InvalidUrl { .. } | Self::Settings(_) => false,
            Self::Pool { .. } | Self::Password { .. } => true,
            Self::Connect { source, .. } | Self::Statement { source, .. } => {
                is_transient_source(source)
            }
        }
    }

    /// Whether any other statement would fail as well for now: there is no connection, or none left, or
    /// the server takes no writes.
    pub fn is_outage(&self) -> bool {
        let Some(code) = self.code() else { return self.is_transient() };
        let of_one = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
        ];
        is_transient_code(code) && !of_one.contains(code)
    }

    /// The server's error code, where the server answered with one.
    pub fn code(&self) -> Option<&SqlState> {
        self.server_error().map(DbError::code)
    }

    /// The constraint that was violated, where it was one.
    pub fn constraint(&self) -> Option<&str> {
        self.server_error().and_then(DbError::constraint)
    }

    /// Table and key of the row that another transaction changed first, where a statement said so by
    /// the code of a failed serialization, the table's name, and the key as detail.
    pub fn lost_race(&self) -> Option<(&str, &str)> {
        let error = self.server_error()?;
        let is_race = *error.code() == SqlState::T_R_SERIALIZATION_FAILURE;
        is_race.then_some((error.table()?, error.detail()?))
    }

    /// The same error, telling what the caller was about to do: a verb phrase ("receive messages").
    #[must_use]
    pub fn during(self, what: &'static str) -> Self {
        match self {
            Self::Statement { source, .. } => Self::Statement { action: what.to_owned(), source },
            other => other,
        }
    }

    pub(super) fn statement(sql: &str, source: tokio_postgres::Error) -> Self {
        Self::Statement { action: action(sql), source }
    }

    pub(super) fn connect(config: &tokio_postgres::Config, source: tokio_postgres::Error) -> Self {
        let reason = connect_reason(config, &source);
        Self::Connect { server: server(config), reason, source }
    }

    fn server_error(&self) -> Option<&DbError> {
        match self {
            Self::Connect { source, .. } | Self::Statement { source, .. } => source.as_db_error(),
            Self::InvalidUrl { .. }
            | Self::Settings(_)
            | Self::Password { .. }
            | Self::Pool { .. } => None,
        }
    }
}

/// Host, port and database of a configuration, without user and password.
pub(crate) fn server(config: &tokio_postgres::Config) -> String {
    use tokio_postgres::config::Host;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config.get_hostaddrs().first().map_or_else(String::new, ToString::to_string),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}/{}", database_name(config))
}

fn database_name(config: &tokio_postgres::Config) -> &str {
    config.get_dbname().or_else(|| config.get_user()).unwrap_or_default()
}

fn is_transient_source(source: &tokio_postgres::Error) -> bool {
    match source.code() {
        Some(code) => is_transient_code(code),
        // Without a code no answer came: the connection broke or never was, or the fault is ours.
        None if is_handshake(source) => {
            io_error(source).is_some_and(|error| error.kind() != io::ErrorKind::InvalidData)
        }
        None => source.is_closed() || io_error(source).is_some() || is_timeout(source),
    }
}

fn is_transient_code(code: &SqlState) -> bool {
    // Class 08 is connection exceptions, 53 insufficient resources such as a full disk, 58 failures
    // of the system below Postgres, 57P the operator's shutdown. A server is read-only while it is
    // switched over, or where a name leads to a replica for a moment.
    // Source: PostgreSQL manual, appendix A.
    ["08", "53", "58"].iter().any(|class| code.code().starts_with(class))
        || [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::IDLE_SESSION_TIMEOUT,
        ]
        .contains(code)
}

fn io_error(source: &tokio_postgres::Error) -> Option<&io::Error> {
    std::error::Error::source(source).and_then(|cause| cause.downcast_ref::<io::Error>())
}

/// Whether TLS failed to come about. The driver keeps the kind of its errors to itself, so it is
/// told by how the text begins.
pub(super) fn is_handshake(source: &tokio_postgres::Error) -> bool {
    source.to_string().starts_with("error performing TLS handshake")
}

fn is_timeout(source: &tokio_postgres::Error) -> bool {
    io_error(source).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn connect_reason(config: &tokio_postgres::Config, source: &tokio_postgres::Error) -> String {
    let user = config.get_user().unwrap_or_default();
    if is_handshake(source) {
        let cause = std::error::Error::source(source).map_or_else(String::new, ToString::to_string);
        return match io_error(source)
            .is_some_and(|error| error.kind() != io::ErrorKind::InvalidData)
        {
            true => "the network failed in the TLS handshake".to_owned(),
            false => format!(
                "no TLS came about ({cause}); if an authority of your own vouches for the server, \
                 name its certificate in {}",
                crate::environment::CA_VARIABLE
            ),
        };
    }
    if let Some(error) = io_error(source) {
        return match error.kind() {
            io::ErrorKind::ConnectionRefused => "nothing listens there; is it running?".to_owned(),
            io::ErrorKind::TimedOut => "no answer in time".to_owned(),
            _ if error.to_string().contains("lookup") => "the host name is not known".to_owned(),
            _ => "the network failed".to_owned(),
        };
    }
    match source.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD => {
            format!("wrong password for user `{user}`")
        }
        Some(code) if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            format!("user `{user}` is not let in")
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            format!("there is no database `{}`", database_name(config))
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => {
            "it has no connection left".to_owned()
        }
        Some(code) if *code == SqlState::CANNOT_CONNECT_NOW => {
            "it is starting or stopping".to_owned()
        }
        Some(_) => "it refuses the connection".to_owned(),
        None if source.to_string().contains("password missing") => {
            format!("user `{user}` needs a password and the URL has none")
        }
        None => "the handshake failed".to_owned(),
    }
}

/// Names a statement by its leading `-- comment`, or else by how it begins.
fn action(sql: &str) -> String {
    /// Enough to recognise a statement, short enough for one line of a log.
    const SHOWN_CHARS: usize = 60;
    let first = sql.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if let Some(comment) = first.strip_prefix("-- ") {
        return comment.to_owned();
    }
    let words: Vec<&str> = sql.split_whitespace().collect();
    let text = words.join(" ");
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    let ellipsis = if shown.len() < text.len() { "…" } else { "" };
    format!("run `{shown}{ellipsis}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_the_comment_or_the_beginning() {
        assert_eq!(action("\n  -- receive messages\n SELECT 1"), "receive messages");
        assert_eq!(action(" SELECT\n   1"), "run `SELECT 1`");
        assert!(action(&"x ".repeat(100)).ends_with("…`"));
    }

    #[test]
    fn what_befalls_the_server_is_transient_and_what_is_wrong_with_the_statement_is_not() {
        use SqlState as State;
        let passing = [
            State::READ_ONLY_SQL_TRANSACTION,
            State::DISK_FULL,
            State::TOO_MANY_CONNECTIONS,
            State::IO_ERROR,
            State::ADMIN_SHUTDOWN,
            State::CRASH_SHUTDOWN,
        ];
        assert!(passing.iter().all(is_transient_code));
        let lasting = [State::SYNTAX_ERROR, State::UNIQUE_VIOLATION, State::CHECK_VIOLATION];
        assert!(!lasting.iter().any(is_transient_code));
    }

    #[test]
    fn a_server_is_named_without_its_password() {
        let config = "postgres://me:secret@db.example:6432/orders"
            .parse::<tokio_postgres::Config>()
            .expect("a URL");
        assert_eq!(server(&config), "db.example:6432/orders");
    }
}
