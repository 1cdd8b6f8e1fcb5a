//! Dead letters: messages of the queues beside the queues. A look hides them for a moment, so that
//! others get their turn; they stay until a person redrives or purges them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName, SendMessageBatchRequestEntry,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::receive::received;
use super::send::carried;
use super::{BATCH, CONCURRENT, SqsQueue, batch, change_visibility};
use crate::bodies;
use crate::bounds::MAX_RECEIVES;
use crate::{
    Burial, DeadLetter, DeadLetterId, DeliveryAttempt, LetterPlace, Letters, MessageId, QueueError,
    QueueName, Receipt, Received,
};

/// How long a letter is hidden that was looked at: somebody is about to report it.
const LOOKED_AT: Duration = Duration::from_secs(60);

/// How long a letter that was reported is not reported again.
const REPORTED: Duration = Duration::from_secs(600);

/// How long letters are hidden while a person's command is at work on them.
const HANDLED: Duration = Duration::from_secs(30);

/// Most letters that are looked at for a list, or to find some of them: a hundred requests.
const MAX_LISTED: usize = 1_000;

/// What the service is asked about a letter.
const LOOKED_FOR: [MessageSystemAttributeName; 3] = [
    MessageSystemAttributeName::SentTimestamp,
    MessageSystemAttributeName::ApproximateFirstReceiveTimestamp,
    MessageSystemAttributeName::MessageGroupId,
];

/// How long a look waits. A look that does not wait at all asks only some of the service's servers,
/// and may miss the few letters there are.
const WAIT_SECONDS: i32 = 1;

/// The message attribute in which whoever puts a message there by hand says why.
const REASON: &str = "Reason";

/// How often it had been received then.
const RECEIVES: &str = "Receives";

/// When it had been sent, in milliseconds since 1970.
const SENT: &str = "SentAt";

pub(super) async fn dead_letters(
    queue: &SqsQueue,
    queues: &[QueueName],
    limit: usize,
) -> Result<Vec<DeadLetter>, QueueError> {
    // An equal share for each, so that none is hidden that is not returned.
    let queues = queues.get(..limit).unwrap_or(queues);
    let share = limit.checked_div(queues.len()).unwrap_or_default();
    let shares = queues.iter().cloned().map(|name| of_one(queue, name, share));
    let letters: Vec<Vec<DeadLetter>> =
        stream::iter(shares).buffered(CONCURRENT).try_collect().await?;
    let mut letters: Vec<DeadLetter> = letters.into_iter().flatten().collect();
    letters.sort_by_key(|letter| letter.dead_at_ms);
    Ok(letters)
}

async fn of_one(
    queue: &SqsQueue,
    name: QueueName,
    limit: usize,
) -> Result<Vec<DeadLetter>, QueueError> {
    let (known, new): (Vec<Look>, Vec<Look>) = look_at(queue, &name, limit, LOOKED_AT)
        .await?
        .into_iter()
        .partition(|look| queue.reported.knows(&look.message.id));
    show_again(queue, &name, &known).await;
    letters(queue, &name, new).await
}

/// Looks at letters until no more come, or at `limit` of them. All are hidden for so long.
async fn look_at(
    queue: &SqsQueue,
    name: &QueueName,
    limit: usize,
    hidden: Duration,
) -> Result<Vec<Look>, QueueError> {
    let mut looks: Vec<Look> = Vec::new();
    while looks.len() < limit {
        let asked = (limit - looks.len()).min(BATCH);
        let some = look(queue, name, asked, hidden).await?;
        if some.is_empty() {
            break;
        }
        looks.extend(some);
    }
    Ok(looks)
}

/// One look at a letter.
struct Look {
    message: Received,
    group: Option<String>,
    first_received_ms: Option<i64>,
    /// What whoever put it there by hand says.
    reason: Option<String>,
    receives: Option<u32>,
    sent_at_ms: Option<i64>,
}

impl Look {
    fn read(mut message: Message) -> Self {
        let said = message.message_attributes.take().unwrap_or_default();
        let said = |name| said.get(name).and_then(|value| value.string_value.clone());
        let system = message.attributes.clone().unwrap_or_default();
        let first = system.get(&MessageSystemAttributeName::ApproximateFirstReceiveTimestamp);
        Self {
            reason: said(REASON),
            receives: said(RECEIVES).and_then(|text| text.parse().ok()),
            sent_at_ms: said(SENT).and_then(|text| text.parse().ok()),
            group: system.get(&MessageSystemAttributeName::MessageGroupId).cloned(),
            first_received_ms: first.and_then(|text| text.parse().ok()),
            message: received(message),
        }
    }

    fn sent_at_ms(&self) -> i64 {
        self.sent_at_ms.unwrap_or(self.message.sent_at_ms)
    }
}

/// What was looked at, with large bodies.
async fn letters(
    queue: &SqsQueue,
    name: &QueueName,
    looks: Vec<Look>,
) -> Result<Vec<DeadLetter>, QueueError> {
    let bodies: Vec<_> = looks.iter().map(|look| look.message.clone()).collect();
    let resolved = bodies::resolve(bodies, queue.bodies.as_deref()).await;
    let mut bodies: HashMap<MessageId, String> =
        resolved.messages.into_iter().map(|message| (message.id, message.body)).collect();
    let letter = |look: Look| {
        let sent_at_ms = look.sent_at_ms();
        let body = bodies.remove(&look.message.id)?;
        let attempt = |at_ms| DeliveryAttempt { at_ms, failure: None };
        Some(DeadLetter {
            id: letter_id(name, &look.message),
            message_id: look.message.id,
            queue: name.clone(),
            // The service counts looks at dead letters too, and does not say what the count was.
            receive_count: look.receives.unwrap_or(MAX_RECEIVES),
            reason: look
                .reason
                .unwrap_or_else(|| format!("received {MAX_RECEIVES} times and never deleted")),
            sent_at_ms,
            // Nor does it say when.
            dead_at_ms: look.message.sent_at_ms,
            attempts: look.first_received_ms.map(attempt).into_iter().collect(),
            body,
        })
    };
    Ok(looks.into_iter().filter_map(letter).collect())
}

async fn look(
    queue: &SqsQueue,
    name: &QueueName,
    max: usize,
    hidden: Duration,
) -> Result<Vec<Look>, QueueError> {
    let request = queue.client.receive_message().queue_url(queue.dead_letter_url_of(name));
    let output = request
        .set_message_system_attribute_names(Some(LOOKED_FOR.to_vec()))
        .message_attribute_names(REASON)
        .message_attribute_names(RECEIVES)
        .message_attribute_names(SENT)
        .max_number_of_messages(i32::try_from(max).unwrap_or(i32::MAX))
        .wait_time_seconds(WAIT_SECONDS)
        .visibility_timeout(super::seconds(hidden))
        .send();
    let output =
        output.await.map_err(batch::broken(batch::at("look at the dead letters of", name)))?;
    Ok(output.messages.unwrap_or_default().into_iter().map(Look::read).collect())
}

/// Lets others see letters again that were looked at. Where that fails they come back by themselves.
async fn show_again(queue: &SqsQueue, name: &QueueName, looks: &[Look]) {
    let shown: Vec<_> =
        looks.iter().map(|look| (look.message.receipt.clone(), Duration::ZERO)).collect();
    if shown.is_empty() {
        return;
    }
    let outcome = change_visibility(queue, &queue.dead_letter_url_of(name), &shown).await;
    let shown = outcome.or_error("show", shown.len(), format_args!("in `{name}-dlq`"));
    if let Err(error) = shown {
        tracing::debug!(queue = %name, ?error, "dead letters stay hidden for a moment");
    }
}

pub(super) async fn list(
    queue: &SqsQueue,
    name: &QueueName,
    after: Option<&LetterPlace>,
    limit: usize,
) -> Result<Vec<DeadLetter>, QueueError> {
    let looks = look_at(queue, name, MAX_LISTED, HANDLED).await?;
    show_again(queue, name, &looks).await;
    let mut letters = letters(queue, name, looks).await?;
    letters.sort_by_key(DeadLetter::place);
    letters.retain(|letter| after.is_none_or(|after| letter.place() > *after));
    letters.truncate(limit);
    Ok(letters)
}

pub(super) async fn find(
    queue: &SqsQueue,
    name: &QueueName,
    messages: &[MessageId],
) -> Result<Vec<DeadLetter>, QueueError> {
    let mut found = list(queue, name, None, usize::MAX).await?;
    found.retain(|letter| messages.contains(&letter.message_id));
    Ok(found)
}

/// Takes letters out of the dead-letter queue: back into the queue they were in, or for good.
///
/// The service's own redrive moves all of them and none by name, so they are received, sent and
/// deleted. A crash in between leaves one in both queues, and it is handled twice.
pub(super) async fn take(
    queue: &SqsQueue,
    name: &QueueName,
    which: Letters<'_>,
    puts_back: bool,
) -> Result<u64, QueueError> {
    let mut taken = 0;
    let mut missing: Option<Vec<&MessageId>> = match which {
        Letters::All => None,
        Letters::These(ids) => Some(ids.iter().collect()),
    };
    let mut others: Vec<Look> = Vec::new();
    let mut looked_at = 0;
    while looked_at < MAX_LISTED && missing.as_ref().is_none_or(|missing| !missing.is_empty()) {
        let some = look(queue, name, BATCH, HANDLED).await?;
        if some.is_empty() {
            break;
        }
        let (mine, rest): (Vec<Look>, Vec<Look>) = some
            .into_iter()
            .partition(|look| missing.as_ref().is_none_or(|ids| ids.contains(&&look.message.id)));
        // All of a queue may be more than are listed; each that is taken makes room.
        looked_at += rest.len();
        others.extend(rest);
        if mine.is_empty() {
            continue;
        }
        if let Some(missing) = &mut missing {
            missing.retain(|id| !mine.iter().any(|look| look.message.id == **id));
        }
        taken += mine.len() as u64;
        let receipts: Vec<Receipt> = mine.iter().map(|look| look.message.receipt.clone()).collect();
        if puts_back {
            put_back(queue, name, mine).await?;
        }
        let url = queue.dead_letter_url_of(name);
        super::delete(queue, &url, &receipts).await.or_error(
            "delete",
            receipts.len(),
            format_args!("from `{name}-dlq`"),
        )?;
    }
    show_again(queue, name, &others).await;
    Ok(taken)
}

/// Sends them as they are: a reference to a large body still leads there.
async fn put_back(queue: &SqsQueue, name: &QueueName, looks: Vec<Look>) -> Result<(), QueueError> {
    let of = looks.len();
    let url = queue.url_of(name);
    let entry = |(at, look): (usize, Look)| {
        let entry = SendMessageBatchRequestEntry::builder().id(at.to_string());
        entry.message_body(look.message.body).set_message_group_id(look.group).build().ok()
    };
    let entries = looks.into_iter().enumerate().filter_map(entry).collect();
    let outcome = batch::run(entries, |some| async {
        let request = queue.client.send_message_batch().queue_url(&url);
        Ok(request.set_entries(Some(some)).send().await?.failed)
    });
    outcome.await.or_error("redrive", of, format_args!("to `{name}`"))
}

/// Letters that were reported, so that they are not again and again. Within one process: another
/// one, or a later one, reports them once more.
#[derive(Debug, Default)]
pub(super) struct Reported(Mutex<HashMap<MessageId, Instant>>);

impl Reported {
    fn knows(&self, id: &MessageId) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).is_some_and(|at| at.elapsed() < REPORTED)
    }

    fn note(&self, ids: impl Iterator<Item = MessageId>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, at| at.elapsed() < REPORTED);
        let now = Instant::now();
        known.extend(ids.map(|id| (id, now)));
    }
}

/// Puts messages among the dead letters, each with its reason.
pub(super) async fn bury(
    queue: &SqsQueue,
    name: &QueueName,
    burials: Vec<Burial>,
) -> Result<(), QueueError> {
    let of = burials.len();
    let url = queue.dead_letter_url_of(name);
    let mut entries = Vec::with_capacity(of);
    for (at, Burial { message, reason }) in burials.into_iter().enumerate() {
        let (receives, sent) = (message.receive_count.to_string(), message.sent_at_ms.to_string());
        let said =
            [(REASON, "String", reason), (RECEIVES, "Number", receives), (SENT, "Number", sent)];
        let said = said.into_iter().filter_map(|(name, kind, value)| {
            let value = MessageAttributeValue::builder().data_type(kind).string_value(value);
            Some((name.to_owned(), value.build().ok()?))
        });
        let body = carried(queue, message.body).await?;
        let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(body);
        let entry = entry.set_message_attributes(Some(said.collect::<HashMap<_, _>>()));
        entries.extend(entry.build().ok());
    }
    let outcome = batch::run(entries, |some| async {
        let request = queue.client.send_message_batch().queue_url(&url);
        Ok(request.set_entries(Some(some)).send().await?.failed)
    });
    outcome.await.or_error("bury", of, format_args!("{name}-dlq"))
}

/// The queue, the message's id, and the receipt by which it is hidden or deleted.
fn letter_id(queue: &QueueName, message: &Received) -> DeadLetterId {
    DeadLetterId(format!("{queue}/{}/{}", message.id, message.receipt.0))
}

fn parts(letter: &DeadLetterId) -> Option<(QueueName, MessageId, Receipt)> {
    let mut parts = letter.0.splitn(3, '/');
    let queue = QueueName::new(parts.next()?).ok()?;
    let message_id = MessageId(parts.next()?.to_owned());
    Some((queue, message_id, Receipt(parts.next()?.to_owned())))
}

/// They can be seen again at once, by a person too; this process remembers them.
pub(super) async fn mark_reported(
    queue: &SqsQueue,
    letters: &[DeadLetterId],
) -> Result<(), QueueError> {
    let parts: Vec<_> = letters.iter().filter_map(parts).collect();
    queue.reported.note(parts.iter().map(|(_, id, _)| id.clone()));
    let mut by_queue: BTreeMap<QueueName, Vec<(Receipt, Duration)>> = BTreeMap::new();
    for (name, _, receipt) in parts {
        by_queue.entry(name).or_default().push((receipt, Duration::ZERO));
    }
    let marks = by_queue.into_iter().map(|(name, changes)| async move {
        let url = queue.dead_letter_url_of(&name);
        let outcome = change_visibility(queue, &url, &changes).await;
        outcome.or_error("show", changes.len(), format_args!("in `{name}-dlq`"))
    });
    stream::iter(marks).buffer_unordered(CONCURRENT).try_collect().await
}
