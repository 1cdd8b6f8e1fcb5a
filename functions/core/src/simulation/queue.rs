//! Queues with the semantics of SQS: delay, visibility timeout, at least once, in any order, dead
//! letters.

use std::collections::BTreeMap;

use fluxus_queue::bounds::MAX_RECEIVES;
use fluxus_queue::{DeadLetter, DeadLetterId, MessageId, Outgoing, QueueName, Receipt, Received};

use super::chance::Chance;

/// A message that is there.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) queue: QueueName,
    pub(super) body: String,
    pub(super) visible_at: i64,
    pub(super) receives: u32,
    sent_at: i64,
}

/// All queues.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) messages: BTreeMap<u64, Message>,
    /// Dead letters, with whether each was reported.
    pub(super) dead: BTreeMap<u64, (Message, bool)>,
    last: u64,
}

impl Queues {
    pub(super) fn send(&mut self, outgoing: &Outgoing, now: i64) {
        let delay = i64::try_from(outgoing.delay.as_millis()).unwrap_or(i64::MAX);
        self.last += 1;
        let (queue, body) = (outgoing.queue.clone(), outgoing.body.clone());
        let message = Message { queue, body, visible_at: now + delay, receives: 0, sent_at: now };
        self.messages.insert(self.last, message);
    }

    pub(super) fn ready<'a>(
        &'a self,
        is_asked: impl Fn(&QueueName) -> bool + 'a,
        now: i64,
    ) -> impl Iterator<Item = u64> + 'a {
        let ready = self
            .messages
            .iter()
            .filter(move |(_, one)| one.visible_at <= now && is_asked(&one.queue));
        ready.map(|(id, _)| *id)
    }

    /// Receives some of these messages, in any order, and hides them. What was received too often
    /// becomes a dead letter.
    pub(super) fn receive(
        &mut self,
        mut ids: Vec<u64>,
        at_most: usize,
        (now, visibility): (i64, i64),
        chance: &mut Chance,
    ) -> Vec<Received> {
        let mut received = Vec::new();
        while received.len() < at_most && !ids.is_empty() {
            let id = ids.swap_remove(chance.below(ids.len()));
            let Some(message) = self.messages.get_mut(&id) else { continue };
            if message.receives >= MAX_RECEIVES {
                if let Some(message) = self.messages.remove(&id) {
                    self.dead.insert(id, (message, false));
                }
                continue;
            }
            message.receives += 1;
            message.visible_at = now + visibility;
            received.push(message.received(id));
        }
        received
    }

    pub(super) fn delete(&mut self, receipt: &Receipt) {
        let Some((id, receives)) = parts(receipt) else { return };
        if self.messages.get(&id).is_some_and(|message| message.receives == receives) {
            self.messages.remove(&id);
        }
    }

    pub(super) fn unreported(&self) -> Vec<DeadLetter> {
        let letters = self.dead.iter().filter(|(_, (_, reported))| !reported);
        let letter = |(id, (message, _)): (&u64, &(Message, bool))| DeadLetter {
            id: DeadLetterId(id.to_string()),
            message_id: MessageId(id.to_string()),
            sent_at_ms: message.sent_at,
            attempts: Vec::new(),
            queue: message.queue.clone(),
            body: message.body.clone(),
            receive_count: message.receives,
            reason: format!("received {} times and never deleted", message.receives),
            dead_at_ms: message.visible_at,
        };
        letters.map(letter).collect()
    }

    pub(super) fn mark_reported(&mut self, letters: &[DeadLetter]) {
        for letter in letters {
            let id = letter.id.0.parse().unwrap_or_default();
            if let Some((_, reported)) = self.dead.get_mut(&id) {
                *reported = true;
            }
        }
    }

    /// Puts the dead letters of a queue back that `is_good`, as an operator would.
    pub(super) fn redrive(&mut self, queue: &QueueName, is_good: impl Fn(&str) -> bool) {
        let good: Vec<u64> = self
            .dead
            .iter()
            .filter(|(_, (one, _))| one.queue == *queue && is_good(&one.body))
            .map(|(id, _)| *id)
            .collect();
        for id in good {
            if let Some((message, _)) = self.dead.remove(&id) {
                self.messages.insert(id, Message { receives: 0, ..message });
            }
        }
    }
}

impl Message {
    pub(super) fn received(&self, id: u64) -> Received {
        Received {
            id: MessageId(id.to_string()),
            receipt: Receipt(format!("{id}:{}", self.receives)),
            body: self.body.clone(),
            receive_count: self.receives,
            sent_at_ms: self.sent_at,
        }
    }
}

/// The message that a receipt is for, and the receive that gave it.
pub(super) fn parts(receipt: &Receipt) -> Option<(u64, u32)> {
    let (id, receives) = receipt.0.split_once(':')?;
    Some((id.parse().ok()?, receives.parse().ok()?))
}
