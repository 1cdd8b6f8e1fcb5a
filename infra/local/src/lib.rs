//! The embedded run: Postgres, queues and all functions in one process, or in several by
//! [`Role`].
//!
//! [`System`] composes what `template.yaml` composes in the cloud, from the same crates: the API on
//! a socket, the core's workers and its sweep, and a worker for each fluxling, around one Postgres,
//! which is started where none is given.
//!
//! ```text
//! client ─► fluxus-api ─► Postgres: store + queues ◄─► fluxus-core
//!                                 ▲
//!                                 └─► fluxling workers: claims, http, shop, bench, …
//! ```

#![cfg_attr(test, allow(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

pub mod bench;
mod builtin;
pub mod examples;
mod idempotency;
mod migrate;
mod options;
mod parts;
mod postgres;
mod presence;
mod retention;
mod system;

pub use builtin::builtin;
pub use idempotency::StoreIdempotency;
pub use migrate::migrate;
pub use options::{DatabaseChoice, Options, Progress, Role};
pub use system::{ListenError, System, Usage};

// What the options are made of, so that callers need not name the crates behind them.
pub use fluxling_http::Allowed;
pub use fluxus_api::{ApiKeys, Auth, BacklogBounds, MAX_BACKLOG, MAX_TENANT_BACKLOG};
