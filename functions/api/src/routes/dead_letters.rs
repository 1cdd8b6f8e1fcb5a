//! Dead letters: what nobody could handle, for a person to look at, put back or throw away.

mod queues;
mod which;

use std::fmt;
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use fluxus_queue::{DeadLetter, LetterPlace, Letters, MessageId, QueueName};
use fluxus_schema::Timestamp;
use fluxus_schema::api::{self, DeadLetterPage, DeliveryAttempt, LettersHandled, WhichLetters};
use fluxus_schema::limits::{DEFAULT_PAGE, MAX_PAGE};
use fluxus_store::dead_message;
use serde_json::Value;

use self::queues::Queues;
use self::which::{about, chosen, own};
use crate::App;
use crate::extract::{Caller, Document, Params, Segment, Segments};
use crate::openapi::problems;
use crate::problem::{Kind, Refusal};

/// The list that cursors of dead letters belong to.
const LIST: &str = "dead-letters";

/// Most letters that one request names, or looks at to tell whose they are: what one call of the SQS
/// adapter sees.
const MAX_LOOKED_AT: usize = 1_000;

problems!(ListProblems: InvalidParameter, QueueDoesNotExist);
problems!(ReadProblems: InvalidParameter, QueueDoesNotExist, DeadLetterDoesNotExist);
problems!(HandleProblems: InvalidParameter, QueueDoesNotExist, DeadLetterDoesNotExist,
    MalformedJson, NestingTooDeep, IncompleteBody, BodyTooLarge, UnsupportedMediaType,
    InvalidDocument);

/// List dead letters, queue by queue, the oldest first; without their bodies.
#[utoipa::path(
    get, path = "/v1/dead-letters", operation_id = "listDeadLetters", tag = "dead-letters",
    params(
        ("queue" = Option<String>, Query,
         description = "Of this queue, or of this fluxling's; of all that are known, unless given"),
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
    let queue: Option<String> = params.one("queue")?;
    let cursor: Option<Place> =
        params.one_with("cursor", |text| crate::cursor::open(LIST, text))?;
    params.finish()?;
    let known = Queues::known(&app, &tenant).await?;
    let mut queues = match queue {
        Some(queue) => vec![known.find(&app, &queue).await?],
        None => known.filled(&app).await?,
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
    params(("queue" = String, Path, description = "The queue it was in, or its fluxling"),
           ("message_id" = String, Path, description = "The letter's id in the list")),
    responses((status = 200, body = api::DeadLetter, description = "The letter"), ReadProblems),
)]
pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segments(queue, id): Segments<String, String>,
) -> Result<Json<api::DeadLetter>, Refusal> {
    let queue = Queues::known(&app, &tenant).await?.find(&app, &queue).await?;
    let found = app.outbound().queue().find_dead(&queue, &[MessageId(id.clone())]).await?;
    let found = own(&app, &tenant, found).await?.pop();
    let Some(letter) = found else {
        let detail = format!("there is no dead letter {id} of the queue `{queue}`");
        return Err(Refusal::new(Kind::DeadLetterDoesNotExist, detail));
    };
    Ok(Json(shown(letter, true)))
}

/// Put dead letters back into the queue they were in.
///
/// A task that failed meanwhile takes no second answer, so to redrive too much does no harm. Where
/// one of those named is not there, none is put back.
#[utoipa::path(
    post, path = "/v1/dead-letters/{queue}/redrive", operation_id = "redriveDeadLetters",
    tag = "dead-letters",
    params(("queue" = String, Path, description = "The queue they were in, or its fluxling")),
    request_body = WhichLetters,
    responses((status = 200, body = LettersHandled, description = "How many were put back"),
              HandleProblems),
)]
pub(crate) async fn redrive(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(queue): Segment<String>,
    Document { value: which, .. }: Document<WhichLetters>,
) -> Result<Json<LettersHandled>, Refusal> {
    let queue = Queues::known(&app, &tenant).await?.find(&app, &queue).await?;
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
/// A claim that waits for one goes on waiting; see to it first. Where one of those named is not
/// there, none is deleted.
#[utoipa::path(
    post, path = "/v1/dead-letters/{queue}/purge", operation_id = "purgeDeadLetters",
    tag = "dead-letters",
    params(("queue" = String, Path, description = "The queue they were in, or its fluxling")),
    request_body = WhichLetters,
    responses((status = 200, body = LettersHandled, description = "How many are gone"),
              HandleProblems),
)]
pub(crate) async fn purge(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(queue): Segment<String>,
    Document { value: which, .. }: Document<WhichLetters>,
) -> Result<Json<LettersHandled>, Refusal> {
    let queue = Queues::known(&app, &tenant).await?.find(&app, &queue).await?;
    let ids = chosen(&app, &tenant, &queue, which).await?;
    let letters = ids.as_deref().map_or(Letters::All, Letters::These);
    let count = app.outbound().queue().purge(&queue, letters).await?;
    tracing::info!(queue = %queue, count, "dead letters were purged");
    Ok(Json(LettersHandled { queue: queue.to_string(), count }))
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
