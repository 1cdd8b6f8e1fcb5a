//! A batch: load, step, save, send; one transaction.

use std::panic::AssertUnwindSafe;

use fluxus_queue::{Receipt, Received};
use fluxus_store::{Outbound, branch, changes, claim};
use futures::FutureExt as _;

use crate::Core;
use crate::clock;
use crate::error::{CoreError, chain};
use crate::inbox::{Inbox, Item, needs};
use crate::planner::{Plan, Planner};
use crate::prepared::{Loaded, load_recipes, prepare};

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

impl Core {
    /// Deals with a batch of messages: all in one transaction; where that fails for good, each on
    /// its own, so that a bad message harms no other.
    pub async fn handle(&self, batch: Vec<Received>) -> Handled {
        let Inbox { items, unreadable } = Inbox::read(batch);
        let mut handled = Handled { deleted: self.deletes(), ..Handled::default() };
        for (receipt, reason) in unreadable {
            tracing::warn!(reason, "cannot read a message");
            handled.failed.push((receipt, reason));
        }
        if items.is_empty() {
            return handled;
        }
        match self.transact_again(&items).await {
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
                    match self.transact_again(std::slice::from_ref(&item)).await {
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

    /// Whether messages are deleted in the transaction that deals with them.
    fn deletes(&self) -> bool {
        matches!(self.outbound(), Outbound::Joined(_))
    }

    async fn transact_again(&self, items: &[Item]) -> Result<(), CoreError> {
        let mut tries = 1;
        loop {
            // A panic is a bug; it must cost its own message and not the worker.
            let tried = AssertUnwindSafe(self.transact(items)).catch_unwind().await;
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

    async fn transact(&self, items: &[Item]) -> Result<(), CoreError> {
        let inner = &self.0;
        let now = clock::now();
        let mut session = self.store().session().await?;
        let tx = session.begin().await?;
        let needs = needs(items);
        let mut loaded = Loaded::default();
        // Claims before branches: what another batch has just begun is then seen to have begun.
        if !needs.claims.is_empty() {
            let ids: Vec<_> = needs.claims.iter().copied().collect();
            loaded.received = claim::lock_received(&tx, &ids).await?;
        }
        if !needs.branches.is_empty() || !needs.trees.is_empty() {
            loaded.branches = branch::lock(&tx, &needs.branches, &needs.trees).await?;
        }
        if !needs.joins.is_empty() {
            loaded.joined = branch::join(&tx, &needs.joins).await?;
        }
        load_recipes(&tx, &inner.recipes, &mut loaded).await?;
        let prepared = prepare(&inner.recipes, loaded, now)?;
        let mut planner = Planner::new(&prepared, |tenant| inner.registry.peers(tenant), now);
        items.iter().for_each(|item| planner.apply(item));
        let wanted = planner.wanted(items);
        if !wanted.is_empty() {
            let taken = branch::take_pending(&tx, &wanted).await?;
            planner.begin(&taken)?;
        }
        let Plan { changes, messages, given, answered, ended } = planner.finish(items)?;
        changes::save(&tx, &changes).await?;
        let enqueued = self.outbound().enqueue(&tx, messages, now).await?;
        if let Outbound::Joined(queue) = self.outbound() {
            let receipts: Vec<_> = items.iter().map(|item| item.receipt.clone()).collect();
            queue.delete_in(&tx, &receipts).await?;
        }
        tx.commit().await?;
        drop(session);
        inner.registry.note(&given, &answered);
        self.outbound().committed(enqueued).await;
        if ended {
            (inner.parts.on_ended)();
        }
        if inner.registry.is_stale() {
            self.refresh_registry().await;
        }
        Ok(())
    }

    /// Looks at the fluxlings again. The picture it has serves on where that fails.
    pub(crate) async fn refresh_registry(&self) {
        let queue = self.outbound().queue();
        if let Err(error) = self.0.registry.refresh(self.store(), &*queue).await {
            tracing::warn!(error = chain(&error), "cannot look at the fluxlings");
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
