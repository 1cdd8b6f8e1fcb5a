//! What a batch works on, loaded and compiled: the claims' contexts, recipes and verdicts.

use std::collections::BTreeMap;
use std::sync::Arc;

use fluxus_machine::{
    Branch, Definition, Dispatch, Entropy, ExecutionContext, Nested, Purpose, Seed,
};
use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use fluxus_schema::{BranchId, ClaimId, ClaimStatus, RecipeName, Tenant, Timestamp};
use fluxus_store::claim::Origin;
use fluxus_store::recipe::TypeRoute;
use fluxus_store::{BranchRow, ClaimContext, ClaimRow, LoadedBranch};

use crate::error::CoreError;
use crate::evaluate::{Verdict, evaluate};
use crate::ledger::Ledger;
use crate::nested::Start;
use crate::recipes::{Definitions, Recipes, Version};

/// What was read from the store.
#[derive(Default)]
pub(crate) struct Loaded {
    /// Claims that have not begun.
    pub(crate) received: Vec<ClaimRow>,
    pub(crate) branches: Vec<LoadedBranch>,
    /// Children of parents none of whose children is open.
    pub(crate) joined: Vec<BranchRow>,
    pub(crate) routes: Vec<TypeRoute>,
    /// All branches of claims that are to be redriven.
    pub(crate) kept: Vec<LoadedBranch>,
}

/// One claim of a batch.
pub(crate) struct Subject {
    pub(crate) claim_id: ClaimId,
    pub(crate) tenant: Tenant,
    /// The same as the store has it, once it has begun; none where it changes in this batch.
    pub(crate) claim: Option<Arc<ClaimContext>>,
    /// The recipe and its version, where there is one for it.
    pub(crate) recipe: Option<(RecipeName, i32)>,
    pub(crate) context: ExecutionContext,
    pub(crate) traceparent: Option<String>,
    pub(crate) deadline: Option<Timestamp>,
    /// What its messages are sent with.
    pub(crate) priority: u8,
    pub(crate) received_at: Timestamp,
    /// How it came to be, where a recipe started it.
    pub(crate) origin: Option<Origin>,
    pub(crate) definition: Option<Arc<Definition>>,
    /// How often it will have been redriven, where it ended and may go on.
    pub(crate) redrive: Option<u32>,
    /// The row and the verdict, where the claim has not begun.
    pub(crate) received: Option<(ClaimRow, Verdict)>,
    /// Its branches that are at hand, with whether they are stored by the parent's join.
    pub(crate) branches: Vec<(BranchRow, Branch)>,
}

impl Subject {
    /// When the claim ends as out of time. As on the service, its recipe's time starts anew when it
    /// is redriven; a deadline that had passed by then binds it no more.
    pub(crate) fn due(&self, began_at: Timestamp) -> Option<Timestamp> {
        let timeout = self.definition.as_ref().and_then(|definition| definition.timeout());
        let timeout = timeout.map(|timeout| began_at.plus(timeout));
        let is_ahead = |deadline: &Timestamp| {
            self.context.redriven_at.is_none_or(|redriven_at| *deadline > redriven_at)
        };
        let deadline = self.deadline.filter(is_ahead);
        match (timeout, deadline) {
            (Some(timeout), Some(deadline)) => Some(timeout.min(deadline)),
            (timeout, deadline) => timeout.or(deadline),
        }
    }

    /// Whether a claim that was redriven is out of time; true for all others, of which nobody says
    /// so too early.
    pub(crate) fn is_out_of_time(&self, now: Timestamp) -> bool {
        let Some(redriven_at) = self.context.redriven_at else { return true };
        self.due(redriven_at).is_some_and(|due| due <= now)
    }

    /// A task of the claim that starts an execution.
    pub(crate) fn start(&self, dispatch: &Dispatch, nested: Nested) -> Start {
        let (branch_id, revision) = match dispatch.token.address() {
            Ok(at) => (at.branch_id, at.revision),
            Err(_) => (BranchId::root(), 0),
        };
        let entropy = Entropy::new(self.context.seed, Purpose::Nested, &branch_id, revision);
        let depth = self.origin.as_ref().map_or(0, |origin| origin.depth);
        Start {
            token: dispatch.token.clone(),
            nested,
            input: dispatch.input.clone(),
            tenant: self.tenant.clone(),
            parent: (self.claim_id, depth),
            seed: entropy.bytes(),
            traceparent: self.traceparent.clone(),
            priority: self.priority,
        }
    }
}

/// Everything of a batch, by claim.
pub(crate) type Prepared = BTreeMap<ClaimId, Subject>;

/// The recipes that what was loaded needs, compiled; at most one statement.
pub(crate) async fn load_recipes(
    ledger: &impl Ledger,
    recipes: &Recipes,
    loaded: &Loaded,
) -> Result<Definitions, CoreError> {
    let live = loaded.routes.iter().filter_map(|route| {
        let (recipe, version) = route.recipe.clone()?;
        Some((route.tenant.clone(), recipe, version))
    });
    let named = loaded.received.iter().filter_map(|claim| {
        let origin = claim.origin.as_ref()?;
        Some((claim.tenant.clone(), origin.recipe.clone(), origin.version))
    });
    let begun = loaded.branches.iter().chain(&loaded.kept).map(|branch| version(&branch.claim));
    recipes.definitions(ledger, live.chain(named).chain(begun).collect()).await
}

fn version(claim: &ClaimContext) -> Version {
    (claim.tenant.clone(), claim.recipe.clone(), claim.recipe_version)
}

/// Puts what was loaded together, by claim.
pub(crate) fn prepare(
    recipes: &Recipes,
    definitions: &Definitions,
    loaded: Loaded,
    now: Timestamp,
) -> Result<Prepared, CoreError> {
    let mut prepared = Prepared::new();
    for claim in loaded.received {
        let subject = received((recipes, definitions), claim, &loaded.routes, now)?;
        prepared.insert(subject.claim_id, subject);
    }
    for LoadedBranch { row, claim } in loaded.branches {
        if claim.status.has_ended() {
            continue;
        }
        let branch = read(&row)?;
        if let Some(subject) = prepared.get_mut(&claim.claim_id) {
            subject.branches.push((row, branch));
            continue;
        }
        let definition = definitions.get(&version(&claim)).cloned().ok_or_else(|| {
            let (recipe, version) = (claim.recipe.clone(), claim.recipe_version);
            CoreError::RecipeGone { recipe, version }
        })?;
        let mut subject = begun(&claim, definition)?;
        subject.claim = Some(claim.clone());
        subject.branches.push((row, branch));
        prepared.insert(claim.claim_id, subject);
    }
    for LoadedBranch { row, claim } in loaded.kept {
        let branch = read(&row)?;
        if let Some(subject) = prepared.get_mut(&claim.claim_id) {
            // Where it runs already, somebody was quicker.
            if subject.redrive.is_some() {
                subject.branches.push((row, branch));
            }
            continue;
        }
        let failed = [ClaimStatus::Failed, ClaimStatus::TimedOut, ClaimStatus::Aborted];
        let definition = definitions.get(&version(&claim)).cloned();
        let (true, Some(definition)) = (failed.contains(&claim.status), definition) else {
            continue;
        };
        let mut subject = begun(&claim, definition)?;
        let count = claim.redrive_count.saturating_add(1);
        subject.context.redrive_count = count;
        subject.context.redriven_at = Some(now);
        subject.redrive = Some(count);
        subject.branches.push((row, branch));
        prepared.insert(claim.claim_id, subject);
    }
    for row in loaded.joined {
        // Without its parent at hand there is nobody to join it.
        if let Some(subject) = prepared.get_mut(&row.claim_id) {
            let branch = read(&row)?;
            subject.branches.push((row, branch));
        }
    }
    Ok(prepared)
}

/// Reads a branch's document.
pub(crate) fn read(row: &BranchRow) -> Result<Branch, CoreError> {
    serde_json::from_str(&row.state).map_err(|source| CoreError::Branch {
        claim: row.claim_id,
        branch: row.branch_id.clone(),
        source,
    })
}

fn received(
    (recipes, definitions): (&Recipes, &Definitions),
    claim: ClaimRow,
    routes: &[TypeRoute],
    now: Timestamp,
) -> Result<Subject, CoreError> {
    let body = serde_json::from_str(&claim.body)?;
    let is_its =
        |route: &&TypeRoute| route.tenant == claim.tenant && route.claim_type == claim.claim_type;
    let route = routes.iter().find(is_its);
    let verdict = evaluate(recipes, &claim, &body, route, |recipe, version| {
        definitions.get(&(claim.tenant.clone(), recipe.clone(), version)).cloned()
    });
    let (recipe, definition) = match &verdict {
        Verdict::Accepted { recipe, version, definition } => {
            (Some((recipe.clone(), *version)), Some(definition.clone()))
        }
        Verdict::Rejected { .. } => (None, None),
    };
    let (name, version) =
        recipe.as_ref().map_or(("", 0), |(name, version)| (name.as_str(), *version));
    let begins =
        recipe.as_ref().map(|(recipe, version)| Arc::new(as_begun(&claim, recipe, *version, now)));
    Ok(Subject {
        claim_id: claim.claim_id,
        tenant: claim.tenant.clone(),
        claim: begins,
        context: context(
            claim.claim_id,
            claim.origin.as_ref(),
            body,
            (name, version),
            claim.seed,
            now,
        ),
        recipe,
        traceparent: claim.traceparent.clone(),
        deadline: claim.deadline,
        priority: claim.priority,
        received_at: claim.received_at,
        origin: claim.origin.clone(),
        definition,
        branches: Vec::new(),
        redrive: None,
        received: Some((claim, verdict)),
    })
}

/// What a claim is to the steps after the one that begins it.
fn as_begun(claim: &ClaimRow, recipe: &RecipeName, version: i32, now: Timestamp) -> ClaimContext {
    ClaimContext {
        claim_id: claim.claim_id,
        tenant: claim.tenant.clone(),
        claim_type: claim.claim_type.clone(),
        status: ClaimStatus::Running,
        body: claim.body.clone(),
        seed: claim.seed,
        recipe: recipe.clone(),
        recipe_version: version,
        started_at: now,
        received_at: claim.received_at,
        traceparent: claim.traceparent.clone(),
        origin: claim.origin.clone(),
        deadline: claim.deadline,
        priority: claim.priority,
        redrive_count: 0,
        redriven_at: None,
    }
}

fn begun(claim: &ClaimContext, definition: Arc<Definition>) -> Result<Subject, CoreError> {
    let body = serde_json::from_str(&claim.body)?;
    let (recipe, version) = (claim.recipe.as_str(), claim.recipe_version);
    let context = context(
        claim.claim_id,
        claim.origin.as_ref(),
        body,
        (recipe, version),
        claim.seed,
        claim.started_at,
    );
    let (redrive_count, redriven_at) = (claim.redrive_count, claim.redriven_at);
    Ok(Subject {
        claim_id: claim.claim_id,
        tenant: claim.tenant.clone(),
        claim: None,
        context: ExecutionContext { redrive_count, redriven_at, ..context },
        recipe: Some((claim.recipe.clone(), claim.recipe_version)),
        traceparent: claim.traceparent.clone(),
        deadline: claim.deadline,
        priority: claim.priority,
        received_at: claim.received_at,
        origin: claim.origin.clone(),
        definition: Some(definition),
        received: None,
        redrive: None,
        branches: Vec::new(),
    })
}

fn context(
    claim_id: ClaimId,
    origin: Option<&Origin>,
    body: serde_json::Value,
    (recipe, version): (&str, i32),
    seed: [u8; 16],
    started_at: Timestamp,
) -> ExecutionContext {
    let name = origin.and_then(|origin| origin.name.clone());
    ExecutionContext {
        claim_id,
        id: claim_id.to_string(),
        name: name.unwrap_or_else(|| claim_id.to_string()),
        input: body.into(),
        role_arn: None,
        started_at,
        state_machine_id: format!("{recipe}:{version}"),
        state_machine_name: recipe.to_owned(),
        region: None,
        seed: Seed(seed),
        max_payload_bytes: MAX_PAYLOAD_BYTES,
        redrive_count: 0,
        redriven_at: None,
    }
}
