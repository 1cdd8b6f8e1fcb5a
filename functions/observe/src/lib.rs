//! Watches over the system: metrics of the shared state, stuck claims, housekeeping.
//!
//! A Lambda function on a schedule, once a minute. What it measures no single invocation knows: how
//! many claims are open, how full the queues are, what is overdue. The embedded run has no use for
//! it: there `GET /metrics` is asked by Prometheus, and the core's worker keeps house.

#![cfg_attr(test, allow(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod environment;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use fluxus_lambda::metrics::{self, level};
use fluxus_queue::{Depth, Queue, QueueName};
use fluxus_schema::Timestamp;
use fluxus_schema::message::{CORE_QUEUE, INGEST_QUEUE};
use fluxus_store::{
    Metrics, Retention, Store, StoreError, StuckClaim, StuckSince, clock, fluxling,
};
pub use lambda_runtime::Error;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use environment::Settings;

/// Most stuck claims that one line of the log names.
const NAMED: usize = 10;

/// How often it keeps house.
const HOUSE_EVERY: Duration = Duration::from_secs(3600);

/// Most claims that one run deletes: some seconds of a run that has not quite a minute.
const RETIRED_AT_ONCE: usize = 20_000;

/// Watches over a system.
pub struct Observer {
    store: Store,
    queue: Arc<dyn Queue>,
    /// When it kept house.
    kept_at: Mutex<Option<Instant>>,
    /// How long ended claims and their history are kept; for ever, where not set.
    retention: Option<Duration>,
    /// Capabilities that were missed: a level stands until another is told.
    missed: Mutex<BTreeSet<String>>,
    /// Reasons for which claims were stuck.
    reasons: Mutex<BTreeSet<&'static str>>,
}

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Claims that have not ended, by status.
    pub claims_open: BTreeMap<&'static str, u64>,
    /// Claims that something is overdue for.
    pub stuck_claims: usize,
    /// The same, by what holds them up.
    pub stuck_by_reason: BTreeMap<&'static str, u64>,
    /// Timers whose time has come.
    pub timers_due: u64,
    /// Messages committed and not sent.
    pub outbox_messages: u64,
    /// Tasks that nobody can take, by capability.
    pub tasks_unserved: BTreeMap<String, u64>,
    /// Messages that are ready, by queue.
    pub queues_ready: BTreeMap<String, u64>,
    /// Dead letters, by queue; those of queues that have some.
    pub dead_letters: BTreeMap<String, u64>,
    /// Whether it kept house this time.
    pub kept_house: bool,
}

/// Runs as this Lambda function.
///
/// # Errors
/// What is missing in the environment, or where the Lambda runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    metrics::start("fluxus-observe");
    let settings = &Settings::from_env()?;
    // Opened by the first event, so that its failure is that of an invocation, which is counted.
    let observer = &OnceCell::<Observer>::new();
    let serving = lambda_runtime::run(service_fn(|_scheduled: LambdaEvent<Value>| {
        metrics::flushed(async move {
            let observer = observer.get_or_try_init(|| settings.observer()).await?;
            Ok::<_, Error>(observer.observe().await?)
        })
    }));
    let served = fluxus_lambda::until_shutdown(serving).await;
    if let Some(observer) = observer.get() {
        observer.store.database().close().await;
    }
    served
}

impl Observer {
    /// Watches over what is in this store and these queues.
    pub fn new(store: Store, queue: Arc<dyn Queue>) -> Self {
        let (kept_at, missed, reasons) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { store, queue, kept_at, retention: None, missed, reasons }
    }

    /// The same, and what ended longer ago than this goes.
    #[must_use]
    pub fn retaining(self, retention: Option<Duration>) -> Self {
        Self { retention, ..self }
    }

    async fn agree_on_time(&self) -> Result<(), StoreError> {
        clock::agree(&self.store.session().await?).await
    }

    /// Looks at everything once, tells the metrics, and keeps house where it is time.
    ///
    /// # Errors
    /// If the database or the queues cannot be reached; the next look is a minute away.
    pub async fn observe(&self) -> anyhow::Result<Seen> {
        self.agree_on_time().await.context("ask the database for the time")?;
        let now = clock::now();
        let state = self.store.metrics(now).await.context("count what there is")?;
        let stuck = self.store.stuck_claims(None, StuckSince::usual(now)).await;
        let stuck = stuck.context("look for stuck claims")?;
        let queues = self.queues().await?;
        let depths = self.queue.depth(&queues).await.context("measure the queues")?;
        let kept_house = self.keep_house(now).await;
        report_stuck(&stuck);
        let mut seen = seen(&state, &stuck, &depths);
        seen.kept_house = kept_house;
        self.tell(&state, &seen, &depths);
        Ok(seen)
    }

    /// The queues of the core, the ingest and all fluxlings.
    async fn queues(&self) -> anyhow::Result<Vec<QueueName>> {
        let session = self.store.session().await?;
        let registered = fluxling::registry(&session).await.context("read the fluxlings")?;
        drop(session);
        let named =
            registered.iter().filter_map(|(_, one)| QueueName::new(&one.manifest.queue).ok());
        let own = [QueueName::new(CORE_QUEUE)?, QueueName::new(INGEST_QUEUE)?];
        let all: BTreeSet<QueueName> = named.chain(own).collect();
        Ok(all.into_iter().collect())
    }

    async fn keep_house(&self, now: Timestamp) -> bool {
        let due = {
            let kept_at = self.kept_at.lock().unwrap_or_else(PoisonError::into_inner);
            kept_at.is_none_or(|at| at.elapsed() >= HOUSE_EVERY)
        };
        if !due {
            return false;
        }
        match self.store.keep_house(now).await {
            Ok(()) => {
                // Where there is more to go than fits, the next minute goes on.
                if !self.retire(now).await {
                    return true;
                }
                let mut kept_at = self.kept_at.lock().unwrap_or_else(PoisonError::into_inner);
                *kept_at = Some(Instant::now());
                true
            }
            Err(error) => {
                let error = format!("{:#}", anyhow::anyhow!(error));
                tracing::warn!(error, "cannot make history partitions, or forget old tasks");
                false
            }
        }
    }

    /// Deletes what is too old; whether nothing is left to go for now.
    async fn retire(&self, now: Timestamp) -> bool {
        let Some(age) = self.retention else { return true };
        let older_than = before(now, age);
        let retention = Retention { older_than, dry_run: false, at_most: RETIRED_AT_ONCE };
        match self.store.retire(now, retention).await {
            Ok(retired) => {
                let (claims, days) = (retired.claims, retired.days.len());
                if claims > 0 || days > 0 {
                    tracing::info!(claims, days, "what is too old was deleted");
                }
                for day in retired.kept_days.iter().filter(|day| !day.busy) {
                    let (partition, claims, open) = (&day.partition, day.claims, day.open);
                    tracing::info!(
                        partition,
                        claims,
                        open,
                        "an old day of history is still needed"
                    );
                }
                !retired.more
            }
            Err(error) => {
                let error = format!("{:#}", anyhow::anyhow!(error));
                tracing::warn!(error, "cannot delete what is too old; trying again");
                true
            }
        }
    }

    fn tell(&self, state: &Metrics, seen: &Seen, depths: &[Depth]) {
        for (status, count) in &seen.claims_open {
            level("ClaimsOpen", &[("Status", *status)], *count as f64);
        }
        let seconds = |age: Option<Duration>| age.unwrap_or_default().as_secs_f64();
        level("StuckClaims", &[], seen.stuck_claims as f64);
        // Each reason is a metric that is paid for, so only those that were seen are told.
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.extend(seen.stuck_by_reason.keys());
        for reason in reasons.iter() {
            let count = seen.stuck_by_reason.get(reason).copied().unwrap_or_default();
            level("StuckClaims", &[("Reason", *reason)], count as f64);
        }
        drop(reasons);
        level("OldestReceivedAge", &[], seconds(state.oldest_received));
        level("TimersDue", &[], state.timers_due as f64);
        level("TimerLag", &[], seconds(state.timer_lag));
        level("OutboxMessages", &[], state.outbox as f64);
        level("OutboxAge", &[], seconds(state.outbox_age));
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.extend(seen.tasks_unserved.keys().cloned());
        for capability in missed.iter() {
            let count = seen.tasks_unserved.get(capability).copied().unwrap_or_default();
            level("TasksUnserved", &[("Capability", capability)], count as f64);
        }
        for Depth { queue, ready, in_flight, delayed, dead, oldest_ready_age } in depths {
            let queue = queue.as_str();
            let states =
                [("Ready", ready), ("InFlight", in_flight), ("Delayed", delayed), ("Dead", dead)];
            for (state, count) in states {
                level("QueueMessages", &[("Queue", queue), ("State", state)], *count as f64);
            }
            if let Some(age) = oldest_ready_age {
                level("QueueAge", &[("Queue", queue)], age.as_secs_f64());
            }
        }
    }
}

fn seen(state: &Metrics, stuck: &[StuckClaim], depths: &[Depth]) -> Seen {
    let mut seen = Seen {
        // Both are there always: a level that is not told keeps its last value.
        claims_open: BTreeMap::from([("RECEIVED", 0), ("RUNNING", 0)]),
        stuck_claims: stuck.len(),
        timers_due: state.timers_due,
        outbox_messages: state.outbox,
        ..Seen::default()
    };
    for one in stuck {
        *seen.stuck_by_reason.entry(one.stuck.reason.as_str()).or_default() += 1;
    }
    for open in &state.open {
        *seen.claims_open.entry(open.status.as_str()).or_default() += open.count;
    }
    for unserved in &state.unserved {
        let capability = unserved.capability.to_string();
        *seen.tasks_unserved.entry(capability).or_default() += unserved.count;
    }
    for depth in depths {
        seen.queues_ready.insert(depth.queue.to_string(), depth.ready);
        if depth.dead > 0 {
            seen.dead_letters.insert(depth.queue.to_string(), depth.dead);
        }
    }
    seen
}

fn report_stuck(stuck: &[StuckClaim]) {
    if !stuck.is_empty() {
        let named = |one: &StuckClaim| format!("{} ({})", one.claim_id, one.stuck.reason);
        let named: Vec<_> = stuck.iter().take(NAMED).map(named).collect();
        tracing::warn!(claims = stuck.len(), named = named.join(", "), "claims are stuck");
    }
}

fn before(now: Timestamp, earlier: Duration) -> Timestamp {
    let ms = i64::try_from(earlier.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(ms))
}
