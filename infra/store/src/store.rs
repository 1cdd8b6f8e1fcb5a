//! The store: what its reads start from.

use fluxus_postgres::{Database, Session};

use crate::error::StoreError;

/// How the server may run the store's statements: by an index, row by row, and in no other way.
///
/// A prepared statement keeps its plan until the tables are analyzed. On a new database the first
/// plans are made while the tables are all but empty, when reading them whole is the cheapest; a
/// minute later they are full, and each step would still read all of them.
const PLANNER: [(&str, &str); 3] =
    [("enable_seqscan", "off"), ("enable_hashjoin", "off"), ("enable_mergejoin", "off")];

/// For batches besides: with no choice left there is nothing to plan for the values at hand, so a
/// statement is planned once per connection and not once per batch.
const ONCE: (&str, &str) = ("plan_cache_mode", "force_generic_plan");

/// What [`Store::stepping`] sets on its connections, for whoever has one connection for everything
/// and sets it from the beginning ([`Options::settings`](fluxus_postgres::Options::settings)).
pub const STEPPING: &[(&str, &str)] = &[PLANNER[0], PLANNER[1], PLANNER[2], ONCE];

/// What [`Store::new`] sets on its connections.
pub const ASKING: &[(&str, &str)] = &PLANNER;

/// The tables of Fluxus in one database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
}

impl Store {
    /// The store in `database`; see [`Store::migrate`] for its tables. It has a pool of its own, as
    /// large as the given one, on which the planner is kept from plans that do not grow; unless
    /// statements are unnamed, which are planned anew each time.
    pub fn new(database: Database) -> Self {
        Self::with_settings(database, &PLANNER)
    }

    /// The store for whoever steps executions: statements are planned once per connection. A search
    /// over many claims is better planned for what is searched; use [`Store::new`] for it.
    pub fn stepping(database: Database) -> Self {
        Self::with_settings(database, STEPPING)
    }

    fn with_settings(database: Database, settings: &[(&str, &str)]) -> Self {
        match database.with_settings(settings) {
            Ok(database) => Self { database },
            // No pool can be made, so none will answer: the first query says so.
            Err(_) => Self { database },
        }
    }

    /// The database underneath, through the store's own pool.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// A connection, to begin transactions on.
    ///
    /// # Errors
    /// [`StoreError::Database`]; safe to try again.
    pub async fn session(&self) -> Result<Session, StoreError> {
        Ok(self.database.session().await?)
    }
}
