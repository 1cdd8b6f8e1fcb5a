//! What a step saves, in the modelled tables: each function is one of the statements of
//! [`fluxus_store::changes`].

use std::rc::Rc;

use fluxus_schema::{ClaimId, ClaimStatus};
use fluxus_store::claim::Intake;
use fluxus_store::{BranchRow, Changes, ClaimRow, StoreError};

use super::locks::{Mode, Row};
use super::operator::may_go_on;
use super::transaction::{Tx, may_change};
use super::world::Mutation;

impl Tx {
    pub(super) async fn accept(&self, changes: &Changes) -> Result<(), StoreError> {
        if changes.accept.intakes().is_empty() {
            return Ok(());
        }
        self.statement("accept claims").await?;
        for intake in changes.accept.intakes() {
            let id = intake.claim_id;
            self.lock(Row::Claim(id), Mode::Exclusive).await?;
            if self.claim(id).is_some() {
                self.world.borrow_mut().meets("conflict of claims");
                return Err(StoreError::Conflict { table: "claim", key: id.to_string() });
            }
            let mut row = intake.row();
            let ends = changes.end.iter().any(|end| end.claim_id == id);
            let start = changes.start.iter().find(|start| start.claim_id == id && !ends);
            if let Some(start) = start {
                row.status = ClaimStatus::Running;
                row.recipe = Some(start.recipe.clone());
                row.recipe_version = Some(start.recipe_version);
                row.started_at = Some(start.started_at);
            }
            self.own.borrow_mut().claims.insert(id, Rc::new(row));
        }
        Ok(())
    }

    pub(super) async fn redrive(&self, changes: &Changes) -> Result<(), StoreError> {
        if changes.redrive.is_empty() {
            return Ok(());
        }
        self.statement("redrive claims").await?;
        for one in &changes.redrive {
            let id = one.claim_id;
            self.lock(Row::Claim(id), Mode::Exclusive).await?;
            let goes_on =
                |row: &Rc<ClaimRow>| may_go_on(row) && row.redrive_count + 1 == one.redrive_count;
            let Some(row) = self.claim(id).filter(goes_on) else {
                self.world.borrow_mut().meets("conflict of claims");
                return Err(StoreError::Conflict { table: "claim", key: id.to_string() });
            };
            let row = ClaimRow {
                status: ClaimStatus::Running,
                error: None,
                cause: None,
                ended_at: None,
                redrive_count: one.redrive_count,
                redriven_at: Some(one.redriven_at),
                ..(*row).clone()
            };
            self.own.borrow_mut().claims.insert(id, Rc::new(row));
        }
        Ok(())
    }

    pub(super) async fn delete_trees(&self, changes: &Changes) -> Result<(), StoreError> {
        let goes =
            |id: ClaimId| changes.end.iter().any(|end| end.delete_branches && end.claim_id == id);
        let trees: Vec<_> = changes.delete_trees.iter().filter(|k| !goes(k.claim_id)).collect();
        if !trees.is_empty() {
            self.statement("delete branches with what is below").await?;
        }
        for top in trees {
            for key in self.branches(top.claim_id).into_keys() {
                if key == *top || key.branch_id.is_below(&top.branch_id) {
                    self.lock(Row::Branch(key.clone()), Mode::Exclusive).await?;
                    self.own.borrow_mut().branches.insert(key, None);
                }
            }
        }
        Ok(())
    }

    pub(super) async fn start_and_end(&self, changes: &Changes) -> Result<(), StoreError> {
        let accepted = |id: ClaimId| {
            let is_it = |intake: &Intake| intake.claim_id == id;
            changes.accept.intakes().iter().any(is_it)
                && !changes.end.iter().any(|end| end.claim_id == id)
        };
        let starts = changes.start.iter().map(|start| start.claim_id).filter(|id| !accepted(*id));
        let ids = starts.chain(changes.end.iter().map(|end| end.claim_id));
        let ids: std::collections::BTreeSet<ClaimId> = ids.collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.statement("start and end claims").await?;
        for id in ids {
            self.lock(Row::Claim(id), Mode::Exclusive).await?;
            let start = changes.start.iter().find(|start| start.claim_id == id);
            let end = changes.end.iter().find(|end| end.claim_id == id);
            let row = self.claim(id).filter(|row| may_change(row.status, start.is_some()));
            let Some(row) = row else {
                self.world.borrow_mut().meets("conflict of claims");
                return Err(StoreError::Conflict { table: "claim", key: id.to_string() });
            };
            let mut row = (*row).clone();
            row.status = ClaimStatus::Running;
            if let Some(start) = start {
                row.recipe = Some(start.recipe.clone());
                row.recipe_version = Some(start.recipe_version);
                row.started_at = Some(start.started_at);
            }
            let mut own = self.own.borrow_mut();
            if let Some(end) = end {
                row.status = end.status;
                row.output.clone_from(&end.output);
                row.error.clone_from(&end.error);
                row.cause.clone_from(&end.cause);
                row.ended_at = Some(end.ended_at);
                own.ends.push(id);
            }
            own.claims.insert(id, Rc::new(row));
        }
        Ok(())
    }

    /// Deletes what ended claims leave behind.
    pub(super) async fn clear_ended(&self, changes: &Changes) -> Result<(), StoreError> {
        if changes.end.is_empty() {
            return Ok(());
        }
        self.statement("clear up after ended claims").await?;
        for end in &changes.end {
            let keys = self.branches(end.claim_id).into_keys();
            for key in keys.filter(|_| end.delete_branches) {
                self.lock(Row::Branch(key.clone()), Mode::Exclusive).await?;
                self.own.borrow_mut().branches.insert(key, None);
            }
            let of = |key: &&(ClaimId, String)| key.0 == end.claim_id;
            let keys: Vec<_> = {
                let world = self.world.borrow();
                let own = self.own.borrow();
                world.tables.timers.keys().chain(own.timers.keys()).filter(of).cloned().collect()
            };
            for key in keys {
                self.clear_timer(key).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn save_branches(&self, changes: &Changes) -> Result<(), StoreError> {
        let goes =
            |id: ClaimId| changes.end.iter().any(|end| end.delete_branches && end.claim_id == id);
        let conflict =
            |row: &BranchRow| StoreError::Conflict { table: "branch", key: row.key().to_string() };
        let insert: Vec<_> = changes.insert.iter().filter(|row| !goes(row.claim_id)).collect();
        let update: Vec<_> = changes.update.iter().filter(|row| !goes(row.claim_id)).collect();
        let delete: Vec<_> = changes.delete.iter().filter(|key| !goes(key.claim_id)).collect();
        if !insert.is_empty() {
            self.statement("insert branches").await?;
        }
        for row in insert {
            self.lock(Row::Branch(row.key()), Mode::Exclusive).await?;
            if self.branch(&row.key()).is_some() {
                return Err(conflict(row));
            }
            self.own.borrow_mut().branches.insert(row.key(), Some(Rc::new(row.clone())));
        }
        if !update.is_empty() {
            self.statement("update branches").await?;
        }
        for row in update {
            self.lock(Row::Branch(row.key()), Mode::Exclusive).await?;
            let unchecked = self.world.borrow().mutation == Some(Mutation::NoRevisions);
            let known = self.branch(&row.key());
            if !known.is_some_and(|known| unchecked || known.revision < row.revision) {
                return Err(conflict(row));
            }
            self.own.borrow_mut().branches.insert(row.key(), Some(Rc::new(row.clone())));
        }
        if !delete.is_empty() {
            self.statement("delete branches").await?;
        }
        for key in delete {
            self.lock(Row::Branch(key.clone()), Mode::Exclusive).await?;
            self.own.borrow_mut().branches.insert(key.clone(), None);
        }
        Ok(())
    }

    pub(super) async fn save_timers(&self, changes: &Changes) -> Result<(), StoreError> {
        let ended = |id: ClaimId| changes.end.iter().any(|end| end.claim_id == id);
        let set: Vec<_> = changes.set_timers.iter().filter(|one| !ended(one.claim_id)).collect();
        if !set.is_empty() {
            self.statement("set timers").await?;
        }
        let is_broken = self.world.borrow().mutation == Some(Mutation::NoTimers);
        for timer in set.iter().filter(|_| !is_broken) {
            let key = (timer.claim_id, timer.key.clone());
            self.lock(Row::Timer(key.0, key.1.clone()), Mode::Exclusive).await?;
            self.own.borrow_mut().timers.insert(key, Some((*timer).clone()));
        }
        let is_set = |key: &&(ClaimId, String)| {
            set.iter().any(|timer| timer.claim_id == key.0 && timer.key == key.1)
        };
        let clear: Vec<_> = changes.clear_timers.iter().filter(|key| !is_set(key)).collect();
        if !clear.is_empty() {
            self.statement("clear timers").await?;
        }
        for key in clear {
            self.clear_timer(key.clone()).await?;
        }
        Ok(())
    }

    async fn clear_timer(&self, key: (ClaimId, String)) -> Result<(), StoreError> {
        let is_there = self.own.borrow().timers.contains_key(&key)
            || self.world.borrow().tables.timers.contains_key(&key);
        if is_there {
            self.lock(Row::Timer(key.0, key.1.clone()), Mode::Exclusive).await?;
            self.own.borrow_mut().timers.insert(key, None);
        }
        Ok(())
    }
}
