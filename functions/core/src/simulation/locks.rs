//! Row locks, as Postgres has them: held until the transaction ends, waited for, and broken where
//! transactions wait for each other.

use std::collections::{BTreeMap, BTreeSet};

use fluxus_schema::{ClaimId, Tenant};
use fluxus_store::BranchKey;

/// Names a transaction.
pub(super) type TxId = u64;

/// What can be locked: a row, or the place in an index of one that is being inserted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    Claim(ClaimId),
    /// An idempotency key.
    Name(Tenant, String),
    Branch(BranchKey),
    Timer(ClaimId, String),
    Outbox(i64),
    Message(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Exclusive,
    Shared,
}

/// What came of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Granted,
    Waits,
    /// To wait would be to wait for oneself.
    Deadlock,
}

#[derive(Debug, Default)]
pub(super) struct Locks {
    held: BTreeMap<Row, BTreeMap<TxId, Mode>>,
    waiting: BTreeMap<TxId, (Row, Mode)>,
}

impl Locks {
    pub(super) fn ask(&mut self, tx: TxId, row: &Row, mode: Mode) -> Asked {
        if self.blockers(tx, row, mode).is_empty() {
            self.waiting.remove(&tx);
            let held = self.held.entry(row.clone()).or_default().entry(tx).or_insert(mode);
            if mode == Mode::Exclusive {
                *held = mode;
            }
            return Asked::Granted;
        }
        self.waiting.insert(tx, (row.clone(), mode));
        if self.waits_for_itself(tx) {
            self.waiting.remove(&tx);
            return Asked::Deadlock;
        }
        Asked::Waits
    }

    pub(super) fn has(&self, tx: TxId, row: &Row) -> bool {
        self.held.get(row).is_some_and(|holders| holders.contains_key(&tx))
    }

    /// Whether nobody else has it, for those who pass over what is locked.
    pub(super) fn is_free(&self, tx: TxId, row: &Row) -> bool {
        self.blockers(tx, row, Mode::Exclusive).is_empty()
    }

    /// Whether the transaction waits for one that has not ended.
    pub(super) fn is_waiting(&self, tx: TxId) -> bool {
        let blocked = |(row, mode): &(Row, Mode)| !self.blockers(tx, row, *mode).is_empty();
        self.waiting.get(&tx).is_some_and(blocked)
    }

    /// The transaction has ended.
    pub(super) fn release(&mut self, tx: TxId) {
        self.waiting.remove(&tx);
        self.held.retain(|_, holders| {
            holders.remove(&tx);
            !holders.is_empty()
        });
    }

    fn blockers(&self, tx: TxId, row: &Row, mode: Mode) -> Vec<TxId> {
        let holders = self.held.get(row).into_iter().flatten();
        let others = holders.filter(|(holder, held)| {
            **holder != tx && (mode == Mode::Exclusive || **held == Mode::Exclusive)
        });
        others.map(|(holder, _)| *holder).collect()
    }

    fn waits_for_itself(&self, tx: TxId) -> bool {
        let mut seen = BTreeSet::new();
        let mut todo = vec![tx];
        while let Some(one) = todo.pop() {
            let Some((row, mode)) = self.waiting.get(&one) else { continue };
            for blocker in self.blockers(one, row, *mode) {
                if blocker == tx {
                    return true;
                }
                if seen.insert(blocker) {
                    todo.push(blocker);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_waited_for_shared_and_broken() {
        let (a, b) = (Row::Message(1), Row::Message(2));
        let mut locks = Locks::default();
        assert_eq!(locks.ask(1, &a, Mode::Exclusive), Asked::Granted);
        assert_eq!(locks.ask(2, &b, Mode::Shared), Asked::Granted);
        assert_eq!(locks.ask(3, &b, Mode::Shared), Asked::Granted);
        assert_eq!(locks.ask(1, &b, Mode::Exclusive), Asked::Waits);
        assert!(locks.is_waiting(1) && !locks.is_free(4, &a));
        assert_eq!(locks.ask(2, &a, Mode::Exclusive), Asked::Deadlock);
        locks.release(2);
        locks.release(3);
        assert!(!locks.is_waiting(1));
        assert_eq!(locks.ask(1, &b, Mode::Exclusive), Asked::Granted);
    }
}
