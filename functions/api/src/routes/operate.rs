//! What an operator does about a claim that failed or is stuck: redrive, retry, skip.
//!
//! Each is a message to the core, so that it takes its turn among all that happens to the claim. A
//! message names what it is about by revision, so that a request that is repeated does no more.

use axum::Json;
use axum::extract::State;
use fluxus_queue::Outgoing;
use fluxus_schema::api::{Redriven, Retry, SeenTo, Skip};
use fluxus_schema::limits::{MAX_OPERATOR_CHARS, MAX_PAYLOAD_BYTES, MAX_REASON_CHARS};
use fluxus_schema::message::CoreMessage;
use fluxus_schema::problem::Fault;
use fluxus_schema::{BranchId, ClaimId, ClaimStatus, Json as Shared, Tenant};
use fluxus_store::{BranchRow, Message, branch, dead_message, recipe};
use http::StatusCode;

use super::claims::find;
use crate::App;
use crate::entropy;
use crate::extract::{Caller, Document, Segment};
use crate::machine::{self, Waits};
use crate::openapi::problems;
use crate::problem::{Kind, Refusal};

problems!(RedriveProblems: InvalidParameter, ClaimDoesNotExist, ClaimNotRedrivable);
problems!(RetryProblems: InvalidParameter, ClaimDoesNotExist, ClaimHasEnded, NothingToHandle,
    MalformedJson, NestingTooDeep, IncompleteBody, BodyTooLarge, UnsupportedMediaType,
    InvalidDocument);
problems!(SkipProblems: InvalidParameter, ClaimDoesNotExist, ClaimHasEnded, NothingToHandle,
    MalformedJson, NestingTooDeep, IncompleteBody, BodyTooLarge, UnsupportedMediaType,
    InvalidDocument, InvalidOutput);

/// Redrive a claim that ended without success. Step Functions: `RedriveExecution`.
///
/// It goes on from the states that did not succeed, soon after the answer, with the recipe's version
/// that it began with. States that succeeded are not run again.
#[utoipa::path(
    post, path = "/v1/claims/{claim_id}/redrive", operation_id = "redriveClaim", tag = "claims",
    params(("claim_id" = ClaimId, Path, description = "The claim")),
    responses((status = 202, body = Redriven, description = "The claim will go on"),
              RedriveProblems),
)]
pub(crate) async fn redrive(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(claim_id): Segment<ClaimId>,
) -> Result<(StatusCode, Json<Redriven>), Refusal> {
    let claim = find(&app, &tenant, claim_id).await?;
    let refused = |reason: String| Refusal::new(Kind::ClaimNotRedrivable, reason);
    claim.check_redrive(entropy::now()).map_err(refused)?;
    let mut session = app.store().session().await?;
    let tx = session.begin().await?;
    let root = branch::kept_root(&tx, claim_id).await?;
    let goes_on = root.as_deref().map(machine::can_resume).transpose();
    if goes_on.map_err(Refusal::internal)? != Some(true) {
        const REASON: &str = "Execution has no state to go on from and cannot be redriven";
        return Err(refused(REASON.to_owned()));
    }
    if let (Some(name), Some(version)) = (&claim.recipe, claim.recipe_version) {
        let key = (tenant.clone(), name.clone(), version);
        if recipe::definitions(&tx, &[key]).await?.is_empty() {
            let reason =
                format!("version {version} of the recipe `{name}` does not exist any more");
            return Err(refused(reason));
        }
    }
    let redrive_count = claim.redrive_count + 1;
    let message = CoreMessage::ClaimRedriven { claim_id, redrive_count };
    let told = app.tell_core(&tx, &tenant, claim_id, &message).await?;
    tx.commit().await?;
    drop(session);
    app.outbound().committed(told).await;
    Ok((StatusCode::ACCEPTED, Json(Redriven { claim_id, redrive_count })))
}

/// Have the task of a claim tried again, or send again what nobody could handle.
///
/// Messages about the claim that are dead letters of the core are sent again. Where there are none,
/// the task that waits gets another attempt: an answer to the one before comes too late then, and
/// the recipe's retries are not used up. What else the claim waits for, and nobody told it of, it is
/// told of.
#[utoipa::path(
    post, path = "/v1/claims/{claim_id}/retry", operation_id = "retryClaim", tag = "claims",
    params(("claim_id" = ClaimId, Path, description = "The claim")),
    request_body = Option<Retry>,
    responses((status = 202, body = SeenTo, description = "What is being done"), RetryProblems),
)]
pub(crate) async fn retry(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(claim_id): Segment<ClaimId>,
    body: Option<Document<Retry>>,
) -> Result<(StatusCode, Json<SeenTo>), Refusal> {
    let Retry { branch, by, reason } = body.map(|body| body.value).unwrap_or_default();
    check_words(by.as_deref(), reason.as_deref())?;
    let status = open(&app, &tenant, claim_id).await?;
    let mut session = app.store().session().await?;
    let tx = session.begin().await?;
    let dead = match branch {
        None => dead_message::take(&tx, claim_id).await?,
        Some(_) => Vec::new(),
    };
    let mut seen_to = SeenTo { claim_id, branches: Vec::new(), messages: dead.len() as u64 };
    let mut bodies = dead;
    if bodies.is_empty() && status == ClaimStatus::Received {
        bodies.push(text(&CoreMessage::ClaimSubmitted { claim_id })?);
        seen_to.messages = 1;
    } else if bodies.is_empty() {
        let rows = branch::open(&tx, claim_id).await?;
        let children = |parent: &BranchId| {
            rows.iter().filter(|row| row.parent.as_ref() == Some(parent)).count()
        };
        let now = entropy::now();
        let (mut tasks, mut others) = (Vec::new(), Vec::new());
        for row in rows.iter().filter(|row| branch.as_ref().is_none_or(|id| *id == row.branch_id)) {
            let branch_id = row.branch_id.clone();
            match machine::waits(&row.state).map_err(Refusal::internal)? {
                Waits::Task(handles) if handles.can_retry => {
                    let revision = handles.revision;
                    let (by, reason) = (by.clone(), reason.clone());
                    let message =
                        CoreMessage::TaskRetried { claim_id, branch_id, revision, by, reason };
                    tasks.push((row, message));
                }
                Waits::Time { due, revision } if due <= now => {
                    let message = CoreMessage::TimerFired { claim_id, branch_id, revision };
                    others.push((row, message));
                }
                Waits::Branches { revision } if children(&row.branch_id) == 0 => {
                    let (parent, failed) = (branch_id, None);
                    let message = CoreMessage::BranchEnded { claim_id, parent, revision, failed };
                    others.push((row, message));
                }
                _ => {}
            }
        }
        // Something was lost: that comes first, and harms nobody who is at work.
        let chosen =
            if others.is_empty() { vec![one_of(claim_id, tasks, "retried")?] } else { others };
        for (row, message) in chosen {
            seen_to.branches.push(row.branch_id.clone());
            bodies.push(text(&message)?);
        }
    }
    let message = |body| Message {
        claim_id,
        tenant: tenant.clone(),
        outgoing: Outgoing::new(app.core_queue().clone(), body).in_group(tenant.as_str()),
    };
    let messages = bodies.into_iter().map(message).collect();
    let told = app.outbound().enqueue(&tx, messages, entropy::now()).await?;
    tx.commit().await?;
    drop(session);
    app.outbound().committed(told).await;
    Ok((StatusCode::ACCEPTED, Json(seen_to)))
}

/// End the task that a claim waits for by hand, with an output, as if it had been done.
///
/// The history says who did it. Whoever is at work on the task is not stopped; the answer comes too
/// late.
#[utoipa::path(
    post, path = "/v1/claims/{claim_id}/skip", operation_id = "skipTask", tag = "claims",
    params(("claim_id" = ClaimId, Path, description = "The claim")),
    request_body = Skip,
    responses((status = 202, body = SeenTo, description = "The task will end"), SkipProblems),
)]
pub(crate) async fn skip(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(claim_id): Segment<ClaimId>,
    Document { value: Skip { branch, output, by, reason }, .. }: Document<Skip>,
) -> Result<(StatusCode, Json<SeenTo>), Refusal> {
    check_words(by.as_deref(), reason.as_deref())?;
    let bytes = output.to_string().len();
    if bytes > MAX_PAYLOAD_BYTES {
        let detail = format!("has {bytes} bytes of JSON; the bound is {MAX_PAYLOAD_BYTES}");
        let fault = Fault::of_document("/output", detail);
        return Err(Refusal::faulty(Kind::InvalidOutput, vec![fault]));
    }
    open(&app, &tenant, claim_id).await?;
    let mut session = app.store().session().await?;
    let tx = session.begin().await?;
    let rows = branch::open(&tx, claim_id).await?;
    let mut tasks = Vec::new();
    for row in rows.iter().filter(|row| branch.as_ref().is_none_or(|id| *id == row.branch_id)) {
        match machine::waits(&row.state).map_err(Refusal::internal)? {
            Waits::Task(handles) if handles.can_skip => tasks.push((row, handles.revision)),
            _ => {}
        }
    }
    let (row, revision) = one_of(claim_id, tasks, "skipped")?;
    let branch_id = row.branch_id.clone();
    let branches = vec![branch_id.clone()];
    let output = Shared::new(output);
    let message = CoreMessage::TaskSkipped { claim_id, branch_id, revision, output, by, reason };
    let told = app.tell_core(&tx, &tenant, claim_id, &message).await?;
    tx.commit().await?;
    drop(session);
    app.outbound().committed(told).await;
    Ok((StatusCode::ACCEPTED, Json(SeenTo { claim_id, branches, messages: 0 })))
}

/// The only one; of several, whoever asks must name one.
fn one_of<'a, T>(
    claim_id: ClaimId,
    mut found: Vec<(&'a BranchRow, T)>,
    done: &str,
) -> Result<(&'a BranchRow, T), Refusal> {
    let refused = |detail: String| Err(Refusal::new(Kind::NothingToHandle, detail));
    match found.len() {
        0 => refused(format!(
            "no task of claim {claim_id} waits that could be {done}; ask `explain` what it waits for"
        )),
        1 => Ok(found.swap_remove(0)),
        count => {
            const SHOWN: usize = 10;
            let names: Vec<_> =
                found.iter().take(SHOWN).map(|(row, _)| row.branch_id.as_str()).collect();
            let more = if count > SHOWN { ", …" } else { "" };
            refused(format!(
                "{count} tasks of claim {claim_id} wait: name the branch that is meant, of {}{more}",
                names.join(", ")
            ))
        }
    }
}

/// A claim's status, where it has not ended.
async fn open(app: &App, tenant: &Tenant, claim_id: ClaimId) -> Result<ClaimStatus, Refusal> {
    let claim = find(app, tenant, claim_id).await?;
    let status = claim.status;
    if status.has_ended() {
        let hint = claim.check_redrive(entropy::now()).map_or("", |()| "; it can be redriven");
        let detail = format!("claim {claim_id} has ended as {status}{hint}");
        return Err(Refusal::new(Kind::ClaimHasEnded, detail));
    }
    Ok(status)
}

fn text(message: &CoreMessage) -> Result<String, Refusal> {
    serde_json::to_string(message).map_err(Refusal::internal)
}

fn check_words(by: Option<&str>, reason: Option<&str>) -> Result<(), Refusal> {
    let parts = [("/by", by, MAX_OPERATOR_CHARS), ("/reason", reason, MAX_REASON_CHARS)];
    let too_long = parts.into_iter().filter(|(_, text, most)| {
        text.is_some_and(|text| text.chars().count() > *most || text.contains('\0'))
    });
    let fault = |(pointer, _, most)| {
        let detail = format!("is longer than {most} characters, or holds U+0000");
        Fault::of_document(pointer, detail)
    };
    let faults: Vec<Fault> = too_long.map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(Refusal::faulty(Kind::InvalidDocument, faults)) }
}
