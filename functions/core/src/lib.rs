//! The orchestrator: takes messages, steps executions, delegates tasks.
//!
//! [`Core::handle`] takes a batch of messages and deals with all of them in one transaction and a
//! number of statements that does not depend on how many they are: it loads what they touch,
//! steps it with the pure machine ([`fluxus_machine`]), and saves states, history, timers and
//! messages together. [`Core::sweep`] does what nobody sends a message for: due timers, unsent
//! outbox rows, dead letters, tasks that nobody could be given. The same two run on AWS Lambda
//! ([`lambda`]) and in a long-lived process ([`worker`]).

mod at_hand;
mod batch;
mod clock;
pub mod delegate;
mod documents;
pub mod environment;
mod error;
mod evaluate;
mod inbox;
pub mod lambda;
mod ledger;
mod measure;
mod nested;
mod outgoing;
mod planner;
mod prepared;
mod recipes;
mod registry;
mod retries;
#[cfg(test)]
mod simulation;
mod sweep;
mod take_in;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use fluxus_queue::QueueName;
use fluxus_store::changes::Outcome;
use fluxus_store::{Outbound, Store};

pub use batch::Handled;
pub use error::CoreError;
pub use sweep::{Sweeps, Swept};

/// What a [`Core`] is made of.
pub struct Parts {
    /// Where claims and branches are.
    pub store: Store,
    /// How messages leave together with a step.
    pub outbound: Outbound,
    /// The queue that the core takes its messages from.
    pub core_queue: QueueName,
    /// Called after a commit that ended claims, for those who wait for them.
    pub on_ended: OnEnded,
    /// When the sweep is run.
    pub sweeps: Sweeps,
}

/// Told what became of claims that ended.
pub type OnEnded = Arc<dyn Fn(Vec<Outcome>) + Send + Sync>;

/// The orchestrator. Clones are one: they share caches and the picture of the fluxlings.
#[derive(Clone)]
pub struct Core(Arc<Inner>);

struct Inner {
    parts: Parts,
    recipes: recipes::Recipes,
    registry: registry::Registry,
    retries: retries::Retries,
    at_hand: at_hand::AtHand,
    relayed: sweep::Relayed,
}

impl Core {
    /// Looks at who is registered, and is ready.
    ///
    /// # Errors
    /// [`CoreError`] if the store cannot be read.
    pub async fn start(parts: Parts) -> Result<Self, CoreError> {
        fluxus_store::clock::agree(&parts.store.session().await?).await?;
        let registry = registry::Registry::new(parts.sweeps);
        registry.refresh(&parts.store, &*parts.outbound.queue()).await?;
        let (recipes, retries) = (recipes::Recipes::default(), retries::Retries::default());
        let (at_hand, relayed) = (at_hand::AtHand::default(), sweep::Relayed::default());
        Ok(Self(Arc::new(Inner { parts, recipes, registry, retries, at_hand, relayed })))
    }

    /// The queue that it takes messages from.
    pub fn core_queue(&self) -> &QueueName {
        &self.0.parts.core_queue
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// How near the deadline of a task must be to ride on a delayed message; none if all are rows.
    pub(crate) fn rides(&self) -> Option<Duration> {
        match (self.outbound(), self.0.parts.sweeps) {
            (Outbound::Relayed { .. }, Sweeps::Every(rhythm)) => Some(2 * rhythm),
            _ => None,
        }
    }

    pub(crate) fn outbound(&self) -> &Outbound {
        &self.0.parts.outbound
    }
}
