//! What a fluxling is: a name, capabilities with their handlers, and what it says of itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fluxus_queue::QueueName;
use fluxus_schema::fluxling::{CapabilityManifest, Manifest};
use fluxus_schema::message::TaskMessage;
use fluxus_schema::{Capability, ClaimId, FluxlingName, Tenant, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::handler::Handler;
use crate::task::Attempt;
use crate::{Task, TaskError, error_name};

/// Tasks at a time where a fluxling names no number: enough to hide the waiting of I/O, too few to
/// overrun what it calls.
const DEFAULT_CONCURRENCY: u32 = 16;

/// Time for one task where a fluxling names none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// What the queue of a fluxling is called where it names none: this and its name.
const QUEUE_PREFIX: &str = "fluxling-";

/// A worker function: capabilities under one name. See the [crate's page](crate) for an example.
///
/// # Panics
/// The methods that take names as `&str` panic on one that is not valid, as routers do: names are
/// written in the program, and a wrong one would show at its first start. Names that come from
/// configuration are parsed first and given to [`named`](Self::named) and [`on_queue`](Self::on_queue).
#[derive(Clone)]
pub struct Fluxling {
    name: FluxlingName,
    version: String,
    description: String,
    queue: Option<QueueName>,
    handlers: BTreeMap<Capability, Handler>,
    concurrency: u32,
    timeout: Duration,
    idempotent: bool,
    manual_heartbeats: bool,
    labels: BTreeMap<String, String>,
    weight: u32,
    cost: f64,
}

impl Fluxling {
    /// A fluxling that cannot do anything yet.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        Self {
            name: valid(name.parse()),
            version: String::new(),
            description: String::new(),
            queue: None,
            handlers: BTreeMap::new(),
            concurrency: DEFAULT_CONCURRENCY,
            timeout: DEFAULT_TIMEOUT,
            idempotent: false,
            manual_heartbeats: false,
            labels: BTreeMap::new(),
            weight: Manifest::DEFAULT_WEIGHT,
            cost: 0.0,
        }
    }

    /// The same fluxling under another name, so that it can be deployed twice.
    #[must_use]
    pub fn named(self, name: FluxlingName) -> Self {
        Self { name, ..self }
    }

    /// Its own version, free text.
    #[must_use]
    pub fn version(self, version: impl Into<String>) -> Self {
        Self { version: version.into(), ..self }
    }

    /// What it does, in a sentence.
    #[must_use]
    pub fn description(self, description: impl Into<String>) -> Self {
        Self { description: description.into(), ..self }
    }

    /// The queue it takes tasks from; `fluxling-NAME` if none is set, with `-` for what queue names
    /// cannot hold.
    #[must_use]
    pub fn on_queue(self, queue: QueueName) -> Self {
        Self { queue: Some(queue), ..self }
    }

    /// One thing it can do, and how. A second handler for the same capability replaces the first.
    #[must_use]
    #[track_caller]
    pub fn capability<I, O, F, R>(mut self, name: &str, handler: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Task<I>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, TaskError>> + Send + 'static,
    {
        self.handlers.insert(valid(name.parse()), Handler::new(handler));
        self
    }

    /// Tasks it works on at a time, at least 1.
    #[must_use]
    pub fn concurrency(self, concurrency: u32) -> Self {
        Self { concurrency: concurrency.max(1), ..self }
    }

    /// How long one task may take; past it the handler is stopped and the attempt fails as
    /// `States.Timeout`.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Something that tasks can ask for, such as `region: eu`.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Whether running a task twice does no harm. No record of finished tasks is kept then, which
    /// saves two calls per batch.
    #[must_use]
    pub fn idempotent(self, idempotent: bool) -> Self {
        Self { idempotent, ..self }
    }

    /// Heartbeats are the handler's business: the worker sends none on its own, so that a handler
    /// that hangs is found out by the recipe's `HeartbeatSeconds`.
    #[must_use]
    pub fn manual_heartbeats(self) -> Self {
        Self { manual_heartbeats: true, ..self }
    }

    /// Share of the tasks it wants relative to others, 0 to 1000; 100 if none is set.
    #[must_use]
    pub fn weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// What a task costs here, in any unit that all fluxlings share.
    #[must_use]
    pub fn cost(self, cost: f64) -> Self {
        Self { cost, ..self }
    }

    /// What it says of itself when it registers.
    pub fn manifest(&self) -> Manifest {
        let capability = |(name, handler): (&Capability, &Handler)| CapabilityManifest {
            name: name.clone(),
            input_schema: handler.input_schema.clone(),
            output_schema: handler.output_schema.clone(),
        };
        Manifest {
            name: self.name.clone(),
            version: self.version.clone(),
            description: self.description.clone(),
            queue: self.queue().as_str().to_owned(),
            capabilities: self.handlers.iter().map(capability).collect(),
            concurrency: self.concurrency,
            timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            idempotent: self.idempotent,
            labels: self.labels.clone(),
            weight: self.weight,
            cost: self.cost,
        }
    }

    /// Its name.
    pub fn name(&self) -> &FluxlingName {
        &self.name
    }

    /// The queue it takes tasks from.
    #[expect(clippy::expect_used, reason = "every character is made a valid one, and not too many")]
    pub fn queue(&self) -> QueueName {
        let from_name = || {
            let valid = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            let name: String = self.name.as_str().chars().map(valid).collect();
            QueueName::new(&format!("{QUEUE_PREFIX}{name}"))
                .or_else(|_too_long| QueueName::new(&name))
                .expect("a fluxling's name makes a queue's name")
        };
        self.queue.clone().unwrap_or_else(from_name)
    }

    /// Runs a capability's handler once and directly: no queue, no record, no answer, and heartbeats
    /// go nowhere. For tests of handlers, and for simulation.
    ///
    /// # Errors
    /// What the handler failed with, or [`INVALID_INPUT`](error_name::INVALID_INPUT),
    /// [`UNKNOWN_CAPABILITY`](error_name::UNKNOWN_CAPABILITY).
    #[track_caller]
    pub fn call(
        &self,
        capability: &str,
        input: Value,
    ) -> impl Future<Output = Result<Value, TaskError>> + Send + use<> {
        let capability = valid::<Capability, _>(capability.parse());
        let handler = self.handler(&capability).cloned();
        let message = TaskMessage {
            token: fluxus_schema::TaskToken::from_text("direct-call"),
            capability,
            input: Arc::new(input),
            claim_id: ClaimId::new(Timestamp::default(), &[0; 10]),
            tenant: Tenant::default(),
            recipe: valid("direct-call".parse()),
            state: "direct-call".into(),
            attempt: 0,
            scheduled_at: Timestamp::default(),
            deadline: None,
            heartbeat_ms: None,
            traceparent: None,
            priority: 0,
        };
        let timeout = self.timeout;
        async move {
            let stop = CancellationToken::new();
            let until = Instant::now() + timeout;
            handler?.call(Arc::new(Attempt { message, until, stop, line: None })).await
        }
    }

    pub(crate) fn handler(&self, capability: &Capability) -> Result<&Handler, TaskError> {
        self.handlers.get(capability).ok_or_else(|| {
            let cause = format!("fluxling `{}` does not offer `{capability}`", self.name);
            TaskError::fatal(error_name::UNKNOWN_CAPABILITY, cause)
        })
    }

    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    pub(crate) fn sends_heartbeats(&self) -> bool {
        !self.manual_heartbeats
    }

    pub(crate) fn max_concurrency(&self) -> usize {
        usize::try_from(self.concurrency).unwrap_or(usize::MAX)
    }

    pub(crate) fn task_timeout(&self) -> Duration {
        self.timeout
    }
}

/// A name that is written in the program.
#[track_caller]
#[expect(clippy::panic, reason = "a wrong name in the program shows at its first start")]
fn valid<T, E: std::fmt::Display>(name: Result<T, E>) -> T {
    match name {
        Ok(name) => name,
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Deserialize, JsonSchema)]
    struct Order {
        lines: Vec<Line>,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Line {
        #[expect(dead_code)]
        cents: u32,
    }

    fn shop() -> Fluxling {
        let count = |task: Task<Order>| async move { Ok(task.input.lines.len()) };
        Fluxling::new("shop/eu.1")
            .version("1.2")
            .capability("shop.count", count)
            .timeout(Duration::from_secs(5))
            .label("region", "eu")
            .cost(1.5)
    }

    #[tokio::test]
    async fn a_capability_is_called_directly() {
        let output = shop().call("shop.count", json!({"lines": [{"cents": 3}]})).await;
        assert_eq!(output, Ok(json!(1)));
        let unknown = shop().call("shop.close", json!({})).await.expect_err("unknown");
        assert_eq!(unknown.name(), "Fluxling.UnknownCapability");
    }

    #[tokio::test]
    async fn input_that_does_not_fit_names_the_place() {
        let wrong = json!({"lines": [{"cents": 3}, {"cents": "x"}]});
        let error = shop().call("shop.count", wrong).await.expect_err("wrong");
        let want =
            "Fluxling.InvalidInput: `lines[1].cents`: invalid type: string \"x\", expected u32";
        assert_eq!(error.to_string(), want);
        let error = shop().call("shop.count", json!(null)).await.expect_err("wrong");
        assert!(error.cause().starts_with("the input: invalid type: null"), "{error}");
    }

    #[test]
    fn the_manifest_tells_what_the_types_say() {
        let manifest = shop().manifest();
        assert_eq!(manifest.queue, "fluxling-shop-eu-1");
        assert_eq!((manifest.timeout_ms, manifest.concurrency), (5_000, DEFAULT_CONCURRENCY));
        let capability = &manifest.capabilities[0];
        assert_eq!(capability.input_schema["properties"]["lines"]["type"], "array");
        assert_eq!(capability.input_schema["required"], json!(["lines"]));
        assert_eq!(capability.output_schema["type"], "integer");
        let text = serde_json::to_string(&manifest).expect("writes");
        assert_eq!(serde_json::from_str::<Manifest>(&text).expect("reads"), manifest);
    }

    #[test]
    fn every_fluxling_name_makes_a_queue_name() {
        let longest = "x/".repeat(40).parse().expect("a name");
        assert_eq!(Fluxling::new("a").named(longest).queue().as_str(), "x-".repeat(40));
    }
}
