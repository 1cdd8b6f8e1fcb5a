//! Running statements: on a connection of the pool, or within a transaction on it.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::FutureExt as _;
use futures::future::{OptionFuture, join, maybe_done};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::error::DatabaseError;
use super::pool::{Counter, Statements};
use super::statement::Statement;

/// A value for `$n` and its type. The type is always said, so that a statement needs no question
/// to the server before it is sent.
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// One connection of the pool, given back when dropped.
///
/// Statements kept prepared are cached by their text, so the texts of a program must be a fixed
/// set: pass values as parameters, never within the text.
#[derive(Debug)]
pub struct Session {
    client: deadpool_postgres::Client,
    statements: Statements,
    counter: Counter,
}

impl Session {
    pub(super) fn new(
        client: deadpool_postgres::Client,
        statements: Statements,
        counter: Counter,
    ) -> Self {
        Self { client, statements, counter }
    }

    /// Runs one statement and returns its rows.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`]; ask [`DatabaseError::is_transient`] whether to try again.
    pub async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
        self.counter.add_one();
        let rows = match self.statements {
            Statements::Unnamed => self.client.query_typed(sql, params).await,
            Statements::Prepared => match self.prepare(sql, params).await {
                Ok(statement) => self.client.query(&statement, &values(params)).await,
                Err(error) => Err(error),
            },
        };
        rows.map_err(|source| DatabaseError::statement(sql, source))
    }

    /// Runs one statement and returns how many rows it touched.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`]; ask [`DatabaseError::is_transient`] whether to try again.
    pub async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, DatabaseError> {
        self.counter.add_one();
        let touched = match self.statements {
            Statements::Unnamed => self.client.execute_typed(sql, params).await,
            Statements::Prepared => match self.prepare(sql, params).await {
                Ok(statement) => self.client.execute(&statement, &values(params)).await,
                Err(error) => Err(error),
            },
        };
        touched.map_err(|source| DatabaseError::statement(sql, source))
    }

    /// Runs several statements without parameters, for migrations and tests. Not counted.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`] for the first one that fails; none took effect, unless the
    /// text holds its own `BEGIN` and `COMMIT`.
    pub async fn batch(&self, sql: &str) -> Result<(), DatabaseError> {
        let done = self.client.batch_execute(sql).await;
        done.map_err(|source| DatabaseError::statement(sql, source))
    }

    /// Sends a notification with an empty payload to everybody who listens to the channel.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`].
    pub async fn notify(&self, channel: &str) -> Result<(), DatabaseError> {
        const NOTIFY: &str = "-- send a notification\nSELECT pg_notify($1, '')";
        self.query(NOTIFY, &[(&channel, Type::TEXT)]).await?;
        Ok(())
    }

    /// Begins a transaction, which is rolled back when dropped without commit. The server is told
    /// with the first statement, which saves waiting for an answer to that alone.
    ///
    /// # Errors
    /// None now: a connection that was lost fails the first statement; take another session then.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, DatabaseError> {
        let (begun, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        Ok(Transaction { session: self, begun, sent, ended: false })
    }

    /// Whether the connection was lost, as far as was noticed: for whoever holds one for long.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn prepare(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        self.client.prepare_typed_cached(sql, &types(params)).await
    }
}

/// A transaction: all of it takes effect at [`commit`](Self::commit), or nothing does.
///
/// Statements may be sent together (`futures::join!`), which saves waiting for each answer. The
/// order in which statements sent together run is not fixed, so they must not depend on each other.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// Borrowed for itself alone, so that nothing else is sent in between.
    session: &'a mut Session,
    /// Whether the server was told.
    begun: AtomicBool,
    /// Whether it was told of the end too.
    ended: bool,
    sent: AtomicU64,
}

impl Transaction<'_> {
    /// Runs one statement and returns its rows.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`]; the transaction can then only be rolled back.
    pub async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
        self.within(self.session.query(sql, params)).await
    }

    /// Runs one statement and returns how many rows it touched.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`]; the transaction can then only be rolled back.
    pub async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, DatabaseError> {
        self.within(self.session.execute(sql, params)).await
    }

    /// Runs several statements without parameters, for migrations and tests. Not counted.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`]; the transaction can then only be rolled back.
    pub async fn batch(&self, sql: &str) -> Result<(), DatabaseError> {
        self.begun_before(self.session.batch(sql)).await
    }

    /// Runs statements, which are sent together and run in this order, each seeing what those before
    /// did. Returns the rows of each.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`] for the first that fails; the transaction can then only be rolled
    /// back.
    pub async fn run(&self, statements: &[Statement<'_>]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let prepared = self.prepare_all(statements).await?;
        self.send_all(statements, &prepared, None).await
    }

    /// Runs statements and makes the transaction take effect, all of which is sent together: nothing
    /// is waited for in between. Where a statement fails, nothing takes effect.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`] for the first that fails. After a lost connection it is not known
    /// whether the commit took effect, as with [`commit`](Self::commit).
    pub async fn commit_with(
        mut self,
        statements: &[Statement<'_>],
    ) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let prepared = self.prepare_all(statements).await?;
        self.ended = true;
        // A transaction in which a statement failed is rolled back by its `COMMIT`.
        self.send_all(statements, &prepared, Some("COMMIT")).await
    }

    /// What is known of statements that are kept prepared; the first time it waits for the server.
    async fn prepare_all(
        &self,
        statements: &[Statement<'_>],
    ) -> Result<Vec<Option<tokio_postgres::Statement>>, DatabaseError> {
        let mut prepared = Vec::with_capacity(statements.len());
        for one in statements {
            prepared.push(match self.session.statements {
                Statements::Unnamed => None,
                Statements::Prepared => {
                    let known = self.session.prepare(one.sql(), &one.params()).await;
                    Some(known.map_err(|source| DatabaseError::statement(one.sql(), source))?)
                }
            });
        }
        Ok(prepared)
    }

    async fn send_all(
        &self,
        statements: &[Statement<'_>],
        prepared: &[Option<tokio_postgres::Statement>],
        last: Option<&str>,
    ) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let client = &self.session.client;
        let is_first = !statements.is_empty() && !self.begun.swap(true, Ordering::Relaxed);
        let mut begin =
            pin!(maybe_done(OptionFuture::from(is_first.then(|| client.batch_execute("BEGIN")),)));
        let answer = async |one: &Statement<'_>, known: Option<&tokio_postgres::Statement>| {
            let params = one.params();
            let rows = match known {
                Some(known) => client.query(known, &values(&params)).await,
                None => client.query_typed(one.sql(), &params).await,
            };
            rows.map_err(|source| DatabaseError::statement(one.sql(), source))
        };
        let mut answers: Vec<_> = statements
            .iter()
            .zip(prepared)
            .map(|(one, known)| Box::pin(maybe_done(answer(one, known.as_ref()))))
            .collect();
        self.sent.fetch_add(statements.len() as u64, Ordering::Relaxed);
        statements.iter().for_each(|_| self.session.counter.add_one());
        // The driver queues what a future asks for when it is first polled.
        let _ = futures::poll!(begin.as_mut());
        let mut is_whole = true;
        for answer in &mut answers {
            let _ = futures::poll!(answer.as_mut());
            // One that could not even be written down is not sent, and the server knows nothing of it:
            // the others must not take effect without it.
            is_whole &= !matches!(answer.as_mut().output_mut(), Some(Err(_)));
        }
        let last = last.filter(|_| self.begun.load(Ordering::Relaxed));
        let last = last.map(|sql| if is_whole { sql } else { "ROLLBACK" });
        let mut end =
            pin!(maybe_done(OptionFuture::from(last.map(|sql| client.batch_execute(sql)))));
        let _ = futures::poll!(end.as_mut());

        begin.as_mut().await;
        if let Some(Some(Err(source))) = begin.as_mut().take_output() {
            return Err(failed("begin a transaction", source));
        }
        let mut rows = Vec::with_capacity(answers.len());
        for mut answer in answers {
            answer.as_mut().await;
            rows.push(answer.as_mut().take_output().unwrap_or_else(|| Ok(Vec::new()))?);
        }
        end.as_mut().await;
        match end.as_mut().take_output() {
            Some(Some(Err(source))) => Err(failed("commit a transaction", source)),
            _ => Ok(rows),
        }
    }

    /// Makes it all take effect. On return it is on disk, unless the database is relaxed.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`]; after a lost connection it is not known whether the commit
    /// took effect, so whatever is tried again must bear being done twice.
    pub async fn commit(mut self) -> Result<(), DatabaseError> {
        self.end("COMMIT", "commit a transaction").await
    }

    /// Undoes it all.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`] if the connection was lost; the server rolls back by itself.
    pub async fn rollback(mut self) -> Result<(), DatabaseError> {
        self.end("ROLLBACK", "roll back a transaction").await
    }

    /// How many statements this transaction has sent, `BEGIN` and `COMMIT` not counted.
    pub fn statements(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    async fn within<T>(
        &self,
        statement: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Result<T, DatabaseError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.begun_before(statement).await
    }

    /// Sends the statement, and `BEGIN` right before it if it is the first. Both go out together:
    /// the driver queues what a future asks for when it is first polled, and `join` polls in order.
    async fn begun_before<T>(
        &self,
        statement: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Result<T, DatabaseError> {
        let is_first = !self.begun.swap(true, Ordering::Relaxed);
        // Boxed, so that every statement's future is not larger for the sake of the first.
        let begin = is_first.then(|| Box::pin(self.session.client.batch_execute("BEGIN")));
        let (begun, result) = join(OptionFuture::from(begin), statement).await;
        match begun {
            Some(Err(source)) => Err(failed("begin a transaction", source)),
            Some(Ok(())) | None => result,
        }
    }

    async fn end(&mut self, sql: &str, action: &str) -> Result<(), DatabaseError> {
        self.ended = true;
        if !self.begun.load(Ordering::Relaxed) {
            return Ok(());
        }
        let ended = self.session.client.batch_execute(sql).await;
        ended.map_err(|source| failed(action, source))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ended && self.begun.load(Ordering::Relaxed) {
            // Polled once, it is queued; nobody needs the answer, and the connection's next user
            // comes after it.
            let _ = self.session.client.batch_execute("ROLLBACK").now_or_never();
        }
    }
}

fn failed(action: &str, source: tokio_postgres::Error) -> DatabaseError {
    DatabaseError::Statement { action: action.to_owned(), source }
}

fn types(params: &[Param<'_>]) -> Vec<Type> {
    params.iter().map(|(_, kind)| kind.clone()).collect()
}

fn values<'a>(params: &[Param<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    params.iter().map(|(value, _)| *value).collect()
}
