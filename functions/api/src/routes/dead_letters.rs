//! Dead letters: what nobody could handle, for a person to look at, put back or throw away.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use fluxus_queue::{DeadLetter, LetterPlace, Letters, MessageId, QueueName};
use fluxus_schema::api::{self, DeadLetterPage, DeliveryAttempt, LettersHandled, WhichLetters};
use fluxus_schema::limits::{DEFAULT_PAGE, MAX_PAGE};
use fluxus_schema::message::{CoreMessage, INGEST_QUEUE, TaskMessage};
use fluxus_schema::problem::Fault;
use fluxus_schema::{ClaimId, Tenant, Timestamp};
use fluxus_store::{claim, dead_message};
use serde_json::Value;

use crate::App;
use crate::extract::{Caller, Document, Params, Segment, Segments};
use crate::openapi::problems;
use crate::problem::{Kind, Refusal};

/// The list that cursors of dead letters belong to.
const LIST: &str = "dead-letters";

/// Most letters that are looked at for a tenant that may not see all: what one call of the SQS
/// adapter sees.
const MAX_LOOKED_AT: usize = 1_000;

problems!(ListProblems: InvalidParameter);
problems!(ReadProblems: InvalidParameter, DeadLetterDoesNotExist);
problems!(HandleProblems: InvalidParameter, MalformedJson, NestingTooDeep, IncompleteBody,
    BodyTooLarge, UnsupportedMediaType, InvalidDocument);

/// List dead letters, queue by queue, the oldest first; without their bodies.
#[utoipa::path(
    get, path = "/v1/dead-letters", operation_id = "listDeadLetters", tag = "dead-letters",
    params(
        ("queue" = Option<String>, Query,
         description = "Of this queue; of all that are known, unless given"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100,
         description = "Entries on the page; 50 unless given"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = DeadLetterPage, description = "A page of dead letters"),
              ListProblems),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
    mut params: Params,
) -> Result<Json<DeadLetterPage>, Refusal> {
    let limit = params.limit(DEFAULT_PAGE, MAX_PAGE)? as usize;
    let queue: Option<QueueName> = params.one("queue")?;
    let cursor: Option<Place> =
        params.one_with("cursor", |text| crate::cursor::open(LIST, text))?;
    params.finish()?;
    let mut queues = match queue {
        Some(queue) => vec![queue],
        None => filled(&app, &tenant).await?,
    };
    queues.retain(|queue| cursor.as_ref().is_none_or(|place| *queue >= place.queue));
    let mut found: Vec<DeadLetter> = Vec::new();
    for queue in queues {
        if found.len() > limit {
            break;
        }
        let after = cursor.as_ref().filter(|place| place.queue == queue).map(|place| &place.at);
        // One more than asked for tells whether there is a next page.
        let most = limit + 1 - found.len();
        found.extend(app.outbound().queue().list_dead(&queue, after, most).await?);
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|last| {
        crate::cursor::seal(LIST, Place { queue: last.queue.clone(), at: last.place() })
    });
    // A page may be shorter than asked for: letters of other tenants are left out.
    let letters = own(&app, &tenant, found).await?;
    let letters = letters.into_iter().map(|letter| shown(letter, false)).collect();
    Ok(Json(DeadLetterPage { letters, next_cursor }))
}

/// Read a dead letter: its message, its reason, and the times it was received.
#[utoipa::path(
    get, path = "/v1/dead-letters/{queue}/{message_id}", operation_id = "getDeadLetter",
    tag = "dead-letters",
    params(("queue" = String, Path, description = "The queue it was in"),
           ("message_id" = String, Path, description = "The letter's id in the list")),
    responses((status = 200, body = api::DeadLetter, description = "The letter"), ReadProblems),
)]
pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segments(queue, id): Segments<QueueName, String>,
) -> Result<Json<api::DeadLetter>, Refusal> {
    let found = app.outbound().queue().find_dead(&queue, &MessageId(id.clone())).await?;
    let found = own(&app, &tenant, found.into_iter().collect()).await?.pop();
    let Some(letter) = found else {
        let detail = format!("there is no dead letter {id} of the queue `{queue}`");
        return Err(Refusal::new(Kind::DeadLetterDoesNotExist, detail));
    };
    Ok(Json(shown(letter, true)))
}

/// Put dead letters back into the queue they were in.
///
/// A task that failed meanwhile takes no second answer, so to redrive too much does no harm.
#[utoipa::path(
    post, path = "/v1/dead-letters/{queue}/redrive", operation_id = "redriveDeadLetters",
    tag = "dead-letters",
    params(("queue" = String, Path, description = "The queue they were in")),
    request_body = WhichLetters,
    responses((status = 200, body = LettersHandled, description = "How many were put back"),
              HandleProblems),
)]
pub(crate) async fn redrive(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(queue): Segment<QueueName>,
    Document { value: which, .. }: Document<WhichLetters>,
) -> Result<Json<LettersHandled>, Refusal> {
    let ids = chosen(&app, &tenant, &queue, which).await?;
    let letters = ids.as_deref().map_or(Letters::All, Letters::These);
    if queue == *app.core_queue() {
        // What is sent again holds up no claim. Noted before it is: what dies again is noted anew.
        let ids = match &ids {
            Some(ids) => ids.clone(),
            None => {
                let listed = app.outbound().queue().list_dead(&queue, None, MAX_LOOKED_AT).await?;
                listed.into_iter().map(|letter| letter.message_id).collect()
            }
        };
        let ids: Vec<String> = ids.into_iter().map(|id| id.0).collect();
        dead_message::forget(&app.store().session().await?, &ids).await?;
    }
    let count = app.outbound().queue().redrive(&queue, letters).await?;
    tracing::info!(queue = %queue, count, "dead letters were redriven");
    Ok(Json(LettersHandled { queue: queue.to_string(), count }))
}

/// Delete dead letters for good.
///
/// A claim that waits for one goes on waiting; see to it first.
#[utoipa::path(
    post, path = "/v1/dead-letters/{queue}/purge", operation_id = "purgeDeadLetters",
    tag = "dead-letters",
    params(("queue" = String, Path, description = "The queue they were in")),
    request_body = WhichLetters,
    responses((status = 200, body = LettersHandled, description = "How many are gone"),
              HandleProblems),
)]
pub(crate) async fn purge(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(queue): Segment<QueueName>,
    Document { value: which, .. }: Document<WhichLetters>,
) -> Result<Json<LettersHandled>, Refusal> {
    let ids = chosen(&app, &tenant, &queue, which).await?;
    let letters = ids.as_deref().map_or(Letters::All, Letters::These);
    let count = app.outbound().queue().purge(&queue, letters).await?;
    tracing::info!(queue = %queue, count, "dead letters were purged");
    Ok(Json(LettersHandled { queue: queue.to_string(), count }))
}

/// The letters that are meant; none for all of the queue.
async fn chosen(
    app: &App,
    tenant: &Tenant,
    queue: &QueueName,
    which: WhichLetters,
) -> Result<Option<Vec<MessageId>>, Refusal> {
    let WhichLetters { message_ids, all } = which;
    if all != message_ids.is_empty() {
        const DETAIL: &str = "name letters, or say `\"all\": true`; not both, and not neither";
        let fault = Fault::of_document("/message_ids", DETAIL);
        return Err(Refusal::faulty(Kind::InvalidDocument, vec![fault]));
    }
    if *tenant == Tenant::default() {
        return Ok((!all).then(|| message_ids.into_iter().map(MessageId).collect()));
    }
    let listed = app.outbound().queue().list_dead(queue, None, MAX_LOOKED_AT).await?;
    let own = own(app, tenant, listed).await?.into_iter().map(|letter| letter.message_id);
    Ok(Some(own.filter(|id| all || message_ids.contains(&id.0)).collect()))
}

/// The queues that have dead letters, of those that are known.
async fn filled(app: &App, tenant: &Tenant) -> Result<Vec<QueueName>, Refusal> {
    let fluxlings = app.store().fluxlings(tenant).await?;
    let named = fluxlings.iter().filter_map(|one| QueueName::new(&one.manifest.queue).ok());
    let own = [app.core_queue().clone()].into_iter().chain(QueueName::new(INGEST_QUEUE).ok());
    let all: BTreeSet<QueueName> = named.chain(own).collect();
    let all: Vec<QueueName> = all.into_iter().collect();
    let depths = app.outbound().queue().depth(&all).await?;
    Ok(depths.into_iter().filter(|depth| depth.dead > 0).map(|depth| depth.queue).collect())
}

/// Those of the tenant's. The default tenant runs the system and sees all, also what cannot be read.
async fn own(
    app: &App,
    tenant: &Tenant,
    letters: Vec<DeadLetter>,
) -> Result<Vec<DeadLetter>, Refusal> {
    if *tenant == Tenant::default() || letters.is_empty() {
        return Ok(letters);
    }
    let ids: Vec<ClaimId> = letters.iter().filter_map(|one| about(&one.body)).collect();
    let session = app.store().session().await?;
    let found = claim::find(&session, tenant, &ids).await?;
    let own: BTreeSet<ClaimId> = found.into_iter().map(|claim| claim.claim_id).collect();
    let is_own = |letter: &DeadLetter| about(&letter.body).is_some_and(|id| own.contains(&id));
    Ok(letters.into_iter().filter(is_own).collect())
}

/// The claim that a message is about.
fn about(body: &str) -> Option<ClaimId> {
    if let Ok(task) = serde_json::from_str::<TaskMessage>(body) {
        return Some(task.claim_id);
    }
    let message = serde_json::from_str::<CoreMessage>(body).ok()?;
    message.about().map(|(claim_id, _)| claim_id)
}

fn shown(letter: DeadLetter, with_body: bool) -> api::DeadLetter {
    let attempt = |one: fluxus_queue::DeliveryAttempt| DeliveryAttempt {
        at: Timestamp::from_millis(one.at_ms),
        failure: one.failure,
    };
    api::DeadLetter {
        queue: letter.queue.to_string(),
        message_id: letter.message_id.0,
        claim_id: about(&letter.body),
        reason: letter.reason,
        receive_count: letter.receive_count,
        sent_at: Timestamp::from_millis(letter.sent_at_ms),
        dead_at: Timestamp::from_millis(letter.dead_at_ms),
        attempts: letter.attempts.into_iter().map(attempt).collect(),
        body: with_body
            .then(|| serde_json::from_str(&letter.body).unwrap_or(Value::String(letter.body))),
    }
}

/// Where a page ends: `QUEUE SENT_AT_MS MESSAGE_ID`.
struct Place {
    queue: QueueName,
    at: LetterPlace,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.queue, self.at.sent_at_ms, self.at.message_id)
    }
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ' ');
        let mut next = || parts.next().ok_or("is cut off");
        let queue = QueueName::new(next()?).map_err(|error| error.to_string())?;
        let sent_at_ms = next()?.parse().map_err(|_| "names no time")?;
        let message_id = MessageId(next()?.to_owned());
        Ok(Self { queue, at: LetterPlace { sent_at_ms, message_id } })
    }
}
