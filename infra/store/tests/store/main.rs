//! The store against a real Postgres; each test has a database of its own.

// Helpers of tests may fail loudly, wherever they stand.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod audit;
mod branch;
mod changes;
mod claim;
mod fluxling;
mod full;
mod history;
mod idempotency;
mod metrics;
mod migrate;
mod outbox;
mod plan;
mod recipe;
mod retention;
mod sample;
mod table;
mod timer;
