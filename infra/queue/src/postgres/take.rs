//! Sending and taking within the caller's transaction, and what must happen after its commit.

use std::sync::Arc;
use std::time::Duration;

use fluxus_postgres::{Statement, Transaction};

use super::answers::{Answers, Group, Taker};
use super::bodies::Written;
use super::hand_over::{HandOver, Handed, Reserved, Row};
use super::turns::Turn;
use super::wake::Bell;
use super::{PostgresQueue, bodies, receive, send, state};
use crate::{Outgoing, QueueError, QueueName, Receipt, Received};

/// Messages that are to leave with a transaction. Those for which a receiver of this process waits
/// will be hidden from all others, as if it had received them already.
#[must_use = "send its statements in a transaction"]
#[derive(Debug)]
pub struct Leaving {
    written: Written<'static>,
    reserved: Reserved,
}

/// Messages in a transaction that is not committed yet, or just was.
#[must_use = "after the commit, tell the receivers: call PostgresQueue::sent"]
#[derive(Debug)]
pub struct Sent {
    leaving: Leaving,
    rows: Vec<Row>,
}

impl Leaving {
    /// What sends the messages: at most two statements however many they are, none for none.
    pub fn statements(&self) -> Vec<Statement<'_>> {
        self.written.sending(self.reserved.hidden())
    }

    /// The same after these statements; `last` is what the last of them gave.
    pub fn sent(self, last: Option<&Vec<fluxus_postgres::Row>>) -> Sent {
        let rows = match self.reserved.hidden() {
            Some(_) => last.map(|rows| send::handed(rows)).unwrap_or_default(),
            None => Vec::new(),
        };
        Sent { leaving: self, rows }
    }
}

/// What is to be taken from a queue. Dropped without [`settle`](Self::settle), it is all there again.
#[must_use = "take it in a transaction"]
#[derive(Debug)]
pub struct Due {
    queue: QueueName,
    bell: Arc<Bell>,
    answers: Answers,
    /// Answers that were given in this process.
    groups: Vec<Group>,
    hand_over: HandOver,
    /// Messages that were handed over in this process.
    handed: Vec<Handed>,
    /// Whether there may be something in the table.
    look: bool,
    settled: bool,
}

/// What a transaction took.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// Gone once the transaction commits. Those from the table are the oldest first.
    pub messages: Vec<Received>,
    /// Whether there is probably more, of which nobody else was told: wake somebody after the commit.
    pub more: bool,
}

impl PostgresQueue {
    /// Describes the sending of messages, for whoever sends more along.
    ///
    /// # Errors
    /// [`QueueError`] where one of them cannot be sent.
    pub fn leaving(&self, messages: Vec<Outgoing>) -> Result<Leaving, QueueError> {
        let written = Written::new(messages)?;
        if !written.messages().is_empty() {
            self.count();
        }
        let reserved = self.hand_over.reserve(written.messages());
        Ok(Leaving { written, reserved })
    }

    /// Sends messages within the caller's transaction, with two statements at most however many they
    /// are: see [`Leaving`].
    ///
    /// # Errors
    /// [`QueueError`]; after [`QueueError::Database`] the transaction can only be rolled back.
    pub async fn send_in(
        &self,
        tx: &Transaction<'_>,
        messages: Vec<Outgoing>,
    ) -> Result<Sent, QueueError> {
        let leaving = self.leaving(messages)?;
        let sent = tx.run(&leaving.statements()).await;
        let rows = sent.map_err(QueueError::database("send messages"))?;
        Ok(leaving.sent(rows.last()))
    }

    /// Tells the receivers of what was sent, after the commit.
    pub fn sent(&self, sent: Sent) {
        let Sent { leaving: Leaving { written, reserved }, rows } = sent;
        let messages = written.messages();
        let ready = reserved.others(messages).filter(|message| message.delay.is_zero());
        self.wake(ready.map(|message| &message.queue));
        for message in messages.iter().filter(|message| !message.delay.is_zero()) {
            self.wakers.of(&message.queue).due_in(message.delay);
        }
        // They are to be looked for when their time with the receiver is over.
        for (queue, hidden) in reserved.deliver(messages, rows) {
            self.wakers.of(&queue).due_in(hidden);
        }
    }

    /// What is to be taken from a queue now, if anything may be: wait with [`idle`](Self::idle) where
    /// there is nothing. What is sent to the queue in this process from now on is hidden from others
    /// for so long, and handed over, as far as it fits into the next batch.
    pub fn due(&self, queue: &QueueName, at_most: usize, visibility: Duration) -> Option<Due> {
        let bell = self.wakers.of(queue);
        let groups = self.answers.take(queue, at_most);
        let handed = self.hand_over.take(queue, at_most);
        let look = bell.is_time();
        // Where more waits than a batch takes, everything waits in the table.
        let room = if self.turns.next(queue) == Turn::Any { at_most } else { 0 };
        self.hand_over.open(queue, room, visibility);
        let is_due = look || !groups.is_empty() || !handed.is_empty();
        is_due.then(|| Due {
            queue: queue.clone(),
            bell,
            answers: self.answers.clone(),
            groups,
            hand_over: self.hand_over.clone(),
            handed,
            look,
            settled: false,
        })
    }

    /// Whether those in this process who take from a queue will have all that waits for it in their
    /// next batch.
    pub fn keeps_up(&self, queue: &QueueName) -> bool {
        self.hand_over.has_room(queue) && self.answers.is_short(queue)
    }

    /// Takes what is due within the caller's transaction, with one statement at most however much it
    /// is. A rollback, or the death of the process, puts it back, and no receive is counted: where
    /// dealing with it fails, [`receive`](crate::Queue::receive) it, so that a message nobody can deal
    /// with becomes a dead letter.
    ///
    /// The messages that [`Due::receipts`] names must be deleted in the same transaction.
    ///
    /// # Errors
    /// [`QueueError::Database`]; the transaction can then only be rolled back.
    pub async fn take_in(
        &self,
        tx: &Transaction<'_>,
        due: &Due,
        at_most: usize,
    ) -> Result<Taken, QueueError> {
        let handed = due.handed.iter().map(|handed| handed.message.clone());
        let mut messages: Vec<_> =
            due.groups.iter().flat_map(Group::received).chain(handed).collect();
        let mut more = false;
        if due.look {
            self.count();
            let found = receive::take_in(tx, &self.turns, &due.queue, at_most).await?;
            if found.messages.is_empty() {
                due.bell.found_nothing(found.next_in);
            } else {
                due.bell.found();
            }
            messages.extend(bodies::resolve_in(tx, found.messages).await?);
            more = found.more;
        }
        Ok(Taken { messages, more })
    }

    /// Says that this process takes from a queue, as long as the guard lives. Answers to it need not
    /// be written meanwhile, where they are given here.
    pub fn takes(&self, queue: &QueueName) -> Taker {
        self.answers.taker(queue, &self.hand_over)
    }

    /// Waits, where nothing was [`due`](Self::due), until something may be.
    pub async fn idle(&self, queue: &QueueName) {
        self.wakers.of(queue).wait(None).await;
    }

    /// Gives back what lies in this process, of one queue or of all, so that it is in the table for
    /// everybody at once. For the end of the process, when its workers have stopped; and for a batch
    /// that nobody can deal with.
    ///
    /// # Errors
    /// [`QueueError::Database`]; what is not given back comes again by its time.
    pub async fn give_back(&self, of: Option<&QueueName>) -> Result<(), QueueError> {
        let handed = self.hand_over.clear(of);
        let at_once: Vec<_> = handed.into_iter().map(|receipt| (receipt, Duration::ZERO)).collect();
        state::change_visibility(&self.relaxed, &at_once).await?;
        if let Some(queue) = of {
            self.wakers.of(queue).ring();
        }
        let mut groups = self.answers.clear(of);
        while let Some(group) = groups.last() {
            if let Err(error) = self.write(group).await {
                self.answers.put_back(groups);
                return Err(error);
            }
            groups.pop();
        }
        Ok(())
    }
}

impl Due {
    /// Receipts of what was handed over in this process, and of what was answered in it: they are to
    /// be deleted with the transaction.
    pub fn receipts(&self) -> Vec<Receipt> {
        let answered = self.groups.iter().flat_map(|group| &group.answered);
        answered.chain(self.handed.iter().map(|handed| &handed.message.receipt)).cloned().collect()
    }

    /// Says that the transaction is committed.
    pub fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        if !self.settled {
            self.answers.put_back(std::mem::take(&mut self.groups));
            self.hand_over.put_back(&self.queue, std::mem::take(&mut self.handed));
            self.bell.ring();
        }
    }
}
