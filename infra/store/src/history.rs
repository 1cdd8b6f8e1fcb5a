//! Reading what was recorded. Steps record it with [`crate::changes::save`].

use fluxus_postgres::Row;
use fluxus_postgres::types::Type;
use fluxus_schema::api::Decision;
use fluxus_schema::delegation::Delegation;
use fluxus_schema::history::{Event, EventKind, EventRow};
use fluxus_schema::{BranchId, ClaimId, HybridTime, Tenant};

use crate::columns::{Columns, integer, limit};
use crate::error::StoreError;
use crate::instant::stored_hybrid;
use crate::store::Store;

/// Where a page of history ends: at this step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryCursor {
    /// When it was recorded.
    pub at: HybridTime,
    /// The branch that stepped.
    pub branch_id: BranchId,
    /// The revision that the step made.
    pub revision: u32,
}

impl HistoryCursor {
    /// Before everything.
    fn beginning() -> Self {
        let at = HybridTime::from_micros(i64::MIN);
        Self { at, branch_id: BranchId::root(), revision: 0 }
    }
}

/// Steps of a claim in the order of their causes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryRows {
    /// What each step recorded.
    pub rows: Vec<EventRow>,
    /// Where to go on; none at the end.
    pub next: Option<HistoryCursor>,
}

impl Store {
    /// What the claim's steps recorded: at most so many rows, and the rest of the last step where
    /// that one is spread over several; `usize::MAX` for everything.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn history(
        &self,
        tenant: &Tenant,
        claim_id: ClaimId,
        after: Option<&HistoryCursor>,
        at_most: usize,
    ) -> Result<HistoryRows, StoreError> {
        // Partitions of days before the claim came in are left out; clocks may differ by a day.
        const READ: &str = "-- read history
            SELECT claim_id, branch_id, revision, part, recorded_at, events::text FROM history
             WHERE claim_id = $1 AND tenant = $2
               AND recorded_at >= (SELECT received_at - interval '1 day' FROM claim
                                    WHERE claim.claim_id = $1)
               AND (recorded_at, branch_id, revision) > ($3, $4, $5)
             ORDER BY recorded_at, branch_id, revision
             FETCH FIRST $6 ROWS WITH TIES";
        let beginning = HistoryCursor::beginning();
        let after = after.unwrap_or(&beginning);
        let session = self.session().await?;
        let rows = session
            .query(
                READ,
                &[
                    (&claim_id.0, Type::UUID),
                    (&tenant.as_str(), Type::TEXT),
                    (&stored_hybrid(after.at), Type::TIMESTAMPTZ),
                    (&after.branch_id.as_str(), Type::TEXT),
                    (&integer(after.revision), Type::INT4),
                    (&limit(at_most), Type::INT8),
                ],
            )
            .await?;
        let more = rows.len() >= at_most;
        let rows = steps(&rows)?;
        let next = rows.last().filter(|_| more).map(|last| HistoryCursor {
            at: last.at,
            branch_id: last.branch_id.clone(),
            revision: last.revision,
        });
        Ok(HistoryRows { rows, next })
    }

    /// Every delegation of the claim so far, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn decisions(
        &self,
        tenant: &Tenant,
        claim_id: ClaimId,
    ) -> Result<Vec<Decision>, StoreError> {
        // The text is searched, so that rows without a delegation are not sent.
        const READ: &str = "-- read delegations
            SELECT claim_id, branch_id, revision, part, recorded_at, events::text FROM history
             WHERE claim_id = $1 AND tenant = $2
               AND recorded_at >= (SELECT received_at - interval '1 day' FROM claim
                                    WHERE claim.claim_id = $1)
               AND events::text LIKE '%\"TaskDelegated\"%'
             ORDER BY recorded_at, branch_id, revision, part";
        let session = self.session().await?;
        let params = [(&claim_id.0 as _, Type::UUID), (&tenant.as_str() as _, Type::TEXT)];
        let mut decisions = Vec::new();
        for row in &session.query(READ, &params).await? {
            let Part { row: step, .. } = Part::read(row)?;
            let delegated = |event: &Event| event.kind == EventKind::TaskDelegated;
            for event in step.events.into_iter().filter(delegated) {
                let delegation: Delegation = serde_json::to_value(&event.details)
                    .and_then(serde_json::from_value)
                    .map_err(|error| columns(row).corrupt("events", error))?;
                let (at, branch) = (step.at.timestamp(), step.branch_id.clone());
                decisions.push(Decision { at, branch, delegation });
            }
        }
        Ok(decisions)
    }
}

/// One row: all events of a step, or some.
struct Part {
    number: u32,
    row: EventRow,
}

impl Part {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let row = columns(row);
        Ok(Self {
            number: row.unsigned("part")?,
            row: EventRow {
                branch_id: row.parse("branch_id")?,
                revision: row.unsigned("revision")?,
                at: row.hybrid("recorded_at")?,
                events: row.json("events")?,
            },
        })
    }
}

fn columns(row: &Row) -> Columns<'_> {
    Columns::new(row, "history", &["claim_id", "branch_id", "revision", "part"])
}

/// Puts the parts of each step together: an event's position counts through all of them.
fn steps(rows: &[Row]) -> Result<Vec<EventRow>, StoreError> {
    let mut parts = rows.iter().map(Part::read).collect::<Result<Vec<_>, _>>()?;
    let key = |part: &Part| (part.row.at, part.row.branch_id.clone(), part.row.revision);
    parts.sort_by_cached_key(|part| (key(part), part.number));
    let mut steps: Vec<EventRow> = Vec::with_capacity(parts.len());
    for Part { row, .. } in parts {
        match steps.last_mut() {
            Some(last) if last.revision == row.revision && last.branch_id == row.branch_id => {
                last.events.extend(row.events);
            }
            _ => steps.push(row),
        }
    }
    Ok(steps)
}
