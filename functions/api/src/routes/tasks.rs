//! Answers of outside workers, and callbacks: whoever holds the token may answer.

use axum::extract::State;
use fluxus_schema::api::{TaskFailure, TaskOutput};
use fluxus_schema::id::TaskAddress;
use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use fluxus_schema::message::CoreMessage;
use fluxus_schema::problem::Fault;
use fluxus_schema::{Json as Shared, TaskToken, Tenant};
use fluxus_store::{BranchKey, Transaction, branch};
use http::StatusCode;

use super::claims::check_failure;
use crate::App;
use crate::extract::{Caller, Document, Segment};
use crate::machine;
use crate::observe::about_claim;
use crate::openapi::problems;
use crate::problem::{Kind, Refusal};

problems!(AnswerProblems: InvalidToken, TaskDoesNotExist, MalformedJson, NestingTooDeep,
    IncompleteBody, BodyTooLarge, UnsupportedMediaType, InvalidDocument, InvalidOutput);
problems!(FailProblems: InvalidToken, TaskDoesNotExist, MalformedJson, NestingTooDeep,
    IncompleteBody, BodyTooLarge, UnsupportedMediaType, InvalidDocument);
problems!(HeartbeatProblems: InvalidToken, TaskDoesNotExist);

/// Answer a task with its output. Step Functions: `SendTaskSuccess`.
#[utoipa::path(
    post, path = "/v1/tasks/{token}/succeed", operation_id = "succeedTask", tag = "tasks",
    params(("token" = TaskToken, Path, description = "The task's token")),
    request_body = TaskOutput,
    responses((status = 202, description = "The answer is durably accepted"), AnswerProblems),
)]
pub(crate) async fn succeed(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(token): Segment<String>,
    Document { value: TaskOutput { output }, .. }: Document<TaskOutput>,
) -> Result<StatusCode, Refusal> {
    let bytes = output.to_string().len();
    if bytes > MAX_PAYLOAD_BYTES {
        let detail = format!("has {bytes} bytes of JSON; the bound is {MAX_PAYLOAD_BYTES}");
        let fault = Fault::of_document("/output", detail);
        return Err(Refusal::faulty(Kind::InvalidOutput, vec![fault]));
    }
    let token = TaskToken::from_text(&token);
    let output = Shared::new(output);
    let message = CoreMessage::TaskSucceeded { token: token.clone(), output, report: None };
    answer(&app, &tenant, &token, &message).await
}

/// Answer a task with a failure. Step Functions: `SendTaskFailure`.
#[utoipa::path(
    post, path = "/v1/tasks/{token}/fail", operation_id = "failTask", tag = "tasks",
    params(("token" = TaskToken, Path, description = "The task's token")),
    request_body = Option<TaskFailure>,
    responses((status = 202, description = "The answer is durably accepted"), FailProblems),
)]
pub(crate) async fn fail(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(token): Segment<String>,
    body: Option<Document<TaskFailure>>,
) -> Result<StatusCode, Refusal> {
    let TaskFailure { error, cause } = body.map(|body| body.value).unwrap_or_default();
    check_failure(Some(&error), Some(&cause))?;
    let token = TaskToken::from_text(&token);
    let message = CoreMessage::TaskFailed { token: token.clone(), error, cause, report: None };
    answer(&app, &tenant, &token, &message).await
}

/// Say that a task is still being worked on. Step Functions: `SendTaskHeartbeat`.
#[utoipa::path(
    post, path = "/v1/tasks/{token}/heartbeat", operation_id = "heartbeatTask", tag = "tasks",
    params(("token" = TaskToken, Path, description = "The task's token")),
    responses((status = 202, description = "The heartbeat is durably accepted"), HeartbeatProblems),
)]
pub(crate) async fn heartbeat(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(token): Segment<String>,
) -> Result<StatusCode, Refusal> {
    let token = TaskToken::from_text(&token);
    let message = CoreMessage::TaskHeartbeat { token: token.clone() };
    answer(&app, &tenant, &token, &message).await
}

/// Hands an answer to the core if a task waits for it. The core checks once more: between here
/// and there the task may time out or be answered by somebody else.
async fn answer(
    app: &App,
    tenant: &Tenant,
    token: &TaskToken,
    message: &CoreMessage,
) -> Result<StatusCode, Refusal> {
    let address = token.address();
    let address = address.map_err(|error| Refusal::new(Kind::InvalidToken, error.to_string()))?;
    about_claim(address.claim_id);
    let mut session = app.store().session().await?;
    let tx = session.begin().await?;
    check_waiting(&tx, tenant, token, &address).await?;
    let told = app.tell_core(&tx, tenant, address.claim_id, message).await?;
    tx.commit().await?;
    drop(session);
    app.outbound().committed(told).await;
    Ok(StatusCode::ACCEPTED)
}

/// Checks that a branch of the tenant waits for an answer with just this token.
async fn check_waiting(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    token: &TaskToken,
    address: &TaskAddress,
) -> Result<(), Refusal> {
    let key = BranchKey { claim_id: address.claim_id, branch_id: address.branch_id.clone() };
    let state = branch::open_state(tx, tenant, &key).await?;
    let state = state.as_deref();
    let waits = state.map(|state| machine::awaits(state, token)).transpose();
    if waits.map_err(Refusal::internal)? == Some(true) {
        return Ok(());
    }
    const DETAIL: &str = "no task waits for this token: it was answered, timed out or stopped";
    Err(Refusal::new(Kind::TaskDoesNotExist, DETAIL))
}
