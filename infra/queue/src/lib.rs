//! The queue port and its adapters.
//!
//! [`Queue`] has the semantics of SQS: delay, visibility timeout, receive count, dead letters, at
//! least once and in no promised order. [`PostgresQueue`] keeps messages in a table, so that an
//! enqueue joins the caller's transaction; [`MemoryQueue`] keeps them in the process; `SqsQueue`,
//! with feature `aws`, hands them to Amazon SQS. All pass the suite in [`conformance`].
//!
//! Feature `postgres`, on by default, is the Postgres adapter; a fluxling does without.

#![cfg_attr(test, allow(clippy::expect_used))]

pub mod bodies;
pub mod bounds;
pub mod conformance;
mod error;
mod memory;
mod message;
mod name;
mod port;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "aws")]
pub mod sqs;
pub mod sqs_event;

pub use bodies::{Bodies, BodyError, BodyReference, Resolved};
pub use error::QueueError;
pub use memory::{Clock, MemoryQueue};
pub use message::{
    Burial, DeadLetter, DeadLetterId, DeliveryAttempt, Depth, LetterPlace, Letters, MessageId,
    Outgoing, Receipt, Receive, Received,
};
pub use name::QueueName;
pub use port::Queue;
#[cfg(feature = "postgres")]
pub use postgres::{
    Due, Leaving, MIGRATION, PostgresQueue, PostgresQueueOptions, Sent, Taken, Taker,
};
#[cfg(feature = "aws")]
pub use sqs::{S3Bodies, SqsQueue};
