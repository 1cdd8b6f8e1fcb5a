//! The port: what Fluxus asks of a queue.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Burial, DeadLetter, DeadLetterId, Depth, Outgoing, QueueError, QueueName, Receipt, Receive,
    Received,
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
}
