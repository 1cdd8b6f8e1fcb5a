//! Connections to Postgres, and a private cluster where none is given.
//!
//! [`environment`] reads where the database is and how to get in. [`database`] is what store and queue speak through: a pool, sessions, transactions, and a
//! listener for notifications. [`cluster`] runs a Postgres of our own on the loopback interface,
//! for the embedded run and for tests.

#![cfg_attr(test, allow(clippy::expect_used))]

#[cfg(feature = "aws")]
pub mod aws;
pub mod cluster;
pub mod database;
pub mod environment;
pub mod usage;

pub use cluster::{Cluster, ClusterError, ClusterOptions};
pub use database::{
    Database, DatabaseError, Listener, Notification, Options, Param, Password, Passwords, Session,
    Statement, Statements, Target, Transaction,
};
pub use environment::Settings;
// What callers need to name parameters and read rows, so that they agree on one version.
pub use tokio_postgres::{Row, error::SqlState, types};
