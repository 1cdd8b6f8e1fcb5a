//! A batch of SQS.

use fluxus_queue::sqs_event::{self, BatchItemFailure, SqsBatchResponse, SqsEvent};
use fluxus_queue::{Bodies, Receipt, Received, Resolved};
use tokio::time::Instant;

use crate::batch::Handled;
use crate::error::chain;
use crate::worker::MAX_BATCH;
use crate::{Core, clock, measure};

/// Handles one SQS batch, at the longest `until`. A message reported here comes back after its
/// visibility timeout and, after `maxReceiveCount` tries, goes to the dead-letter queue.
///
/// A batch of the service may hold more messages than a transaction should: it is dealt with in
/// parts, and no part is begun when the time is over. What others left in the outbox is sent
/// afterwards, now and then: see [`Core::relay_in_turn`].
pub async fn handle_batch(
    core: &Core,
    event: SqsEvent,
    bodies: Option<&dyn Bodies>,
    until: Instant,
) -> SqsBatchResponse {
    // The id stands in for the receipt: the event source deletes what is not reported.
    let by_id = |one: Received| Received { receipt: Receipt(one.id.0.clone()), ..one };
    let Resolved { messages, unresolved } = sqs_event::resolve(event, bodies).await;
    let mut batch: Vec<_> = messages.into_iter().map(by_id).collect();
    measure::received(core.core_queue(), &batch, clock::now());
    let mut failed: Vec<_> = unresolved.into_iter().map(|message| message.id.0).collect();
    while !batch.is_empty() {
        let rest = batch.split_off(batch.len().min(MAX_BATCH));
        let Handled { failed: of_part, .. } = core.handle_until(batch, Some(until)).await;
        failed.extend(of_part.into_iter().map(|(receipt, _reason)| receipt.0));
        batch = rest;
    }
    relay(core, until).await;
    measure::failed(core.core_queue(), failed.len());
    let failure = |item_identifier| BatchItemFailure { item_identifier };
    SqsBatchResponse { batch_item_failures: failed.into_iter().map(failure).collect() }
}

/// Cut off, or where the outbox cannot be read, the next sweep sends what is in it.
async fn relay(core: &Core, until: Instant) {
    if Instant::now() >= until {
        return;
    }
    match tokio::time::timeout_at(until, core.relay_in_turn()).await {
        Ok(Ok(0)) => {}
        Ok(Ok(sent)) => tracing::warn!(sent, "sent messages of a process that died"),
        Ok(Err(error)) => tracing::warn!(error = chain(&error), "cannot look at the outbox"),
        Err(_elapsed) => tracing::warn!("no time was left to look at the outbox"),
    }
}
