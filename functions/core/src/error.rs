//! What can go wrong while a batch is handled or a sweep is made.

use fluxus_queue::QueueError;
use fluxus_store::{DatabaseError, OutboundError, StoreError};

/// A failure of the core. Nothing took effect: the batch was rolled back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Messages could not be put with the commit.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The queue could not be reached.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A branch's document cannot be read: no version of Fluxus wrote it.
    #[error("branch `{branch}` of claim {claim} cannot be read")]
    Branch {
        /// The claim.
        claim: fluxus_schema::ClaimId,
        /// The branch.
        branch: fluxus_schema::BranchId,
        /// Why.
        source: serde_json::Error,
    },
    /// A message or document could not be written as JSON.
    #[error("cannot write a document as JSON")]
    Json(#[from] serde_json::Error),
    /// The recipe that a claim began with is gone.
    #[error("version {version} of recipe `{recipe}` is not in the store")]
    RecipeGone {
        /// The recipe.
        recipe: fluxus_schema::RecipeName,
        /// The version.
        version: i32,
    },
    /// A name that was stored is not one.
    #[error(transparent)]
    Name(#[from] fluxus_schema::id::InvalidId),
    /// A message of the batch is not one to the core.
    #[error("{0}")]
    Unreadable(String),
    /// The time that the batch had is over. It comes again.
    #[error("there was no time left to handle it")]
    OutOfTime,
    /// Handling the batch panicked: a bug. The message that did it ends as a dead letter.
    #[error("handling panicked: {0}")]
    Panicked(String),
}

impl From<DatabaseError> for CoreError {
    fn from(source: DatabaseError) -> Self {
        Self::Store(source.into())
    }
}

impl CoreError {
    /// Whether the same work, done again, may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(source) => source.is_transient(),
            Self::Outbound(source) => source.is_transient(),
            Self::Queue(source) => source.is_transient(),
            Self::OutOfTime => true,
            _ => false,
        }
    }
}

impl CoreError {
    /// Whether the database or the queue failed, so that no message is at fault and none has to be
    /// told from its neighbours.
    pub(crate) fn is_outage(&self) -> bool {
        self.is_transient() && !self.is_conflict()
    }

    /// Whether somebody else changed first what the batch is about.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(StoreError::Conflict { .. }))
    }
}

/// An error with everything that led to it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
