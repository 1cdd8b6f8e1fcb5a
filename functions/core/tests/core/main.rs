//! The core against a real database: what must happen, once and in order, however messages come.

// Helpers of tests may fail loudly, wherever they stand.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod activity;
mod bad;
mod concurrent;
mod cost;
mod delegation;
mod disturbed;
mod driver;
mod ends;
mod fair;
mod joins;
mod lambda;
mod nested;
mod operate;
mod outage;
mod take_in;
mod world;
