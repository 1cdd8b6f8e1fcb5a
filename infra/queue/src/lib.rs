//! The queue port and its adapters.
//!
//! [`Queue`] has the semantics of SQS: delay, visibility timeout, receive count, dead letters, at
//! least once and in no promised order. [`PostgresQueue`] keeps messages in a table, so that an
//! enqueue joins the caller's transaction; [`MemoryQueue`] keeps them in the process. Both pass
//! the suite in [`conformance`].

#![cfg_attr(test, allow(clippy::expect_used))]

pub mod bounds;
pub mod conformance;
mod error;
mod memory;
mod message;
mod name;
mod port;
mod postgres;
pub mod sqs_event;

pub use error::QueueError;
pub use memory::{Clock, MemoryQueue};
pub use message::{
    DeadLetter, DeadLetterId, Depth, MessageId, Outgoing, Receipt, Receive, Received,
};
pub use name::QueueName;
pub use port::Queue;
pub use postgres::{MIGRATION, PostgresQueue, PostgresQueueOptions, Taken};
