//! What is under way: messages in the queues, and those in the outbox.

use std::collections::{HashMap, HashSet};

use fluxus_postgres::Transaction;
use fluxus_schema::message::{CoreMessage, TaskMessage};
use fluxus_schema::{BranchId, ClaimId, TaskToken};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Activity, Findings};
use crate::columns::Columns;
use crate::error::StoreError;

/// What a message will bring to a claim. Revisions are those that the branch had when it asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Errand {
    /// Its evaluation.
    Beginning,
    /// Its end.
    Stop,
    /// A task on its way to a fluxling, or its answer on the way back.
    Task(BranchId, u32),
    /// The time that a branch waits for.
    Time(BranchId, u32),
    /// Somebody for a task that nobody could be given.
    Fluxling(BranchId),
    /// Room for items of a Map.
    Room(BranchId, u32),
    /// It goes on, though it had ended.
    Redrive,
    /// An operator's word about a task.
    Operator(BranchId, u32),
    /// The end of a branch, to the one that waits for it.
    Join(BranchId, u32),
}

impl Errand {
    /// What the message is about; none for a text that is no message of ours.
    fn read(body: &str) -> Option<(ClaimId, Self)> {
        /// How the queue keeps a message with large parts elsewhere.
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(rename = "fluxus:payloads")]
            _payloads: Vec<String>,
            #[serde(borrow)]
            body: &'a RawValue,
        }
        if let Ok(Envelope { body, .. }) = serde_json::from_str::<Envelope<'_>>(body) {
            return Self::read(body.get());
        }
        let of_task = |token: &TaskToken| {
            let at = token.address().ok()?;
            Some((at.claim_id, Self::Task(at.branch_id, at.revision)))
        };
        let Ok(message) = serde_json::from_str::<CoreMessage>(body) else {
            return of_task(&serde_json::from_str::<TaskMessage>(body).ok()?.token);
        };
        match message {
            CoreMessage::ClaimSubmitted { claim_id } => Some((claim_id, Self::Beginning)),
            CoreMessage::Stopped { claim_id, .. } => Some((claim_id, Self::Stop)),
            CoreMessage::TaskSucceeded { token, .. }
            | CoreMessage::TaskFailed { token, .. }
            | CoreMessage::TaskStarted { token, .. }
            | CoreMessage::TaskHeartbeat { token } => of_task(&token),
            CoreMessage::TimerFired { claim_id, branch_id, revision } => {
                Some((claim_id, Self::Time(branch_id, revision)))
            }
            CoreMessage::FluxlingAvailable { claim_id, branch_id } => {
                Some((claim_id, Self::Fluxling(branch_id)))
            }
            CoreMessage::ClaimRedriven { claim_id, .. } => Some((claim_id, Self::Redrive)),
            CoreMessage::TaskRetried { claim_id, branch_id, revision, .. }
            | CoreMessage::TaskSkipped { claim_id, branch_id, revision, .. } => {
                Some((claim_id, Self::Operator(branch_id, revision)))
            }
            CoreMessage::MapHasRoom { claim_id, parent, revision, .. } => {
                Some((claim_id, Self::Room(parent, revision)))
            }
            CoreMessage::BranchEnded { claim_id, parent, revision, .. } => {
                Some((claim_id, Self::Join(parent, revision)))
            }
        }
    }
}

/// All of them, by claim.
pub(super) struct Errands {
    /// None where the queues are elsewhere, so that nobody can tell what is in them.
    by_claim: Option<HashMap<ClaimId, HashSet<Errand>>>,
    none: HashSet<Errand>,
}

impl Errands {
    pub(super) async fn load(
        tx: &Transaction<'_>,
        activity: Activity,
        findings: &mut Findings,
    ) -> Result<Self, StoreError> {
        const IS_HERE: &str = "-- look for queues
            SELECT to_regclass('fluxus_queue.message') IS NOT NULL AS is_here";
        const UNSENT: &str = "-- audit the outbox
            SELECT queue, body, false AS is_delayed FROM outbox ORDER BY outbox_id";
        // A delayed message that nobody took yet is a timer: it cannot be taken back, and waits
        // for its time also when its claim has gone on.
        const QUEUED: &str = "-- audit the queues
            SELECT queue, body, receive_count = 0 AND visible_at > statement_timestamp()
                   AS is_delayed
              FROM fluxus_queue.message ORDER BY message_id";
        const DEAD: &str = "-- audit the dead letters
            SELECT queue, body, false AS is_delayed FROM fluxus_queue.dead_letter
             WHERE reported_at IS NULL ORDER BY message_id";
        const WAITERS: &str = "-- audit who waits for executions
            SELECT waiter.claim_id, waiter.token, claim.ended_at IS NOT NULL AS is_late
              FROM waiter JOIN claim ON claim.claim_id = waiter.claim_id";
        let mut is_here = false;
        for row in tx.query(IS_HERE, &[]).await? {
            is_here = Columns::new(&row, "message", &[]).get("is_here")?;
        }
        let mut errands: HashMap<ClaimId, HashSet<Errand>> = HashMap::new();
        let places: &[_] = if is_here {
            &[("in the outbox", UNSENT), ("in a queue", QUEUED), ("a dead letter", DEAD)]
        } else {
            &[("in the outbox", UNSENT)]
        };
        for (place, sql) in places {
            for row in tx.query(sql, &[]).await? {
                let row = Columns::new(&row, "message", &[]);
                let queue: &str = row.get("queue")?;
                let Some((claim_id, errand)) = Errand::read(row.get("body")?) else {
                    findings.add(None, format!("a message for `{queue}`, {place}, is unreadable"));
                    continue;
                };
                if activity == Activity::Drained && !row.get::<bool>("is_delayed")? {
                    let what = format!("{errand:?} for `{queue}` is {place}, undelivered");
                    findings.add(Some(claim_id), what);
                }
                errands.entry(claim_id).or_default().insert(errand);
            }
        }
        for row in tx.query(WAITERS, &[]).await? {
            let row = Columns::new(&row, "waiter", &["claim_id", "token"]);
            let claim_id: ClaimId = row.claim_id("claim_id")?;
            if row.get("is_late")? {
                findings.add(Some(claim_id), "has ended, and a task waits for its end".to_owned());
            }
            // The end of an execution comes as an answer to the task that waits for it.
            let Ok(at) = TaskToken::from_text(row.get("token")?).address() else { continue };
            let errand = Errand::Task(at.branch_id, at.revision);
            errands.entry(at.claim_id).or_default().insert(errand);
        }
        Ok(Self { by_claim: is_here.then_some(errands), none: HashSet::new() })
    }

    /// What is under way for a claim; nothing where nobody can tell.
    pub(super) fn of(&self, claim_id: ClaimId) -> Option<&HashSet<Errand>> {
        let by_claim = self.by_claim.as_ref()?;
        Some(by_claim.get(&claim_id).unwrap_or(&self.none))
    }
}

#[cfg(test)]
mod tests {
    use fluxus_schema::Timestamp;

    use super::*;

    #[test]
    fn a_message_with_large_parts_elsewhere_is_read_too() {
        let claim_id = ClaimId::new(Timestamp::from_millis(0), &[0; 10]);
        let plain = serde_json::to_string(&CoreMessage::ClaimSubmitted { claim_id });
        let plain = plain.expect("writes");
        let envelope = format!("{{\"fluxus:payloads\":[\"9f86\"],\"body\":{plain}}}");
        for body in [&plain, &envelope] {
            assert_eq!(Errand::read(body), Some((claim_id, Errand::Beginning)), "{body}");
        }
        assert_eq!(Errand::read("{\"fluxus:payloads\":[]}"), None);
    }
}
