//! A batch as it came in: which claims and branches its messages touch.

use std::collections::BTreeSet;

use fluxus_queue::{Receipt, Received};
use fluxus_schema::id::TaskAddress;
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{BranchId, ClaimId};
use fluxus_store::BranchKey;
use fluxus_store::branch::Join;

/// The messages of a batch that can be read.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) items: Vec<Item>,
    /// Receipts of those that cannot be read, with the reason.
    pub(crate) unreadable: Vec<(Receipt, String)>,
}

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) receipt: Receipt,
    pub(crate) message: CoreMessage,
    /// Where an answer to a task belongs; none if its token is not one that Fluxus gave out.
    pub(crate) address: Option<TaskAddress>,
}

/// What must be loaded before the messages can be dealt with.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Claims that may not have begun.
    pub(crate) claims: BTreeSet<ClaimId>,
    pub(crate) branches: Vec<BranchKey>,
    /// Branches with everything below them.
    pub(crate) trees: Vec<BranchKey>,
    pub(crate) joins: Vec<Join>,
    /// Claims that are to go on, though they ended: with all their branches.
    pub(crate) redrives: BTreeSet<ClaimId>,
}

impl Needs {
    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty()
            && self.branches.is_empty()
            && self.trees.is_empty()
            && self.joins.is_empty()
            && self.redrives.is_empty()
    }
}

impl Inbox {
    pub(crate) fn read(batch: Vec<Received>) -> Self {
        let mut inbox = Self::default();
        for received in batch {
            match serde_json::from_str::<CoreMessage>(&received.body) {
                Ok(message) => {
                    let address = address(&message);
                    inbox.items.push(Item { receipt: received.receipt, message, address });
                }
                Err(error) => {
                    let reason = format!("not a message to the core: {error}");
                    inbox.unreadable.push((received.receipt, reason));
                }
            }
        }
        inbox
    }
}

/// What must be loaded for these messages.
pub(crate) fn needs(items: &[Item]) -> Needs {
    let mut needs = Needs::default();
    for item in items {
        match &item.message {
            CoreMessage::ClaimSubmitted { claim_id } => {
                needs.claims.insert(*claim_id);
            }
            CoreMessage::TaskSucceeded { .. }
            | CoreMessage::TaskFailed { .. }
            | CoreMessage::TaskStarted { .. }
            | CoreMessage::TaskHeartbeat { .. } => {
                needs.branches.extend(item.key());
            }
            CoreMessage::TimerFired { claim_id, branch_id, .. }
            | CoreMessage::TaskRetried { claim_id, branch_id, .. }
            | CoreMessage::TaskSkipped { claim_id, branch_id, .. }
            | CoreMessage::FluxlingAvailable { claim_id, branch_id } => {
                needs.branches.push(key(*claim_id, branch_id));
            }
            CoreMessage::MapHasRoom { claim_id, parent, .. } => {
                needs.branches.push(key(*claim_id, parent));
            }
            CoreMessage::BranchEnded { claim_id, parent, revision, failed } => match failed {
                // Siblings that are still at work must be aborted, so they are needed too.
                Some(failed) => {
                    needs.branches.push(key(*claim_id, failed));
                    needs.trees.push(key(*claim_id, parent));
                }
                None => {
                    needs.branches.push(key(*claim_id, parent));
                    needs.joins.push(Join {
                        claim_id: *claim_id,
                        parent: parent.clone(),
                        parent_revision: *revision,
                    });
                }
            },
            CoreMessage::ClaimRedriven { claim_id, .. } => {
                needs.redrives.insert(*claim_id);
            }
            CoreMessage::Stopped { claim_id, .. } => {
                needs.claims.insert(*claim_id);
                needs.trees.push(key(*claim_id, &BranchId::root()));
            }
        }
    }
    needs
}

fn key(claim_id: ClaimId, branch_id: &BranchId) -> BranchKey {
    BranchKey { claim_id, branch_id: branch_id.clone() }
}

fn address(message: &CoreMessage) -> Option<TaskAddress> {
    match message {
        CoreMessage::TaskSucceeded { token, .. }
        | CoreMessage::TaskFailed { token, .. }
        | CoreMessage::TaskStarted { token, .. }
        | CoreMessage::TaskHeartbeat { token } => token.address().ok(),
        _ => None,
    }
}

impl Item {
    /// The branch that an answer to a task is for.
    pub(crate) fn key(&self) -> Option<BranchKey> {
        self.address.as_ref().map(|at| key(at.claim_id, &at.branch_id))
    }

    /// The claim it is about.
    pub(crate) fn claim_id(&self) -> Option<ClaimId> {
        match &self.message {
            CoreMessage::ClaimSubmitted { claim_id }
            | CoreMessage::TimerFired { claim_id, .. }
            | CoreMessage::FluxlingAvailable { claim_id, .. }
            | CoreMessage::MapHasRoom { claim_id, .. }
            | CoreMessage::BranchEnded { claim_id, .. }
            | CoreMessage::ClaimRedriven { claim_id, .. }
            | CoreMessage::TaskRetried { claim_id, .. }
            | CoreMessage::TaskSkipped { claim_id, .. }
            | CoreMessage::Stopped { claim_id, .. } => Some(*claim_id),
            CoreMessage::TaskSucceeded { .. }
            | CoreMessage::TaskFailed { .. }
            | CoreMessage::TaskStarted { .. }
            | CoreMessage::TaskHeartbeat { .. } => self.address.as_ref().map(|at| at.claim_id),
        }
    }
}
