//! How full queues are, as the service estimates it.

use aws_sdk_sqs::types::QueueAttributeName as Name;
use futures::{StreamExt, TryStreamExt, stream};

use super::{CONCURRENT, SqsQueue, batch};
use crate::{Depth, QueueError, QueueName};

pub(super) async fn depth(
    queue: &SqsQueue,
    queues: &[QueueName],
) -> Result<Vec<Depth>, QueueError> {
    let depths = queues.iter().cloned().map(|name| async move {
        let (url, dead_letter_url) = (queue.url_of(&name), queue.dead_letter_url_of(&name));
        let (alive, dead) =
            futures::try_join!(counts(queue, &name, &url), counts(queue, &name, &dead_letter_url))?;
        let Counts { ready, in_flight, delayed } = alive;
        let dead = dead.ready + dead.in_flight + dead.delayed;
        // The service tells the age only as a metric.
        Ok(Depth { queue: name, ready, in_flight, delayed, dead, oldest_ready_age: None })
    });
    stream::iter(depths).buffered(CONCURRENT).try_collect().await
}

struct Counts {
    ready: u64,
    in_flight: u64,
    delayed: u64,
}

async fn counts(queue: &SqsQueue, name: &QueueName, url: &str) -> Result<Counts, QueueError> {
    let request = queue.client.get_queue_attributes().queue_url(url);
    let request = request
        .attribute_names(Name::ApproximateNumberOfMessages)
        .attribute_names(Name::ApproximateNumberOfMessagesNotVisible)
        .attribute_names(Name::ApproximateNumberOfMessagesDelayed);
    let output = request.send().await.map_err(batch::broken(batch::at("measure", name)))?;
    let attributes = output.attributes.unwrap_or_default();
    let count = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0);
    Ok(Counts {
        ready: count(Name::ApproximateNumberOfMessages),
        in_flight: count(Name::ApproximateNumberOfMessagesNotVisible),
        delayed: count(Name::ApproximateNumberOfMessagesDelayed),
    })
}
