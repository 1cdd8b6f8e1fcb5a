//! Receiving: one long poll, and more requests side by side where there is more.

use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use futures::{StreamExt, stream};

use super::{BATCH, CONCURRENT, SqsQueue, batch, seconds};
use crate::bodies;
use crate::{MessageId, QueueError, QueueName, Receipt, Receive, Received};

/// What a message is asked about.
const ATTRIBUTES: [MessageSystemAttributeName; 2] = [
    MessageSystemAttributeName::ApproximateReceiveCount,
    MessageSystemAttributeName::SentTimestamp,
];

pub(super) async fn receive(
    queue: &SqsQueue,
    name: &QueueName,
    request: Receive,
) -> Result<Vec<Received>, QueueError> {
    let Receive { max, wait, visibility } = request;
    let url = queue.url_of(name);
    let take = |max, wait| take(queue, name, &url, Ask { max, wait, visibility });
    let first = max.min(BATCH);
    if first == 0 {
        return Ok(Vec::new());
    }
    let mut taken = take(first, wait).await?;
    let mut is_full = taken.len() == BATCH;
    while is_full && taken.len() < max {
        let missing = max - taken.len();
        let requests = missing.div_ceil(BATCH).min(CONCURRENT);
        let sizes = (0..requests).map(|at| (missing - at * BATCH).min(BATCH));
        let more = sizes.map(|size| async move { (size, take(size, Duration::ZERO).await) });
        let more: Vec<_> = stream::iter(more).buffer_unordered(CONCURRENT).collect().await;
        for (size, result) in more {
            match result {
                Ok(some) => {
                    is_full &= some.len() == size;
                    taken.extend(some);
                }
                // There is something to return, and the next receive will tell.
                Err(error) => {
                    tracing::warn!(queue = %name, ?error, "cannot receive more");
                    is_full = false;
                }
            }
        }
    }
    let resolved = bodies::resolve(taken, queue.bodies.as_deref()).await;
    Ok(resolved.messages)
}

/// One request.
#[derive(Clone, Copy)]
struct Ask {
    max: usize,
    wait: Duration,
    visibility: Duration,
}

async fn take(
    queue: &SqsQueue,
    name: &QueueName,
    url: &str,
    ask: Ask,
) -> Result<Vec<Received>, QueueError> {
    let request = queue.client.receive_message().queue_url(url);
    let output = request
        .set_message_system_attribute_names(Some(ATTRIBUTES.to_vec()))
        .max_number_of_messages(i32::try_from(ask.max).unwrap_or(i32::MAX))
        .wait_time_seconds(seconds(ask.wait))
        .visibility_timeout(seconds(ask.visibility))
        .send();
    let output = output.await.map_err(batch::broken(batch::at("receive from", name)))?;
    Ok(output.messages.unwrap_or_default().into_iter().map(received).collect())
}

pub(super) fn received(message: Message) -> Received {
    let attribute = |name| number(&message, &name);
    let receive_count = attribute(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1);
    let sent_at_ms = attribute(MessageSystemAttributeName::SentTimestamp).unwrap_or_default();
    Received {
        receive_count: u32::try_from(receive_count).unwrap_or(u32::MAX),
        sent_at_ms,
        id: MessageId(message.message_id.unwrap_or_default()),
        receipt: Receipt(message.receipt_handle.unwrap_or_default()),
        body: message.body.unwrap_or_default(),
    }
}

fn number(message: &Message, name: &MessageSystemAttributeName) -> Option<i64> {
    message.attributes.as_ref()?.get(name)?.parse().ok()
}
