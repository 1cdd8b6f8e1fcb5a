//! Claims that wait longer than they should, and for what.
//!
//! Who is stuck is read off the tables: nobody has to notice it when it happens. A claim whose
//! recipe says how long it may wait (a task's timeout, a Wait state) is stuck only once that is over
//! and nothing happened; one that says nothing is given a bound. Waits for people, by callback or
//! activity, have none; whoever asks by a bound of their own is told of them too.

use fluxus_postgres::Row;
use fluxus_postgres::types::Type;
use fluxus_schema::claim::Stuck;
use fluxus_schema::limits::{ANSWER_AFTER, STUCK_AFTER};
use fluxus_schema::{ClaimId, Tenant, Timestamp};

use crate::columns::{Columns, limit};
use crate::error::StoreError;
use crate::instant::stored;
use crate::store::Store;

/// The most stuck claims that are looked for: one is reason enough to look.
pub const MAX_STUCK: usize = 1_000;

/// The most old branches that one look reads, so that a system with very many claims that wait for
/// days is not slowed down by being watched.
const MAX_LOOKED_AT: usize = 100_000;

/// When a claim counts as stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StuckSince {
    /// What should have happened by itself, and had not happened before this.
    pub overdue: Timestamp,
    /// Tasks without a timeout, given out before this.
    pub unanswered: Timestamp,
}

/// A claim that is stuck.
#[derive(Clone, Debug, PartialEq)]
pub struct StuckClaim {
    /// The claim.
    pub claim_id: ClaimId,
    /// Whose it is.
    pub tenant: Tenant,
    /// What holds it up. Of several things, the one to see to first.
    pub stuck: Stuck,
}

impl StuckSince {
    /// By the usual bounds.
    pub fn usual(now: Timestamp) -> Self {
        let before = |bound: std::time::Duration| {
            let ms = i64::try_from(bound.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millis(now.as_millis().saturating_sub(ms))
        };
        Self { overdue: before(STUCK_AFTER), unanswered: before(ANSWER_AFTER) }
    }
}

/// The statement: `$1` the tenant or null, `$2` and `$3` of [`StuckSince`], `$4` the first id of
/// claims that are too young, `$5` and `$6` how much is looked at and found, `$7` whether tasks count
/// whatever they wait for.
pub(crate) const STUCK: &str = "-- find stuck claims
    WITH old AS MATERIALIZED (
        SELECT claim_id, branch_id, tenant, unserved, changed_at,
               -- Postgres takes no JSON apart that holds U+0000.
               replace(state::text, '\\u0000', '\\ufffd')::json -> 'status' AS status
          FROM branch
         WHERE claim_id < $4 AND status = 'OPEN' AND changed_at < $2
           AND ($1::text IS NULL OR tenant = $1)
         LIMIT $5
    ), waiting AS (
        SELECT claim_id, branch_id, tenant, unserved, changed_at, status, status ->> 'is' AS kind,
               status #>> '{visit,state}' AS state, status #>> '{task,capability}' AS capability,
               least((status ->> 'due')::timestamptz, (status #>> '{task,deadline}')::timestamptz,
                     (status #>> '{task,heartbeat_due}')::timestamptz) AS due
          FROM old
    ), found (claim_id, tenant, rank, reason, since, branch, state, capability, detail) AS (
        SELECT letter.claim_id, claim.tenant, 1, 'dead_letter', letter.dead_at, letter.branch_id,
               NULL, NULL, letter.reason
          FROM dead_message AS letter
          JOIN claim ON claim.claim_id = letter.claim_id AND claim.ended_at IS NULL
          LEFT JOIN branch ON branch.claim_id = letter.claim_id
                          AND branch.branch_id = letter.branch_id
         WHERE ($1::text IS NULL OR claim.tenant = $1)
           -- It has gone on since, by another message.
           AND (letter.branch_id IS NULL OR branch.changed_at <= letter.dead_at)
        UNION ALL
        SELECT claim_id, tenant, 2, 'no_fluxling', changed_at, branch_id, state, unserved, NULL
          FROM waiting WHERE unserved NOT LIKE 'activity.%'
        UNION ALL
        SELECT claim_id, tenant, 3, 'timer_overdue', due, branch_id, state, NULL, NULL
          FROM waiting WHERE due < $2
        UNION ALL
        SELECT timer.claim_id, timer.tenant, 3, 'timer_overdue', timer.due_at, NULL, NULL, NULL,
               timer.timer_key
          FROM timer WHERE due_at < $2 AND ($1::text IS NULL OR tenant = $1)
        UNION ALL
        SELECT claim_id, tenant, 4, 'not_joined', changed_at, branch_id, state, NULL, NULL
          FROM waiting
         WHERE kind = 'awaiting_branches'
           AND NOT EXISTS (
               SELECT FROM branch AS child
                WHERE child.claim_id = waiting.claim_id AND child.parent = waiting.branch_id
                  AND child.parent_revision = (waiting.status ->> 'revision')::integer
                  AND (child.status <> 'ENDED' OR child.changed_at >= $2))
        UNION ALL
        SELECT claim_id, tenant, 5, 'not_begun', received_at, NULL, NULL, NULL, NULL
          FROM claim
         WHERE ended_at IS NULL AND status = 'RECEIVED' AND received_at < $2
           AND ($1::text IS NULL OR tenant = $1)
        UNION ALL
        SELECT claim_id, tenant, 6, 'not_sent', created_at, NULL, NULL, NULL, queue
          FROM outbox WHERE created_at < $2 AND ($1::text IS NULL OR tenant = $1)
        UNION ALL
        SELECT claim_id, tenant, 7, 'no_answer', changed_at, branch_id, state, capability,
               CASE WHEN NOT $7 THEN NULL
                    WHEN unserved IS NOT NULL THEN 'no worker polled for the activity'
                    WHEN is_submitted AND status #>> '{task,callback}' IS NOT NULL
                    THEN 'waits for a callback'
                    WHEN status #>> '{task,execution}' IS NOT NULL
                    THEN 'waits for the end of claim ' || (status #>> '{task,execution}')
                    WHEN capability LIKE 'activity.%' THEN 'a worker has the activity''s task in hand'
                    ELSE 'a task is in hand' END
               || CASE WHEN due IS NULL THEN '' ELSE ', and its time is not over' END
          FROM (SELECT *, (status #>> '{task,submitted}') IS NOT DISTINCT FROM 'true'
                       AS is_submitted FROM waiting) AS task
         WHERE kind = 'awaiting_task' AND changed_at < $3
           AND CASE WHEN $7 THEN unserved IS NULL OR unserved LIKE 'activity.%'
                    ELSE unserved IS NULL AND due IS NULL AND NOT is_submitted
                         AND capability NOT LIKE 'activity.%' END
    ), first AS (
        SELECT DISTINCT ON (claim_id) claim_id, tenant, reason, since, branch, state, capability,
               detail
          FROM found ORDER BY claim_id DESC, rank, since
    )
    SELECT claim_id, tenant, reason, since, branch, state, capability, detail
      FROM first ORDER BY claim_id DESC LIMIT $6";

impl Store {
    /// Claims of the tenant, or of all, that are stuck, newest first; [`MAX_STUCK`] at most.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn stuck_claims(
        &self,
        tenant: Option<&Tenant>,
        since: StuckSince,
    ) -> Result<Vec<StuckClaim>, StoreError> {
        self.find_stuck(tenant, since, false).await
    }

    /// Like [`stuck_claims`](Self::stuck_claims), with one bound for all, and with tasks that may well
    /// take longer: those that wait for a callback, a worker or another claim, or have a timeout of
    /// their own. `detail` says for what. Wait states and retries still count by their own time.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn waiting_claims(
        &self,
        tenant: Option<&Tenant>,
        since: Timestamp,
    ) -> Result<Vec<StuckClaim>, StoreError> {
        self.find_stuck(tenant, StuckSince { overdue: since, unanswered: since }, true).await
    }

    async fn find_stuck(
        &self,
        tenant: Option<&Tenant>,
        since: StuckSince,
        whatever: bool,
    ) -> Result<Vec<StuckClaim>, StoreError> {
        // A claim that came later cannot have waited for so long.
        let young = since.overdue.max(since.unanswered);
        let params = [
            (&tenant.map(Tenant::as_str) as _, Type::TEXT),
            (&stored(since.overdue) as _, Type::TIMESTAMPTZ),
            (&stored(since.unanswered) as _, Type::TIMESTAMPTZ),
            (&ClaimId::new(young, &[0; 10]).0 as _, Type::UUID),
            (&limit(MAX_LOOKED_AT) as _, Type::INT8),
            (&limit(MAX_STUCK) as _, Type::INT8),
            (&whatever as _, Type::BOOL),
        ];
        let rows = self.session().await?.query(STUCK, &params).await?;
        rows.iter().map(StuckClaim::read).collect()
    }
}

impl StuckClaim {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let row = Columns::new(row, "claim", &["claim_id"]);
        Ok(Self {
            claim_id: row.claim_id("claim_id")?,
            tenant: row.parse("tenant")?,
            stuck: Stuck {
                reason: row.parse("reason")?,
                since: row.timestamp("since")?,
                branch: row.parse_option("branch")?,
                state: row.get::<Option<String>>("state")?.map(Into::into),
                capability: row.parse_option("capability")?,
                detail: row.get("detail")?,
            },
        })
    }
}
