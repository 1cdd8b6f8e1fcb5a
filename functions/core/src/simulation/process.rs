//! The processes of the core: a worker that deals with one batch, and one sweep.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use fluxus_machine::Branch;
use fluxus_queue::{Outgoing, Receipt, Received};
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{TaskToken, Timestamp};
use fluxus_store::BranchKey;
use fluxus_store::branch::Unserved;
use fluxus_store::claim::{Accepted, Intake};

use super::ledger::Enqueued;
use super::locks::Row;
use super::transaction::{Tx, transient};
use super::world::{CORE, Footing, Mutation, Shared, pause};
use crate::Sweeps;
use crate::at_hand::AtHand;
use crate::batch::{Expects, Step, Stepper, Transact, deal};
use crate::error::CoreError;
use crate::inbox::{Inbox, Item};
use crate::ledger::Ledger as _;
use crate::prepared::Loaded;
use crate::recipes::Recipes;
use crate::registry::Registry;
use crate::retries::Retries;
use crate::sweep::{OUTBOX_GRACE, answers, before, due_messages, questions};
use crate::take_in::submitted;

/// How long a batch may take before its messages come again, in milliseconds.
const VISIBILITY: i64 = 15_000;

/// Most messages of a batch: few, so that several workers have some.
const MAX_BATCH: usize = 6;

/// A process with a clock of its own.
pub(super) struct Process {
    world: Shared,
    /// How far its clock is ahead, in milliseconds.
    pub(super) skew: i64,
    recipes: Rc<Recipes>,
    registry: Registry,
    retries: Retries,
    at_hand: AtHand,
    /// Few enough that a small Map takes several steps to begin.
    begin_at_most: usize,
}

impl Process {
    pub(super) fn new(world: Shared, skew: i64, recipes: Rc<Recipes>) -> Self {
        let registry = Registry::new(world.borrow().footing.sweeps());
        let begin_at_most = 1 + world.borrow_mut().chance.below(4);
        let (retries, at_hand) = (Retries::default(), AtHand::default());
        Self { world, skew, recipes, registry, retries, at_hand, begin_at_most }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.world.borrow().now + self.skew)
    }

    fn footing(&self) -> Footing {
        self.world.borrow().footing
    }

    fn stepper(&self) -> Stepper<'_> {
        let rides = match self.footing().sweeps() {
            Sweeps::Every(rhythm) => Some(2 * rhythm),
            Sweeps::WhenDue => None,
        };
        let begin_at_most = self.begin_at_most;
        let (recipes, registry, retries) = (&*self.recipes, &self.registry, &self.retries);
        Stepper { recipes, registry, retries, at_hand: &self.at_hand, rides, begin_at_most }
    }

    /// Looks at the fluxlings that are there.
    fn look(&self) {
        let registered = self.world.borrow().registered.clone();
        self.registry.see(registered, &HashMap::new());
    }

    /// Takes a batch and deals with it.
    pub(super) async fn work(self: Rc<Self>) {
        if self.world.borrow_mut().chances(2) || self.registry.queues().is_empty() {
            self.look();
        }
        if self.takes_in() {
            self.take_in().await;
            return;
        }
        if self.footing() == Footing::Joined && self.work_joined().await.is_ok() {
            return;
        }
        pause().await;
        let batch = {
            let mut world = self.world.borrow_mut();
            let world = &mut *world;
            let at_most = 1 + world.chance.below(MAX_BATCH);
            let ready = world.queues.ready(|queue| *queue == *CORE, world.now).collect();
            let when = (world.now, VISIBILITY);
            world.queues.receive(ready, at_most, when, &mut world.chance)
        };
        if batch.is_empty() {
            return;
        }
        self.note_batch("receives", &batch);
        if self.world.borrow().mutation == Some(Mutation::DeletesFirst) {
            batch.iter().for_each(|one| self.world.borrow_mut().queues.delete(&one.receipt));
        }
        let handled = deal(&*self, batch, None).await;
        for (_, reason) in &handled.failed {
            let is_expected = reason.contains("was changed meanwhile")
                || reason.starts_with("not a message to the core");
            if !is_expected {
                self.world.borrow_mut().violation(format!("a message is not handled: {reason}"));
            }
        }
        if self.footing() != Footing::Joined {
            pause().await;
            let mut world = self.world.borrow_mut();
            let rate = world.faults.transient;
            if !world.chances(rate) {
                handled.done.iter().for_each(|receipt| world.queues.delete(receipt));
            }
        }
    }

    fn takes_in(&self) -> bool {
        let mut world = self.world.borrow_mut();
        let has_core = world.queues.ready(|queue| *queue == *CORE, world.now).next().is_some();
        !world.coming.is_empty() && (!has_core || world.chances(2))
    }

    /// Takes claims in and begins them; where that fails, has them written and told of. A client whose
    /// process dies submits its claim again.
    async fn take_in(&self) {
        let intakes: Vec<Intake> = {
            let mut world = self.world.borrow_mut();
            let at_most = 1 + world.chance.below(3);
            world.coming.iter().take(at_most).cloned().collect()
        };
        let begun = self.begin(&intakes).await;
        let mut world = self.world.borrow_mut();
        if let Err(error) = begun {
            world.note(|| format!("claims are written first: {error}"));
            intakes.iter().for_each(|intake| world.take_in(intake));
        }
        let is_in = |one: &Intake| intakes.iter().any(|intake| intake.claim_id == one.claim_id);
        world.coming.retain(|one| !is_in(one));
    }

    async fn begin(&self, intakes: &[Intake]) -> Result<(), CoreError> {
        let tx = Tx::begin(&self.world);
        tx.statement("find recipes for types of claims").await?;
        let is_new = |intake: &&Intake| tx.claim(intake.claim_id).is_none();
        let new: Vec<_> = intakes.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let route = |intake: &Intake| {
            let world = self.world.borrow();
            world.tables.route(&intake.tenant, &intake.claim.claim_type).cloned()
        };
        let routes = new.iter().filter_map(route).collect();
        let received = new.iter().map(Intake::row).collect();
        let loaded = Loaded { received, routes, ..Loaded::default() };
        let items: Vec<_> = new.iter().map(submitted).collect();
        let (now, stepper) = (self.now(), self.stepper());
        let mut step = stepper.settle(Expects::new(&tx, Vec::new()), &items, loaded, now).await?;
        step.changes.accept = Accepted::new(new, &mut step.changes.payloads)?;
        self.world.borrow_mut().meets("claim that begins as it comes in");
        self.commit(tx, step, now).await
    }

    /// The queue is in the same database, so the batch is taken in the transaction.
    async fn work_joined(&self) -> Result<(), CoreError> {
        let tx = Tx::begin(&self.world);
        tx.statement("take messages").await?;
        let (ready, at_most): (Vec<u64>, usize) = {
            let mut world = self.world.borrow_mut();
            let at_most = 1 + world.chance.below(MAX_BATCH);
            let mut ready: Vec<u64> =
                world.queues.ready(|queue| *queue == *CORE, world.now).collect();
            let turn = world.chance.below(ready.len());
            ready.rotate_left(turn);
            (ready, at_most)
        };
        let batch = tx.take(ready, at_most);
        if batch.is_empty() {
            return Ok(());
        }
        self.note_batch("takes", &batch);
        let Inbox { items, unreadable } = Inbox::read(batch);
        if let Some((_, reason)) = unreadable.into_iter().next() {
            return Err(CoreError::Unreadable(reason));
        }
        let items = self.mutated(&items);
        let now = self.now();
        let step = self.stepper().step(&tx, &items, now).await?;
        self.commit(tx, step, now).await
    }

    /// Puts a step in its transaction and commits.
    async fn commit(&self, tx: Tx, step: Step, now: Timestamp) -> Result<(), CoreError> {
        let Step { left, changes, messages, told } = step;
        tx.expect(&left).await?;
        tx.save(&changes).await?;
        let enqueued = tx.enqueue(messages, now).await?;
        tx.commit().await?;
        self.at_hand.keep(changes.insert.into_iter().chain(changes.update), told.waits);
        self.registry.note(&told.given, &told.answered);
        self.retries.note(&told.answered, self.now());
        self.committed(enqueued).await;
        Ok(())
    }

    fn note_batch(&self, verb: &str, batch: &[Received]) {
        for one in batch {
            self.world.borrow_mut().note(|| format!("{verb} {} {}", one.receipt.0, one.body));
        }
    }

    /// Sends what waited for the commit.
    async fn committed(&self, enqueued: Enqueued) {
        let Enqueued { outbox_ids, messages } = enqueued;
        if messages.is_empty() {
            return;
        }
        pause().await;
        {
            let mut world = self.world.borrow_mut();
            let rate = world.faults.transient;
            if world.chances(rate) {
                world.note(|| "messages stay in the outbox".to_owned());
                return;
            }
            world.send(&messages);
        }
        pause().await;
        let mut world = self.world.borrow_mut();
        outbox_ids.iter().for_each(|id| drop(world.tables.outbox.remove(id)));
    }

    /// What the core makes of messages where it is broken on purpose.
    fn mutated(&self, items: &[Item]) -> Vec<Item> {
        let mut items = items.to_vec();
        let mutation = self.world.borrow().mutation;
        if mutation.is_none() {
            return items;
        }
        for item in &mut items {
            let at = item.address.clone();
            match &mut item.message {
                CoreMessage::ClaimRedriven { claim_id, redrive_count }
                    if mutation == Some(Mutation::AnyRedrive) =>
                {
                    let world = self.world.borrow();
                    let claim = world.tables.claims.get(claim_id);
                    *redrive_count = claim.map_or(0, |claim| claim.redrive_count + 1);
                }
                CoreMessage::Stopped { redrive_count, .. }
                    if mutation == Some(Mutation::AnyRun) =>
                {
                    *redrive_count = None;
                }
                CoreMessage::TaskRetried { claim_id, branch_id, revision, .. }
                | CoreMessage::TaskSkipped { claim_id, branch_id, revision, .. }
                    if mutation == Some(Mutation::AnyTask) =>
                {
                    let key = BranchKey { claim_id: *claim_id, branch_id: branch_id.clone() };
                    let branch: Option<Branch> = self.branch(&key);
                    let handles = branch.and_then(|branch| branch.handles());
                    *revision = handles.map_or(*revision, |handles| handles.revision);
                }
                CoreMessage::TaskSucceeded { token, .. }
                | CoreMessage::TaskFailed { token, .. }
                    if mutation == Some(Mutation::AnyToken) =>
                {
                    let Some(at) = at else { continue };
                    let key = BranchKey { claim_id: at.claim_id, branch_id: at.branch_id };
                    let waits = self.branch::<serde_json::Value>(&key).and_then(|state| {
                        Some(state["status"]["task"]["token"].as_str()?.to_owned())
                    });
                    if let Some(waits) = waits {
                        *token = TaskToken::from_text(&waits);
                        item.address = token.address().ok();
                    }
                }
                _ => {}
            }
        }
        items
    }

    fn branch<T: serde::de::DeserializeOwned>(&self, key: &BranchKey) -> Option<T> {
        let world = self.world.borrow();
        serde_json::from_str(&world.tables.branches.get(key)?.state).ok()
    }

    /// Sweeps once. What fails is swept the next time.
    pub(super) async fn sweep(self: Rc<Self>) {
        self.look();
        let swept = self.try_sweep().await;
        if let Err(error) = swept {
            self.world.borrow_mut().note(|| format!("the sweep ends: {error}"));
        }
    }

    async fn try_sweep(&self) -> Result<(), CoreError> {
        self.sweep_timers().await?;
        if self.footing() != Footing::Joined {
            self.relay().await?;
        }
        self.sweep_dead_letters().await?;
        self.sweep_unserved().await
    }

    async fn sweep_timers(&self) -> Result<(), CoreError> {
        let tx = Tx::begin(&self.world);
        let now = self.now();
        let due = tx.take_due(now.plus(self.footing().sweeps().ahead())).await?;
        if due.is_empty() {
            return Ok(());
        }
        let enqueued = tx.enqueue(due_messages(due, now)?, now).await?;
        tx.commit().await?;
        self.committed(enqueued).await;
        Ok(())
    }

    /// Sends what was committed and never sent.
    async fn relay(&self) -> Result<(), CoreError> {
        let tx = Tx::begin(&self.world);
        tx.statement("take unsent messages").await?;
        let now = self.now();
        let older_than = before(now, OUTBOX_GRACE);
        let unsent: Vec<(i64, Outgoing)> = {
            let world = self.world.borrow();
            let old = world.tables.outbox.iter().filter(|(_, one)| one.created_at < older_than);
            let outgoing = |(id, one): (&i64, &super::tables::Unsent)| {
                let mut outgoing = one.message.outgoing.clone();
                outgoing.delay = outgoing.delay.saturating_sub(now.since(one.created_at));
                (*id, outgoing)
            };
            old.map(outgoing).collect()
        };
        let unsent: Vec<_> =
            unsent.into_iter().filter(|(id, _)| tx.try_lock(&Row::Outbox(*id))).collect();
        if unsent.is_empty() {
            return Ok(());
        }
        self.world.borrow_mut().meets("message left in the outbox");
        self.send(unsent.iter().map(|(_, one)| one.clone()).collect()).await?;
        tx.own.borrow_mut().outbox.extend(unsent.into_iter().map(|(id, _)| (id, None)));
        tx.commit().await?;
        Ok(())
    }

    async fn sweep_dead_letters(&self) -> Result<(), CoreError> {
        pause().await;
        let letters = self.world.borrow().queues.unreported();
        if letters.is_empty() {
            return Ok(());
        }
        self.world.borrow_mut().meets("dead letter");
        self.send(answers(&letters, &self.registry, &CORE)?).await?;
        pause().await;
        self.world.borrow_mut().queues.mark_reported(&letters);
        Ok(())
    }

    async fn sweep_unserved(&self) -> Result<(), CoreError> {
        pause().await;
        let offered = self.registry.offered(self.now());
        let found: Vec<Unserved> = {
            let world = self.world.borrow();
            let unserved = |row: &Rc<fluxus_store::BranchRow>| {
                let (key, tenant) = (row.key(), row.tenant.clone());
                Some(Unserved { key, tenant, capability: row.unserved.clone()? })
            };
            world.tables.branches.values().filter_map(unserved).collect()
        };
        let questions = questions(found, &offered, &CORE)?;
        if questions.is_empty() {
            return Ok(());
        }
        self.world.borrow_mut().meets("task that waited for a fluxling");
        self.send(questions).await
    }

    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), CoreError> {
        pause().await;
        let mut world = self.world.borrow_mut();
        let rate = world.faults.transient;
        if world.chances(rate) {
            return Err(transient("queue").into());
        }
        world.send(&messages);
        Ok(())
    }
}

impl Transact for Process {
    async fn transact(&self, items: &[Item]) -> Result<(), CoreError> {
        let tx = Tx::begin(&self.world);
        let items = self.mutated(items);
        let now = self.now();
        let step = self.stepper().step(&tx, &items, now).await?;
        if self.footing() == Footing::Joined {
            let receipts: Vec<Receipt> = items.iter().map(|item| item.receipt.clone()).collect();
            tx.delete_messages(&receipts).await?;
        }
        self.commit(tx, step, now).await
    }
}

/// How long a sweep waits for a sender, in milliseconds.
pub(super) fn grace() -> i64 {
    millis(OUTBOX_GRACE)
}

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
