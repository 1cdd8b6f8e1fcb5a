//! The queues whose dead letters can be asked for, and the fluxlings that they are known by.

use std::collections::BTreeMap;

use fluxus_queue::QueueName;
use fluxus_schema::Tenant;
use fluxus_schema::fluxling::Fluxling;
use fluxus_schema::message::INGEST_QUEUE;
use fluxus_store::fluxling;

use crate::App;
use crate::problem::{Kind, Refusal};

/// How many queues a refusal lists: a screen of them.
const MAX_SHOWN: usize = 20;

/// The queues that somebody may ask about.
pub(super) struct Queues {
    tenant: Tenant,
    /// Each with the fluxlings that take from it; none for the core's and the ingest queue.
    known: BTreeMap<QueueName, Vec<String>>,
    /// By the fluxling's name, the tenant's own before those that all share.
    by_fluxling: BTreeMap<String, QueueName>,
}

impl Queues {
    /// Those of the tenant's fluxlings and of those that all share. The default tenant runs the
    /// system: it knows all.
    pub(super) async fn known(app: &App, tenant: &Tenant) -> Result<Self, Refusal> {
        let shared = Tenant::default();
        let mut fluxlings = app.store().fluxlings(tenant).await?;
        if *tenant == shared {
            let all = fluxling::registry(&app.store().session().await?).await?;
            fluxlings.extend(all.into_iter().filter(|(of, _)| of != tenant).map(|(_, one)| one));
        } else {
            fluxlings.extend(app.store().fluxlings(&shared).await?);
        }
        let own = [app.core_queue().clone()].into_iter().chain(QueueName::new(INGEST_QUEUE).ok());
        let mut queues = Self {
            tenant: tenant.clone(),
            known: own.map(|queue| (queue, Vec::new())).collect(),
            by_fluxling: BTreeMap::new(),
        };
        queues.add(fluxlings);
        Ok(queues)
    }

    fn add(&mut self, fluxlings: Vec<Fluxling>) {
        for Fluxling { manifest, .. } in fluxlings {
            let Ok(queue) = QueueName::new(&manifest.queue) else { continue };
            let name = manifest.name.to_string();
            let names = self.known.entry(queue.clone()).or_default();
            if !names.contains(&name) {
                names.push(name.clone());
            }
            self.by_fluxling.entry(name).or_insert(queue);
        }
    }

    /// The queue of this name, or of the fluxling of this name.
    ///
    /// # Errors
    /// [`Kind::QueueDoesNotExist`], with those that are known.
    pub(super) async fn find(&self, app: &App, name: &str) -> Result<QueueName, Refusal> {
        let queue = QueueName::new(name).ok();
        if let Some(known) = queue.as_ref().filter(|queue| self.known.contains_key(*queue)) {
            return Ok(known.clone());
        }
        if let Some(queue) = self.by_fluxling.get(name) {
            return Ok(queue.clone());
        }
        // What lies in a queue that its fluxling left is still seen to by whoever runs the system.
        if let Some(queue) = queue.filter(|_| self.tenant == Tenant::default())
            && holds_letters(app, &queue).await?
        {
            return Ok(queue);
        }
        Err(self.unknown(name))
    }

    /// Those that have dead letters.
    pub(super) async fn filled(&self, app: &App) -> Result<Vec<QueueName>, Refusal> {
        let all: Vec<QueueName> = self.known.keys().cloned().collect();
        let depths = app.outbound().queue().depth(&all).await?;
        Ok(depths.into_iter().filter(|depth| depth.dead > 0).map(|depth| depth.queue).collect())
    }

    fn unknown(&self, name: &str) -> Refusal {
        let shown = self.known.iter().take(MAX_SHOWN).map(|(queue, names)| {
            let others = names.iter().filter(|name| *name != queue.as_str());
            let others: Vec<_> = others.map(|name| format!("`{name}`")).collect();
            match others.as_slice() {
                [] => format!("`{queue}`"),
                others => format!("`{queue}` (of {})", others.join(", ")),
            }
        });
        let shown: Vec<String> = shown.collect();
        let more = if self.known.len() > MAX_SHOWN { ", …" } else { "" };
        let detail = format!(
            "there is no queue and no fluxling `{name}`; known are {}{more}",
            shown.join(", ")
        );
        Refusal::new(Kind::QueueDoesNotExist, detail)
    }
}

/// Whether a queue that no fluxling names has dead letters. SQS fails where there is no such queue.
async fn holds_letters(app: &App, queue: &QueueName) -> Result<bool, Refusal> {
    match app.outbound().queue().depth(std::slice::from_ref(queue)).await {
        Ok(depths) => Ok(depths.iter().any(|depth| depth.dead > 0)),
        Err(error) if error.is_transient() => Err(error.into()),
        Err(error) => {
            tracing::debug!(%queue, %error, "cannot look at a queue that nobody named");
            Ok(false)
        }
    }
}
