//! Claims: submitting, reading, listing, cancelling.

use std::collections::HashMap;

use crate::limits::MAX_KEPT_BYTES;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fluxus_schema::api::{Cancel, ClaimPage, Submitted};
use fluxus_schema::claim::Stuck;
use fluxus_schema::limits::{DEFAULT_PAGE, MAX_CAUSE_CHARS, MAX_ERROR_CHARS, MAX_PAGE};
use fluxus_schema::message::CoreMessage;
use fluxus_schema::problem::Fault;
use fluxus_schema::{Claim, ClaimId, ClaimStatus, NewClaim, Tenant, Timestamp};
use fluxus_store::{ClaimFilter, StuckSince};
use http::header::LOCATION;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::App;
use crate::entropy;
use crate::extract::{Caller, Document, Params, Segment, invalid};
use crate::headers;
use crate::observe::about_claim;
use crate::openapi::problems;
use crate::problem::{Kind, Refusal};
use crate::submission;

/// The list that cursors of claims belong to.
const LIST: &str = "claims";

problems!(SubmitProblems: MalformedJson, NestingTooDeep, InvalidHeader, IncompleteBody,
    BodyTooLarge, UnsupportedMediaType, InvalidDocument, InvalidClaim, IdempotencyKeyReused,
    TooManyClaims);
problems!(ReadProblems: InvalidParameter, ClaimDoesNotExist);
problems!(ListProblems: InvalidParameter);
problems!(CancelProblems: InvalidParameter, ClaimDoesNotExist, ClaimHasEnded, MalformedJson,
    NestingTooDeep, IncompleteBody, BodyTooLarge, UnsupportedMediaType, InvalidDocument);

/// Submit a claim.
///
/// Answers when the claim is durably accepted. With `Prefer: wait=SECONDS` answers with the whole
/// claim when it ends in that time. With a known idempotency key answers with the known claim, where
/// type, subject and body are the same; anything else is refused (`idempotency-key-reused`).
#[utoipa::path(
    post, path = "/v1/claims", operation_id = "submitClaim", tag = "claims",
    request_body = NewClaim,
    params(
        ("Idempotency-Key" = Option<String>, Header,
         description = "The same key again gives the same claim again; with another type, subject \
                        or body it is refused"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`, at most 30"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context"),
    ),
    responses(
        (status = 200, body = Claim, description = "The claim has ended", headers(
            ("Location" = String, description = "The claim"),
            ("Preference-Applied" = String, description = "The wait that was granted"))),
        (status = 202, body = Submitted, description = "The claim is durably accepted", headers(
            ("Location" = String, description = "The claim"),
            ("Preference-Applied" = String, description = "The wait that was granted"))),
        SubmitProblems,
    ),
)]
pub(crate) async fn submit(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    Document { value: mut claim, bytes }: Document<NewClaim>,
) -> Result<Response, Refusal> {
    claim.idempotency_key = headers::idempotency_key(&headers, claim.idempotency_key)?;
    submission::check(&claim, bytes)?;
    let traceparent = headers::traceparent(&headers);
    check_deadline(&app, &tenant, &claim).await?;
    admit(&app, &tenant, &claim).await?;
    let intake = submission::intake(tenant, claim, traceparent);
    let claim_id = intake.claim_id;
    about_claim(claim_id);
    let wait = headers::wait(&headers, app.limits().max_wait);
    // Before the claim is written, so that its end cannot be missed.
    let registered = wait.and_then(|_| {
        let kept = (bytes <= MAX_KEPT_BYTES).then(|| submission::submitted(&intake));
        app.waiters().register(claim_id, kept)
    });
    let (inserted, known) = app.intake().submit(intake, bytes).await?;
    if let Some(given) = known {
        submission::check_known(app.store(), &given, inserted.claim_id).await?;
    }
    let submitted = Submitted {
        claim_id: inserted.claim_id,
        status: inserted.status,
        duplicate: inserted.duplicate,
    };
    let location = [(LOCATION, format!("/v1/claims/{}", submitted.claim_id))];
    let registered = if submitted.duplicate {
        about_claim(submitted.claim_id);
        wait.and_then(|_| app.waiters().register(submitted.claim_id, None))
    } else {
        registered
    };
    if submitted.duplicate {
        // It may have ended long ago.
        app.waiters().look();
    }
    let Some((wait, registered)) = wait.zip(registered) else {
        return Ok((StatusCode::ACCEPTED, location, Json(submitted)).into_response());
    };
    Ok(match registered.ended(wait).await {
        Some(claim) => (location, headers::applied(wait), Json(claim)).into_response(),
        None => {
            let answer = (StatusCode::ACCEPTED, location, headers::applied(wait), Json(submitted));
            answer.into_response()
        }
    })
}

/// Refuses a deadline that is over, unless the claim is one that came in before it.
async fn check_deadline(app: &App, tenant: &Tenant, claim: &NewClaim) -> Result<(), Refusal> {
    let Some(deadline) = claim.deadline.filter(|deadline| *deadline <= entropy::now()) else {
        return Ok(());
    };
    match &claim.idempotency_key {
        Some(key) if app.store().is_known(tenant, key).await? => Ok(()),
        _ => {
            let fault = Fault::of_document("/deadline", format!("is over: {deadline}"));
            Err(Refusal::faulty(Kind::InvalidClaim, vec![fault]))
        }
    }
}

/// Lets a claim in if there is room for it, or if it was let in before.
async fn admit(app: &App, tenant: &Tenant, claim: &NewClaim) -> Result<(), Refusal> {
    let Err(refusal) = app.backlog().admit(tenant).await else { return Ok(()) };
    match &claim.idempotency_key {
        Some(key) if app.store().is_known(tenant, key).await? => Ok(()),
        _ => {
            app.backlog().count_refused(tenant);
            Err(refusal)
        }
    }
}

/// Read a claim.
#[utoipa::path(
    get, path = "/v1/claims/{claim_id}", operation_id = "getClaim", tag = "claims",
    params(("claim_id" = ClaimId, Path, description = "The claim")),
    responses((status = 200, body = Claim, description = "The claim as it stands"), ReadProblems),
)]
pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(claim_id): Segment<ClaimId>,
) -> Result<Json<Claim>, Refusal> {
    find(&app, &tenant, claim_id).await.map(Json)
}

/// A claim of the tenant, or the refusal that there is none.
pub(crate) async fn find(app: &App, tenant: &Tenant, id: ClaimId) -> Result<Claim, Refusal> {
    about_claim(id);
    let found = app.store().claim(tenant, id).await?;
    let found = found.map(|claim| claim.with_redrive_status(entropy::now()));
    found.ok_or_else(|| Refusal::new(Kind::ClaimDoesNotExist, format!("there is no claim {id}")))
}

/// List claims, newest first.
///
/// Each filter narrows the list. `attribute.KEY=VALUE` may be given for several keys.
#[utoipa::path(
    get, path = "/v1/claims", operation_id = "listClaims", tag = "claims",
    params(
        ("type" = Option<String>, Query, description = "Of this type"),
        ("status" = Option<Vec<ClaimStatus>>, Query,
         description = "With one of these; repeated, or separated by commas"),
        ("subject" = Option<String>, Query, description = "About this"),
        ("recipe" = Option<String>, Query, description = "Fulfilled by this recipe"),
        ("parent" = Option<ClaimId>, Query,
         description = "Started by the recipe of this claim"),
        ("received_from" = Option<String>, Query, format = DateTime,
         description = "Received at this time or later (RFC 3339)"),
        ("received_to" = Option<String>, Query, format = DateTime,
         description = "Received before this time (RFC 3339)"),
        ("stuck" = Option<bool>, Query,
         description = "With `true`, only claims that wait longer than they should; each says why"),
        ("stuck_after" = Option<u32>, Query,
         description = "Seconds after which a claim counts as stuck, whatever its task waits for: a \
                        callback, an activity's worker, a timeout of its own"),
        ("attribute.KEY" = Option<String>, Query,
         description = "With this attribute; KEY is its key"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100,
         description = "Entries on the page; 50 unless given"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = ClaimPage, description = "A page of claims"), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
    mut params: Params,
) -> Result<Json<ClaimPage>, Refusal> {
    let limit = params.limit(DEFAULT_PAGE, MAX_PAGE)?;
    let mut stuck = stuck(&app, &tenant, &mut params).await?;
    let filter = ClaimFilter {
        among: stuck.as_ref().map(|stuck| stuck.keys().copied().collect()),
        tenant,
        claim_type: params.one("type")?,
        status: statuses(&mut params)?,
        subject: params.one("subject")?,
        recipe: params.one("recipe")?,
        parent: params.one("parent")?,
        received_from: params.one_with("received_from", Timestamp::parse)?,
        received_to: params.one_with("received_to", Timestamp::parse)?,
        attributes: params.prefixed("attribute.").into_iter().collect(),
        before: params.one_with("cursor", |text| crate::cursor::open(LIST, text))?,
        // One more than asked for tells whether there is a next page.
        limit: limit as usize + 1,
    };
    params.finish()?;
    let mut claims = app.store().list_claims(&filter).await?;
    let more = claims.len() > limit as usize;
    claims.truncate(limit as usize);
    let now = entropy::now();
    let claims: Vec<Claim> = claims
        .into_iter()
        .map(|claim| {
            let stuck = stuck.as_mut().and_then(|stuck| stuck.remove(&claim.claim_id));
            Claim { stuck, ..claim.with_redrive_status(now) }
        })
        .collect();
    let last = claims.last().filter(|_| more);
    let next_cursor = last.map(|claim| crate::cursor::seal(LIST, claim.claim_id));
    Ok(Json(ClaimPage { claims, next_cursor }))
}

/// The claims that are stuck, where those are asked for.
async fn stuck(
    app: &App,
    tenant: &Tenant,
    params: &mut Params,
) -> Result<Option<HashMap<ClaimId, Stuck>>, Refusal> {
    let wanted: bool = params.one("stuck")?.unwrap_or(false);
    let after: Option<u32> = params.one("stuck_after")?;
    if !wanted {
        return match after {
            Some(_) => Err(invalid("stuck_after", "goes with `stuck=true`")),
            None => Ok(None),
        };
    }
    let now = entropy::now();
    let found = match after {
        None => app.store().stuck_claims(Some(tenant), StuckSince::usual(now)).await?,
        Some(seconds) => {
            let ms = now.as_millis().saturating_sub(i64::from(seconds) * 1_000);
            app.store().waiting_claims(Some(tenant), Timestamp::from_millis(ms)).await?
        }
    };
    Ok(Some(found.into_iter().map(|one| (one.claim_id, one.stuck)).collect()))
}

fn statuses(params: &mut Params) -> Result<Vec<ClaimStatus>, Refusal> {
    let given = params.all("status");
    let words = given.iter().flat_map(|text| text.split(','));
    words.map(|word| word.parse().map_err(|error: String| invalid("status", &error))).collect()
}

/// Cancel a claim.
///
/// The claim ends as `ABORTED` soon after the answer. One that has ended is refused
/// (`claim-has-ended`), however it ended: there is nothing left to cancel.
#[utoipa::path(
    post, path = "/v1/claims/{claim_id}/cancel", operation_id = "cancelClaim", tag = "claims",
    params(("claim_id" = ClaimId, Path, description = "The claim")),
    request_body = Option<Cancel>,
    responses(
        (status = 202, body = Submitted, description = "The claim will end; where it stands now"),
        CancelProblems,
    ),
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(claim_id): Segment<ClaimId>,
    body: Option<Document<Cancel>>,
) -> Result<Response, Refusal> {
    let Cancel { error, cause } = body.map(|body| body.value).unwrap_or_default();
    check_failure(error.as_deref(), cause.as_deref())?;
    let claim = find(&app, &tenant, claim_id).await?;
    let status = claim.status;
    if status.has_ended() {
        let detail = format!("claim {claim_id} has ended as {status}");
        return Err(Refusal::new(Kind::ClaimHasEnded, detail));
    }
    let redrive_count = Some(claim.redrive_count);
    let stopped = CoreMessage::Stopped {
        claim_id,
        status: ClaimStatus::Aborted,
        error,
        cause,
        redrive_count,
    };
    let mut session = app.store().session().await?;
    let tx = session.begin().await?;
    let told = app.tell_core(&tx, &tenant, claim_id, &stopped).await?;
    tx.commit().await?;
    drop(session);
    app.outbound().committed(told).await;
    let location: [(HeaderName, String); 1] = [(LOCATION, format!("/v1/claims/{claim_id}"))];
    let answer = Submitted { claim_id, status, duplicate: false };
    Ok((StatusCode::ACCEPTED, location, Json(answer)).into_response())
}

/// Checks the bounds of an error's name and cause.
pub(crate) fn check_failure(error: Option<&str>, cause: Option<&str>) -> Result<(), Refusal> {
    let parts = [("/error", error, MAX_ERROR_CHARS), ("/cause", cause, MAX_CAUSE_CHARS)];
    let faults: Vec<_> = parts
        .into_iter()
        .filter(|(_, text, most)| text.is_some_and(|text| text.chars().count() > *most))
        .map(|(pointer, _, most)| {
            Fault::of_document(pointer, format!("is longer than {most} characters"))
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Refusal::faulty(Kind::InvalidDocument, faults)) }
}
