//! Branches at hand: what a step left behind, for the answer that comes next.
//!
//! The answer to a task often comes to the process that gave the task out. Its branch need not be read
//! again then. That nobody else stepped it meanwhile is looked at in the transaction that steps it:
//! where somebody did, nothing is committed, and the branch is read.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use fluxus_schema::message::CoreMessage;
use fluxus_schema::payload::may_refer;
use fluxus_schema::{ClaimId, TaskToken};
use fluxus_store::branch::Left;
use fluxus_store::{BranchKey, BranchRow, ClaimContext, LoadedBranch};
use lru::LruCache;

use crate::inbox::Item;

/// Most branches at hand; those that were stepped last stay. A few seconds of a busy process, in which
/// most tasks are answered.
const MOST_BRANCHES: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Largest branch, and largest body of its claim, in bytes: most are far smaller, and all that is at
/// hand together takes 64 MiB at most.
const MOST_BYTES: usize = 8 * 1024;

/// What was left by steps of this process.
pub(crate) struct AtHand(Mutex<LruCache<BranchKey, Kept>>);

struct Kept {
    branch: LoadedBranch,
    /// The task that it waits for.
    token: TaskToken,
}

/// A branch that waits for a task from a step on.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    pub(crate) key: BranchKey,
    pub(crate) token: TaskToken,
    pub(crate) claim: Arc<ClaimContext>,
}

impl Default for AtHand {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST_BRANCHES)))
    }
}

impl AtHand {
    /// Takes out the branches that these messages touch, and gives those of claims about which there
    /// is nothing but answers to tasks that their branches wait for: with anything else it could
    /// matter what others did meanwhile.
    pub(crate) fn take(&self, items: &[Item], touched: &[BranchKey]) -> Vec<LoadedBranch> {
        let kept: HashMap<&BranchKey, Kept> = {
            let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            touched.iter().filter_map(|key| Some((key, cache.pop(key)?))).collect()
        };
        if kept.is_empty() {
            return Vec::new();
        }
        let mut others: HashSet<ClaimId> = HashSet::new();
        for item in items {
            let answered = match &item.message {
                CoreMessage::TaskSucceeded { token, .. }
                | CoreMessage::TaskFailed { token, .. } => {
                    item.key().and_then(|key| kept.get(&key)).is_some_and(|one| one.token == *token)
                }
                _ => false,
            };
            if !answered {
                others.extend(item.claim_id());
            }
        }
        let mut branches: Vec<_> = kept
            .into_iter()
            .filter(|(key, _)| !others.contains(&key.claim_id))
            .map(|(_, one)| one.branch)
            .collect();
        branches.sort_unstable_by(|one, other| one.row.order().cmp(&other.row.order()));
        branches
    }

    /// Has nothing at hand any more.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Keeps rows that were committed, of branches that wait.
    pub(crate) fn keep(&self, rows: impl Iterator<Item = BranchRow>, waits: Vec<Waits>) {
        let mut waits: HashMap<BranchKey, Waits> =
            waits.into_iter().map(|one| (one.key.clone(), one)).collect();
        if waits.is_empty() {
            return;
        }
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let Some(Waits { key, token, claim }) = waits.remove(&row.key()) else { continue };
            let is_small = row.state.len() <= MOST_BYTES && claim.body.len() <= MOST_BYTES;
            // A row is written with references, and read without.
            if is_small && !may_refer(&row.state) && !may_refer(&claim.body) {
                cache.put(key, Kept { branch: LoadedBranch { row, claim }, token });
            }
        }
    }
}

/// As which these branches were left, to be looked at in the transaction.
pub(crate) fn left(branches: &[LoadedBranch]) -> Vec<Left> {
    let left = |one: &LoadedBranch| Left {
        key: one.row.key(),
        revision: one.row.revision,
        changed_at: one.row.changed_at,
    };
    branches.iter().map(left).collect()
}
