//! The tables, as they are committed.

use std::collections::BTreeMap;
use std::rc::Rc;

use fluxus_schema::id::ClaimType;
use fluxus_schema::{ClaimId, RecipeName, TaskToken, Tenant, Timestamp};
use fluxus_store::claim::Waiter;
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
