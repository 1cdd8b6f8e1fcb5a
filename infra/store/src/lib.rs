//! Postgres tables, migrations and queries.
//!
//! Plain SQL, beside the function that runs it. Functions that must agree with others in one
//! commit take the [`Transaction`] (or anything that is a [`Connection`]); reads of their own are
//! methods of [`Store`]. A function over many items sends a constant number of statements.
//!
//! ```no_run
//! # async fn example(store: fluxus_store::Store) -> Result<(), fluxus_store::StoreError> {
//! let mut session = store.session().await?;
//! let tx = session.begin().await?;
//! let branches = fluxus_store::branch::lock(&tx, &[], &[]).await?;
//! // ... step the branches ...
//! fluxus_store::changes::save(&tx, &fluxus_store::Changes::default()).await?;
//! tx.commit().await?;
//! # drop(branches);
//! # Ok(())
//! # }
//! ```

pub mod audit;
pub mod branch;
pub mod changes;
pub mod claim;
pub mod clock;
mod columns;
mod connection;
pub mod dead_message;
mod error;
pub mod fluxling;
pub mod history;
mod house;
pub mod idempotency;
mod instant;
pub mod metrics;
mod migrate;
mod outbound;
pub mod outbox;
pub mod partition;
pub mod payload;
pub mod recipe;
mod retention;
mod store;
mod stuck;
pub mod timer;

pub use audit::{Activity, Violation, audit};
pub use branch::{BranchKey, BranchRow, BranchStatus, ClaimContext, LoadedBranch};
pub use changes::{Changes, End, HistoryRow, Redrive, Start};
pub use claim::{ClaimFilter, ClaimRow, Inserted, Intake};
pub use connection::Connection;
pub use dead_message::DeadMessage;
pub use error::StoreError;
pub use fluxling::LoadDelta;
pub use idempotency::{Begin, Outcome};
pub use metrics::Metrics;
pub use migrate::{MIGRATIONS, MigrationStatus};
pub use outbound::{Departing, Enqueued, Message, Outbound, OutboundError};
pub use outbox::{OutboxRow, Unsent};
pub use payload::PayloadRow;
pub use retention::{KeptDay, MIN_RETENTION, Retention, Retired, RetiredDay};
pub use store::{ASKING, STEPPING, Store};
pub use stuck::{MAX_STUCK, StuckClaim, StuckSince};
pub use timer::TimerRow;

pub use fluxus_postgres::{Database, DatabaseError, Session, Transaction};
