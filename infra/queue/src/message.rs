//! What goes into a queue and what comes out.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds::MAX_RECEIVE;
use crate::bounds::{
    MAX_BODY_BYTES, MAX_DELAY, MAX_GROUP_CHARS, MAX_PRIORITY, MAX_REASON_CHARS, MAX_VISIBILITY,
    MAX_WAIT,
};
use crate::{QueueError, QueueName};

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes.
    pub queue: QueueName,
    /// JSON text, at most [`MAX_BODY_BYTES`].
    pub body: String,
    /// How long it stays hidden, at most [`MAX_DELAY`].
    pub delay: Duration,
    /// Whose message it is (the tenant), for queues that are fair between groups.
    pub group: Option<String>,
    /// 0 to [`MAX_PRIORITY`]: within a group the higher goes first, where the adapter promises it.
    pub priority: u8,
    /// Whether it goes behind the others of its group and priority: what begins new work yields to
    /// what carries on work under way.
    pub yields: bool,
}

impl Outgoing {
    /// A message to be delivered at once, of no group and the lowest priority.
    pub fn new(queue: QueueName, body: impl Into<String>) -> Self {
        let (body, delay) = (body.into(), Duration::ZERO);
        Self { queue, body, delay, group: None, priority: 0, yields: false }
    }

    /// The same message, hidden for a while.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same message, on behalf of a group.
    #[must_use]
    pub fn in_group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// The same message with a priority.
    #[must_use]
    pub fn with_priority(self, priority: u8) -> Self {
        Self { priority, ..self }
    }

    /// The same message, behind the others of its group and priority.
    #[must_use]
    pub fn yielding(self) -> Self {
        Self { yields: true, ..self }
    }

    /// Its place among the ready messages of its group: the lower goes first.
    pub(crate) fn rank(&self) -> u8 {
        2 * (MAX_PRIORITY - self.priority.min(MAX_PRIORITY)) + u8::from(self.yields)
    }

    /// Checks the bounds that hold for every adapter.
    ///
    /// # Errors
    /// [`QueueError::PastBound`] or [`QueueError::InvalidBody`].
    pub fn check(&self) -> Result<(), QueueError> {
        check_size("the body's size in bytes", "MAX_BODY_BYTES", self.body.len(), MAX_BODY_BYTES)?;
        check_duration("the delay", "MAX_DELAY", self.delay, MAX_DELAY)?;
        let group = self.group.as_deref().unwrap_or_default();
        check_size("the group's length", "MAX_GROUP_CHARS", group.len(), MAX_GROUP_CHARS)?;
        let (priority, most) = (usize::from(self.priority), usize::from(MAX_PRIORITY));
        check_size("the priority", "MAX_PRIORITY", priority, most)?;
        if self.body.contains('\0') || group.contains('\0') {
            return Err(QueueError::InvalidBody);
        }
        Ok(())
    }
}

/// How to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receive {
    /// The most messages to take, at most [`MAX_RECEIVE`].
    pub max: usize,
    /// How long to wait for the first one, at most [`MAX_WAIT`].
    pub wait: Duration,
    /// How long the messages stay hidden from others, at most [`MAX_VISIBILITY`]. Delete them in
    /// this time, or they come again.
    pub visibility: Duration,
}

impl Receive {
    /// Checks the bounds that hold for every adapter.
    ///
    /// # Errors
    /// [`QueueError::PastBound`].
    pub fn check(&self) -> Result<(), QueueError> {
        check_size("the number of messages to receive", "MAX_RECEIVE", self.max, MAX_RECEIVE)?;
        check_duration("the wait", "MAX_WAIT", self.wait, MAX_WAIT)?;
        check_visibility(self.visibility)
    }
}

/// A message as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The message; the same each time it is received.
    pub id: MessageId,
    /// This receipt of it; another one each time.
    pub receipt: Receipt,
    /// JSON text.
    pub body: String,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// When it was sent, in milliseconds since 1970.
    pub sent_at_ms: i64,
}

/// Names a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub String);

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Proves that a message was received: to delete it, or to change its visibility. It is void once
/// the message was received again. Only the adapter that gave it can read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Receipt(pub String);

impl Receipt {
    /// The receipt of adapters that number their messages: `id:receive_count`.
    pub(crate) fn numbered(id: i64, receive_count: i32) -> Self {
        Self(format!("{id}:{receive_count}"))
    }

    /// The parts of a numbered receipt; of any other, parts that no message has.
    pub(crate) fn parts(&self) -> (i64, i32) {
        let parts = self
            .0
            .split_once(':')
            .and_then(|(id, count)| Some((id.parse().ok()?, count.parse().ok()?)));
        parts.unwrap_or((-1, -1))
    }
}

/// A message that nobody will ever be able to deal with, and why: to be made a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burial {
    pub(crate) message: Received,
    pub(crate) reason: String,
}

impl Burial {
    /// Buries a message that was received. Of a reason that is too long the beginning is kept.
    pub fn new(message: Received, reason: &str) -> Self {
        Self { message, reason: writable(reason) }
    }
}

/// The beginning of a reason, as every adapter can write it.
pub(crate) fn writable(reason: &str) -> String {
    // What is no text for SQS or for Postgres becomes a space.
    let unwritable = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    let shown = |c: char| if unwritable(c) { ' ' } else { c };
    let reason: String = reason.chars().map(shown).take(MAX_REASON_CHARS).collect();
    if reason.is_empty() { "no reason was given".to_owned() } else { reason }
}

/// How full a queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The queue.
    pub queue: QueueName,
    /// Messages that a receive would return now.
    pub ready: u64,
    /// Messages that were received and neither deleted nor visible again.
    pub in_flight: u64,
    /// Messages that were never received and are not visible yet.
    pub delayed: u64,
    /// Messages of this queue among the dead letters.
    pub dead: u64,
    /// For how long the oldest ready message has been ready; none where nothing is ready, or the
    /// adapter cannot tell.
    pub oldest_ready_age: Option<Duration>,
}

/// A message that was received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names the dead letter to the adapter that gave it, for a while.
    pub id: DeadLetterId,
    /// The message it is; the same each time it is looked at.
    pub message_id: MessageId,
    /// The queue it was in.
    pub queue: QueueName,
    /// JSON text.
    pub body: String,
    /// How often it was received.
    pub receive_count: u32,
    /// Why it is dead.
    pub reason: String,
    /// When it was sent, in milliseconds since 1970.
    pub sent_at_ms: i64,
    /// Since when, in milliseconds since 1970; where the adapter cannot tell, when it was sent.
    pub dead_at_ms: i64,
    /// What is known of the times that it was received, the first one first.
    pub attempts: Vec<DeliveryAttempt>,
}

/// One time that a message was received and not dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Why it was not dealt with, where the receiver said so.
    pub failure: Option<String>,
}

/// Which dead letters of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters<'a> {
    /// All of them.
    All,
    /// Those that these messages are; others are passed over in silence.
    These(&'a [MessageId]),
}

/// A place in the list of a queue's dead letters, which goes by when they were sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterPlace {
    /// When the letter was sent, in milliseconds since 1970.
    pub sent_at_ms: i64,
    /// The message it is.
    pub message_id: MessageId,
}

impl DeadLetter {
    /// Its place in the list.
    pub fn place(&self) -> LetterPlace {
        LetterPlace { sent_at_ms: self.sent_at_ms, message_id: self.message_id.clone() }
    }
}

/// Names a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeadLetterId(pub String);

impl fmt::Display for DeadLetterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a message is dead that was received too often.
pub(crate) fn given_up(receives: u32, attempts: &[DeliveryAttempt]) -> String {
    let last = attempts.iter().rev().find_map(|attempt| attempt.failure.as_deref());
    let said = last.map(|failure| format!("; the last time: {failure}")).unwrap_or_default();
    writable(&format!("received {receives} times and never deleted{said}"))
}

/// Checks a visibility timeout.
pub(crate) fn check_visibility(visibility: Duration) -> Result<(), QueueError> {
    check_duration("the visibility timeout", "MAX_VISIBILITY", visibility, MAX_VISIBILITY)
}

fn check_size(
    what: &'static str,
    bound: &'static str,
    actual: usize,
    limit: usize,
) -> Result<(), QueueError> {
    if actual <= limit {
        return Ok(());
    }
    let (actual, limit) = (actual.to_string(), limit.to_string());
    Err(QueueError::PastBound { what, bound, actual, limit })
}

fn check_duration(
    what: &'static str,
    bound: &'static str,
    actual: Duration,
    limit: Duration,
) -> Result<(), QueueError> {
    if actual <= limit {
        return Ok(());
    }
    let (actual, limit) = (format!("{} s", actual.as_secs()), format!("{} s", limit.as_secs()));
    Err(QueueError::PastBound { what, bound, actual, limit })
}
