//! A pool of connections to one database.

mod dial;
mod error;
mod listener;
mod pool;
mod session;
mod statement;
mod tls;

pub(crate) use dial::Dialer;
pub use dial::{Dialed, Password, Passwords, Target};
pub use error::DatabaseError;
#[cfg(feature = "aws")]
pub(crate) use error::server;
pub use listener::{Listener, Notification};
pub(crate) use pool::complete;
pub use pool::{Database, Options, Statements};
pub use session::{Param, Session, Transaction};
pub use statement::Statement;
pub(crate) use tls::certificates;
