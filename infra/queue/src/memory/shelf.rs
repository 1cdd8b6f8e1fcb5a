//! The messages of all queues, and what happens to them at a given time. Knows no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::clock::micros;
use crate::message::{given_up, writable};
use crate::{
    DeadLetter, DeadLetterId, DeliveryAttempt, Depth, LetterPlace, Letters, MessageId, Outgoing,
    QueueName, Receipt, Received,
};

/// All messages. Times are microseconds since 1970.
#[derive(Debug)]
pub(super) struct Shelf {
    max_receives: u32,
    last_id: i64,
    messages: HashMap<i64, Message>,
    /// The order in which to receive, per queue.
    order: HashMap<QueueName, BTreeSet<(i64, i64)>>,
    dead: BTreeMap<i64, Dead>,
}

#[derive(Debug)]
struct Message {
    queue: QueueName,
    body: String,
    group: String,
    rank: u8,
    sent_at_us: i64,
    visible_at_us: i64,
    receive_count: u32,
    /// When it was received, and why it was not dealt with.
    attempts: Vec<DeliveryAttempt>,
}

#[derive(Debug)]
struct Dead {
    letter: DeadLetter,
    is_reported: bool,
}

impl Shelf {
    pub(super) fn new(max_receives: u32) -> Self {
        let (messages, order, dead) = (HashMap::new(), HashMap::new(), BTreeMap::new());
        Self { max_receives, last_id: 0, messages, order, dead }
    }

    pub(super) fn put(&mut self, message: Outgoing, now_us: i64) {
        self.last_id += 1;
        let rank = message.rank();
        let Outgoing { queue, body, delay, group, .. } = message;
        let (visible_at_us, group) = (now_us + micros(delay), group.unwrap_or_default());
        self.order.entry(queue.clone()).or_default().insert((visible_at_us, self.last_id));
        let message = Message {
            queue,
            body,
            group,
            rank,
            sent_at_us: now_us,
            visible_at_us,
            receive_count: 0,
            attempts: Vec::new(),
        };
        self.messages.insert(self.last_id, message);
    }

    /// Takes what is ready, and gives up what was received too often.
    pub(super) fn take(
        &mut self,
        queue: &QueueName,
        max: usize,
        visibility: Duration,
        now_us: i64,
    ) -> Vec<Received> {
        let mut taken = Vec::new();
        let mut turns = self.turns(queue, now_us).into_iter();
        while taken.len() < max {
            let Some((visible_at_us, id)) = turns.next() else { break };
            if let Some(order) = self.order.get_mut(queue) {
                order.remove(&(visible_at_us, id));
            }
            let Some(mut message) = self.messages.remove(&id) else { continue };
            if message.receive_count >= self.max_receives {
                let count = message.receive_count;
                let reason = given_up(count, &message.attempts);
                self.bury(id, message, reason, now_us);
                continue;
            }
            message.receive_count += 1;
            message.attempts.push(DeliveryAttempt { at_ms: now_us / 1000, failure: None });
            // One past now at least: what was just taken is not taken again in this call.
            message.visible_at_us = (now_us + micros(visibility)).max(now_us + 1);
            taken.push(received(id, &message));
            self.order.entry(queue.clone()).or_default().insert((message.visible_at_us, id));
            self.messages.insert(id, message);
        }
        taken
    }

    /// What is ready, in turns: one of each group, then the next of each. Within a group by rank,
    /// then by age. Looks at everything that is ready: this adapter holds little.
    fn turns(&self, queue: &QueueName, now_us: i64) -> Vec<(i64, i64)> {
        let ready = self.order.get(queue).into_iter().flatten().take_while(|(at, _)| *at <= now_us);
        let mut lines: BTreeMap<&str, Vec<(u8, i64, i64)>> = BTreeMap::new();
        for (at, id) in ready {
            let Some(message) = self.messages.get(id) else { continue };
            lines.entry(&message.group).or_default().push((message.rank, *at, *id));
        }
        let mut turns = Vec::new();
        for line in lines.values_mut() {
            line.sort_unstable();
            turns.extend(line.iter().enumerate().map(|(turn, (_, at, id))| (turn, *at, *id)));
        }
        turns.sort_unstable();
        turns.into_iter().map(|(_, at, id)| (at, id)).collect()
    }

    /// When the next message of a queue is ready.
    pub(super) fn next_due(&self, queue: &QueueName) -> Option<i64> {
        self.order.get(queue).and_then(|order| order.first()).map(|(at, _)| *at)
    }

    pub(super) fn delete(&mut self, receipt: &Receipt) {
        let Some(id) = self.held(receipt) else { return };
        if let Some(message) = self.messages.remove(&id)
            && let Some(order) = self.order.get_mut(&message.queue)
        {
            order.remove(&(message.visible_at_us, id));
        }
    }

    /// Makes a dead letter of a message whose receipt is still good.
    pub(super) fn give_up(&mut self, receipt: &Receipt, reason: &str, now_us: i64) {
        let Some(id) = self.held(receipt) else { return };
        if let Some(message) = self.messages.remove(&id) {
            if let Some(order) = self.order.get_mut(&message.queue) {
                order.remove(&(message.visible_at_us, id));
            }
            self.bury(id, message, reason.to_owned(), now_us);
        }
    }

    pub(super) fn hide(&mut self, receipt: &Receipt, visibility: Duration, now_us: i64) {
        let Some(id) = self.held(receipt) else { return };
        let Some(message) = self.messages.get_mut(&id) else { return };
        let order = self.order.entry(message.queue.clone()).or_default();
        order.remove(&(message.visible_at_us, id));
        message.visible_at_us = now_us + micros(visibility);
        order.insert((message.visible_at_us, id));
    }

    pub(super) fn depth(&self, queue: &QueueName, now_us: i64) -> Depth {
        let order = self.order.get(queue);
        let of_queue = || order.into_iter().flatten();
        let hidden = || of_queue().filter(|(at, _)| *at > now_us);
        let is_taken = |id: &i64| self.messages.get(id).is_some_and(|one| one.receive_count > 0);
        let ready = of_queue().filter(|(at, _)| *at <= now_us);
        let in_flight = hidden().filter(|(_, id)| is_taken(id)).count();
        let oldest = of_queue().next().filter(|(at, _)| *at <= now_us);
        Depth {
            queue: queue.clone(),
            ready: ready.count() as u64,
            in_flight: in_flight as u64,
            delayed: (hidden().count() - in_flight) as u64,
            dead: self.dead.values().filter(|dead| dead.letter.queue == *queue).count() as u64,
            oldest_ready_age: oldest.map(|(at, _)| {
                Duration::from_micros(u64::try_from(now_us - at).unwrap_or_default())
            }),
        }
    }

    pub(super) fn unreported(&self, queues: &[QueueName], limit: usize) -> Vec<DeadLetter> {
        let is_asked = |dead: &&Dead| !dead.is_reported && queues.contains(&dead.letter.queue);
        let letters = self.dead.values().filter(is_asked);
        letters.take(limit).map(|dead| dead.letter.clone()).collect()
    }

    pub(super) fn mark_reported(&mut self, letters: &[DeadLetterId]) {
        let ids = letters.iter().filter_map(|letter| letter.0.parse().ok());
        for id in ids.collect::<Vec<i64>>() {
            if let Some(dead) = self.dead.get_mut(&id) {
                dead.is_reported = true;
            }
        }
    }

    /// Notes why a message that was received could not be dealt with.
    pub(super) fn note_failure(&mut self, receipt: &Receipt, failure: &str) {
        let Some(id) = self.held(receipt) else { return };
        if let Some(attempt) = self.messages.get_mut(&id).and_then(|one| one.attempts.last_mut()) {
            attempt.failure = Some(writable(failure));
        }
    }

    pub(super) fn list_dead(
        &self,
        queue: &QueueName,
        after: Option<&LetterPlace>,
        limit: usize,
    ) -> Vec<DeadLetter> {
        let after = after.and_then(|after| after.message_id.0.parse().ok()).unwrap_or(i64::MIN);
        let behind = self.dead.iter().filter(|(id, _)| **id > after);
        let letters = behind.map(|(_, dead)| &dead.letter).filter(|letter| letter.queue == *queue);
        letters.take(limit).cloned().collect()
    }

    /// Takes dead letters off the shelf.
    pub(super) fn take_dead(&mut self, queue: &QueueName, letters: Letters<'_>) -> Vec<DeadLetter> {
        let is_asked = |letter: &DeadLetter| {
            letter.queue == *queue
                && match letters {
                    Letters::All => true,
                    Letters::These(ids) => ids.contains(&letter.message_id),
                }
        };
        let taken = self.dead.extract_if(.., |_, dead| is_asked(&dead.letter));
        taken.map(|(_, dead)| dead.letter).collect()
    }

    /// The message of a receipt that is still good.
    fn held(&self, receipt: &Receipt) -> Option<i64> {
        let (id, receive_count) = receipt.parts();
        let message = self.messages.get(&id)?;
        (i64::from(message.receive_count) == i64::from(receive_count)).then_some(id)
    }

    fn bury(&mut self, id: i64, message: Message, reason: String, now_us: i64) {
        let Message { queue, body, receive_count, sent_at_us, attempts, .. } = message;
        let letter = DeadLetter {
            id: DeadLetterId(id.to_string()),
            message_id: MessageId(id.to_string()),
            queue,
            body,
            receive_count,
            reason,
            sent_at_ms: sent_at_us / 1000,
            dead_at_ms: now_us / 1000,
            attempts,
        };
        self.dead.insert(id, Dead { letter, is_reported: false });
    }
}

fn received(id: i64, message: &Message) -> Received {
    Received {
        id: MessageId(id.to_string()),
        receipt: Receipt::numbered(id, i32::try_from(message.receive_count).unwrap_or(i32::MAX)),
        body: message.body.clone(),
        receive_count: message.receive_count,
        sent_at_ms: message.sent_at_us / 1000,
    }
}
