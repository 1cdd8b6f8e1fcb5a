//! The sweep: what nobody sends a message for.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use fluxus_queue::bounds::{MAX_DELAY, MAX_PRIORITY};
use fluxus_queue::{DeadLetter, Outgoing, QueueName};
use fluxus_schema::message::{CoreMessage, TaskMessage, TaskReport};
use fluxus_schema::{Capability, Tenant, Timestamp};
use fluxus_store::branch::Unserved;
use fluxus_store::{BranchKey, DeadMessage, Message, TimerRow, branch, timer};
use serde::Serialize;
use tokio::time::Instant;

use crate::Core;
use crate::clock;
use crate::error::{CoreError, chain};
use crate::registry::Registry;

/// Most timers, outbox rows, dead letters or unserved tasks that one sweep takes of each: a
/// transaction of a bounded size. What is left is taken by the next one, at once.
pub const MAX_SWEPT: usize = 1_000;

/// Age at which an outbox row is taken to have lost its sender: sending takes milliseconds.
pub(crate) const OUTBOX_GRACE: Duration = Duration::from_secs(10);

/// How often a core looks at the outbox beside its batches: a task of another process that died need
/// not wait for a sweep that comes each minute, and one statement in so long a time costs nothing.
const RELAY_EVERY: Duration = Duration::from_secs(5);

/// Error of a task whose message could not be handled.
pub const UNDELIVERABLE: &str = "Fluxus.Undeliverable";

/// When the sweep is run, which decides how timers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweeps {
    /// By a process that knows when the next timer is due.
    WhenDue,
    /// In this rhythm, as a schedule in the cloud does it. A timer that is due before the next
    /// sweep is sent ahead, as a message with the rest of its time as delay; and a deadline that
    /// is nearer than two sweeps never becomes a row.
    Every(Duration),
}

impl Sweeps {
    /// How far ahead a sweep looks: to the next one, and half as far again, because schedules are
    /// late at times.
    pub(crate) fn ahead(self) -> Duration {
        match self {
            Self::WhenDue => Duration::ZERO,
            Self::Every(rhythm) => (rhythm * 3 / 2).min(MAX_DELAY),
        }
    }
}

/// When this process last looked at the outbox beside its batches.
#[derive(Debug, Default)]
pub(crate) struct Relayed(AtomicI64);

impl Relayed {
    /// Whether to look now, which counts as having looked. A process that starts does: one that died
    /// may be why it was started.
    fn is_due(&self, now: Timestamp) -> bool {
        let earlier = before(now, RELAY_EVERY).as_millis();
        let look = |last| (last <= earlier).then_some(now.as_millis());
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, look).is_ok()
    }
}

/// What a sweep found to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Timers that were due.
    pub timers: usize,
    /// Messages that were committed and had not been sent.
    pub outbox: usize,
    /// Dead letters that were answered for.
    pub dead_letters: usize,
    /// Tasks that somebody may be found for now.
    pub unserved: usize,
    /// When the next timer is due.
    #[serde(skip)]
    pub next_due: Option<Timestamp>,
}

impl AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        let Self { timers, outbox, dead_letters, unserved, next_due } = other;
        self.timers += timers;
        self.outbox += outbox;
        self.dead_letters += dead_letters;
        self.unserved += unserved;
        self.next_due = next_due;
    }
}

impl Swept {
    /// Whether there may be more to do at once. Tasks that nobody could be given do not count:
    /// those that were just asked about would be found again.
    pub fn is_full(&self) -> bool {
        [self.timers, self.outbox, self.dead_letters].contains(&MAX_SWEPT)
    }
}

impl Core {
    /// Sends messages for timers that are due, sends what died in the outbox, fails tasks whose
    /// messages are dead letters, and looks for tasks that somebody can take by now. Safe in
    /// several processes at once.
    ///
    /// # Errors
    /// [`CoreError`]; what was not swept is swept the next time.
    pub async fn sweep(&self) -> Result<Swept, CoreError> {
        let now = clock::now();
        let (timers, next_due) = self.sweep_timers(now).await?;
        let outbox = self.outbound().relay(now, before(now, OUTBOX_GRACE), MAX_SWEPT).await?;
        self.refresh_registry().await;
        let dead_letters = self.sweep_dead_letters().await?;
        let unserved = self.sweep_unserved().await?;
        Ok(Swept { timers, outbox, dead_letters, unserved, next_due })
    }

    /// Sweeps until nothing is left to do at once, or until there is no time for another round. At
    /// least once.
    ///
    /// # Errors
    /// [`CoreError`]; what was not swept is swept the next time.
    pub async fn sweep_until(&self, until: Instant) -> Result<Swept, CoreError> {
        let mut all = Swept::default();
        loop {
            let swept = self.sweep().await?;
            all += swept;
            if !swept.is_full() || Instant::now() >= until {
                return Ok(all);
            }
        }
    }

    /// Sends what died in the outbox, unless this process looked a moment ago: for a core that is swept
    /// by a schedule, beside its batches.
    ///
    /// # Errors
    /// [`CoreError`]; the next sweep sends it.
    pub async fn relay_in_turn(&self) -> Result<usize, CoreError> {
        let now = clock::now();
        if !self.0.relayed.is_due(now) {
            return Ok(0);
        }
        Ok(self.outbound().relay(now, before(now, OUTBOX_GRACE), MAX_SWEPT).await?)
    }

    /// Makes the history partitions of the coming days, and forgets finished tasks that no message
    /// can come for any more.
    ///
    /// # Errors
    /// [`CoreError`]; history goes to the default partition meanwhile.
    pub async fn keep_house(&self) -> Result<(), CoreError> {
        Ok(self.store().keep_house(clock::now()).await?)
    }

    async fn sweep_timers(&self, now: Timestamp) -> Result<(usize, Option<Timestamp>), CoreError> {
        let mut session = self.store().session().await?;
        let tx = session.begin().await?;
        let horizon = now.plus(self.0.parts.sweeps.ahead());
        let due = timer::take_due(&tx, horizon, MAX_SWEPT).await?;
        let next_due = timer::next_due(&tx).await?;
        let count = due.len();
        let enqueued = self.outbound().enqueue(&tx, due_messages(due, now)?, now).await?;
        tx.commit().await?;
        // Sending may need the connection.
        drop(session);
        self.outbound().committed(enqueued).await;
        Ok((count, next_due))
    }

    /// A task message that no fluxling could handle fails its task, so that no claim hangs.
    async fn sweep_dead_letters(&self) -> Result<usize, CoreError> {
        let queue = self.outbound().queue();
        let mut queues = self.0.registry.queues();
        queues.push(self.core_queue().clone());
        let letters = queue.dead_letters(&queues, MAX_SWEPT).await?;
        if letters.is_empty() {
            return Ok(0);
        }
        let answers = answers(&letters, &self.0.registry, self.core_queue())?;
        let own = letters.iter().filter(|letter| letter.queue == *self.core_queue());
        let own: Vec<_> = own.filter_map(dead_message).collect();
        if !own.is_empty() {
            let session = self.store().session().await?;
            fluxus_store::dead_message::note(&session, &own).await?;
        }
        if !answers.is_empty() {
            queue.send(answers).await?;
        }
        // A crash in between answers twice; the second answer finds the task answered.
        let ids: Vec<_> = letters.iter().map(|letter| letter.id.clone()).collect();
        queue.mark_reported(&ids).await?;
        Ok(letters.len())
    }

    async fn sweep_unserved(&self) -> Result<usize, CoreError> {
        let offered = self.0.registry.offered(clock::now());
        if offered.is_empty() {
            return Ok(0);
        }
        let mut wanted: Vec<_> = offered.iter().flat_map(|(_, names)| names).cloned().collect();
        wanted.sort();
        wanted.dedup();
        let session = self.store().session().await?;
        let found = branch::unserved(&session, &wanted, MAX_SWEPT).await?;
        drop(session);
        let messages = questions(found, &offered, self.core_queue())?;
        let count = messages.len();
        if count > 0 {
            self.outbound().queue().send(messages).await?;
        }
        Ok(count)
    }
}

/// The messages of timers that are due, or will be soon.
pub(crate) fn due_messages(due: Vec<TimerRow>, now: Timestamp) -> Result<Vec<Message>, CoreError> {
    let message = |row: TimerRow| {
        let outgoing = Outgoing::new(QueueName::new(&row.queue)?, row.body);
        let outgoing = outgoing.in_group(row.tenant.as_str()).with_priority(row.priority);
        let outgoing = outgoing.delayed(row.due_at.since(now));
        Ok(Message { claim_id: row.claim_id, tenant: row.tenant, outgoing })
    };
    due.into_iter().map(message).collect()
}

/// The answers to tasks whose messages are dead letters.
pub(crate) fn answers(
    letters: &[DeadLetter],
    registry: &Registry,
    core_queue: &QueueName,
) -> Result<Vec<Outgoing>, CoreError> {
    let mut answers = Vec::new();
    for letter in letters.iter().filter(|letter| letter.queue != *core_queue) {
        match serde_json::from_str::<TaskMessage>(&letter.body) {
            Ok(task) => {
                let cause = format!(
                    "The task's message was received {} times from `{}` and never handled: {}",
                    letter.receive_count, letter.queue, letter.reason
                );
                let error = UNDELIVERABLE.to_owned();
                // It counts against the fluxling, so that its circuit opens in the end.
                let owner = registry.owner_of(&task.tenant, &letter.queue);
                let report = owner.map(|fluxling| TaskReport {
                    fluxling,
                    started_at: task.scheduled_at,
                    took_ms: 0,
                });
                let token = task.token;
                let failed = CoreMessage::TaskFailed { token, error, cause, report };
                let body = serde_json::to_string(&failed)?;
                let outgoing = Outgoing::new(core_queue.clone(), body);
                let outgoing = outgoing.in_group(task.tenant.as_str());
                answers.push(outgoing.with_priority(task.priority));
            }
            Err(error) => tracing::error!(
                queue = %letter.queue,
                letter = %letter.id,
                reason = letter.reason,
                error = chain(&error),
                "a dead letter that is no task: look at it with `fluxus dlq show`"
            ),
        }
    }
    Ok(answers)
}

/// Asks the core to look again at those unserved tasks that somebody offers to take.
pub(crate) fn questions(
    found: Vec<Unserved>,
    offered: &[(Tenant, Vec<Capability>)],
    core_queue: &QueueName,
) -> Result<Vec<Outgoing>, CoreError> {
    let shared = Tenant::default();
    let mut messages = Vec::with_capacity(found.len());
    for Unserved { key, tenant, capability } in found {
        let serves = |(owner, names): &(Tenant, Vec<Capability>)| {
            (*owner == tenant || *owner == shared) && names.contains(&capability)
        };
        if offered.iter().any(serves) {
            let BranchKey { claim_id, branch_id } = key;
            let message = CoreMessage::FluxlingAvailable { claim_id, branch_id };
            let body = serde_json::to_string(&message)?;
            let outgoing = Outgoing::new(core_queue.clone(), body);
            // The claim's own priority is not at hand, and it has waited for long.
            messages.push(outgoing.in_group(tenant.as_str()).with_priority(MAX_PRIORITY));
        }
    }
    Ok(messages)
}

/// What is noted of a message that the core itself could not handle: its claim waits for it.
fn dead_message(letter: &DeadLetter) -> Option<DeadMessage> {
    let about = serde_json::from_str::<CoreMessage>(&letter.body).ok();
    let Some((claim_id, branch_id)) = about.and_then(|message| message.about()) else {
        tracing::error!(
            letter = %letter.message_id,
            reason = letter.reason,
            "a dead letter of the core's that names no claim: `fluxus dlq show` tells more"
        );
        return None;
    };
    tracing::error!(
        claim = %claim_id,
        letter = %letter.message_id,
        reason = letter.reason,
        "a claim is stuck: `fluxus claim retry` sends the message again, once its cause is mended"
    );
    Some(DeadMessage {
        claim_id,
        message_id: letter.message_id.0.clone(),
        branch_id,
        body: letter.body.clone(),
        reason: letter.reason.clone(),
        receive_count: letter.receive_count,
        dead_at: Timestamp::from_millis(letter.dead_at_ms),
    })
}

pub(crate) fn before(now: Timestamp, earlier: Duration) -> Timestamp {
    let ms = i64::try_from(earlier.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(ms))
}
