//! The tables, as they are committed.

use std::collections::BTreeMap;
use std::rc::Rc;

use fluxus_schema::id::ClaimType;
use fluxus_schema::{ClaimId, ClaimStatus, RecipeName, TaskToken, Tenant, Timestamp};
use fluxus_store::claim::{Intake, Waiter};
use fluxus_store::recipe::{Definition, TypeRoute};
use fluxus_store::{BranchKey, BranchRow, ClaimRow, HistoryRow, Message, TimerRow};

/// A message in the outbox.
#[derive(Clone, Debug)]
pub(super) struct Unsent {
    pub(super) message: Message,
    pub(super) created_at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) claims: BTreeMap<ClaimId, Rc<ClaimRow>>,
    /// Idempotency keys.
    pub(super) names: BTreeMap<(Tenant, String), ClaimId>,
    pub(super) branches: BTreeMap<BranchKey, Rc<BranchRow>>,
    pub(super) history: Vec<HistoryRow>,
    pub(super) timers: BTreeMap<(ClaimId, String), TimerRow>,
    pub(super) waiters: BTreeMap<(ClaimId, TaskToken), Waiter>,
    pub(super) outbox: BTreeMap<i64, Unsent>,
    pub(super) routes: Vec<TypeRoute>,
    pub(super) definitions: Vec<Definition>,
    /// How often each claim was ended.
    pub(super) ends: BTreeMap<ClaimId, u32>,
}

impl Tables {
    pub(super) fn route(&self, tenant: &Tenant, claim_type: &ClaimType) -> Option<&TypeRoute> {
        let is_it = |one: &&TypeRoute| one.tenant == *tenant && one.claim_type == *claim_type;
        self.routes.iter().find(is_it)
    }

    pub(super) fn version(
        &self,
        tenant: &Tenant,
        name: &RecipeName,
        version: Option<i32>,
    ) -> Option<&Definition> {
        let is_it = |one: &&Definition| {
            one.tenant == *tenant && one.name == *name && version.is_none_or(|v| v == one.version)
        };
        self.definitions.iter().find(is_it)
    }
}

/// The row of a claim that comes in.
pub(super) fn received(intake: &Intake) -> ClaimRow {
    let Intake { claim_id, tenant, claim, seed, traceparent, origin, received_at } = intake.clone();
    ClaimRow {
        claim_id,
        tenant,
        claim_type: claim.claim_type,
        status: ClaimStatus::Received,
        subject: claim.subject,
        body: claim.body.to_string().into(),
        output: None,
        error: None,
        cause: None,
        recipe: None,
        recipe_version: None,
        idempotency_key: claim.idempotency_key,
        priority: u8::try_from(claim.priority).unwrap_or_default(),
        deadline: claim.deadline,
        attributes: claim.attributes,
        traceparent,
        origin,
        seed,
        received_at,
        started_at: None,
        ended_at: None,
        redrive_count: 0,
        redriven_at: None,
    }
}
