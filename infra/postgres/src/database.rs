//! A pool of connections to one database.

mod error;
mod listener;
mod pool;
mod session;

pub use error::DatabaseError;
pub use listener::{Listener, Notification};
pub use pool::{Database, Options, Statements};
pub use session::{Param, Session, Transaction};
