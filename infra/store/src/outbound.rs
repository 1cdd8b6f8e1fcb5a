//! Sending messages that must agree with a commit.

use std::sync::Arc;
use std::time::Duration;

use fluxus_postgres::{Row, Statement, Transaction};
use fluxus_queue::{Outgoing, PostgresQueue, Queue, QueueError, QueueName, Sent};
use fluxus_schema::{ClaimId, Tenant, Timestamp};

use crate::error::StoreError;
use crate::outbox::{self, OutboxRow};
use crate::store::Store;

/// How messages leave together with the change that asked for them.
#[derive(Clone)]
// There are a handful per process, so their size is no matter.
#[allow(clippy::large_enum_variant)]
pub enum Outbound {
    /// The queue is in the same database: the message joins the transaction.
    Joined(PostgresQueue),
    /// The queue is elsewhere: the message waits in the outbox until the commit, then is sent.
    Relayed {
        /// The queue.
        queue: Arc<dyn Queue>,
        /// Where the outbox is.
        store: Store,
    },
}

/// A message and the claim it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The claim.
    pub claim_id: ClaimId,
    /// Whose it is.
    pub tenant: Tenant,
    /// The message.
    pub outgoing: Outgoing,
}

/// Messages that are to leave with a transaction, described for whoever sends more along.
#[must_use = "send its statements in a transaction"]
#[derive(Debug)]
pub struct Departing(Described);

#[derive(Debug)]
enum Described {
    Joined(fluxus_queue::Leaving),
    Relayed { messages: Vec<Outgoing>, rows: Vec<OutboxRow>, now: Timestamp },
}

impl Departing {
    /// What puts the messages into the transaction: two statements at most, none for no messages.
    pub fn statements(&self) -> Vec<Statement<'_>> {
        match &self.0 {
            Described::Joined(leaving) => leaving.statements(),
            Described::Relayed { rows, now, .. } => {
                outbox::inserting(rows, *now).into_iter().collect()
            }
        }
    }

    /// The same after these statements; `last` is what the last of them gave.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where that is something else.
    pub fn enqueued(self, last: Option<&Vec<Row>>) -> Result<Enqueued, StoreError> {
        Ok(Enqueued(match self.0 {
            Described::Joined(leaving) => Leaving::Joined(leaving.sent(last)),
            Described::Relayed { messages, rows, .. } => {
                let last = last.filter(|_| !rows.is_empty());
                let outbox_ids = outbox::inserted(last.map_or(&[], Vec::as_slice))?;
                Leaving::Relayed { messages, outbox_ids }
            }
        }))
    }
}

/// Messages of a transaction that is not committed yet.
#[must_use = "after the commit, tell the receivers: call Outbound::committed"]
#[derive(Debug)]
pub struct Enqueued(Leaving);

#[derive(Debug)]
enum Leaving {
    Joined(Sent),
    Relayed { messages: Vec<Outgoing>, outbox_ids: Vec<i64> },
}

/// What a failed enqueue was about.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The queue refused, or could not be reached.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The outbox could not be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OutboundError {
    /// Whether the same work, done again from the start, may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Queue(source) => source.is_transient(),
            Self::Store(source) => source.is_transient(),
        }
    }
}

impl Message {
    /// The same message, behind others: see [`Outgoing::yielding`].
    #[must_use]
    pub fn yielding(self) -> Self {
        Self { outgoing: self.outgoing.yielding(), ..self }
    }
}

impl Outbound {
    /// The queue that the messages go to.
    pub fn queue(&self) -> Arc<dyn Queue> {
        match self {
            Self::Joined(queue) => Arc::new(queue.clone()),
            Self::Relayed { queue, .. } => queue.clone(),
        }
    }

    /// Puts messages into the caller's transaction, with two statements at most however many they
    /// are.
    ///
    /// # Errors
    /// [`OutboundError`]; the transaction can then only be rolled back.
    pub async fn enqueue(
        &self,
        tx: &Transaction<'_>,
        messages: Vec<Message>,
        now: Timestamp,
    ) -> Result<Enqueued, OutboundError> {
        let departing = self.departing(messages, now)?;
        let answers = tx.run(&departing.statements()).await.map_err(StoreError::from)?;
        Ok(departing.enqueued(answers.last())?)
    }

    /// Describes [`enqueue`](Self::enqueue), for whoever sends more along.
    ///
    /// # Errors
    /// [`OutboundError`] where a message cannot be sent.
    pub fn departing(
        &self,
        messages: Vec<Message>,
        now: Timestamp,
    ) -> Result<Departing, OutboundError> {
        Ok(Departing(match self {
            Self::Joined(queue) => {
                let messages = messages.into_iter().map(|one| one.outgoing).collect();
                Described::Joined(queue.leaving(messages)?)
            }
            Self::Relayed { .. } => {
                messages.iter().try_for_each(|one| one.outgoing.check())?;
                let rows = messages.iter().map(row).collect();
                let messages = messages.into_iter().map(|one| one.outgoing).collect();
                Described::Relayed { messages, rows, now }
            }
        }))
    }

    /// Tells the receivers once the transaction is committed, or sends what waited for it. What
    /// cannot be sent now stays in the outbox for [`relay`](Self::relay).
    pub async fn committed(&self, enqueued: Enqueued) {
        match (self, enqueued.0) {
            (Self::Joined(queue), Leaving::Joined(sent)) => queue.sent(sent),
            (Self::Relayed { queue, store }, Leaving::Relayed { messages, outbox_ids }) => {
                if messages.is_empty() {
                    return;
                }
                let sent = async {
                    queue.send(messages).await?;
                    let session = store.session().await?;
                    outbox::delete(&session, &outbox_ids).await?;
                    Ok::<(), OutboundError>(())
                };
                if let Err(error) = sent.await {
                    tracing::warn!(%error, "messages stay in the outbox until the next sweep");
                }
            }
            // Of another outbound: its receivers look by themselves.
            (Self::Joined(_) | Self::Relayed { .. }, _) => {}
        }
    }

    /// Sends what was committed before `older_than` and never sent, because its sender died.
    /// Returns how many messages that were.
    ///
    /// # Errors
    /// [`OutboundError`]; what was not sent stays in the outbox.
    pub async fn relay(
        &self,
        now: Timestamp,
        older_than: Timestamp,
        at_most: usize,
    ) -> Result<usize, OutboundError> {
        let Self::Relayed { queue, store } = self else { return Ok(0) };
        let mut session = store.session().await?;
        let tx = session.begin().await.map_err(StoreError::from)?;
        let unsent = outbox::take_unsent(&tx, older_than, at_most).await?;
        let ids: Vec<_> = unsent.iter().map(|one| one.outbox_id).collect();
        let messages = unsent.into_iter().map(|one| {
            let delay = Duration::from_millis(one.row.delay_ms.into());
            Ok(Outgoing {
                // What it waited in the outbox counts.
                delay: delay.saturating_sub(now.since(one.created_at)),
                ..Outgoing::new(one.row.queue.parse::<QueueName>()?, one.row.body)
                    .in_group(one.row.tenant.as_str())
            })
        });
        let messages = messages.collect::<Result<Vec<_>, QueueError>>()?;
        if !messages.is_empty() {
            queue.send(messages).await?;
            outbox::delete(&tx, &ids).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        Ok(ids.len())
    }
}

fn row(message: &Message) -> OutboxRow {
    OutboxRow {
        tenant: message.tenant.clone(),
        claim_id: message.claim_id,
        queue: message.outgoing.queue.to_string(),
        body: message.outgoing.body.clone(),
        delay_ms: u32::try_from(message.outgoing.delay.as_millis()).unwrap_or(u32::MAX),
    }
}
