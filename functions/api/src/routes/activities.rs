//! Activities: work that outside workers poll for.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fluxus_schema::api::{ActivityTask, Poll};
use fluxus_schema::message::CoreMessage;
use fluxus_schema::problem::Fault;
use fluxus_schema::{Capability, Tenant};
use fluxus_store::branch;
use http::{HeaderMap, StatusCode};

use crate::App;
use crate::extract::{Caller, Document, Segment, invalid};
use crate::headers;
use crate::limits::MAX_WORKER_CHARS;
use crate::machine;
use crate::observe::about_claim;
use crate::openapi::problems;
use crate::problem::{Kind, Refusal};

problems!(PollProblems: InvalidParameter, MalformedJson, NestingTooDeep, IncompleteBody,
    BodyTooLarge, UnsupportedMediaType, InvalidDocument);

/// Poll for a task of an activity. Step Functions: `GetActivityTask`.
///
/// An activity is there once a recipe names it: `arn:aws:states:REGION:ACCOUNT:activity:NAME`. With
/// `Prefer: wait=SECONDS` the answer comes when there is a task in that time. A task is given out
/// once; if its worker dies, its timeout or heartbeat tells, so give one to its state.
#[utoipa::path(
    post, path = "/v1/activities/{name}/poll", operation_id = "pollActivity", tag = "tasks",
    params(
        ("name" = String, Path, description = "The activity's name: the last part of its ARN"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`, at most 30"),
    ),
    request_body = Option<Poll>,
    responses(
        (status = 200, body = ActivityTask, description = "A task, given to this worker"),
        (status = 204, description = "There is none"),
        PollProblems,
    ),
)]
pub(crate) async fn poll(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(name): Segment<String>,
    headers: HeaderMap,
    body: Option<Document<Poll>>,
) -> Result<Response, Refusal> {
    let Poll { worker } = body.map(|body| body.value).unwrap_or_default();
    check_worker(worker.as_deref())?;
    let capability = Capability::of_activity(&name);
    let capability = capability.map_err(|error| invalid("name", &error.to_string()))?;
    let wait = headers::wait(&headers, app.limits().max_wait).unwrap_or(Duration::ZERO);
    let activity = (tenant.clone(), capability.clone());
    let take = || take(&app, &tenant, &capability, worker.as_deref());
    Ok(match app.pollers().wait(activity, wait, take).await? {
        Some(task) => Json(task).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Gives out the first task there is, and tells the core who has it.
async fn take(
    app: &App,
    tenant: &Tenant,
    capability: &Capability,
    worker: Option<&str>,
) -> Result<Option<ActivityTask>, Refusal> {
    let mut session = app.store().session().await?;
    let tx = session.begin().await?;
    let Some((key, state)) = branch::take_unserved(&tx, tenant, capability).await? else {
        return Ok(None);
    };
    about_claim(key.claim_id);
    let Some(task) = machine::held(key.claim_id, &state).map_err(Refusal::internal)? else {
        return Ok(None);
    };
    let worker = worker.map(str::to_owned);
    let message = CoreMessage::TaskStarted { token: task.token.clone(), worker };
    let told = app.tell_core(&tx, tenant, key.claim_id, &message).await?;
    tx.commit().await?;
    drop(session);
    app.outbound().committed(told).await;
    Ok(Some(task))
}

fn check_worker(worker: Option<&str>) -> Result<(), Refusal> {
    let chars = worker.map_or(0, |worker| worker.chars().count());
    if chars <= MAX_WORKER_CHARS {
        return Ok(());
    }
    let detail = format!("has {chars} characters; the bound is {MAX_WORKER_CHARS}");
    Err(Refusal::faulty(Kind::InvalidDocument, vec![Fault::of_document("/worker", detail)]))
}
