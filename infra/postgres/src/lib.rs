//! Connections to Postgres, and a private cluster where none is given.
//!
//! [`database`] is what store and queue speak through: a pool, sessions, transactions, and a
//! listener for notifications. [`cluster`] runs a Postgres of our own on the loopback interface,
//! for the embedded run and for tests.

#![cfg_attr(test, allow(clippy::expect_used))]

pub mod cluster;
pub mod database;
pub mod usage;

pub use cluster::{Cluster, ClusterError, ClusterOptions};
pub use database::{
    Database, DatabaseError, Listener, Notification, Options, Param, Session, Statements,
    Transaction,
};
// What callers need to name parameters and read rows, so that they agree on one version.
pub use tokio_postgres::{Row, error::SqlState, types};
