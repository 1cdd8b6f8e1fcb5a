//! Each state type, told as a transcript: what comes in, what is recorded, what is asked of the
//! outside, and where the branches stand. Judged against the States Language's specification and
//! the recorded behaviour of the service.

// Helpers of tests may fail loudly, wherever they stand.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod branches;
mod callback;
mod distributed;
mod flow;
mod jsonata;
mod redrive;
mod retry;
mod service;
mod stop;
mod task;
mod wait;
