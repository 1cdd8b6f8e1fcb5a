//! Handing messages over to receivers in the same process, without a receive.
//!
//! ```text
//! send_in: reserve a place with a receiver that waits ─► row, received already ─► commit
//!                                                    └─► after it, the message itself
//! ```
//!
//! The row is what it would be after a receive: hidden for the receiver's visibility timeout, its
//! receive counted. So whatever happens to the receiver, the message comes again by its time. Only
//! the statement that receives is saved, and the wait for it.
//!
//! A message is handed over only where nothing of its queue waits: who comes first, and fairness, are
//! the table's.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::{MessageId, Outgoing, QueueName, Receipt, Received};

/// The room that receivers of this process have. Clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct HandOver(Arc<Mutex<HashMap<QueueName, Shelf>>>);

/// What one queue's receiver has room for, and what lies there for it.
#[derive(Debug, Default)]
struct Shelf {
    /// How many messages the receiver would still take.
    asked: usize,
    visibility: Duration,
    /// Places of messages that are not committed yet.
    reserved: usize,
    handed: VecDeque<Handed>,
}

/// A message that was handed over.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) message: Received,
    /// From then on somebody else may receive it soon.
    good_until: Instant,
}

impl Shelf {
    fn room(&self) -> usize {
        self.asked.saturating_sub(self.reserved + self.handed.len())
    }
}

impl HandOver {
    /// Says that a receiver waits for so many, and returns how many of them lie there already.
    pub(super) fn open(&self, queue: &QueueName, asked: usize, visibility: Duration) -> usize {
        let mut shelves = self.shelves();
        let shelf = shelf(&mut shelves, queue);
        (shelf.asked, shelf.visibility) = (asked, visibility);
        shelf.handed.len()
    }

    /// Whether a receiver would take more: nothing waits in the table then.
    pub(super) fn has_room(&self, queue: &QueueName) -> bool {
        self.shelves().get(queue).is_some_and(|shelf| shelf.room() > 0)
    }

    /// Says that nobody waits.
    pub(super) fn close(&self, queue: &QueueName) {
        if let Some(shelf) = self.shelves().get_mut(queue) {
            shelf.asked = 0;
        }
    }

    /// What was handed over and is still good, at most so many.
    pub(super) fn take(&self, queue: &QueueName, at_most: usize) -> Vec<Handed> {
        let mut shelves = self.shelves();
        let Some(shelf) = shelves.get_mut(queue) else { return Vec::new() };
        let now = Instant::now();
        let mut taken = Vec::new();
        while taken.len() < at_most
            && let Some(handed) = shelf.handed.pop_front()
        {
            // One that lay there for too long comes again by its time.
            if now < handed.good_until {
                taken.push(handed);
            }
        }
        shelf.asked = shelf.asked.saturating_sub(taken.len());
        taken
    }

    /// Reserves places for those of the messages that a receiver waits for.
    pub(super) fn reserve(&self, messages: &[Outgoing]) -> Reserved {
        let mut shelves = self.shelves();
        let mut places = BTreeMap::new();
        let hide = |message: &Outgoing| -> Option<Duration> {
            let shelf = shelves.get_mut(&message.queue).filter(|shelf| shelf.room() > 0)?;
            if !message.delay.is_zero() {
                return None;
            }
            shelf.reserved += 1;
            *places.entry(message.queue.clone()).or_default() += 1;
            Some(shelf.visibility)
        };
        let hidden = messages.iter().map(hide).collect();
        Reserved { hand_over: self.clone(), places, hidden, since: Instant::now() }
    }

    /// Puts back what was taken and not dealt with.
    pub(super) fn put_back(&self, queue: &QueueName, taken: Vec<Handed>) {
        let mut shelves = self.shelves();
        let shelf = shelf(&mut shelves, queue);
        taken.into_iter().rev().for_each(|handed| shelf.handed.push_front(handed));
    }

    /// Takes everything out that was handed over and not received, of one queue or of all: to be made
    /// ready for everybody.
    pub(super) fn clear(&self, of: Option<&QueueName>) -> Vec<Receipt> {
        let mut shelves = self.shelves();
        let meant = shelves.iter_mut().filter(|(queue, _)| of.is_none_or(|of| of == *queue));
        let handed = meant.flat_map(|(_, shelf)| {
            shelf.asked = 0;
            std::mem::take(&mut shelf.handed)
        });
        handed.map(|handed| handed.message.receipt).collect()
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<QueueName, Shelf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shelf<'a>(shelves: &'a mut HashMap<QueueName, Shelf>, queue: &QueueName) -> &'a mut Shelf {
    shelves.entry(queue.clone()).or_default()
}

/// Places for messages of a transaction that is not committed yet; dropped, they are free again.
#[derive(Debug)]
pub(super) struct Reserved {
    hand_over: HandOver,
    places: BTreeMap<QueueName, usize>,
    /// For how long each message is hidden that has a place, in the order sent.
    hidden: Vec<Option<Duration>>,
    since: Instant,
}

/// What the table says of a message that is handed over.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) message_id: i64,
    pub(super) sent_at_ms: i64,
}

impl Reserved {
    /// For how long each message is to be hidden; none where none is handed over.
    pub(super) fn hidden(&self) -> Option<&[Option<Duration>]> {
        (!self.places.is_empty()).then_some(&*self.hidden)
    }

    /// Those of the messages that have no place.
    pub(super) fn others<'a>(
        &self,
        messages: &'a [Outgoing],
    ) -> impl Iterator<Item = &'a Outgoing> {
        let without = messages.iter().zip(&self.hidden).filter(|(_, hidden)| hidden.is_none());
        without.map(|(message, _)| message)
    }

    /// Hands the messages over that have a place, after the commit. `rows` are theirs, in the order
    /// sent. Returns the queues whose receivers are to be called, and for how long messages of each
    /// are hidden.
    pub(super) fn deliver(
        self,
        messages: &[Outgoing],
        rows: Vec<Row>,
    ) -> BTreeMap<QueueName, Duration> {
        let mut queues = BTreeMap::new();
        let mut shelves = self.hand_over.shelves();
        let with_place = messages.iter().zip(&self.hidden);
        let with_place = with_place.filter_map(|(message, hidden)| Some((message, (*hidden)?)));
        for ((message, hidden), row) in with_place.zip(rows) {
            let received = Received {
                id: MessageId(row.message_id.to_string()),
                receipt: Receipt::numbered(row.message_id, 1),
                body: message.body.clone(),
                receive_count: 1,
                sent_at_ms: row.sent_at_ms,
            };
            let good_until = self.since + hidden / 2;
            let handed = Handed { message: received, good_until };
            shelf(&mut shelves, &message.queue).handed.push_back(handed);
            queues.insert(message.queue.clone(), hidden);
        }
        // Dropping gives the places back: the messages themselves count from now on.
        drop(shelves);
        queues
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut shelves = self.hand_over.shelves();
        for (queue, count) in &self.places {
            if let Some(shelf) = shelves.get_mut(queue) {
                shelf.reserved = shelf.reserved.saturating_sub(*count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> QueueName {
        QueueName::new("orders").expect("a name")
    }

    fn messages(count: usize) -> Vec<Outgoing> {
        (0..count).map(|at| Outgoing::new(queue(), at.to_string())).collect()
    }

    fn open(asked: usize, visibility: Duration) -> HandOver {
        let hand_over = HandOver::default();
        hand_over.open(&queue(), asked, visibility);
        hand_over
    }

    fn rows(count: i64) -> Vec<Row> {
        (1..=count).map(|message_id| Row { message_id, sent_at_ms: 0 }).collect()
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn no_more_is_handed_over_than_there_is_room_for() {
        let hand_over = open(3, MINUTE);
        let first = hand_over.reserve(&messages(2));
        let second = hand_over.reserve(&messages(2));
        assert_eq!(first.hidden(), Some(&[Some(MINUTE); 2][..]));
        assert_eq!(second.hidden(), Some(&[Some(MINUTE), None][..]));
        drop(second);
        assert_eq!(first.deliver(&messages(2), rows(2)), BTreeMap::from([(queue(), MINUTE)]));
        assert_eq!(hand_over.take(&queue(), 1).len(), 1);
        assert_eq!(hand_over.reserve(&messages(3)).hidden.iter().flatten().count(), 1);
        let taken = hand_over.take(&queue(), 9);
        assert_eq!(taken.len(), 1);
        hand_over.put_back(&queue(), taken);
        let other = QueueName::new("other").expect("a name");
        assert!(hand_over.clear(Some(&other)).is_empty());
        assert_eq!(hand_over.clear(Some(&queue())).len(), 1);
    }

    #[test]
    fn what_is_delayed_or_has_no_receiver_is_not_handed_over() {
        let hand_over = open(3, MINUTE);
        let delayed = messages(1).into_iter().map(|one| one.delayed(MINUTE)).collect::<Vec<_>>();
        assert!(hand_over.reserve(&delayed).hidden().is_none());
        hand_over.close(&queue());
        assert!(hand_over.reserve(&messages(1)).hidden().is_none());
    }

    #[test]
    fn what_lay_there_for_too_long_comes_again_by_its_time() {
        let hand_over = open(3, Duration::ZERO);
        let reserved = hand_over.reserve(&messages(1));
        reserved.deliver(&messages(1), rows(1));
        assert!(hand_over.take(&queue(), 1).is_empty());
        assert!(hand_over.clear(None).is_empty());
    }
}
