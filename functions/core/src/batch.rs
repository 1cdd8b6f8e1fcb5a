//! A batch: load, step, save, send; one transaction.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use fluxus_queue::{PostgresQueue, Receipt, Received, Taken};
use fluxus_schema::{ClaimId, ClaimStatus, FluxlingName, Timestamp};
use fluxus_store::branch::Left;
use fluxus_store::changes::Outcome;
use fluxus_store::{
    BranchKey, Changes, ClaimContext, Enqueued, LoadedBranch, Message, Outbound, Transaction,
    branch, changes,
};
use futures::FutureExt as _;
use tokio::time::Instant;

use crate::Core;
use crate::at_hand::{AtHand, Waits, left};
use crate::clock;
use crate::error::{CoreError, chain};
use crate::inbox::{Inbox, Item, needs};
use crate::ledger::{Joint, Ledger};
use crate::measure;
use crate::nested;
use crate::planner::{BEGIN_AT_MOST, Plan, Planner, missing};
use crate::prepared::{Loaded, load_recipes, prepare};
use crate::recipes::Recipes;
use crate::registry::{Answered, Registry};
use crate::retries::Retries;

/// How often a batch is tried that met something transient: a lost connection, a deadlock, another
/// batch that was quicker. Past it the messages come back by their visibility timeout.
const MAX_TRIES: usize = 5;

/// What became of a batch's messages.
#[derive(Debug, Default, PartialEq)]
pub struct Handled {
    /// Dealt with.
    pub done: Vec<Receipt>,
    /// Not dealt with, and why. They come again, and end as dead letters.
    pub failed: Vec<(Receipt, String)>,
    /// Whether those dealt with are deleted from the queue already.
    pub deleted: bool,
}

/// What a batch comes to, to be put in its transaction with the commit.
pub(crate) struct Step {
    /// What must still be as it was left.
    pub(crate) left: Vec<Left>,
    pub(crate) changes: Changes,
    pub(crate) messages: Vec<Message>,
    pub(crate) told: Told,
}

/// What is to be told once it is committed.
pub(crate) struct Told {
    pub(crate) given: Vec<(FluxlingName, i64)>,
    pub(crate) answered: Vec<Answered>,
    /// What became of claims that ended.
    ended: Vec<Outcome>,
    /// Outcomes of claims that ended, where somebody counts them.
    ends: Vec<ClaimStatus>,
    /// States that were entered.
    transitions: u64,
    /// Branches that wait for a task.
    pub(crate) waits: Vec<Waits>,
}

/// What there was to take.
pub(crate) enum Next {
    /// Messages; they are dealt with.
    Handled,
    /// None: wait until the queue says that there may be some.
    Nothing,
}

impl Core {
    /// Deals with a batch of messages: all in one transaction; where that fails for good, each on
    /// its own, so that a bad message harms no other.
    pub async fn handle(&self, batch: Vec<Received>) -> Handled {
        self.handle_until(batch, None).await
    }

    /// The same, with an end: what is not committed by then is rolled back and comes again.
    pub async fn handle_until(&self, batch: Vec<Received>, until: Option<Instant>) -> Handled {
        let deleted = self.deletes();
        Handled { deleted, ..deal(self, batch, until).await }
    }

    /// Whether messages are deleted in the transaction that deals with them.
    fn deletes(&self) -> bool {
        matches!(self.outbound(), Outbound::Joined(_))
    }

    /// Takes what is ready from a queue in the same database and deals with it, all in one
    /// transaction: a message is deleted by being taken, and is back at once if this fails.
    ///
    /// # Errors
    /// [`CoreError`]; receive the messages and [`handle`](Self::handle) them, so that tries are
    /// counted and a bad message is told from its neighbours.
    pub(crate) async fn handle_next(
        &self,
        queue: &PostgresQueue,
        at_most: usize,
        visibility: Duration,
    ) -> Result<Next, CoreError> {
        let next = self.transact_next(queue, at_most, visibility);
        let taken = AssertUnwindSafe(next).catch_unwind().await;
        taken.unwrap_or_else(|panic| Err(CoreError::Panicked(panic_text(&*panic))))
    }

    async fn transact_next(
        &self,
        queue: &PostgresQueue,
        at_most: usize,
        visibility: Duration,
    ) -> Result<Next, CoreError> {
        let Some(due) = queue.due(self.core_queue(), at_most, visibility) else {
            return Ok(Next::Nothing);
        };
        let mut session = self.store().session().await?;
        let tx = session.begin().await?;
        let Taken { messages, more } = queue.take_in(&tx, &due, at_most).await?;
        if messages.is_empty() {
            due.settle();
            return Ok(Next::Nothing);
        }
        let Inbox { items, unreadable } = Inbox::read(messages);
        if let Some((_, reason)) = unreadable.into_iter().next() {
            return Err(CoreError::Unreadable(reason));
        }
        // The time is read only now: it must not be earlier than what the messages tell of.
        let now = clock::now();
        let step = Box::pin(self.stepper().step(&Joint { tx: &tx }, &items, now)).await?;
        let (enqueued, told) = self.commit(tx, step, &due.receipts(), now).await?;
        due.settle();
        drop(session);
        if more {
            // Whoever waits was told of none of the rest.
            queue.wake([self.core_queue()]);
        }
        self.committed(enqueued, told).await;
        self.refresh_in_turn().await;
        Ok(Next::Handled)
    }

    /// Saves a step, sends its messages, deletes those that it dealt with, and commits: all of it is
    /// sent at once.
    pub(crate) async fn commit(
        &self,
        tx: Transaction<'_>,
        step: Step,
        done: &[Receipt],
        now: Timestamp,
    ) -> Result<(Enqueued, Told), CoreError> {
        let Step { left, changes, messages, mut told } = step;
        let departing = self.outbound().departing(messages, now)?;
        let mut statements: Vec<_> = branch::expecting(&left).into_iter().collect();
        if let Outbound::Joined(queue) = self.outbound()
            && !done.is_empty()
        {
            statements.push(queue.deleting(done));
        }
        statements.extend(changes::statements(&changes));
        statements.extend(departing.statements());
        // On the heap, once for each batch: within each other, the futures of a batch are too large
        // for the stack of a worker thread in a build that is not optimised.
        let answers = Box::pin(tx.commit_with(&statements)).await?;
        drop(statements);
        let rows = changes.insert.into_iter().chain(changes.update);
        self.0.at_hand.keep(rows, std::mem::take(&mut told.waits));
        Ok((departing.enqueued(answers.last())?, told))
    }

    pub(crate) fn stepper(&self) -> Stepper<'_> {
        let inner = &self.0;
        Stepper {
            recipes: &inner.recipes,
            registry: &inner.registry,
            retries: &inner.retries,
            at_hand: &inner.at_hand,
            rides: self.rides(),
            begin_at_most: BEGIN_AT_MOST,
        }
    }

    /// Tells those whom it concerns what was committed.
    pub(crate) async fn committed(&self, enqueued: Enqueued, told: Told) {
        let Told { given, answered, ended, ends, transitions, .. } = told;
        measure::committed(&ends, transitions, &answered);
        self.0.registry.note(&given, &answered);
        self.0.retries.note(&answered, clock::now());
        self.outbound().committed(enqueued).await;
        if !ended.is_empty() {
            (self.0.parts.on_ended)(ended);
        }
    }

    /// Looks at the fluxlings again where that is due: between batches, with nobody waiting for it.
    async fn refresh_in_turn(&self) {
        if self.0.registry.is_stale() {
            self.refresh_registry().await;
        }
    }

    /// Has all branches read again: too many of those at hand are not as they were left.
    pub(crate) fn forget_at_hand(&self) {
        self.0.at_hand.forget();
    }

    async fn agree_on_time(&self) -> Result<(), CoreError> {
        let session = self.store().database().relaxed().session().await?;
        Ok(fluxus_store::clock::agree(&session).await?)
    }

    /// Looks at the fluxlings again, and at the time. The picture it has serves on where that fails.
    pub(crate) async fn refresh_registry(&self) {
        if let Err(error) = self.agree_on_time().await {
            tracing::warn!(error = chain(&error), "cannot ask the database for the time");
        }
        let queue = self.outbound().queue();
        if let Err(error) = self.0.registry.refresh(self.store(), &*queue).await {
            tracing::warn!(error = chain(&error), "cannot look at the fluxlings");
        }
    }
}

impl Transact for Core {
    async fn transact(&self, items: &[Item]) -> Result<(), CoreError> {
        let mut session = self.store().session().await?;
        let tx = session.begin().await?;
        let now = clock::now();
        let step = Box::pin(self.stepper().step(&Joint { tx: &tx }, items, now)).await?;
        let receipts: Vec<_> = items.iter().map(|item| item.receipt.clone()).collect();
        let (enqueued, told) = self.commit(tx, step, &receipts, now).await?;
        drop(session);
        self.committed(enqueued, told).await;
        self.refresh_in_turn().await;
        Ok(())
    }
}

/// Deals with messages in one transaction.
pub(crate) trait Transact {
    /// All of them, or none.
    ///
    /// # Errors
    /// [`CoreError`]; where it is transient, nothing or everything was committed.
    async fn transact(&self, items: &[Item]) -> Result<(), CoreError>;
}

/// Deals with a batch of messages: all in one transaction; where that fails for good, each on its
/// own, so that a bad message harms no other.
pub(crate) async fn deal(
    on: &impl Transact,
    batch: Vec<Received>,
    until: Option<Instant>,
) -> Handled {
    let Inbox { items, unreadable } = Inbox::read(batch);
    let mut handled = Handled::default();
    for (receipt, reason) in unreadable {
        tracing::warn!(reason, "cannot read a message");
        handled.failed.push((receipt, reason));
    }
    if items.is_empty() {
        return handled;
    }
    match deal_again(on, &items, until).await {
        Ok(()) => handled.done.extend(items.into_iter().map(|item| item.receipt)),
        Err(error) if error.is_transient() || items.len() == 1 => {
            let reason = chain(&error);
            tracing::warn!(messages = items.len(), error = reason, "cannot handle a batch");
            let failed = items.into_iter().map(|item| (item.receipt, reason.clone()));
            handled.failed.extend(failed);
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "one by one, to find the message at fault");
            for item in items {
                match deal_again(on, std::slice::from_ref(&item), until).await {
                    Ok(()) => handled.done.push(item.receipt),
                    Err(error) => {
                        let reason = chain(&error);
                        tracing::warn!(error = reason, message = ?item.message, "cannot handle");
                        handled.failed.push((item.receipt, reason));
                    }
                }
            }
        }
    }
    handled
}

async fn deal_again(
    on: &impl Transact,
    items: &[Item],
    until: Option<Instant>,
) -> Result<(), CoreError> {
    let mut tries = 1;
    loop {
        // A panic is a bug; it must cost its own message and not the worker.
        let trying = AssertUnwindSafe(on.transact(items)).catch_unwind();
        let tried = match until {
            None => trying.await,
            Some(until) if Instant::now() >= until => return Err(CoreError::OutOfTime),
            // What was committed just before is found to be dealt with when it comes again.
            Some(until) => match tokio::time::timeout_at(until, trying).await {
                Ok(tried) => tried,
                Err(_elapsed) => return Err(CoreError::OutOfTime),
            },
        };
        let error = match tried {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(panic) => CoreError::Panicked(panic_text(&*panic)),
        };
        if !error.is_transient() || tries == MAX_TRIES {
            return Err(error);
        }
        tracing::debug!(error = chain(&error), tries, "again");
        tries += 1;
    }
}

/// What every batch is stepped with.
pub(crate) struct Stepper<'a> {
    pub(crate) recipes: &'a Recipes,
    pub(crate) registry: &'a Registry,
    pub(crate) retries: &'a Retries,
    pub(crate) at_hand: &'a AtHand,
    /// See [`Core::rides`].
    pub(crate) rides: Option<Duration>,
    /// See [`BEGIN_AT_MOST`].
    pub(crate) begin_at_most: usize,
}

impl Stepper<'_> {
    /// Loads what the messages touch and steps it. What comes of it goes with the commit; only what
    /// has to be seen before is in the transaction already.
    pub(crate) async fn step(
        &self,
        ledger: &impl Ledger,
        items: &[Item],
        now: Timestamp,
    ) -> Result<Step, CoreError> {
        let mut needs = needs(items);
        let at_hand = self.at_hand.take(items, &needs.branches);
        if !at_hand.is_empty() {
            let keys: HashSet<BranchKey> = at_hand.iter().map(|one| one.row.key()).collect();
            needs.branches.retain(|key| !keys.contains(key));
        }
        // Before all others about branches that the transaction makes: they rely on its locks. Claims
        // come first, as in every batch, so that no two wait for each other. Where there are no
        // statements but those that go with the commit, it goes with them too.
        let mut expects = Expects::new(ledger, left(&at_hand));
        let mut loaded = Loaded::default();
        let ids: Vec<_> = needs.claims.iter().copied().collect();
        let lock_claims = async {
            if ids.is_empty() {
                return Ok::<_, CoreError>(Default::default());
            }
            Ok(futures::try_join!(ledger.lock_received(&ids), ledger.routes(&ids))?)
        };
        let lock_branches = async {
            if needs.branches.is_empty() && needs.trees.is_empty() {
                return Ok::<_, CoreError>(Vec::new());
            }
            Ok(ledger.lock_branches(&needs.branches, &needs.trees).await?)
        };
        let expect = async { if needs.is_empty() { Ok(()) } else { expects.made().await } };
        if needs.trees.is_empty() {
            // No message is about a claim's beginning and its branches at once, so they are sent
            // together.
            let locked = futures::try_join!(lock_claims, expect, lock_branches)?;
            ((loaded.received, loaded.routes), (), loaded.branches) = locked;
        } else {
            // Claims before branches: what another batch has just begun is then seen to have begun.
            ((loaded.received, loaded.routes), ()) = futures::try_join!(lock_claims, expect)?;
            loaded.branches = lock_branches.await?;
        }
        if !needs.trees.is_empty() {
            lock_newcomers(ledger, &needs.trees, &mut loaded.branches).await?;
        }
        if !needs.joins.is_empty() {
            loaded.joined = ledger.join(&needs.joins).await?;
        }
        if !needs.redrives.is_empty() {
            let ids: Vec<_> = needs.redrives.iter().copied().collect();
            loaded.kept = ledger.lock_kept(&ids).await?;
        }
        loaded.branches.extend(at_hand);
        self.settle(expects, items, loaded, now).await
    }

    /// Steps what was loaded.
    pub(crate) async fn settle<L: Ledger>(
        &self,
        mut expects: Expects<'_, L>,
        items: &[Item],
        loaded: Loaded,
        now: Timestamp,
    ) -> Result<Step, CoreError> {
        let ledger = expects.ledger;
        let definitions = load_recipes(ledger, self.recipes, &loaded).await?;
        let prepared = prepare(self.recipes, &definitions, loaded, now)?;
        let peers = |tenant: &_| self.registry.peers(tenant);
        let limits = (self.rides, self.begin_at_most);
        let mut planner = Planner::new(&prepared, self.retries, peers, now, limits);
        planner.apply_all(items);
        let wanted = planner.wanted(items);
        if !wanted.is_empty() {
            expects.made().await?;
            let taken = ledger.take_pending(&wanted).await?;
            planner.begin(&taken)?;
            let missing = missing(wanted, &taken);
            if !missing.is_empty() {
                planner.ask_again(ledger.still_pending(missing).await?);
            }
        }
        let starts = planner.starts();
        if !starts.is_empty() {
            expects.made().await?;
        }
        let (outcomes, begun) = nested::start(ledger, starts, now).await?;
        let plan = planner.finish(items, &outcomes)?;
        let Plan { mut changes, mut messages, given, answered, ended, .. } = plan;
        let Plan { nested_ended, transitions, waits, .. } = plan;
        let ends = measure::ends(&changes);
        messages.extend(begun);
        if !nested_ended.is_empty() {
            // Who waits for a claim is seen for sure only once its end is written.
            expects.made().await?;
            ledger.save(&std::mem::take(&mut changes)).await?;
            messages.extend(nested::answers(ledger, &nested_ended).await?);
        }
        let told = Told { given, answered, ended, ends, transitions, waits };
        let left = expects.left.unwrap_or_default();
        Ok(Step { left, changes, messages, told })
    }
}

/// What a batch has at hand, to be looked at once.
pub(crate) struct Expects<'a, L> {
    ledger: &'a L,
    /// None where it was looked at, or there is none.
    left: Option<Vec<Left>>,
}

impl<'a, L: Ledger> Expects<'a, L> {
    pub(crate) fn new(ledger: &'a L, left: Vec<Left>) -> Self {
        Self { ledger, left: Some(left).filter(|left| !left.is_empty()) }
    }

    async fn made(&mut self) -> Result<(), CoreError> {
        match self.left.take() {
            Some(left) => Ok(self.ledger.expect(&left).await?),
            None => Ok(()),
        }
    }
}

/// Locks branches that others began below these while this batch waited for locks: a statement
/// does not see what was inserted after it began. Whoever is to be aborted must be at hand, or it
/// would run on without a parent.
///
/// Claims are read again with them: one may have ended and been redriven during that wait, and nobody
/// can do either while its branches are locked.
async fn lock_newcomers(
    ledger: &impl Ledger,
    trees: &[BranchKey],
    known: &mut Vec<LoadedBranch>,
) -> Result<(), CoreError> {
    loop {
        let keys: HashSet<_> = known.iter().map(|loaded| loaded.row.key()).collect();
        let mut all = ledger.lock_branches(&[], trees).await?;
        let claims: HashMap<ClaimId, Arc<ClaimContext>> =
            all.iter().map(|one| (one.claim.claim_id, one.claim.clone())).collect();
        for one in known.iter_mut() {
            if let Some(claim) = claims.get(&one.claim.claim_id) {
                one.claim = claim.clone();
            }
        }
        all.retain(|loaded| !keys.contains(&loaded.row.key()));
        if all.is_empty() {
            return Ok(());
        }
        known.extend(all);
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
