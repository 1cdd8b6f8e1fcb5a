//! The REST interface of Fluxus: claims, tasks, recipes, fluxlings, and what is known of them.
//!
//! [`router`] is served by Lambda (`main.rs`) and by a socket ([`serve`]) alike; nothing in it
//! knows which. [`App`] holds what the routes share and two tasks: the intake, which commits
//! claims in groups, and the waiters, who learn of ends.
//!
//! ```text
//! observe ─ guard ─ authenticate ─ route ─┬─ intake ─ store + outbound (one transaction)
//! id, span,  web      key -> tenant       ├─ waiters ─ store.ended (one query for all)
//! problems   pages                        └─ store
//! ```

#![cfg_attr(test, allow(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod app;
pub mod auth;
mod backlog;
mod cursor;
mod entropy;
pub mod environment;
mod exposition;
mod extract;
mod failure;
pub mod gateway;
mod guard;
mod headers;
pub mod ingest;
mod intake;
pub mod lambda;
pub mod limits;
mod machine;
mod nesting;
mod observe;
pub mod openapi;
mod payloads;
mod pollers;
pub mod problem;
mod requests;
mod routes;
mod serve;
mod submission;
pub mod waiters;

pub use app::{App, Parts};
pub use auth::{ApiKeys, Auth, AuthError, check_listen};
pub use backlog::{Bounds as BacklogBounds, MAX_BACKLOG, MAX_TENANT_BACKLOG};
pub use gateway::Gateway;
pub use intake::Begin;
pub use limits::Limits;
pub use routes::router;
pub use serve::{ServeError, serve};
pub use waiters::{CLAIM_ENDED_CHANNEL, Hearing, Waiters};
