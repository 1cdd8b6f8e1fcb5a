//! What can go wrong with a queue.

use std::error::Error;

#[cfg(feature = "postgres")]
use fluxus_postgres::DatabaseError;

/// A failure of a queue operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The name is not one that SQS would take. Correct it.
    #[error("`{name}` is no queue name: {problem}")]
    InvalidName {
        /// The name as given.
        name: String,
        /// Which rule it breaks.
        problem: String,
    },

    /// A value is past a bound of [`bounds`](crate::bounds). Nothing was done.
    #[error("{what} is {actual}, past {bound} = {limit}")]
    PastBound {
        /// What was too large.
        what: &'static str,
        /// The name of the bound.
        bound: &'static str,
        /// The value given.
        actual: String,
        /// The largest value allowed.
        limit: String,
    },

    /// A body that no adapter can carry: it holds a NUL character, which is no JSON text.
    #[error("a message body holds a NUL character, which JSON text cannot")]
    InvalidBody,

    /// The queue's service failed or refused. Ask [`QueueError::is_transient`] whether to try again.
    #[error("cannot {action}")]
    Service {
        /// What was attempted: "send 3 of 10 messages to `core`".
        action: String,
        /// Whether the same call may succeed later.
        is_transient: bool,
        /// Why it failed.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The queue's database failed. Ask [`QueueError::is_transient`] whether to try again.
    #[cfg(feature = "postgres")]
    #[error("cannot {action}")]
    Database {
        /// What was attempted.
        action: &'static str,
        /// Why it failed.
        source: DatabaseError,
    },
}

impl QueueError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::InvalidName { .. } | Self::PastBound { .. } | Self::InvalidBody => false,
            Self::Service { is_transient, .. } => *is_transient,
            #[cfg(feature = "postgres")]
            Self::Database { source, .. } => source.is_transient(),
        }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn database(action: &'static str) -> impl FnOnce(DatabaseError) -> Self {
        move |source| Self::Database { action, source }
    }
}
