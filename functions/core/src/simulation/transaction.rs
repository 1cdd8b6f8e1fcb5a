//! A transaction on the modelled tables, read committed as in Postgres: a statement sees what was
//! committed when it began, a row that it waited for as it is then, and nobody sees what is not
//! committed. All of it is there with the commit, or none.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use fluxus_queue::{Outgoing, Receipt, Received};
use fluxus_schema::{BranchId, ClaimId, ClaimStatus, TaskToken, Tenant, Timestamp};
use fluxus_store::claim::Waiter;
use fluxus_store::{BranchKey, BranchRow, ClaimRow, HistoryRow, StoreError, TimerRow};

use super::locks::{Asked, Mode, Row, TxId};
use super::queue::parts;
use super::tables::Unsent;
use super::world::{Mutation, Shared, World, pause};

/// One transaction. Dropped, it has done nothing.
pub(super) struct Tx {
    pub(super) world: Shared,
    pub(super) id: TxId,
    pub(super) own: RefCell<Own>,
}

/// What it has done so far.
#[derive(Default)]
pub(super) struct Own {
    pub(super) claims: BTreeMap<ClaimId, Rc<ClaimRow>>,
    pub(super) names: BTreeMap<(Tenant, String), ClaimId>,
    /// None for those that it deleted.
    pub(super) branches: BTreeMap<BranchKey, Option<Rc<BranchRow>>>,
    pub(super) timers: BTreeMap<(ClaimId, String), Option<TimerRow>>,
    pub(super) waiters: BTreeMap<(ClaimId, TaskToken), Option<Waiter>>,
    pub(super) history: Vec<HistoryRow>,
    pub(super) outbox: BTreeMap<i64, Option<Unsent>>,
    /// Messages to the queues in the same database.
    pub(super) sent: Vec<Outgoing>,
    pub(super) deleted: Vec<Receipt>,
    /// Claims that it ends.
    pub(super) ends: Vec<ClaimId>,
}

impl Drop for Tx {
    fn drop(&mut self) {
        self.world.borrow_mut().locks.release(self.id);
    }
}

/// A failure that passes: a lost connection, a deadlock.
pub(super) fn transient(what: &'static str) -> StoreError {
    StoreError::Conflict { table: what, key: "a simulated failure".to_owned() }
}

impl Tx {
    pub(super) fn begin(world: &Shared) -> Self {
        let id = world.borrow_mut().begin();
        Self { world: world.clone(), id, own: RefCell::default() }
    }

    /// A statement is about to run: others may run first, this process may die here, and the
    /// statement may fail.
    pub(super) async fn statement(&self, what: &'static str) -> Result<(), StoreError> {
        pause().await;
        let mut world = self.world.borrow_mut();
        world.note(|| what.to_owned());
        let rate = world.faults.transient;
        if world.chances(rate) {
            world.note(|| format!("{what} FAILS"));
            world.meets("transient");
            return Err(transient(what));
        }
        Ok(())
    }

    /// Waits for a lock.
    pub(super) async fn lock(&self, row: Row, mode: Mode) -> Result<(), StoreError> {
        loop {
            let asked = {
                let mut world = self.world.borrow_mut();
                if world.mutation == Some(Mutation::NoRevisions) && !matches!(row, Row::Message(_))
                {
                    return Ok(());
                }
                let asked = world.locks.ask(self.id, &row, mode);
                if asked == Asked::Waits {
                    world.meets("wait for a lock");
                }
                asked
            };
            match asked {
                Asked::Granted => return Ok(()),
                Asked::Waits => pause().await,
                Asked::Deadlock => {
                    let mut world = self.world.borrow_mut();
                    world.note(|| format!("DEADLOCK at {row:?}"));
                    world.meets("deadlock");
                    return Err(transient("deadlock"));
                }
            }
        }
    }

    /// Whether it has locked a row.
    pub(super) fn has(&self, row: &Row) -> bool {
        self.world.borrow().locks.has(self.id, row)
    }

    /// Locks a row unless somebody else has it.
    pub(super) fn try_lock(&self, row: &Row) -> bool {
        let mut world = self.world.borrow_mut();
        world.locks.is_free(self.id, row)
            && world.locks.ask(self.id, row, Mode::Exclusive) == Asked::Granted
    }

    pub(super) fn claim(&self, id: ClaimId) -> Option<Rc<ClaimRow>> {
        let own = self.own.borrow().claims.get(&id).cloned();
        own.or_else(|| self.world.borrow().tables.claims.get(&id).cloned())
    }

    pub(super) fn branch(&self, key: &BranchKey) -> Option<Rc<BranchRow>> {
        if let Some(own) = self.own.borrow().branches.get(key) {
            return own.clone();
        }
        self.world.borrow().tables.branches.get(key).cloned()
    }

    /// All branches of a claim, by id.
    pub(super) fn branches(&self, claim_id: ClaimId) -> BTreeMap<BranchKey, Rc<BranchRow>> {
        let first = BranchKey { claim_id, branch_id: BranchId::root() };
        let world = self.world.borrow();
        let committed = world.tables.branches.range(first.clone()..);
        let committed = committed.take_while(|(key, _)| key.claim_id == claim_id);
        let mut all: BTreeMap<_, _> = committed.map(|(k, row)| (k.clone(), row.clone())).collect();
        for (key, row) in self.own.borrow().branches.range(first..) {
            match row {
                _ if key.claim_id != claim_id => break,
                Some(row) => drop(all.insert(key.clone(), row.clone())),
                None => drop(all.remove(key)),
            }
        }
        all
    }

    /// Takes messages off a queue in the same database; they are gone with the commit.
    pub(super) fn take(&self, ids: Vec<u64>, at_most: usize) -> Vec<Received> {
        let mut taken = Vec::new();
        for id in ids {
            if taken.len() < at_most && self.try_lock(&Row::Message(id)) {
                let world = self.world.borrow();
                let message = world.queues.messages.get(&id);
                taken.extend(message.map(|message| message.received(id)));
            }
        }
        let receipts = taken.iter().map(|one| one.receipt.clone());
        self.own.borrow_mut().deleted.extend(receipts);
        taken
    }

    /// Deletes messages from a queue in the same database.
    pub(super) async fn delete_messages(&self, receipts: &[Receipt]) -> Result<(), StoreError> {
        self.statement("delete messages").await?;
        let mut ids: Vec<u64> = receipts.iter().filter_map(parts).map(|(id, _)| id).collect();
        ids.sort_unstable();
        for id in ids {
            self.lock(Row::Message(id), Mode::Exclusive).await?;
        }
        self.own.borrow_mut().deleted.extend_from_slice(receipts);
        Ok(())
    }

    /// Takes timers that are due out of the table.
    pub(super) async fn take_due(&self, horizon: Timestamp) -> Result<Vec<TimerRow>, StoreError> {
        self.statement("take due timers").await?;
        let due: Vec<TimerRow> = {
            let world = self.world.borrow();
            let timers = world.tables.timers.values();
            timers.filter(|timer| timer.due_at <= horizon).cloned().collect()
        };
        let free = |timer: &TimerRow| self.try_lock(&Row::Timer(timer.claim_id, timer.key.clone()));
        let taken: Vec<TimerRow> = due.into_iter().filter(free).collect();
        if !taken.is_empty() {
            self.world.borrow_mut().meets("timer row due");
        }
        let keys = taken.iter().map(|timer| ((timer.claim_id, timer.key.clone()), None));
        self.own.borrow_mut().timers.extend(keys);
        Ok(taken)
    }

    /// Commits. An error does not say whether it did.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.statement("commit").await?;
        let own = std::mem::take(&mut *self.own.borrow_mut());
        let lost = {
            let mut world = self.world.borrow_mut();
            world.apply(own);
            let rate = world.faults.lost_answer;
            world.chances(rate)
        };
        if lost {
            let mut world = self.world.borrow_mut();
            world.note(|| "the answer to COMMIT is lost".to_owned());
            world.meets("lost answer");
            return Err(transient("commit"));
        }
        Ok(())
    }
}

impl World {
    /// Makes what a transaction did the truth.
    fn apply(&mut self, own: Own) {
        let Own { claims, names, branches, timers, waiters, history, outbox, sent, deleted, ends } =
            own;
        for row in &history {
            let is_same = |known: &&HistoryRow| {
                known.claim_id == row.claim_id
                    && known.branch_id == row.branch_id
                    && known.revision == row.revision
                    && known.revision > 0
            };
            if self.tables.history.iter().any(|known| is_same(&known)) {
                let HistoryRow { claim_id, branch_id, revision, .. } = row;
                self.violation(format!("{claim_id}: step {branch_id}#{revision} is saved twice"));
            }
        }
        self.tables.claims.extend(claims);
        self.tables.names.extend(names);
        self.tables.history.extend(history);
        merge(&mut self.tables.branches, branches);
        merge(&mut self.tables.timers, timers);
        merge(&mut self.tables.waiters, waiters);
        merge(&mut self.tables.outbox, outbox);
        for claim_id in ends {
            *self.tables.ends.entry(claim_id).or_default() += 1;
        }
        for receipt in &deleted {
            self.queues.delete(receipt);
        }
        self.send(&sent);
    }
}

fn merge<K: Ord, V>(table: &mut BTreeMap<K, V>, changes: BTreeMap<K, Option<V>>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(table.insert(key, value)),
            None => drop(table.remove(&key)),
        }
    }
}

/// Whether a claim with this status may still begin or end.
pub(super) fn may_change(status: ClaimStatus, starts: bool) -> bool {
    status == ClaimStatus::Received || (status == ClaimStatus::Running && !starts)
}
