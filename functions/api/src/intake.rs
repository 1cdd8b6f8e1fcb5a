//! Takes claims in by group commit.
//!
//! Claims that arrive at the same time share one transaction, and so one wait for the disk. An
//! idle intake adds no delay: it takes what is there, commits it, and takes what came meanwhile.
//! [`MAX_INTAKE_COMMITS`] batches are under way at a time, so the next is written while one waits.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use fluxus_lambda::metrics::count;
use fluxus_queue::{Outgoing, QueueError, QueueName};
use fluxus_schema::message::CoreMessage;
use fluxus_store::{
    DatabaseError, Enqueued, Inserted, Intake as NewRow, Message, Outbound, OutboundError, Store,
    StoreError, Transaction,
};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::entropy;
use crate::limits::{
    MAX_INTAKE_BATCH, MAX_INTAKE_BATCH_BYTES, MAX_INTAKE_COMMITS, MAX_INTAKE_QUEUE,
};
use crate::problem::{Kind, Refusal};

/// Where claims go in. Clones are one.
#[derive(Clone)]
pub(crate) struct Intake {
    sender: mpsc::Sender<Arrival>,
    begin: Arc<OnceLock<Arc<dyn Begin>>>,
    closing: CancellationToken,
}

/// A claim on its way in.
#[derive(Debug)]
struct Arrival {
    row: NewRow,
    bytes: usize,
    reply: oneshot::Sender<Result<Written, Refusal>>,
}

/// What became of a claim; where one was known, the claim comes back, to be compared with it.
type Written = (Inserted, Option<NewRow>);

/// A core in this process, which begins claims as they come in.
#[async_trait]
pub trait Begin: Send + Sync {
    /// Whether it would begin claims now.
    fn is_ready(&self) -> bool;

    /// Takes claims in and begins them, in one transaction; what became of each, in the order given.
    ///
    /// # Errors
    /// Why none was taken in; they are then written, and the core is told by messages.
    async fn take_in(
        &self,
        rows: &[NewRow],
    ) -> Result<Vec<Inserted>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Writes claims; what that needs.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) store: Store,
    pub(crate) outbound: Outbound,
    pub(crate) core: QueueName,
    /// Set once, if at all.
    pub(crate) begin: Arc<OnceLock<Arc<dyn Begin>>>,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("cannot write claims")]
    Store(#[from] StoreError),
    #[error("cannot announce claims to the core")]
    Outbound(#[from] OutboundError),
    #[error("cannot write a message")]
    Message(#[from] serde_json::Error),
}

impl Intake {
    /// Starts the task that writes; it ends, when everything is written, after [`close`](Self::close).
    pub(crate) fn start(
        store: Store,
        outbound: Outbound,
        core: QueueName,
    ) -> (Self, JoinHandle<()>) {
        let (sender, arrivals) = mpsc::channel(MAX_INTAKE_QUEUE);
        let closing = CancellationToken::new();
        let begin = Arc::default();
        let writer = Writer { store, outbound, core, begin: Arc::clone(&begin) };
        let task = tokio::spawn(run(writer, arrivals, closing.clone()));
        (Self { sender, begin, closing }, task)
    }

    /// Has claims begun as they come in, from now on.
    pub(crate) fn begin_with(&self, begin: Arc<dyn Begin>) {
        // The first one stays: there is one core in a process.
        let _second = self.begin.set(begin);
    }

    /// Takes nothing more in; what was taken is still written.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Writes a claim and its first message; returns when the commit is durable. A claim that is known
    /// is given back.
    ///
    /// # Errors
    /// [`Refusal`]: unavailable if too many claims wait, at shutdown, and without a database.
    pub(crate) async fn submit(&self, row: NewRow, bytes: usize) -> Result<Written, Refusal> {
        let (reply, answer) = oneshot::channel();
        match self.sender.try_send(Arrival { row, bytes, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(overloaded()),
            Err(TrySendError::Closed(_)) => return Err(stopping()),
        }
        answer.await.unwrap_or_else(|_dropped| Err(stopping()))
    }
}

fn overloaded() -> Refusal {
    let detail = format!("{MAX_INTAKE_QUEUE} claims wait to be written already; try again");
    Refusal::new(Kind::Unavailable, detail)
}

fn stopping() -> Refusal {
    Refusal::new(Kind::Unavailable, "this process is stopping; try again")
}

async fn run(writer: Writer, mut arrivals: mpsc::Receiver<Arrival>, closing: CancellationToken) {
    let commits = Arc::new(Semaphore::new(MAX_INTAKE_COMMITS));
    loop {
        // First the permit, then the claims: whatever comes while both commits are under way
        // goes into one batch. The semaphore is never closed.
        let Ok(permit) = Arc::clone(&commits).acquire_owned().await else { break };
        let first = tokio::select! {
            biased;
            first = arrivals.recv() => first,
            () = closing.cancelled() => {
                // What is in the channel still comes out; then `recv` gives none.
                arrivals.close();
                arrivals.recv().await
            }
        };
        let Some(first) = first else { break };
        let batch = gather(first, &mut arrivals);
        let writer = writer.clone();
        tokio::spawn(async move {
            writer.write_all(batch).await;
            drop(permit);
        });
    }
    // All permits back means all commits done.
    let all = u32::try_from(MAX_INTAKE_COMMITS).unwrap_or(u32::MAX);
    drop(commits.acquire_many(all).await);
}

/// What is there, within the bounds of a batch.
fn gather(first: Arrival, arrivals: &mut mpsc::Receiver<Arrival>) -> Vec<Arrival> {
    let mut bytes = first.bytes;
    let mut batch = vec![first];
    while batch.len() < MAX_INTAKE_BATCH && bytes < MAX_INTAKE_BATCH_BYTES {
        let Ok(next) = arrivals.try_recv() else { break };
        bytes += next.bytes;
        batch.push(next);
    }
    batch
}

impl Writer {
    /// Writes a batch and answers everybody in it.
    async fn write_all(&self, batch: Vec<Arrival>) {
        let (rows, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|arrival| (arrival.row, arrival.reply)).unzip();
        let answers = self.write_each(&rows).await;
        for ((row, reply), answer) in rows.into_iter().zip(replies).zip(answers) {
            let answer = answer.map(|inserted| (inserted, inserted.duplicate.then_some(row)));
            // A client that went away needs no answer.
            let _gone = reply.send(answer);
        }
    }

    /// Writes claims in one transaction; what became of each, in the order given. If that fails
    /// for one bad row, the rows are tried one by one, so that only the bad one fails.
    pub(crate) async fn write_each(&self, rows: &[NewRow]) -> Vec<Result<Inserted, Refusal>> {
        if let Some(begin) = self.begin.get().filter(|begin| begin.is_ready()) {
            match begin.take_in(rows).await {
                Ok(inserted) => {
                    count_new(&inserted);
                    return inserted.into_iter().map(Ok).collect();
                }
                Err(error) => {
                    let error = crate::problem::chain(&*error);
                    tracing::debug!(error, claims = rows.len(), "claims are written first");
                }
            }
        }
        let mut answers = match self.write(rows).await {
            Ok(inserted) => inserted.into_iter().map(Ok).collect(),
            Err(error) => self.one_by_one(rows, error).await,
        };
        // An id is made for its claim. One that is known by it was written by a try before this one,
        // whose answer was lost with its connection.
        for (row, answer) in rows.iter().zip(&mut answers) {
            if let Ok(inserted) = answer {
                inserted.duplicate &= inserted.claim_id != row.claim_id;
            }
        }
        answers
    }

    async fn one_by_one(
        &self,
        rows: &[NewRow],
        error: WriteError,
    ) -> Vec<Result<Inserted, Refusal>> {
        let text = crate::problem::chain(&error);
        tracing::debug!(error = text, claims = rows.len(), "trying the claims of a batch singly");
        // Without a database the others would only wait for their turn to fail.
        let mut outage = error.is_outage().then(|| error.refusal());
        let mut answers = Vec::with_capacity(rows.len());
        for row in rows {
            answers.push(match &outage {
                Some(refusal) => Err(refusal.clone()),
                None => match self.write(std::slice::from_ref(row)).await {
                    Ok(inserted) => inserted.first().copied().ok_or_else(stopping),
                    Err(error) => {
                        let out = error.is_outage();
                        let refusal = error.refusal();
                        outage = out.then(|| refusal.clone());
                        Err(refusal)
                    }
                },
            });
        }
        answers
    }

    /// Writes claims and their messages in one transaction.
    async fn write(&self, rows: &[NewRow]) -> Result<Vec<Inserted>, WriteError> {
        let mut session = self.store.session().await?;
        let tx = session.begin().await.map_err(StoreError::from)?;
        let (inserted, enqueued) = if rows.iter().all(|row| row.claim.idempotency_key.is_none()) {
            // Without a key a claim is new: its id was made for it. So its message need not wait
            // for an answer; one about a claim that is there already would be passed over.
            let insert = async { Ok(fluxus_store::claim::insert(&tx, rows).await?) };
            futures::try_join!(insert, self.enqueue(&tx, rows.iter()))?
        } else {
            let inserted = fluxus_store::claim::insert(&tx, rows).await?;
            let new = rows.iter().zip(&inserted).filter(|(_, inserted)| !inserted.duplicate);
            let enqueued = self.enqueue(&tx, new.map(|(row, _)| row)).await?;
            (inserted, enqueued)
        };
        tx.commit().await.map_err(StoreError::from)?;
        drop(session);
        count_new(&inserted);
        // Before the answers: a Lambda is frozen once it has answered.
        self.outbound.committed(enqueued).await;
        Ok(inserted)
    }

    /// Puts the messages that begin these claims into the transaction.
    async fn enqueue(
        &self,
        tx: &Transaction<'_>,
        new: impl Iterator<Item = &NewRow>,
    ) -> Result<Enqueued, WriteError> {
        let message = |row: &NewRow| {
            let (claim_id, tenant) = (row.claim_id, row.tenant.clone());
            let body = serde_json::to_string(&CoreMessage::ClaimSubmitted { claim_id })?;
            let outgoing = Outgoing::new(self.core.clone(), body).in_group(tenant.as_str());
            // What is checked to be 0 to 9.
            let priority = u8::try_from(row.claim.priority).unwrap_or_default();
            let outgoing = outgoing.with_priority(priority).yielding();
            Ok(Message { claim_id, tenant, outgoing })
        };
        let messages = new.map(message).collect::<Result<Vec<_>, WriteError>>()?;
        Ok(self.outbound.enqueue(tx, messages, entropy::now()).await?)
    }
}

fn count_new(inserted: &[Inserted]) {
    count("ClaimsReceived", &[], inserted.iter().filter(|one| !one.duplicate).count() as u64);
}

impl WriteError {
    /// Whether everything else would fail as well.
    fn is_outage(&self) -> bool {
        self.database().is_some_and(DatabaseError::is_outage)
    }

    fn refusal(self) -> Refusal {
        let code = self.database().and_then(DatabaseError::code).map(|code| code.code().to_owned());
        match code {
            // Class 22 is data exceptions: a value that Postgres cannot store.
            Some(code) if code.starts_with("22") => {
                Refusal::new(Kind::InvalidClaim, "the claim holds a value that cannot be stored")
            }
            _ if self.is_transient() => Refusal::unavailable(self),
            _ => Refusal::internal(self),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Outbound(error) => error.is_transient(),
            Self::Message(_) => false,
        }
    }

    fn database(&self) -> Option<&DatabaseError> {
        match self {
            Self::Store(StoreError::Database(error))
            | Self::Outbound(OutboundError::Store(StoreError::Database(error)))
            | Self::Outbound(OutboundError::Queue(QueueError::Database {
                source: error, ..
            })) => Some(error),
            Self::Store(_) | Self::Outbound(_) | Self::Message(_) => None,
        }
    }
}
