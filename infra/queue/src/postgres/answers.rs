//! Answers that stay in the process: from a fluxling to the core beside it.
//!
//! Nothing is written when somebody answers. Whoever takes the answers deletes the messages they
//! answer in the transaction that deals with them. Until then those are hidden, and come again if the
//! process dies: what was not dealt with was not answered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::hand_over::HandOver;
use crate::{MessageId, Outgoing, QueueName, Receipt, Received};

/// The most answers that wait in the process. Past it they are written: whoever takes them is slow,
/// and what they answer must not come again meanwhile.
const MAX_WAITING: usize = 2_000;

/// So many answers are few: one batch has them all.
const MAX_SHORT: usize = 256;

/// The most bytes of answers that wait in the process, and so of one.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// Answers to queues of which this process takes. Clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(Arc<Mutex<HashMap<QueueName, Waiting>>>);

#[derive(Debug, Default)]
struct Waiting {
    /// How many take from this queue.
    takers: usize,
    groups: VecDeque<Group>,
}

impl Waiting {
    fn count(&self) -> usize {
        self.groups.iter().map(|one| one.answers.len()).sum()
    }
}

/// Answers that were given together, with what they answer.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) answers: Vec<Outgoing>,
    pub(super) answered: Vec<Receipt>,
    /// When they were given, in milliseconds since 1970.
    at_ms: i64,
}

impl Group {
    pub(super) fn new(answers: Vec<Outgoing>, answered: Vec<Receipt>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        Self { answers, answered, at_ms }
    }

    fn bytes(&self) -> usize {
        self.answers.iter().map(|answer| answer.body.len()).sum()
    }

    /// As whoever takes them sees them. They are in no table, so their receipts are none.
    pub(super) fn received(&self) -> impl Iterator<Item = Received> {
        self.answers.iter().map(|answer| Received {
            id: MessageId("in this process".to_owned()),
            receipt: Receipt("none".to_owned()),
            body: answer.body.clone(),
            receive_count: 1,
            sent_at_ms: self.at_ms,
        })
    }
}

impl Answers {
    /// Keeps answers for whoever takes them here; gives them back where nobody does, or too many
    /// wait. Returns the queue they are for.
    pub(super) fn offer(&self, group: Group) -> Result<QueueName, Group> {
        let Some(queue) = group.answers.first().map(|answer| answer.queue.clone()) else {
            return Err(group);
        };
        let fits = |answer: &Outgoing| answer.queue == queue && answer.delay.is_zero();
        let mut queues = self.queues();
        let waiting = queues.get_mut(&queue).filter(|waiting| waiting.takers > 0);
        let Some(waiting) = waiting.filter(|_| group.answers.iter().all(fits)) else {
            return Err(group);
        };
        let count = waiting.count();
        let bytes: usize = waiting.groups.iter().map(Group::bytes).sum();
        if count + group.answers.len() > MAX_WAITING || bytes + group.bytes() > MAX_WAITING_BYTES {
            return Err(group);
        }
        waiting.groups.push_back(group);
        Ok(queue)
    }

    /// Whether few answers wait.
    pub(super) fn is_short(&self, queue: &QueueName) -> bool {
        let queues = self.queues();
        let waiting = queues.get(queue).map_or(0, Waiting::count);
        waiting <= MAX_SHORT
    }

    /// Whole groups, until there are so many answers.
    pub(super) fn take(&self, queue: &QueueName, at_most: usize) -> Vec<Group> {
        let mut queues = self.queues();
        let Some(waiting) = queues.get_mut(queue) else { return Vec::new() };
        let (mut taken, mut count) = (Vec::new(), 0);
        while count < at_most
            && let Some(group) = waiting.groups.pop_front()
        {
            count += group.answers.len();
            taken.push(group);
        }
        taken
    }

    /// Puts back what was taken and not dealt with.
    pub(super) fn put_back(&self, groups: Vec<Group>) {
        let mut queues = self.queues();
        for group in groups.into_iter().rev() {
            if let Some(waiting) =
                group.answers.first().and_then(|answer| queues.get_mut(&answer.queue))
            {
                waiting.groups.push_front(group);
            }
        }
    }

    /// Takes everything that waits, for one queue or for all.
    pub(super) fn clear(&self, of: Option<&QueueName>) -> Vec<Group> {
        let mut queues = self.queues();
        let meant = queues.iter_mut().filter(|(queue, _)| of.is_none_or(|of| of == *queue));
        meant.flat_map(|(_, waiting)| std::mem::take(&mut waiting.groups)).collect()
    }

    /// Says that somebody takes from this queue, until the guard is dropped.
    pub(super) fn taker(&self, queue: &QueueName, hand_over: &HandOver) -> Taker {
        self.queues().entry(queue.clone()).or_default().takers += 1;
        Taker { answers: self.clone(), hand_over: hand_over.clone(), queue: queue.clone() }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<QueueName, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who takes what waits for a queue: as long as this lives, answers may wait in the process.
#[derive(Debug)]
#[must_use = "answers are handed over as long as it lives"]
pub struct Taker {
    answers: Answers,
    hand_over: HandOver,
    queue: QueueName,
}

impl Drop for Taker {
    fn drop(&mut self) {
        if let Some(waiting) = self.answers.queues().get_mut(&self.queue) {
            waiting.takers = waiting.takers.saturating_sub(1);
            if waiting.takers == 0 {
                self.hand_over.close(&self.queue);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> QueueName {
        QueueName::new("core").expect("a name")
    }

    fn group(count: usize) -> Group {
        Group::new(vec![Outgoing::new(queue(), "{}"); count], vec![Receipt::numbered(1, 1)])
    }

    #[test]
    fn answers_wait_only_where_somebody_takes_them() {
        let answers = Answers::default();
        assert!(answers.offer(group(1)).is_err(), "nobody takes");
        let taker = answers.taker(&queue(), &HandOver::default());
        assert_eq!(answers.offer(group(1)).expect("kept"), queue());
        drop(taker);
        assert!(answers.offer(group(1)).is_err(), "nobody takes any more");
        assert_eq!(answers.clear(None).len(), 1);
    }

    #[test]
    fn what_is_too_much_is_given_back() {
        let answers = Answers::default();
        let _taker = answers.taker(&queue(), &HandOver::default());
        answers.offer(group(MAX_WAITING)).expect("as many as may wait");
        assert!(answers.offer(group(1)).is_err(), "one more");
        let taken = answers.take(&queue(), 1);
        assert_eq!(taken.len(), 1, "a group is not divided");
        let large = Outgoing::new(queue(), "x".repeat(MAX_WAITING_BYTES + 1));
        assert!(answers.offer(Group::new(vec![large], Vec::new())).is_err(), "too large");
        let late = vec![Outgoing::new(queue(), "{}").delayed(std::time::Duration::from_secs(1))];
        assert!(answers.offer(Group::new(late, Vec::new())).is_err(), "delayed");
        answers.put_back(taken);
        assert_eq!(answers.take(&queue(), 1)[0].answers.len(), MAX_WAITING);
    }
}
