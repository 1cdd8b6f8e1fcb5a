//! What can go wrong with the store, and whether trying again may help.

use fluxus_postgres::DatabaseError;

/// A failure of the store. Unless it was a commit that failed, nothing took effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else changed the row first. Load it again and decide anew.
    #[error("{table} `{key}` was changed meanwhile")]
    Conflict {
        /// The table.
        table: &'static str,
        /// The row's key, or that of the first of several.
        key: String,
    },

    /// A row holds what no version of Fluxus writes. Trying again is in vain; look at the row.
    #[error("{table} `{key}` cannot be read: its column {column} is corrupt")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The database could not be reached or refused; its message says what was attempted.
    #[error(transparent)]
    Database(DatabaseError),

    /// The migrations could not be applied. Those before the failed one are.
    #[error("cannot migrate the database")]
    Migration {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<DatabaseError> for StoreError {
    fn from(source: DatabaseError) -> Self {
        // Raised by `fluxus_agree`.
        match source.lost_race() {
            Some(("branch", key)) => Self::Conflict { table: "branch", key: key.to_owned() },
            Some(("claim", key)) => Self::Conflict { table: "claim", key: key.to_owned() },
            _ => Self::Database(source),
        }
    }
}

impl StoreError {
    /// Whether the same work, done again from the start, may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Conflict { .. } => true,
            Self::Corrupt { .. } | Self::Migration { .. } => false,
            Self::Database(source) => source.is_transient(),
        }
    }
}
