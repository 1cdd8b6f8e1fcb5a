//! The whole API through its router, over a real database. Every answer is checked against the
//! OpenAPI document that the router serves.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod backlog;
mod claims;
mod dead_letters;
mod errors;
mod export;
mod fluxlings;
mod history;
mod ingest;
mod intake;
mod lambda;
mod openapi;
mod operate;
mod operation;
mod recipes;
mod security;
mod socket;
mod support;
mod tasks;
mod wait;
