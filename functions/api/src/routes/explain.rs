//! Why a claim stands where it stands.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use fluxus_schema::api::{Decision, Explanation, Waiting, WaitingFor};
use fluxus_schema::{BranchId, ClaimId, FluxlingName};
use fluxus_store::BranchRow;

use super::claims::find;
use crate::App;
use crate::extract::{Caller, Segment};
use crate::machine;
use crate::openapi::problems;
use crate::problem::Refusal;

problems!(ExplainProblems: InvalidParameter, ClaimDoesNotExist);

/// Explain a claim: what it waits for and since when, who has it, and every decision so far.
#[utoipa::path(
    get, path = "/v1/claims/{claim_id}/explain", operation_id = "explainClaim", tag = "claims",
    params(("claim_id" = ClaimId, Path, description = "The claim")),
    responses(
        (status = 200, body = Explanation, description = "Where it stands and why"),
        ExplainProblems,
    ),
)]
pub(crate) async fn explain(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(claim_id): Segment<ClaimId>,
) -> Result<Json<Explanation>, Refusal> {
    let claim = find(&app, &tenant, claim_id).await?;
    let branches = app.store().waiting(claim_id).await?;
    let decisions = app.store().decisions(&tenant, claim_id).await?;
    let waiting = waiting(&branches, &decisions)?;
    Ok(Json(Explanation { claim, waiting, decisions }))
}

fn waiting(branches: &[BranchRow], decisions: &[Decision]) -> Result<Vec<Waiting>, Refusal> {
    // The newest decision about a branch says who has its task.
    let holders: HashMap<&BranchId, Option<&FluxlingName>> = decisions
        .iter()
        .map(|decision| (&decision.branch, decision.delegation.fluxling.as_ref()))
        .collect();
    let mut open_children: HashMap<&BranchId, u64> = HashMap::new();
    for parent in branches.iter().filter_map(|branch| branch.parent.as_ref()) {
        *open_children.entry(parent).or_default() += 1;
    }
    let mut waiting = Vec::with_capacity(branches.len());
    for branch in branches {
        let found = machine::waiting(&branch.state).map_err(Refusal::internal)?;
        let Some((state, mut reason, since)) = found else { continue };
        match &mut reason {
            WaitingFor::Task { fluxling, .. } if branch.unserved.is_none() => {
                *fluxling = holders.get(&branch.branch_id).copied().flatten().cloned();
            }
            WaitingFor::Branches { open, .. } => {
                *open = open_children.get(&branch.branch_id).copied().unwrap_or(0);
            }
            _ => {}
        }
        let branch = branch.branch_id.clone();
        waiting.push(Waiting { branch, state: Some(state), reason, since });
    }
    Ok(waiting)
}
