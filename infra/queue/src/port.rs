//! The port: what Fluxus asks of a queue.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Burial, DeadLetter, DeadLetterId, Depth, LetterPlace, Letters, MessageId, Outgoing, QueueError,
    QueueName, Receipt, Receive, Received,
};

/// Queues with the semantics of SQS standard queues: every message is delivered at least once, in
/// no promised order, and again after its visibility timeout unless it is deleted. A message that
/// was received too often becomes a dead letter.
///
/// The caller creates no queues: each is there when something is sent to it, or was made with the
/// stack, together with its dead-letter queue.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Sends messages, to any queues.
    ///
    /// # Errors
    /// [`QueueError`]; nothing was sent if a bound was passed. Otherwise some may have been, where
    /// the adapter has no transactions: send all of them again.
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError>;

    /// Takes messages that are ready, and waits for the first if there is none. Returns as soon as
    /// there is something, empty when the wait is over. Safe to cancel: what was taken meanwhile
    /// comes again after its visibility timeout.
    ///
    /// # Errors
    /// [`QueueError`]; on a transient one, receive again.
    async fn receive(
        &self,
        queue: &QueueName,
        request: Receive,
    ) -> Result<Vec<Received>, QueueError>;

    /// Deletes messages that were dealt with. Void receipts are passed over in silence: somebody
    /// else has the message now.
    ///
    /// # Errors
    /// [`QueueError`]; on a transient one, delete again.
    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError>;

    /// Sends answers, then deletes the messages of `queue` that they answer, together where the
    /// adapter can. What is deleted was answered, so whatever is lost comes again.
    ///
    /// # Errors
    /// [`QueueError`] where the answers may not have been sent. That only the deletion failed is
    /// logged: the messages come again.
    async fn answer(
        &self,
        queue: &QueueName,
        answers: Vec<Outgoing>,
        answered: &[Receipt],
    ) -> Result<(), QueueError> {
        self.send(answers).await?;
        if let Err(error) = self.delete(queue, answered).await {
            tracing::warn!(%error, "cannot delete answered messages");
        }
        Ok(())
    }

    /// Hides messages for so long from now on; zero makes them ready at once. Void receipts are
    /// passed over in silence.
    ///
    /// # Errors
    /// [`QueueError`]; nothing was changed if a bound was passed.
    async fn change_visibility(
        &self,
        queue: &QueueName,
        changes: &[(Receipt, Duration)],
    ) -> Result<(), QueueError>;

    /// Makes dead letters of messages that were received, each with its reason. Void receipts are
    /// passed over in silence, or buried once more: somebody else has the message now.
    ///
    /// # Errors
    /// [`QueueError`]; bury them again.
    async fn bury(&self, queue: &QueueName, burials: Vec<Burial>) -> Result<(), QueueError>;

    /// Notes why messages that were received could not be dealt with, for whoever looks at them once
    /// they are dead letters. They stay as they are, and come again. An adapter that has no place for
    /// it forgets it.
    ///
    /// # Errors
    /// [`QueueError`]; nothing depends on it, so go on.
    async fn note_failures(
        &self,
        queue: &QueueName,
        failures: &[(Receipt, String)],
    ) -> Result<(), QueueError>;

    /// How full each of the queues is, in the order asked.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, QueueError>;

    /// Dead letters of these queues that are not marked as reported yet; at most `limit`, and fewer
    /// where the adapter cannot see all at once.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn dead_letters(
        &self,
        queues: &[QueueName],
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError>;

    /// Marks dead letters as reported. They stay, for a person to look at. An adapter may show them
    /// again after a while: to report a letter twice must do no harm.
    ///
    /// # Errors
    /// [`QueueError`]; on a transient one, mark again.
    async fn mark_reported(&self, letters: &[DeadLetterId]) -> Result<(), QueueError>;

    /// Dead letters of a queue for a person to look at, reported or not, in the order in which they
    /// were sent: `limit` at most, those behind `after`. An adapter that cannot see all at once may
    /// miss some that somebody else looks at in this moment.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn list_dead(
        &self,
        queue: &QueueName,
        after: Option<&LetterPlace>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError>;

    /// Those of these dead letters that the queue has, in any order.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn find_dead(
        &self,
        queue: &QueueName,
        messages: &[MessageId],
    ) -> Result<Vec<DeadLetter>, QueueError>;

    /// Puts dead letters back into the queue they were in, as new messages, and says how many those
    /// were. Whoever receives them has done some of them, maybe, as with any message.
    ///
    /// # Errors
    /// [`QueueError`]; some may have been put back: redrive again.
    async fn redrive(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError>;

    /// Deletes dead letters for good, and says how many those were.
    ///
    /// # Errors
    /// [`QueueError`]; some may be gone: purge again.
    async fn purge(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError>;
}
