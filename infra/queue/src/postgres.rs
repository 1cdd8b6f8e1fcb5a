//! Queues in a Postgres table: the enqueue joins the caller's transaction.

mod answers;
mod bodies;
mod hand_over;
mod letters;
#[cfg(test)]
mod plans;
mod receive;
mod send;
mod state;
mod take;
mod turns;
mod wake;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fluxus_postgres::{Database, Statement, Transaction};

use crate::bounds::MAX_RECEIVES;
use crate::message::check_visibility;
use crate::{
    Burial, DeadLetter, DeadLetterId, Depth, LetterPlace, Letters, MessageId, Outgoing, Queue,
    QueueError, QueueName, Receipt, Receive, Received,
};
use answers::{Answers, Group};
use hand_over::HandOver;
use turns::Turns;
use wake::Wakers;

pub use answers::Taker;
pub use take::{Due, Leaving, Sent, Taken};

/// The SQL that creates the queue's tables, in a schema of their own. Each of its parts is run once
/// and never edited: a change is another part.
pub const MIGRATION: &str = concat!(
    include_str!("postgres/migration.sql"),
    include_str!("postgres/larger_bodies.sql"),
    include_str!("postgres/fair_turns.sql"),
    include_str!("postgres/bodies.sql"),
    include_str!("postgres/attempts.sql"),
    include_str!("postgres/no_older_version.sql"),
    include_str!("postgres/fewer_checks.sql"),
);

/// The parts of [`MIGRATION`] that tables of an older version lack.
const LARGER_BODIES: &str = include_str!("postgres/larger_bodies.sql");
const FAIR_TURNS: &str = include_str!("postgres/fair_turns.sql");

/// The part of [`MIGRATION`] that may be run again.
const BODIES: &str = include_str!("postgres/bodies.sql");

/// Another one.
const ATTEMPTS: &str = include_str!("postgres/attempts.sql");

/// Another one.
const FEWER_CHECKS: &str = include_str!("postgres/fewer_checks.sql");

/// How a [`PostgresQueue`] works.
#[derive(Clone, Copy, Debug)]
pub struct PostgresQueueOptions {
    /// How often a message is received before it becomes a dead letter.
    pub max_receives: u32,
    /// Whether to tell other processes of new messages, and to hear from them (`LISTEN` and
    /// `NOTIFY`). Without it they find messages when they poll, every few seconds.
    pub notify: bool,
}

impl Default for PostgresQueueOptions {
    fn default() -> Self {
        Self { max_receives: MAX_RECEIVES, notify: true }
    }
}

/// Queues in the tables of [`MIGRATION`]. Clones are one queue: they share waiters and tasks.
///
/// Time is the database's clock throughout, so processes with different clocks agree. What may be
/// lost in a crash without harm (receive, delete, visibility: the message comes again) does not
/// wait for the disk; [`send`](Queue::send) does.
///
/// What is sent in a transaction goes straight to a receiver of the same process that waits for it,
/// and an answer to whoever [`takes`](PostgresQueue::takes) from its queue there; the table keeps the
/// message meanwhile, as one that was received. Call [`give_back`](PostgresQueue::give_back) at the end.
///
/// Where more is ready than one receive takes, it is shared out evenly among the groups, whatever
/// their backlogs; of more than [`MAX_GROUPS_PER_RECEIVE`](crate::bounds::MAX_GROUPS_PER_RECEIVE)
/// the others have their turn at the next receive. Within a group the higher priority goes first,
/// then what does not yield, then the older. Nothing ages: as long as a group has messages of a
/// higher priority, its lower ones wait.
#[derive(Clone, Debug)]
pub struct PostgresQueue {
    database: Database,
    /// For writes whose loss means no more than another delivery.
    relaxed: Database,
    max_receives: u32,
    wakers: Arc<Wakers>,
    turns: Arc<Turns>,
    hand_over: HandOver,
    answers: Answers,
    requests: Arc<AtomicU64>,
}

impl PostgresQueue {
    /// Opens the queues of a database that was migrated.
    ///
    /// # Errors
    /// [`QueueError::Database`] if no connection to listen on can be opened.
    pub async fn new(
        database: Database,
        options: PostgresQueueOptions,
    ) -> Result<Self, QueueError> {
        let relaxed = database.relaxed();
        let wakers = if options.notify {
            Wakers::connected(&relaxed).await.map_err(QueueError::database("listen"))?
        } else {
            Wakers::local()
        };
        let max_receives = options.max_receives;
        Ok(Self {
            database,
            relaxed,
            max_receives,
            wakers: Arc::new(wakers),
            turns: Arc::default(),
            hand_over: HandOver::default(),
            answers: Answers::default(),
            requests: Arc::default(),
        })
    }

    /// Creates the tables if they are missing, for tests and for queues without a store. Safe to
    /// run at the same time as others.
    ///
    /// # Errors
    /// [`QueueError::Database`].
    pub async fn setup(database: &Database) -> Result<(), QueueError> {
        state::setup(database).await.map_err(QueueError::database("create the queue's tables"))
    }

    /// How many requests were made of the queues so far through this and its clones: each send,
    /// receive, deletion or change, of however many messages. For benchmarks.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Deletes messages of any queues within the caller's transaction, with one statement however
    /// many they are. Returns how many receipts were still good: the others' messages were received
    /// again or deleted meanwhile.
    ///
    /// # Errors
    /// [`QueueError::Database`]; the transaction can then only be rolled back.
    pub async fn delete_in(
        &self,
        tx: &Transaction<'_>,
        receipts: &[Receipt],
    ) -> Result<u64, QueueError> {
        self.count();
        state::delete_in(tx, receipts).await
    }

    /// Describes [`delete_in`](Self::delete_in), for whoever sends more along.
    pub fn deleting(&self, receipts: &[Receipt]) -> Statement<'static> {
        self.count();
        state::deleting(receipts)
    }

    /// The same queues for somebody who sends answers to messages and deletes those only
    /// afterwards: a crash that loses an answer that has not reached the disk loses the later
    /// deletion with it, so the message comes again. Its sends do not wait for the disk.
    #[must_use]
    pub fn answering(&self) -> Self {
        Self { database: self.relaxed.clone(), ..self.clone() }
    }

    /// Deletes what was large in messages that are gone, and returns how many bodies that were. For
    /// once a minute.
    ///
    /// # Errors
    /// [`QueueError::Database`]; the next one deletes them.
    pub async fn purge_bodies(&self) -> Result<u64, QueueError> {
        bodies::purge(&self.relaxed).await
    }

    /// Wakes whoever waits for these queues, here at once and in other processes by a `NOTIFY`
    /// within milliseconds. Call it after the commit: a `NOTIFY` within a transaction takes a
    /// global lock while committing, and would make commits wait for each other.
    pub fn wake<'a>(&self, queues: impl IntoIterator<Item = &'a QueueName>) {
        self.wakers.wake(queues);
    }

    async fn write(&self, group: &Group) -> Result<(), QueueError> {
        self.count();
        bodies::answer(&self.database, &group.answers, &group.answered).await?;
        self.wake_for(&group.answers);
        Ok(())
    }

    fn wake_for(&self, sent: &[Outgoing]) {
        self.wake(sent.iter().filter(|one| wake::is_urgent(one.delay)).map(|one| &one.queue));
    }
}

#[async_trait]
impl Queue for PostgresQueue {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        self.count();
        bodies::send(&self.database, &messages).await?;
        self.wake_for(&messages);
        Ok(())
    }

    async fn receive(
        &self,
        queue: &QueueName,
        request: Receive,
    ) -> Result<Vec<Received>, QueueError> {
        request.check()?;
        let batch = receive::receive(self, queue, request).await?;
        bodies::resolve(&self.relaxed, batch).await
    }

    async fn delete(&self, _queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        self.count();
        state::delete(&self.relaxed, receipts).await
    }

    async fn answer(
        &self,
        _queue: &QueueName,
        answers: Vec<Outgoing>,
        answered: &[Receipt],
    ) -> Result<(), QueueError> {
        answers.iter().try_for_each(Outgoing::check)?;
        match self.answers.offer(Group::new(answers, answered.to_vec())) {
            Ok(queue) => {
                self.wakers.of(&queue).call();
                Ok(())
            }
            Err(group) => self.write(&group).await,
        }
    }

    async fn change_visibility(
        &self,
        queue: &QueueName,
        changes: &[(Receipt, Duration)],
    ) -> Result<(), QueueError> {
        for (_, visibility) in changes {
            check_visibility(*visibility)?;
        }
        self.count();
        state::change_visibility(&self.relaxed, changes).await?;
        if changes.iter().any(|(_, visibility)| wake::is_urgent(*visibility)) {
            self.wake([queue]);
        }
        Ok(())
    }

    async fn bury(&self, _queue: &QueueName, burials: Vec<Burial>) -> Result<(), QueueError> {
        self.count();
        // Waits for the disk: the letter may be all that is left of what somebody sent.
        letters::bury(&self.database, &burials).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, QueueError> {
        self.count();
        state::depth(&self.database, queues).await
    }

    async fn dead_letters(
        &self,
        queues: &[QueueName],
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.count();
        letters::unreported(&self.database, queues, limit).await
    }

    async fn mark_reported(&self, letters: &[DeadLetterId]) -> Result<(), QueueError> {
        self.count();
        letters::mark_reported(&self.database, letters).await
    }

    async fn note_failures(
        &self,
        _queue: &QueueName,
        failures: &[(Receipt, String)],
    ) -> Result<(), QueueError> {
        self.count();
        letters::note_failures(&self.relaxed, failures).await
    }

    async fn list_dead(
        &self,
        queue: &QueueName,
        after: Option<&LetterPlace>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.count();
        letters::list(&self.database, queue, after, limit).await
    }

    async fn find_dead(
        &self,
        queue: &QueueName,
        messages: &[MessageId],
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.count();
        letters::find(&self.database, queue, messages).await
    }

    async fn redrive(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError> {
        self.count();
        let count = letters::redrive(&self.database, queue, letters).await?;
        self.wake([queue]);
        Ok(count)
    }

    async fn purge(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError> {
        self.count();
        letters::purge(&self.database, queue, letters).await
    }
}
