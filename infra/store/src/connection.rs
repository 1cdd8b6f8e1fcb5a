//! What statements run on.

use fluxus_postgres::{DatabaseError, Param, Row, Session, Statement, Transaction};

/// A session, or a transaction on one: for queries that fit both.
pub trait Connection: Sync {
    /// Runs one statement and returns its rows.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`]; a transaction can then only be rolled back.
    fn query(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, DatabaseError>> + Send;

    /// Runs one statement and returns how many rows it touched.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`]; a transaction can then only be rolled back.
    fn execute(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<u64, DatabaseError>> + Send;

    /// Runs a statement that was described and returns its rows.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`]; a transaction can then only be rolled back.
    fn run(
        &self,
        statement: &Statement<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, DatabaseError>> + Send {
        async { self.query(statement.sql(), &statement.params()).await }
    }
}

impl Connection for Session {
    async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
        Self::query(self, sql, params).await
    }

    async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, DatabaseError> {
        Self::execute(self, sql, params).await
    }
}

impl Connection for Transaction<'_> {
    async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
        Transaction::query(self, sql, params).await
    }

    async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, DatabaseError> {
        Transaction::execute(self, sql, params).await
    }
}
