//! Queues within the process, for tests and for runs without a database.

mod clock;
mod shelf;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

pub use clock::Clock;
use shelf::Shelf;

use crate::bounds::MAX_RECEIVES;
use crate::message::check_visibility;
use crate::{
    Burial, DeadLetter, DeadLetterId, Depth, LetterPlace, Letters, MessageId, Outgoing, Queue,
    QueueError, QueueName, Receipt, Receive, Received,
};

/// Queues in memory: the semantics of the other adapters without their durability. Clones are one
/// queue. With [`Clock::manual`] time passes only as the test says.
#[derive(Clone, Debug)]
pub struct MemoryQueue {
    clock: Clock,
    shelf: Arc<Mutex<Shelf>>,
    /// Told of every change that a waiting receiver might like.
    changed: Arc<Notify>,
}

impl MemoryQueue {
    /// Empty queues under the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// Empty queues under a clock of the caller's.
    pub fn with_clock(clock: Clock) -> Self {
        Self {
            clock,
            shelf: Arc::new(Mutex::new(Shelf::new(MAX_RECEIVES))),
            changed: Arc::default(),
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        messages.iter().try_for_each(Outgoing::check)?;
        let now = self.clock.now_us();
        let mut shelf = self.shelf();
        messages.into_iter().for_each(|message| shelf.put(message, now));
        drop(shelf);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn receive(
        &self,
        queue: &QueueName,
        request: Receive,
    ) -> Result<Vec<Received>, QueueError> {
        request.check()?;
        let deadline = self.clock.now_us() + clock::micros(request.wait);
        loop {
            // Registered before looking, so that nothing sent in between goes unheard.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let moved = self.clock.moved();
            tokio::pin!(moved);
            moved.as_mut().enable();

            let now = self.clock.now_us();
            let (taken, next) = {
                let mut shelf = self.shelf();
                (shelf.take(queue, request.max, request.visibility, now), shelf.next_due(queue))
            };
            if !taken.is_empty() || request.max == 0 || now >= deadline {
                return Ok(taken);
            }
            let until = next.map_or(deadline, |next| next.min(deadline));
            tokio::select! {
                () = changed => {}
                () = moved => {}
                () = self.clock.sleep_until(until) => {}
            }
        }
    }

    async fn delete(&self, _queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        let mut shelf = self.shelf();
        receipts.iter().for_each(|receipt| shelf.delete(receipt));
        Ok(())
    }

    async fn change_visibility(
        &self,
        _queue: &QueueName,
        changes: &[(Receipt, Duration)],
    ) -> Result<(), QueueError> {
        changes.iter().try_for_each(|(_, visibility)| check_visibility(*visibility))?;
        let now = self.clock.now_us();
        let mut shelf = self.shelf();
        changes.iter().for_each(|(receipt, visibility)| shelf.hide(receipt, *visibility, now));
        drop(shelf);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn bury(&self, _queue: &QueueName, burials: Vec<Burial>) -> Result<(), QueueError> {
        let now = self.clock.now_us();
        let mut shelf = self.shelf();
        burials.iter().for_each(|one| shelf.give_up(&one.message.receipt, &one.reason, now));
        Ok(())
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, QueueError> {
        let now = self.clock.now_us();
        let shelf = self.shelf();
        Ok(queues.iter().map(|queue| shelf.depth(queue, now)).collect())
    }

    async fn dead_letters(
        &self,
        queues: &[QueueName],
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        Ok(self.shelf().unreported(queues, limit))
    }

    async fn mark_reported(&self, letters: &[DeadLetterId]) -> Result<(), QueueError> {
        self.shelf().mark_reported(letters);
        Ok(())
    }

    async fn note_failures(
        &self,
        _queue: &QueueName,
        failures: &[(Receipt, String)],
    ) -> Result<(), QueueError> {
        let mut shelf = self.shelf();
        failures.iter().for_each(|(receipt, failure)| shelf.note_failure(receipt, failure));
        Ok(())
    }

    async fn list_dead(
        &self,
        queue: &QueueName,
        after: Option<&LetterPlace>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        Ok(self.shelf().list_dead(queue, after, limit))
    }

    async fn find_dead(
        &self,
        queue: &QueueName,
        messages: &[MessageId],
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let mut letters = self.shelf().list_dead(queue, None, usize::MAX);
        letters.retain(|letter| messages.contains(&letter.message_id));
        Ok(letters)
    }

    async fn redrive(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError> {
        let now = self.clock.now_us();
        let mut shelf = self.shelf();
        let taken = shelf.take_dead(queue, letters);
        let count = taken.len() as u64;
        taken.into_iter().for_each(|one| shelf.put(Outgoing::new(one.queue, one.body), now));
        drop(shelf);
        self.changed.notify_waiters();
        Ok(count)
    }

    async fn purge(&self, queue: &QueueName, letters: Letters<'_>) -> Result<u64, QueueError> {
        Ok(self.shelf().take_dead(queue, letters).len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(wait: Duration, visibility: Duration) -> Receive {
        Receive { max: 10, wait, visibility }
    }

    #[tokio::test]
    async fn a_manual_clock_moves_delays_visibility_and_waits() {
        let clock = Clock::manual(1_000);
        let queue = MemoryQueue::with_clock(clock.clone());
        let name = QueueName::new("orders").expect("a name");
        let minute = Duration::from_secs(60);
        queue.send(vec![Outgoing::new(name.clone(), "{}").delayed(minute)]).await.expect("send");
        let at_once = request(Duration::ZERO, minute);

        assert_eq!(queue.receive(&name, at_once).await.expect("receive"), vec![]);
        clock.advance(minute);
        let first = queue.receive(&name, at_once).await.expect("receive");
        assert_eq!((first.len(), first[0].receive_count, first[0].sent_at_ms), (1, 1, 1_000));
        clock.advance(minute);
        let second = queue.receive(&name, at_once).await.expect("receive");
        assert_eq!((second.len(), second[0].receive_count), (1, 2));
    }

    #[tokio::test]
    async fn a_waiting_receiver_follows_the_manual_clock() {
        let clock = Clock::manual(0);
        let queue = MemoryQueue::with_clock(clock.clone());
        let name = QueueName::new("orders").expect("a name");
        let seconds = Duration::from_secs;
        queue
            .send(vec![Outgoing::new(name.clone(), "{}").delayed(seconds(5))])
            .await
            .expect("send");
        let waiting = queue.receive(&name, request(seconds(20), seconds(60)));
        let moving = async {
            tokio::task::yield_now().await;
            clock.advance(seconds(5));
        };
        let (received, ()) = tokio::join!(waiting, moving);
        assert_eq!(received.expect("receive").len(), 1);

        let waiting = queue.receive(&name, request(seconds(20), seconds(60)));
        let (received, ()) = tokio::join!(waiting, async { clock.advance(seconds(20)) });
        assert_eq!(received.expect("receive").len(), 0, "the wait is over by the manual clock");
    }
}
