//! Statements that are described first and sent later.

use std::fmt;

use tokio_postgres::types::{ToSql, Type};

use super::session::Param;

/// A statement with its values, not sent yet: whoever has all statements of a transaction can send
/// them together, and the commit with them
/// ([`Transaction::commit_with`](super::Transaction::commit_with)).
///
/// What a statement must find, it has to check itself and fail: there is nobody to look at its rows
/// before the commit.
pub struct Statement<'a> {
    sql: &'static str,
    values: Vec<(Box<dyn ToSql + Sync + Send + 'a>, Type)>,
}

impl<'a> Statement<'a> {
    /// A statement without values.
    pub fn new(sql: &'static str) -> Self {
        Self { sql, values: Vec::new() }
    }

    /// The same with the next `$n`.
    #[must_use]
    pub fn with(mut self, value: impl ToSql + Sync + Send + 'a, kind: Type) -> Self {
        self.values.push((Box::new(value), kind));
        self
    }

    /// Its text.
    pub fn sql(&self) -> &'static str {
        self.sql
    }

    /// Its values.
    pub fn params(&self) -> Vec<Param<'_>> {
        self.values.iter().map(|(value, kind)| (&**value as _, kind.clone())).collect()
    }
}

impl fmt::Debug for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement").field("sql", &self.sql).finish_non_exhaustive()
    }
}
