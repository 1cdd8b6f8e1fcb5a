//! The port of a step on the modelled tables. Each function does what its namesake in the store
//! does in SQL.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use fluxus_queue::Outgoing;

use fluxus_schema::{ClaimId, ClaimStatus, RecipeName, Tenant, Timestamp};
use fluxus_store::branch::{Join, Left, Pending};
use fluxus_store::claim::{Inserted, Intake, Namesake, Waiter};
use fluxus_store::recipe::{Definition, TypeRoute};
use fluxus_store::{
    BranchKey, BranchRow, BranchStatus, Changes, ClaimContext, ClaimRow, LoadedBranch, Message,
    StoreError,
};

use super::locks::{Mode, Row};
use super::tables::Unsent;
use super::transaction::Tx;
use super::world::{Footing, Mutation};
use crate::error::CoreError;
use crate::ledger::{Asked, Ledger};

/// Messages of a transaction, with their ids where they are in the outbox.
#[derive(Default)]
pub(super) struct Enqueued {
    pub(super) outbox_ids: Vec<i64>,
    pub(super) messages: Vec<Outgoing>,
}

impl Ledger for Tx {
    async fn lock_received(&self, ids: &[ClaimId]) -> Result<Vec<ClaimRow>, StoreError> {
        self.statement("lock received claims").await?;
        let waits = |row: &Rc<ClaimRow>| row.status == ClaimStatus::Received;
        let found = ids.iter().filter(|id| self.claim(**id).as_ref().is_some_and(waits));
        let mut found: Vec<ClaimId> = found.copied().collect();
        found.sort_unstable();
        let mut locked = Vec::new();
        for id in found {
            self.lock(Row::Claim(id), Mode::Exclusive).await?;
            locked.extend(self.claim(id).filter(waits).map(|row| (*row).clone()));
        }
        Ok(locked)
    }

    async fn lock_branches(
        &self,
        keys: &[BranchKey],
        with_descendants: &[BranchKey],
    ) -> Result<Vec<LoadedBranch>, StoreError> {
        self.statement("lock branches").await?;
        if keys.is_empty() && self.world.borrow().mutation == Some(Mutation::NoNewcomers) {
            return Ok(Vec::new());
        }
        // What the statement sees when it begins.
        let mut wanted: BTreeMap<BranchKey, bool> = BTreeMap::new();
        let mut claims: BTreeMap<ClaimId, Arc<ClaimContext>> = BTreeMap::new();
        for key in keys.iter().chain(with_descendants) {
            if self.branch(key).is_some() {
                wanted.insert(key.clone(), true);
            }
        }
        for top in with_descendants {
            for (key, row) in self.branches(top.claim_id) {
                if key.branch_id.is_below(&top.branch_id) && row.status != BranchStatus::Ended {
                    wanted.entry(key).or_insert(false);
                }
            }
        }
        for id in wanted.keys().map(|key| key.claim_id) {
            if let (Some(row), false) = (self.claim(id), claims.contains_key(&id)) {
                claims.insert(id, Arc::new(context(&row)?));
            }
        }
        let mut loaded = Vec::new();
        for (key, named) in wanted {
            if keys.is_empty() && !self.has(&Row::Branch(key.clone())) {
                self.world.borrow_mut().meets("newcomer");
            }
            self.lock(Row::Branch(key.clone()), Mode::Exclusive).await?;
            let row = self.branch(&key).filter(|row| named || row.status != BranchStatus::Ended);
            if let (Some(row), Some(claim)) = (row, claims.get(&key.claim_id)) {
                loaded.push(LoadedBranch { row: (*row).clone(), claim: claim.clone() });
            }
        }
        Ok(loaded)
    }

    async fn expect(&self, left: &[Left]) -> Result<(), StoreError> {
        if left.is_empty() {
            return Ok(());
        }
        self.statement("look whether branches are as they were left").await?;
        for one in left {
            self.lock(Row::Branch(one.key.clone()), Mode::Exclusive).await?;
            let is_as_left = self.branch(&one.key).is_some_and(|row| {
                (row.revision, row.changed_at) == (one.revision, one.changed_at)
            });
            let looks = self.world.borrow().mutation != Some(Mutation::Unexpecting);
            if looks && !is_as_left {
                self.world.borrow_mut().meets("branch that is not as it was left");
                return Err(StoreError::Conflict { table: "branch", key: one.key.to_string() });
            }
            self.world.borrow_mut().meets("branch at hand");
        }
        Ok(())
    }

    async fn lock_kept(&self, ids: &[ClaimId]) -> Result<Vec<LoadedBranch>, StoreError> {
        self.statement("lock kept branches").await?;
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        // What the statement sees when it begins.
        let mut wanted = Vec::new();
        for id in ids {
            let keys: Vec<_> = self.branches(id).into_keys().collect();
            if let (Some(claim), false) = (self.claim(id), keys.is_empty()) {
                wanted.push((Arc::new(context(&claim)?), keys));
            }
        }
        let mut loaded = Vec::new();
        for (claim, keys) in wanted {
            for key in keys {
                self.lock(Row::Branch(key.clone()), Mode::Exclusive).await?;
                let (row, claim) = (self.branch(&key), claim.clone());
                loaded.extend(row.map(|row| LoadedBranch { row: (*row).clone(), claim }));
            }
        }
        Ok(loaded)
    }

    async fn join(&self, parents: &[Join]) -> Result<Vec<BranchRow>, StoreError> {
        self.statement("join branches").await?;
        let mut joined = BTreeMap::new();
        for Join { claim_id, parent, parent_revision } in parents {
            let is_child = |row: &Rc<BranchRow>| {
                row.parent.as_ref() == Some(parent) && row.parent_revision == *parent_revision
            };
            let children: Vec<_> =
                self.branches(*claim_id).into_values().filter(is_child).collect();
            if children.iter().all(|row| row.status == BranchStatus::Ended) {
                let of = |row: Rc<BranchRow>| {
                    ((row.claim_id, parent.clone(), row.position), (*row).clone())
                };
                joined.extend(children.into_iter().map(of));
            }
        }
        Ok(joined.into_values().collect())
    }

    async fn take_pending(&self, wanted: &[Pending]) -> Result<Vec<BranchRow>, StoreError> {
        self.statement("take pending branches").await?;
        let mut taken = Vec::new();
        for Pending { claim_id, parent, parent_revision, how_many } in wanted {
            let is_pending = |row: &Rc<BranchRow>| {
                row.status == BranchStatus::Pending
                    && row.parent.as_ref() == Some(parent)
                    && row.parent_revision == *parent_revision
            };
            let mut pending: Vec<_> =
                self.branches(*claim_id).into_values().filter(is_pending).collect();
            pending.sort_by_key(|row| row.position);
            let is_free = |row: &Rc<BranchRow>| self.try_lock(&Row::Branch(row.key()));
            let free = pending.into_iter().filter(is_free);
            let free: Vec<_> = free.take(usize::try_from(*how_many).unwrap_or(0)).collect();
            for row in free {
                let row = BranchRow { status: BranchStatus::Open, ..(*row).clone() };
                self.own.borrow_mut().branches.insert(row.key(), Some(Rc::new(row.clone())));
                taken.push(row);
            }
        }
        Ok(taken)
    }

    async fn still_pending(&self, wanted: Vec<Pending>) -> Result<Vec<Pending>, StoreError> {
        self.statement("look for pending branches").await?;
        let is_pending = |one: &Pending| {
            self.branches(one.claim_id).values().any(|row| {
                row.status == BranchStatus::Pending
                    && row.parent.as_ref() == Some(&one.parent)
                    && row.parent_revision == one.parent_revision
            })
        };
        let held: Vec<_> = wanted.into_iter().filter(is_pending).collect();
        if !held.is_empty() {
            self.world.borrow_mut().meets("item that somebody holds");
        }
        Ok(held)
    }

    async fn routes(&self, ids: &[ClaimId]) -> Result<Vec<TypeRoute>, StoreError> {
        self.statement("find recipes for claims").await?;
        let claims: Vec<_> = ids.iter().filter_map(|id| self.claim(*id)).collect();
        let world = self.world.borrow();
        let outside = claims.iter().filter(|claim| claim.origin.is_none());
        let routes =
            outside.filter_map(|claim| world.tables.route(&claim.tenant, &claim.claim_type));
        Ok(routes.cloned().collect())
    }

    async fn definitions(
        &self,
        versions: &[(Tenant, RecipeName, i32)],
    ) -> Result<Vec<Definition>, StoreError> {
        self.statement("read definitions").await?;
        let world = self.world.borrow();
        let find = |(tenant, name, version): &(Tenant, RecipeName, i32)| {
            world.tables.version(tenant, name, Some(*version)).cloned()
        };
        Ok(versions.iter().filter_map(find).collect())
    }

    async fn versions(&self, asked: &[Asked]) -> Result<HashMap<Asked, i32>, StoreError> {
        self.statement("find recipe versions").await?;
        let world = self.world.borrow();
        let find = |asked: &Asked| {
            let (tenant, name, version) = asked;
            let found = world.tables.version(tenant, name, *version)?;
            Some((asked.clone(), found.version))
        };
        Ok(asked.iter().filter_map(find).collect())
    }

    async fn insert_claims(&self, intakes: &[Intake]) -> Result<Vec<Inserted>, StoreError> {
        self.statement("insert claims").await?;
        let mut order: Vec<&Intake> = intakes.iter().collect();
        order.sort_by_key(|one| (one.tenant.clone(), one.claim.idempotency_key.clone()));
        let mut fresh = Vec::new();
        for intake in order {
            let key = intake.claim.idempotency_key.clone();
            let name = key.map(|key| (intake.tenant.clone(), key));
            self.lock(Row::Claim(intake.claim_id), Mode::Exclusive).await?;
            if let Some((tenant, key)) = name.clone() {
                self.lock(Row::Name(tenant, key), Mode::Exclusive).await?;
            }
            let is_known = name.as_ref().is_some_and(|name| self.named(name).is_some());
            if !is_known && self.claim(intake.claim_id).is_none() {
                let mut own = self.own.borrow_mut();
                own.claims.insert(intake.claim_id, Rc::new(intake.row()));
                own.names.extend(name.map(|name| (name, intake.claim_id)));
                fresh.push(intake.claim_id);
            }
        }
        if fresh.len() < intakes.len() {
            self.statement("find known claims").await?;
        }
        let answer = |intake: &Intake| {
            let key = intake.claim.idempotency_key.clone();
            let named = key.and_then(|key| self.named(&(intake.tenant.clone(), key)));
            let claim_id = named.unwrap_or(intake.claim_id);
            let place = fresh.iter().position(|id| *id == claim_id);
            if let Some(place) = place.filter(|_| claim_id == intake.claim_id) {
                fresh.swap_remove(place);
                return Ok(Inserted { claim_id, status: ClaimStatus::Received, duplicate: false });
            }
            match self.claim(claim_id) {
                Some(row) => Ok(Inserted { claim_id, status: row.status, duplicate: true }),
                None => Err(StoreError::Conflict { table: "claim", key: claim_id.to_string() }),
            }
        };
        intakes.iter().map(answer).collect()
    }

    async fn hold_claims(&self, ids: &[ClaimId]) -> Result<Vec<Namesake>, StoreError> {
        self.statement("hold claims").await?;
        self.world.borrow_mut().meets("name that is taken");
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        let mut held = Vec::new();
        for id in ids {
            if self.world.borrow().mutation != Some(Mutation::NoHold) {
                self.lock(Row::Claim(id), Mode::Shared).await?;
            }
            held.extend(self.claim(id).map(|row| Namesake {
                claim_id: id,
                status: row.status,
                body: row.body.clone(),
                received_at: row.received_at,
            }));
        }
        Ok(held)
    }

    async fn wait(&self, waiters: &[Waiter]) -> Result<(), StoreError> {
        self.statement("insert waiters").await?;
        let entry = |one: &Waiter| ((one.claim_id, one.token.clone()), Some(one.clone()));
        self.own.borrow_mut().waiters.extend(waiters.iter().map(entry));
        Ok(())
    }

    async fn take_waiters(&self, ids: &[ClaimId]) -> Result<Vec<Waiter>, StoreError> {
        self.statement("take waiters").await?;
        let world = self.world.borrow();
        let mut own = self.own.borrow_mut();
        let of = |one: &&Waiter| ids.contains(&one.claim_id);
        let committed = world.tables.waiters.values().filter(of);
        let mine = own.waiters.values().flatten().filter(of);
        let taken: Vec<Waiter> = committed.chain(mine).cloned().collect();
        let gone = taken.iter().map(|one| ((one.claim_id, one.token.clone()), None));
        own.waiters.extend(gone);
        Ok(taken)
    }

    async fn save(&self, changes: &Changes) -> Result<(), StoreError> {
        if !changes.payloads.is_empty() {
            let what = "a document is put apart, which the model does not read";
            self.world.borrow_mut().violation(what.to_owned());
        }
        self.accept(changes).await?;
        self.redrive(changes).await?;
        self.delete_trees(changes).await?;
        self.start_and_end(changes).await?;
        self.clear_ended(changes).await?;
        self.save_branches(changes).await?;
        self.save_timers(changes).await?;
        if !changes.history.is_empty() {
            self.statement("record history").await?;
            self.own.borrow_mut().history.extend_from_slice(&changes.history);
        }
        Ok(())
    }
}

impl Tx {
    /// Puts messages into the transaction.
    pub(super) async fn enqueue(
        &self,
        messages: Vec<Message>,
        now: Timestamp,
    ) -> Result<Enqueued, CoreError> {
        if messages.is_empty() {
            return Ok(Enqueued::default());
        }
        self.statement("enqueue").await?;
        let outgoing: Vec<_> = messages.iter().map(|one| one.outgoing.clone()).collect();
        outgoing.iter().try_for_each(Outgoing::check)?;
        let mut world = self.world.borrow_mut();
        let mut own = self.own.borrow_mut();
        if world.footing == Footing::Joined {
            own.sent.extend(outgoing);
            return Ok(Enqueued::default());
        }
        let mut outbox_ids = Vec::with_capacity(messages.len());
        for message in messages {
            let id = world.outbox_id();
            if world.mutation != Some(Mutation::NoOutbox) {
                own.outbox.insert(id, Some(Unsent { message, created_at: now }));
            }
            outbox_ids.push(id);
        }
        Ok(Enqueued { outbox_ids, messages: outgoing })
    }

    /// The claim with an idempotency key.
    fn named(&self, name: &(Tenant, String)) -> Option<ClaimId> {
        let own = self.own.borrow().names.get(name).copied();
        own.or_else(|| self.world.borrow().tables.names.get(name).copied())
    }
}

fn context(row: &ClaimRow) -> Result<ClaimContext, StoreError> {
    let gone = || StoreError::Corrupt {
        table: "claim",
        key: row.claim_id.to_string(),
        column: "recipe",
        source: "it has branches and has not begun".into(),
    };
    Ok(ClaimContext {
        claim_id: row.claim_id,
        tenant: row.tenant.clone(),
        claim_type: row.claim_type.clone(),
        status: row.status,
        body: row.body.clone(),
        seed: row.seed,
        recipe: row.recipe.clone().ok_or_else(gone)?,
        recipe_version: row.recipe_version.ok_or_else(gone)?,
        started_at: row.started_at.ok_or_else(gone)?,
        received_at: row.received_at,
        traceparent: row.traceparent.clone(),
        origin: row.origin.clone(),
        deadline: row.deadline,
        priority: row.priority,
        redrive_count: row.redrive_count,
        redriven_at: row.redriven_at,
    })
}
