//! Claims that other systems put on the ingest queue: the document of `POST /v1/claims`, with the
//! same checks.
//!
//! ```json
//! {"type": "order.placed", "subject": "order-4711", "body": {"total": 42}, "tenant": "acme"}
//! ```
//!
//! `tenant` says whose claim it is, the default tenant's unless given: whoever may send to the
//! queue may claim for everybody. A batch is one transaction. A claim without an idempotency key
//! gets one from its message, so that a message that is delivered twice is one claim. A document
//! that is no claim goes to the dead letters with the reason; what fails for want of a database
//! comes again.
//!
//! While too many claims wait to be evaluated nothing is received. A claim for which there is no room
//! goes back to the end of the queue, as a new message with the same key, so that waiting never makes
//! a dead letter of it.

use std::sync::Arc;
use std::time::Duration;

use fluxus_lambda::metrics::{count, took};
use fluxus_queue::{Burial, Outgoing, Queue, QueueError, QueueName, Receipt, Receive, Received};
use fluxus_schema::limits::MAX_REQUEST_BYTES;
use fluxus_schema::{ClaimId, NewClaim, Tenant, Timestamp};
use fluxus_store::{Intake as NewRow, Outbound, Store};
use rand::Rng as _;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backlog::{Backlog, Bounds};
use crate::entropy;
use crate::extract::{Document, parse};
use crate::intake::Writer;
use crate::limits::{MAX_INTAKE_BATCH, MAX_INTAKE_BATCH_BYTES};
use crate::problem::{Kind, Refusal, chain};
use crate::submission;

/// How long a worker's receive waits for the first message.
const WAIT: Duration = Duration::from_secs(20);

/// How long a batch may take before its messages come again: far more than a commit takes.
const VISIBILITY: Duration = Duration::from_secs(30);

/// Pause of a worker after a receive that failed.
const BACKOFF: Duration = Duration::from_secs(1);

/// How long a claim stays away for which there is no room, in seconds; spread, so that those who
/// come together do not come back together.
const AWAY: std::ops::RangeInclusive<u64> = 30..=90;

/// Pause of a worker while there is no room for claims.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// What the idempotency key begins with that a message's id gives.
const KEY_PREFIX: &str = "ingest:";

/// Takes claims in from a queue. Clones are one.
#[derive(Clone)]
pub struct Ingest {
    writer: Writer,
    backlog: Backlog,
    queue: Arc<dyn Queue>,
    name: QueueName,
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Messages whose claims are durably accepted, or known already.
    pub done: Vec<Receipt>,
    /// Messages that hold no claim, and are dead letters now.
    pub buried: usize,
    /// Messages for whose claims there was no room. They are on the queue again, as new ones, and
    /// among those done.
    pub put_back: usize,
    /// Messages that are to come again.
    pub failed: Vec<Receipt>,
}

/// What stands in a message.
#[derive(Deserialize)]
struct Addressed {
    #[serde(default)]
    tenant: Option<Tenant>,
    #[serde(flatten)]
    claim: serde_json::Map<String, serde_json::Value>,
}

impl Ingest {
    /// Takes claims from the queue `name` of `queue`, and tells the core on `core`.
    pub fn new(
        store: Store,
        outbound: Outbound,
        core: QueueName,
        queue: Arc<dyn Queue>,
        name: QueueName,
        bounds: Bounds,
    ) -> Self {
        let backlog = Backlog::new(store.clone(), &outbound, core.clone(), bounds);
        Self {
            backlog,
            writer: Writer { store, outbound, core, begin: Arc::default() },
            queue,
            name,
        }
    }

    /// Says goodbye to the database.
    pub(crate) async fn close(&self) {
        self.writer.store.database().close().await;
    }

    /// The queue that it takes claims from.
    pub fn queue_name(&self) -> &QueueName {
        &self.name
    }

    /// Takes in a batch, at the longest `until`: what is not committed by then comes again.
    pub async fn handle(&self, batch: Vec<Received>, until: Option<Instant>) -> Ingested {
        self.measure(&batch);
        let mut ingested = Ingested::default();
        let mut rejected = Vec::new();
        let mut away = Vec::new();
        let mut part = Vec::new();
        let mut bytes = 0;
        for message in batch {
            match read(&message) {
                Ok(row) if self.backlog.admit(&row.tenant).await.is_err() => {
                    count("ClaimsRefused", &[], 1);
                    away.push((message, row));
                }
                Ok(row) => {
                    let more = message.body.len();
                    let is_full =
                        part.len() == MAX_INTAKE_BATCH || bytes + more > MAX_INTAKE_BATCH_BYTES;
                    if is_full && !part.is_empty() {
                        let full = std::mem::take(&mut part);
                        self.write(full, until, &mut ingested, &mut rejected).await;
                        bytes = 0;
                    }
                    bytes += more;
                    part.push((message, row));
                }
                Err(refusal) => rejected.push((message, refusal)),
            }
        }
        self.write(part, until, &mut ingested, &mut rejected).await;
        self.bury(rejected, until, &mut ingested).await;
        self.put_back(away, until, &mut ingested).await;
        count("ClaimsRejected", &[], ingested.buried as u64);
        let labels = [("Queue", self.name.as_str())];
        count("MessagesFailed", &labels, ingested.failed.len() as u64);
        ingested
    }

    async fn write(
        &self,
        part: Vec<(Received, NewRow)>,
        until: Option<Instant>,
        ingested: &mut Ingested,
        rejected: &mut Vec<(Received, Refusal)>,
    ) {
        if part.is_empty() {
            return;
        }
        let (messages, rows): (Vec<_>, Vec<_>) = part.into_iter().unzip();
        // A commit that was cut off may have taken effect: its claims are then known by their keys.
        let Some(answers) = in_time(until, self.writer.write_each(&rows)).await else {
            ingested.failed.extend(messages.into_iter().map(|message| message.receipt));
            return;
        };
        for ((message, row), answer) in messages.into_iter().zip(rows).zip(answers) {
            match answer {
                Ok(inserted) => {
                    ingested.done.push(message.receipt);
                    if inserted.duplicate {
                        self.warn_of_another(until, &row, inserted.claim_id).await;
                    }
                }
                Err(refusal) if refusal.may_pass() => {
                    let (reason, cause) = (refusal.reason(), refusal.cause());
                    tracing::warn!(message.id = %message.id, reason, cause, "a claim comes again");
                    ingested.failed.push(message.receipt);
                }
                Err(refusal) => rejected.push((message, refusal)),
            }
        }
    }

    /// Says so where a claim is dropped that is another than the one with its key: on a queue nobody
    /// can be refused. That the answer to a delivery was lost is the usual reason for a duplicate.
    async fn warn_of_another(&self, until: Option<Instant>, given: &NewRow, known: ClaimId) {
        let checked = in_time(until, submission::check_known(&self.writer.store, given, known));
        if let Some(Err(refusal)) = checked.await {
            let (reason, cause) = (refusal.reason(), refusal.cause());
            tracing::warn!(claim.id = %known, reason, cause, "a claim is dropped as a duplicate");
        }
    }

    async fn bury(
        &self,
        rejected: Vec<(Received, Refusal)>,
        until: Option<Instant>,
        ingested: &mut Ingested,
    ) {
        if rejected.is_empty() {
            return;
        }
        let receipts: Vec<_> = rejected.iter().map(|(one, _)| one.receipt.clone()).collect();
        let burials = rejected.into_iter().map(|(message, refusal)| {
            let reason = refusal.reason();
            tracing::warn!(message.id = %message.id, reason, "a message holds no claim");
            Burial::new(message, &reason)
        });
        let burying = self.queue.bury(&self.name, burials.collect());
        match in_time(until, burying).await {
            Some(Ok(())) => ingested.buried = receipts.len(),
            Some(Err(error)) => {
                tracing::warn!(error = chain(&error), "bad messages come again");
                ingested.failed.extend(receipts);
            }
            None => ingested.failed.extend(receipts),
        }
    }

    /// Puts claims back on the queue for which there is no room. A copy keeps its claim's key: where
    /// the original is not deleted, both are one claim.
    async fn put_back(
        &self,
        away: Vec<(Received, NewRow)>,
        until: Option<Instant>,
        ingested: &mut Ingested,
    ) {
        if away.is_empty() {
            return;
        }
        let (messages, rows): (Vec<_>, Vec<_>) = away.into_iter().unzip();
        let receipts: Vec<_> = messages.into_iter().map(|message| message.receipt).collect();
        let copies: Result<Vec<_>, serde_json::Error> =
            rows.iter().map(|row| self.copy(row)).collect();
        let sent = match copies {
            Ok(copies) => in_time(until, self.queue.send(copies)).await,
            Err(error) => {
                tracing::error!(%error, "cannot write a claim");
                None
            }
        };
        match sent {
            Some(Ok(())) => {
                ingested.put_back = receipts.len();
                ingested.done.extend(receipts);
            }
            Some(Err(error)) => {
                tracing::warn!(error = chain(&error), "claims without room come again");
                ingested.failed.extend(receipts);
            }
            None => ingested.failed.extend(receipts),
        }
    }

    fn copy(&self, row: &NewRow) -> Result<Outgoing, serde_json::Error> {
        let mut document = serde_json::to_value(&row.claim)?;
        document["tenant"] = serde_json::to_value(&row.tenant)?;
        let away = Duration::from_secs(rand::rng().random_range(AWAY));
        Ok(Outgoing::new(self.name.clone(), document.to_string())
            .delayed(away)
            .in_group(row.tenant.as_str()))
    }

    fn measure(&self, batch: &[Received]) {
        if let Some(oldest) = batch.iter().map(|message| message.sent_at_ms).min() {
            let age = entropy::now().since(Timestamp::from_millis(oldest));
            took("MessageAge", &[("Queue", self.name.as_str())], age);
        }
    }

    /// Takes claims in until `shutdown`, as a long-lived process.
    pub async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if self.backlog.is_full().await {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(FULL_PAUSE) => continue,
                }
            }
            let request = Receive { max: MAX_INTAKE_BATCH, wait: WAIT, visibility: VISIBILITY };
            let received = tokio::select! {
                () = shutdown.cancelled() => return,
                received = self.queue.receive(&self.name, request) => received,
            };
            let handled = match received {
                Ok(batch) if batch.is_empty() => continue,
                Ok(batch) => self.take(batch).await,
                Err(error) => Err(error),
            };
            if let Err(error) = handled {
                tracing::warn!(error = chain(&error), "cannot take claims in; trying again");
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(BACKOFF) => {}
                }
            }
        }
    }

    async fn take(&self, batch: Vec<Received>) -> Result<(), QueueError> {
        let ingested = self.handle(batch, None).await;
        self.queue.delete(&self.name, &ingested.done).await
    }
}

/// The claim that a message holds.
fn read(message: &Received) -> Result<NewRow, Refusal> {
    if message.body.len() > MAX_REQUEST_BYTES {
        let detail = format!("it is larger than {MAX_REQUEST_BYTES} bytes");
        return Err(Refusal::new(Kind::BodyTooLarge, detail));
    }
    let Document { value, .. } = parse::<Addressed, MAX_REQUEST_BYTES>(message.body.as_bytes())?;
    let Addressed { tenant, claim } = value;
    let claim = serde_json::from_value(serde_json::Value::Object(claim));
    let mut claim: NewClaim =
        claim.map_err(|error| Refusal::new(Kind::InvalidDocument, error.to_string()))?;
    claim.idempotency_key.get_or_insert_with(|| format!("{KEY_PREFIX}{}", message.id));
    submission::check(&claim, message.body.len())?;
    Ok(submission::intake(tenant.unwrap_or_default(), claim, None))
}

/// What comes of it in time.
async fn in_time<T>(until: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match until {
        None => Some(work.await),
        Some(until) if Instant::now() >= until => None,
        Some(until) => tokio::time::timeout_at(until, work).await.ok(),
    }
}
