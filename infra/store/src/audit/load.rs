//! Reading what is audited: a page of claims, and everything of theirs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::SystemTime;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Row, Transaction};
use fluxus_schema::history::{Event, EventKind};
use fluxus_schema::id::TaskAddress;
use fluxus_schema::{BranchId, ClaimId, ClaimStatus, HybridTime, TaskToken};
use uuid::Uuid;

use super::Activity;
use super::story::{Attempt, Recorded, Story};
use crate::branch::BranchStatus;
use crate::claim::uuids;
use crate::columns::{Columns, limit};
use crate::error::StoreError;
use crate::instant::hybrid;

/// What a claim's row says.
pub(super) struct Facts {
    pub(super) claim_id: ClaimId,
    pub(super) status: ClaimStatus,
    pub(super) has_begun: bool,
    pub(super) has_deadline: bool,
    pub(super) output: Option<String>,
    pub(super) error: Option<String>,
    pub(super) cause: Option<String>,
    tenant: String,
    claim_type: String,
}

impl Facts {
    /// What its end is counted under.
    pub(super) fn tally_name(&self) -> String {
        self.tally_name_of(self.status)
    }

    /// What an end as this is counted under.
    pub(super) fn tally_name_of(&self, status: ClaimStatus) -> String {
        tally_name(&self.tenant, &self.claim_type, status.as_str())
    }
}

fn tally_name(tenant: &str, claim_type: &str, status: &str) -> String {
    format!("`{claim_type}` of `{tenant}` as {status}")
}

pub(super) async fn claims(
    tx: &Transaction<'_>,
    after: Option<ClaimId>,
    at_most: usize,
) -> Result<Vec<Facts>, StoreError> {
    const READ: &str = "-- audit claims
        SELECT claim_id, tenant, claim_type, status, output::text, error, cause,
               started_at IS NOT NULL AS has_begun, deadline IS NOT NULL AS has_deadline
          FROM claim WHERE claim_id > $1 ORDER BY claim_id LIMIT $2";
    let after = after.map_or(Uuid::nil(), |after| after.0);
    let params = [(&after as _, Type::UUID), (&limit(at_most) as _, Type::INT8)];
    let read = |row: &Row| {
        let row = Columns::new(row, "claim", &["claim_id"]);
        Ok(Facts {
            claim_id: row.claim_id("claim_id")?,
            status: row.parse("status")?,
            has_begun: row.get("has_begun")?,
            has_deadline: row.get("has_deadline")?,
            output: row.get("output")?,
            error: row.get("error")?,
            cause: row.get("cause")?,
            tenant: row.get("tenant")?,
            claim_type: row.get("claim_type")?,
        })
    };
    tx.query(READ, &params).await?.iter().map(read).collect()
}

/// A row of history.
pub(super) struct Part {
    pub(super) branch_id: BranchId,
    pub(super) revision: u32,
    pub(super) part: u32,
    pub(super) at: HybridTime,
    pub(super) events: Vec<Event>,
    /// The same events, with their details at hand.
    pub(super) recorded: Vec<Recorded>,
}

/// Rows of each claim, in the order in which a history is read.
pub(super) async fn histories(
    tx: &Transaction<'_>,
    ids: &[ClaimId],
) -> Result<HashMap<ClaimId, Vec<Part>>, StoreError> {
    const READ: &str = "-- audit history
        SELECT claim_id, branch_id, revision, part, recorded_at, events::text FROM history
         WHERE claim_id = ANY($1)
         ORDER BY claim_id, recorded_at, branch_id, revision, part";
    by_claim(tx, READ, ids, |row| {
        let row = Columns::new(row, "history", &["claim_id", "branch_id", "revision", "part"]);
        Ok(Part {
            branch_id: row.parse("branch_id")?,
            revision: row.unsigned("revision")?,
            part: row.unsigned("part")?,
            at: row.hybrid("recorded_at")?,
            events: row.json("events")?,
            recorded: row.json("events")?,
        })
    })
    .await
}

/// A branch that is there.
pub(super) struct Branch {
    pub(super) branch_id: BranchId,
    pub(super) parent: Option<BranchId>,
    pub(super) revision: u32,
    pub(super) status: BranchStatus,
    pub(super) is_unserved: bool,
}

pub(super) async fn branches(
    tx: &Transaction<'_>,
    ids: &[ClaimId],
) -> Result<HashMap<ClaimId, Vec<Branch>>, StoreError> {
    const READ: &str = "-- audit branches
        SELECT claim_id, branch_id, parent, revision, status, unserved IS NOT NULL AS is_unserved
          FROM branch WHERE claim_id = ANY($1) ORDER BY claim_id, branch_id";
    by_claim(tx, READ, ids, |row| {
        let row = Columns::new(row, "branch", &["claim_id", "branch_id"]);
        Ok(Branch {
            branch_id: row.parse("branch_id")?,
            parent: row.parse_option("parent")?,
            revision: row.unsigned("revision")?,
            status: row.parse("status")?,
            is_unserved: row.get("is_unserved")?,
        })
    })
    .await
}

/// A timer that is set.
pub(super) struct Timer {
    pub(super) key: String,
    pub(super) is_due: bool,
}

pub(super) async fn timers(
    tx: &Transaction<'_>,
    ids: &[ClaimId],
) -> Result<HashMap<ClaimId, Vec<Timer>>, StoreError> {
    const READ: &str = "-- audit timers
        SELECT claim_id, timer_key, due_at <= statement_timestamp() AS is_due
          FROM timer WHERE claim_id = ANY($1) ORDER BY claim_id, timer_key";
    by_claim(tx, READ, ids, |row| {
        let row = Columns::new(row, "timer", &["claim_id", "timer_key"]);
        Ok(Timer { key: row.get("timer_key")?, is_due: row.get("is_due")? })
    })
    .await
}

/// What the fluxlings remember of a claim's attempts, by branch and revision: whether each is done.
pub(super) type Remembered = HashMap<(BranchId, u32), Vec<bool>>;

pub(super) async fn done(
    tx: &Transaction<'_>,
    ids: &[ClaimId],
) -> Result<HashMap<ClaimId, Remembered>, StoreError> {
    // No character of a token sorts after `~`.
    const READ: &str = "-- audit task records
        SELECT token, status = 'DONE' AS is_done
          FROM unnest($1::text[]) AS of_claim (prefix)
         CROSS JOIN LATERAL (
               SELECT token, status FROM idempotency
                WHERE token >= of_claim.prefix AND token < of_claim.prefix || '~') AS record";
    let prefixes: Vec<String> = ids.iter().map(|id| token_prefix(*id)).collect();
    let mut done: HashMap<ClaimId, Remembered> = HashMap::new();
    for row in tx.query(READ, &[(&prefixes, Type::TEXT_ARRAY)]).await? {
        let row = Columns::new(&row, "idempotency", &["token"]);
        let Ok(at) = TaskToken::from_text(row.get("token")?).address() else { continue };
        let remembered = done.entry(at.claim_id).or_default();
        remembered.entry((at.branch_id, at.revision)).or_default().push(row.get("is_done")?);
    }
    Ok(done)
}

/// What all tokens of a claim begin with: the claim's id comes first in them, and 21 characters of
/// base64 hold 126 of its 128 bits.
fn token_prefix(claim_id: ClaimId) -> String {
    let address = TaskAddress { claim_id, branch_id: BranchId::root(), revision: 0 };
    TaskToken::new(&address, 0).as_str().chars().take(21).collect()
}

/// The fluxlings' record of what they did, and who keeps none.
pub(super) struct Records {
    /// Registered fluxlings whose tasks are recorded.
    recording: HashSet<String>,
    /// What was done before may have been forgotten.
    since: Option<HybridTime>,
}

impl Records {
    pub(super) async fn load(tx: &Transaction<'_>) -> Result<Self, StoreError> {
        const READ: &str = "-- audit fluxlings
            SELECT name FROM fluxling
             WHERE NOT coalesce((manifest ->> 'idempotent')::boolean, false)";
        const SINCE: &str = "-- find the oldest task record
            SELECT min(created_at) AS since FROM idempotency";
        let mut recording = HashSet::new();
        for row in tx.query(READ, &[]).await? {
            let row = Columns::new(&row, "fluxling", &["name"]);
            recording.insert(row.get("name")?);
        }
        let mut since = None;
        for row in tx.query(SINCE, &[]).await? {
            let row = Columns::new(&row, "idempotency", &[]);
            since = row.get::<Option<SystemTime>>("since")?.map(hybrid);
        }
        Ok(Self { recording, since })
    }

    /// Whether what a claim's tasks came to is remembered, so that none is done a second time.
    pub(super) fn check(
        &self,
        story: &Story,
        done: &Remembered,
        activity: Activity,
        note: &mut impl FnMut(String),
    ) {
        let mut known: HashMap<(&BranchId, u32), &Attempt> = HashMap::new();
        for attempt in story.attempts() {
            known.insert((&attempt.branch_id, attempt.revision), attempt);
            let at = (attempt.branch_id.clone(), attempt.revision);
            let remembered = done.get(&at).map_or(&[][..], Vec::as_slice);
            if remembered.len() > 1 {
                note(format!("the task of {}#{} has several tokens", at.0, at.1));
            }
            if self.must_remember(attempt) && !remembered.contains(&true) {
                note(format!("the task of {}#{} was answered and is not DONE", at.0, at.1));
            }
        }
        if activity == Activity::UnderWay {
            return;
        }
        for (at, _) in done.iter().filter(|(_, done)| done.contains(&false)) {
            let attempt = known.get(&(&at.0, at.1));
            let timed_out = |attempt: &&&Attempt| {
                attempt.result.as_ref().is_some_and(|(kind, _)| is_timeout(*kind))
            };
            let cut_off = |attempt: &&&Attempt| timed_out(attempt) || story.may_be_cut_off(attempt);
            if !attempt.as_ref().is_some_and(cut_off) {
                note(format!("the task of {}#{} was begun and is not DONE", at.0, at.1));
            }
        }
    }

    /// Whether a fluxling that keeps a record answered this attempt, as far as the history tells.
    fn must_remember(&self, attempt: &Attempt) -> bool {
        /// The core's own answer to a task that no fluxling could take.
        const UNDELIVERABLE: &str = "Fluxus.Undeliverable";
        let is_recorded =
            attempt.fluxling.as_ref().is_some_and(|name| self.recording.contains(name))
                && self.since.is_some_and(|since| attempt.at >= since);
        let answered = match &attempt.result {
            _ if attempt.is_submitted => true,
            Some((kind, error)) => {
                !attempt.has_callback
                    && !is_timeout(*kind)
                    && error.as_deref() != Some(UNDELIVERABLE)
            }
            None => false,
        };
        is_recorded && answered
    }
}

fn is_timeout(kind: EventKind) -> bool {
    use EventKind::{ActivityTimedOut, LambdaFunctionTimedOut, TaskTimedOut};
    matches!(kind, TaskTimedOut | LambdaFunctionTimedOut | ActivityTimedOut)
}

/// How many ends were counted whose claims are there, by what they are counted under.
pub(super) async fn tallies(tx: &Transaction<'_>) -> Result<BTreeMap<String, u64>, StoreError> {
    const READ: &str = "-- audit the tally of ended claims
        SELECT tenant, claim_type, status, sum(ended)::bigint AS ended
          FROM (SELECT tenant, claim_type, status, ended FROM claim_tally
                 UNION ALL
                SELECT tenant, claim_type, status, -retired FROM claim_retired) AS counted
         GROUP BY 1, 2, 3";
    let mut tallies = BTreeMap::new();
    for row in tx.query(READ, &[]).await? {
        let row = Columns::new(&row, "claim_tally", &["tenant", "claim_type", "status"]);
        let name = tally_name(row.get("tenant")?, row.get("claim_type")?, row.get("status")?);
        tallies.insert(name, row.count("ended")?);
    }
    Ok(tallies)
}

/// Rows whose claim does not exist, with their table.
pub(super) async fn orphans(
    tx: &Transaction<'_>,
) -> Result<Vec<(&'static str, ClaimId)>, StoreError> {
    const TABLES: [(&str, &str); 6] = [
        (
            "branch",
            "-- look for lost branches
            SELECT DISTINCT claim_id FROM branch AS child
             WHERE NOT EXISTS (SELECT FROM claim WHERE claim.claim_id = child.claim_id)",
        ),
        (
            "timer",
            "-- look for lost timers
            SELECT DISTINCT claim_id FROM timer AS child
             WHERE NOT EXISTS (SELECT FROM claim WHERE claim.claim_id = child.claim_id)",
        ),
        (
            "history",
            "-- look for lost history
            SELECT DISTINCT claim_id FROM history AS child
             WHERE NOT EXISTS (SELECT FROM claim WHERE claim.claim_id = child.claim_id)",
        ),
        (
            "payload",
            "-- look for lost payloads
            SELECT DISTINCT claim_id FROM payload AS child
             WHERE NOT EXISTS (SELECT FROM claim WHERE claim.claim_id = child.claim_id)",
        ),
        (
            "waiter",
            "-- look for lost waiters
            SELECT DISTINCT claim_id FROM waiter AS child
             WHERE NOT EXISTS (SELECT FROM claim WHERE claim.claim_id = child.claim_id)",
        ),
        (
            "outbox",
            "-- look for lost messages
            SELECT DISTINCT claim_id FROM outbox AS child
             WHERE NOT EXISTS (SELECT FROM claim WHERE claim.claim_id = child.claim_id)",
        ),
    ];
    let mut orphans = Vec::new();
    for (table, sql) in TABLES {
        for row in tx.query(sql, &[]).await? {
            orphans.push((table, Columns::new(&row, table, &["claim_id"]).claim_id("claim_id")?));
        }
    }
    Ok(orphans)
}

async fn by_claim<T>(
    tx: &Transaction<'_>,
    sql: &str,
    ids: &[ClaimId],
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<HashMap<ClaimId, Vec<T>>, StoreError> {
    let mut found: HashMap<ClaimId, Vec<T>> = HashMap::new();
    for row in tx.query(sql, &[(&uuids(ids), Type::UUID_ARRAY)]).await? {
        let claim_id = Columns::new(&row, "claim", &["claim_id"]).claim_id("claim_id")?;
        found.entry(claim_id).or_default().push(read(&row)?);
    }
    Ok(found)
}
