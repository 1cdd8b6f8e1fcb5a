//! The orchestrator as a Lambda function, for three kinds of events.
//!
//! | event | does | answers |
//! | --- | --- | --- |
//! | a batch of SQS | [`handle_batch`] | the messages that are to come again |
//! | of a schedule, or `{"sweep": {}}` | [`Core::sweep_until`] | what was found to do |
//! | `{"migrate": {}}` | brings the tables up to date | `{"applied": ["V1__claim"]}` |
//! | of a custom resource of `CloudFormation` | the same | to the event's `ResponseURL` |
//! | `{"register": {"fluxlings": [], "recipes": []}}` | registers both | see [`Registered`] |

mod batch;
mod custom_resource;
mod event;
mod register;

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use fluxus_lambda::metrics;
use fluxus_queue::PostgresQueue;
use fluxus_store::Store;
pub use lambda_runtime::Error;
use lambda_runtime::{Context, LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::environment::{self, LargeBodies, Settings};
use crate::error::chain;
use crate::{Core, clock};

pub use batch::handle_batch;
pub use custom_resource::{Answer, Request};
pub use event::Event;
pub use register::{Register, RegisterRecipe, Registered, RegisteredRecipe};

pub use fluxus_queue::sqs_event::{BatchItemFailure, SqsBatchResponse, SqsEvent};

/// How long before the service ends an invocation no new work is begun, and work under way is cut
/// off: enough to roll back and to answer.
const MARGIN: Duration = Duration::from_secs(1);

/// How long the start waits for the database. What is not ready then gets ready with the first
/// event, whose failure is answered; that of a start would only make the service start it again.
const WARM_UP: Duration = Duration::from_secs(5);

/// The function: its connections, opened when they are first needed, then kept.
pub struct Function {
    /// What the environment says, or what is wrong with it.
    settings: Result<Settings, String>,
    store: OnceCell<Store>,
    core: OnceCell<(Core, LargeBodies)>,
}

/// Runs as this Lambda function.
///
/// # Errors
/// Where the Lambda runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    metrics::start("fluxus-core");
    let function = &Function::from_env();
    function.warm_up().await;
    let handle = |event| metrics::flushed(async move { function.handle(event).await });
    let served = fluxus_lambda::until_shutdown(lambda_runtime::run(service_fn(handle))).await;
    function.close().await;
    served
}

impl Function {
    /// The function as the environment describes it. What is wrong with that is the answer to each
    /// event: a custom resource must be answered, or its stack hangs.
    pub fn from_env() -> Self {
        let settings = Settings::from_env().map_err(|error| format!("{error:#}"));
        Self { settings, store: OnceCell::new(), core: OnceCell::new() }
    }

    /// The function around a core at hand.
    pub fn of(store: Store, core: Core) -> Self {
        let settings = Err("there is no environment".to_owned());
        let store = OnceCell::new_with(Some(store));
        let core = OnceCell::new_with(Some((core, None)));
        Self { settings, store, core }
    }

    /// Opens the connections, while starting costs nothing.
    async fn warm_up(&self) {
        let outcome = tokio::time::timeout(WARM_UP, self.core()).await;
        let reason = match outcome {
            Ok(Ok(_core)) => return,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_elapsed) => format!("the database did not answer in {} s", WARM_UP.as_secs()),
        };
        tracing::warn!(reason, "not ready yet");
    }

    /// Says goodbye to the database, which would otherwise find out by itself.
    async fn close(&self) {
        if let Some(store) = self.store.get() {
            store.database().close().await;
        }
    }

    async fn store(&self) -> anyhow::Result<&Store> {
        let open = || async {
            match &self.settings {
                Ok(settings) => settings.function_store().await,
                Err(wrong) => anyhow::bail!("{wrong}"),
            }
        };
        self.store.get_or_try_init(open).await
    }

    async fn core(&self) -> anyhow::Result<&(Core, LargeBodies)> {
        let start = || async { environment::function_core(self.store().await?.clone()).await };
        self.core.get_or_try_init(start).await
    }

    /// Handles one event.
    ///
    /// # Errors
    /// If the event is none of those known, or nothing of it could be done: the service then tries
    /// again where it does so for the kind of event.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Error> {
        let LambdaEvent { payload, context } = event;
        let until = deadline(&context);
        let answer = match Event::read(payload)? {
            Event::Batch(batch) => self.batch(batch, until).await,
            Event::Sweep => self.sweep(until).await,
            Event::Migrate => self.migrate().await.map(|applied| json!({ "applied": applied })),
            Event::Register(wanted) => self.register(&wanted).await,
            Event::CustomResource(request) => self.custom_resource(&request, until).await,
        };
        answer.map_err(|error| {
            let reason = format!("{error:#}");
            tracing::error!(reason, "an event could not be handled");
            reason.into()
        })
    }

    async fn batch(&self, batch: SqsEvent, until: Instant) -> anyhow::Result<Value> {
        let (core, bodies) = self.core().await?;
        let response = handle_batch(core, batch, bodies.as_deref(), until).await;
        Ok(serde_json::to_value(response)?)
    }

    async fn sweep(&self, until: Instant) -> anyhow::Result<Value> {
        let (core, _bodies) = self.core().await?;
        // Cut off, it has swept what it committed; the next one goes on.
        let swept = tokio::time::timeout_at(until, core.sweep_until(until)).await;
        let swept = swept.context("the sweep took too long; the next one goes on")??;
        Ok(serde_json::to_value(swept)?)
    }

    async fn migrate(&self) -> anyhow::Result<Vec<String>> {
        let store = self.store().await?;
        let applied = store.migrate().await.context("migrate the store")?;
        PostgresQueue::setup(store.database()).await.context("create the queues")?;
        tracing::info!(?applied, "the tables are up to date");
        Ok(applied)
    }

    async fn register(&self, wanted: &Register) -> anyhow::Result<Value> {
        let registered = register::register(self.store().await?, wanted, clock::now()).await?;
        Ok(serde_json::to_value(registered)?)
    }

    /// Migrates for a stack, and answers it in any case.
    async fn custom_resource(&self, request: &Request, until: Instant) -> anyhow::Result<Value> {
        let outcome = if request.is_delete() {
            // The tables are somebody's data: they stay.
            Ok(Vec::new())
        } else {
            match tokio::time::timeout_at(until - request.answering(), self.migrate()).await {
                Ok(outcome) => outcome,
                Err(_elapsed) => {
                    Err(anyhow::anyhow!("migrating took longer than the function may"))
                }
            }
        };
        let answer = request.answer(outcome.map_err(|error| format!("{error:#}")));
        if answer.has_failed() {
            tracing::error!(reason = answer.reason(), "the migration failed");
        }
        custom_resource::put(request, &answer).await?;
        Ok(serde_json::to_value(answer)?)
    }
}

/// When work must be done.
fn deadline(context: &Context) -> Instant {
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.saturating_sub(MARGIN)
}

/// An error and its causes.
fn described(error: &(dyn std::error::Error + 'static)) -> String {
    chain(error)
}
