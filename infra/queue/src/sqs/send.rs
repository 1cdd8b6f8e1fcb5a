//! Sending: large bodies to their store first, then the messages of each queue in batches.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures::{StreamExt, TryStreamExt, stream};

use super::{CONCURRENT, INLINE_BYTES, SqsQueue, batch, seconds};
use crate::{Outgoing, QueueError, QueueName};

pub(super) async fn send(queue: &SqsQueue, messages: Vec<Outgoing>) -> Result<(), QueueError> {
    messages.iter().try_for_each(Outgoing::check)?;
    let of = messages.len();
    let ready = messages.into_iter().map(|message| async move {
        let body = carried(queue, message.body).await?;
        Ok(Outgoing { body, ..message })
    });
    let messages: Vec<Outgoing> =
        stream::iter(ready).buffered(CONCURRENT).try_collect::<Vec<_>>().await?;

    let mut entries: BTreeMap<QueueName, Vec<SendMessageBatchRequestEntry>> = BTreeMap::new();
    for (at, message) in messages.into_iter().enumerate() {
        let Outgoing { queue, body, delay, group, priority: _, yields: _ } = message;
        // Left out where there is none, so that the queue's own delay counts.
        let delay = (!delay.is_zero()).then(|| seconds(delay));
        let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(body);
        let entry =
            entry.set_delay_seconds(delay).set_message_group_id(group.filter(|g| !g.is_empty()));
        entries.entry(queue).or_default().extend(entry.build().ok());
    }
    let sends = entries.into_iter().map(|(name, entries)| async move {
        let url = queue.url_of(&name);
        let outcome = batch::run(entries, |some| async {
            let request = queue.client.send_message_batch().queue_url(&url);
            Ok(request.set_entries(Some(some)).send().await?.failed)
        });
        outcome.await.or_error("send", of, format_args!("to `{name}`"))
    });
    // Every queue gets what it can. Of several errors, one that stays tells more.
    let results: Vec<_> = stream::iter(sends).buffer_unordered(CONCURRENT).collect().await;
    let errors = results.into_iter().filter_map(Result::err);
    errors.min_by_key(QueueError::is_transient).map_or(Ok(()), Err)
}

/// What goes in the message for this body.
pub(super) async fn carried(queue: &SqsQueue, body: String) -> Result<String, QueueError> {
    let body = escaped(body);
    if body.len() <= INLINE_BYTES {
        return Ok(body);
    }
    let Some(bodies) = &queue.bodies else {
        let (actual, limit) = (body.len().to_string(), INLINE_BYTES.to_string());
        let what = "without FLUXUS_BODY_BUCKET, the body's size in bytes";
        return Err(QueueError::PastBound { what, bound: "INLINE_BYTES", actual, limit });
    };
    let reference = bodies.put(&body).await.map_err(|error| QueueError::Service {
        action: "send a large message".to_owned(),
        is_transient: error.is_transient,
        source: error.into(),
    })?;
    Ok(reference.to_text())
}

/// The characters of JSON text that SQS does not carry, as JSON writes them otherwise. They can only
/// stand within strings.
///
/// Source: Amazon SQS API reference, `SendMessage`, "MessageBody".
fn escaped(body: String) -> String {
    if !body.contains(['\u{fffe}', '\u{ffff}']) {
        return body;
    }
    body.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_json_text_can_be_carried() {
        let text = "\u{fffe} and \u{ffff}";
        let body = serde_json::to_string(text).expect("JSON");
        let escaped = escaped(body.clone());
        assert!(!escaped.contains(['\u{fffe}', '\u{ffff}']) && body != escaped);
        assert_eq!(serde_json::from_str::<String>(&escaped).expect("JSON"), text);
    }
}
