//! Dead letters: messages of the queues beside the queues. They are only looked at: who reported
//! one hides it for a while, so that others get their turn, and it stays for a person.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName, SendMessageBatchRequestEntry,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::receive::received;
use super::send::carried;
use super::{BATCH, CONCURRENT, SqsQueue, batch, change_visibility};
use crate::bodies;
use crate::bounds::MAX_RECEIVES;
use crate::{Burial, DeadLetter, DeadLetterId, QueueError, QueueName, Receipt, Received};

/// How long a letter is hidden that was looked at: somebody is about to report it.
const LOOKED_AT: Duration = Duration::from_secs(60);

/// How long a letter is hidden that was reported.
const REPORTED: Duration = Duration::from_secs(600);

/// How long a look waits. A look that does not wait at all asks only some of the service's servers,
/// and may miss the few letters there are.
const WAIT_SECONDS: i32 = 1;

/// The message attribute in which whoever puts a message there by hand says why.
const REASON: &str = "Reason";

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
    let mut letters: Vec<(Received, Option<String>)> = Vec::new();
    while letters.len() < limit {
        let asked = (limit - letters.len()).min(BATCH);
        let some = look(queue, &name, asked).await?;
        let is_last = some.len() < asked;
        letters.extend(some);
        if is_last {
            break;
        }
    }
    let (messages, reasons): (Vec<_>, Vec<_>) = letters.into_iter().unzip();
    let mut reasons: BTreeMap<_, _> =
        messages.iter().map(|message| message.id.clone()).zip(reasons).collect();
    let resolved = bodies::resolve(messages, queue.bodies.as_deref()).await;
    let letter = |message: Received| DeadLetter {
        id: letter_id(&name, &message),
        queue: name.clone(),
        // The service counts looks at dead letters too, and does not say what the count was.
        receive_count: MAX_RECEIVES,
        reason: reasons
            .remove(&message.id)
            .flatten()
            .unwrap_or_else(|| format!("received {MAX_RECEIVES} times and never deleted")),
        // Nor does it say when.
        dead_at_ms: message.sent_at_ms,
        body: message.body,
    };
    Ok(resolved.messages.into_iter().map(letter).collect())
}

async fn look(
    queue: &SqsQueue,
    name: &QueueName,
    max: usize,
) -> Result<Vec<(Received, Option<String>)>, QueueError> {
    let request = queue.client.receive_message().queue_url(queue.dead_letter_url_of(name));
    let output = request
        .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
        .message_attribute_names(REASON)
        .max_number_of_messages(i32::try_from(max).unwrap_or(i32::MAX))
        .wait_time_seconds(WAIT_SECONDS)
        .visibility_timeout(super::seconds(LOOKED_AT))
        .send();
    let output =
        output.await.map_err(batch::broken(batch::at("look at the dead letters of", name)))?;
    let letter = |message: Message| {
        let reason = message.message_attributes.as_ref().and_then(|all| all.get(REASON));
        let reason = reason.and_then(|reason| reason.string_value.clone());
        (received(message), reason)
    };
    Ok(output.messages.unwrap_or_default().into_iter().map(letter).collect())
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
        let reason = MessageAttributeValue::builder().data_type("String").string_value(reason);
        let body = carried(queue, message.body).await?;
        let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(body);
        let entry = entry.set_message_attributes(
            reason.build().ok().map(|reason| HashMap::from([(REASON.to_owned(), reason)])),
        );
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

fn parts(letter: &DeadLetterId) -> Option<(QueueName, Receipt)> {
    let mut parts = letter.0.splitn(3, '/');
    let queue = QueueName::new(parts.next()?).ok()?;
    let _message_id = parts.next()?;
    Some((queue, Receipt(parts.next()?.to_owned())))
}

pub(super) async fn mark_reported(
    queue: &SqsQueue,
    letters: &[DeadLetterId],
) -> Result<(), QueueError> {
    let mut by_queue: BTreeMap<QueueName, Vec<(Receipt, Duration)>> = BTreeMap::new();
    for (name, receipt) in letters.iter().filter_map(parts) {
        by_queue.entry(name).or_default().push((receipt, REPORTED));
    }
    let marks = by_queue.into_iter().map(|(name, changes)| async move {
        let url = queue.dead_letter_url_of(&name);
        let outcome = change_visibility(queue, &url, &changes).await;
        outcome.or_error("hide", changes.len(), format_args!("in `{name}-dlq`"))
    });
    stream::iter(marks).buffer_unordered(CONCURRENT).try_collect().await
}
