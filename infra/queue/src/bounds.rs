//! Every limit of the queues, with its reason. Past one, [`QueueError`](crate::QueueError) names it.

use std::time::Duration;

use fluxus_schema::limits::MAX_PAYLOAD_BYTES;

/// The longest delay of a message: what SQS allows (`DelaySeconds`). Longer waits are rows in the
/// store that the sweep turns into messages in time.
pub const MAX_DELAY: Duration = Duration::from_secs(900);

/// The longest visibility timeout: what SQS allows (`VisibilityTimeout`).
pub const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);

/// The longest wait of one receive: what SQS allows (`WaitTimeSeconds`).
pub const MAX_WAIT: Duration = Duration::from_secs(20);

/// The largest body: the largest payload, and room for the message around it. What is large in a
/// message goes by reference, in Postgres and past what SQS takes.
pub const MAX_BODY_BYTES: usize = MAX_PAYLOAD_BYTES + 128 * 1024;

/// How often a message is received before it goes to the dead letters: enough to ride out a
/// restart, few enough that a message that cannot be handled does not go round for long.
pub const MAX_RECEIVES: u32 = 5;

/// The longest reason of a dead letter that was buried: enough to say what is wrong, and in SQS an
/// attribute that counts towards the message's size.
pub const MAX_REASON_CHARS: usize = 1000;

/// The longest name of a queue: what SQS allows.
pub const MAX_NAME_CHARS: usize = 80;

/// The longest group id: what SQS allows (`MessageGroupId`).
pub const MAX_GROUP_CHARS: usize = 128;

/// The highest priority of a message: that of a claim.
pub const MAX_PRIORITY: u8 = 9;

/// The most groups among which one receive shares out what it takes. Each costs a look at the
/// index; the groups after them have their turn at the next receive.
pub const MAX_GROUPS_PER_RECEIVE: usize = 32;

/// The most messages in one receive: bounds the memory of a caller and the time that one statement
/// holds its rows. The SQS adapter gathers them in batches of ten.
pub const MAX_RECEIVE: usize = 10_000;
