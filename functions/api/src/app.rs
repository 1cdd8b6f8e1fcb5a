//! What all routes share.

use std::sync::{Arc, Mutex, PoisonError};

use fluxus_queue::bounds::MAX_PRIORITY;
use fluxus_queue::{Outgoing, QueueName};
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{ClaimId, Tenant};
use fluxus_store::{DatabaseError, Enqueued, Message, Outbound, Store, Transaction};
use tokio::task::JoinHandle;

use crate::auth::Auth;
use crate::backlog::{Backlog, Bounds};
use crate::entropy;
use crate::intake::{Begin, Intake};
use crate::limits::Limits;
use crate::pollers::Pollers;
use crate::problem::Refusal;
use crate::requests::Requests;
use crate::waiters::{Hearing, Waiters};

/// What an [`App`] is made of.
pub struct Parts {
    /// Where everything is.
    pub store: Store,
    /// How messages leave a transaction.
    pub outbound: Outbound,
    /// The queue that the core takes its messages from:
    /// [`CORE_QUEUE`](fluxus_schema::message::CORE_QUEUE).
    pub core_queue: QueueName,
    /// Who may ask.
    pub auth: Auth,
    /// Bounds that depend on where this runs.
    pub limits: Limits,
    /// How many claims may wait to be evaluated.
    pub backlog: Bounds,
    /// How the end of a claim is heard of.
    pub hearing: Hearing,
}

/// The API's state. Clones are one.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    store: Store,
    outbound: Outbound,
    core_queue: QueueName,
    auth: Auth,
    limits: Limits,
    backlog: Backlog,
    waiters: Waiters,
    intake: Intake,
    requests: Requests,
    pollers: Pollers,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl App {
    /// Starts the tasks that requests rely on. Within a Tokio runtime.
    ///
    /// # Errors
    /// [`DatabaseError`] if notifications are to be heard and no connection can be had for it.
    pub async fn start(parts: Parts) -> Result<Self, DatabaseError> {
        let Parts { store, outbound, core_queue, auth, limits, backlog, hearing } = parts;
        match store.database().session().await {
            Ok(session) => {
                if let Err(error) = fluxus_store::clock::agree(&session).await {
                    tracing::warn!(%error, "cannot ask the database for the time");
                }
            }
            // Whoever listens says so below; whoever does not, at the first request.
            Err(error) => tracing::warn!(%error, "cannot ask the database for the time"),
        }
        let (waiters, waiting) = Waiters::start(store.clone(), hearing).await?;
        let (intake, writing) = Intake::start(store.clone(), outbound.clone(), core_queue.clone());
        let backlog = Backlog::new(store.clone(), &outbound, core_queue.clone(), backlog);
        let tasks = Mutex::new(vec![waiting, writing]);
        let inner = Inner {
            store,
            outbound,
            core_queue,
            auth,
            limits,
            backlog,
            waiters,
            intake,
            requests: Requests::default(),
            pollers: Pollers::default(),
            tasks,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Who waits for ends: tell them when a claim ended in this process.
    pub fn waiters(&self) -> &Waiters {
        &self.0.waiters
    }

    /// Has claims begun as they come in, by the core in this process. Once.
    pub fn begin_with(&self, core: Arc<dyn Begin>) {
        self.0.intake.begin_with(core);
    }

    /// Takes no more claims in, writes those it has, and ends its tasks. Requests that come later
    /// are answered as unavailable.
    pub async fn shutdown(&self) {
        self.0.intake.close();
        self.0.waiters.close();
        self.0.pollers.close();
        let tasks = {
            let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the API ended badly");
            }
        }
    }

    /// Puts a message to the core into a transaction; after the commit, tell
    /// [`Outbound::committed`].
    pub(crate) async fn tell_core(
        &self,
        tx: &Transaction<'_>,
        tenant: &Tenant,
        claim_id: ClaimId,
        message: &CoreMessage,
    ) -> Result<Enqueued, Refusal> {
        let body = serde_json::to_string(message).map_err(Refusal::internal)?;
        let outgoing = Outgoing::new(self.0.core_queue.clone(), body).in_group(tenant.as_str());
        // Somebody outside is at work on the claim, or wants it stopped; its own priority is not
        // at hand.
        let outgoing = outgoing.with_priority(MAX_PRIORITY);
        let message = Message { claim_id, tenant: tenant.clone(), outgoing };
        Ok(self.0.outbound.enqueue(tx, vec![message], entropy::now()).await?)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn outbound(&self) -> &Outbound {
        &self.0.outbound
    }

    pub(crate) fn core_queue(&self) -> &QueueName {
        &self.0.core_queue
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.0.auth
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }

    pub(crate) fn backlog(&self) -> &Backlog {
        &self.0.backlog
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.0.intake
    }

    pub(crate) fn pollers(&self) -> &Pollers {
        &self.0.pollers
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.0.requests
    }
}
