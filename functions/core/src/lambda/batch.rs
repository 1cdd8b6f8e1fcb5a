//! A batch of SQS.

use fluxus_queue::sqs_event::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use fluxus_queue::{Receipt, Received};
use tokio::time::Instant;

use crate::batch::Handled;
use crate::worker::MAX_BATCH;
use crate::{Core, clock, measure};

/// Handles one SQS batch, at the longest `until`. A message reported here comes back after its
/// visibility timeout and, after `maxReceiveCount` tries, goes to the dead-letter queue.
///
/// A batch of the service may hold more messages than a transaction should: it is dealt with in
/// parts, and no part is begun when the time is over.
pub async fn handle_batch(core: &Core, event: SqsEvent, until: Instant) -> SqsBatchResponse {
    let mut batch: Vec<_> = event
        .records
        .into_iter()
        .map(|message| {
            let received = Received::from(message);
            // The id stands in for the receipt: the event source deletes what is not reported.
            Received { receipt: Receipt(received.id.0.clone()), ..received }
        })
        .collect();
    measure::received(core.core_queue(), &batch, clock::now());
    let mut failed = Vec::new();
    while !batch.is_empty() {
        let rest = batch.split_off(batch.len().min(MAX_BATCH));
        let Handled { failed: of_part, .. } = core.handle_until(batch, Some(until)).await;
        failed.extend(of_part);
        batch = rest;
    }
    measure::failed(core.core_queue(), failed.len());
    let failure = |(receipt, _): (Receipt, String)| BatchItemFailure { item_identifier: receipt.0 };
    SqsBatchResponse { batch_item_failures: failed.into_iter().map(failure).collect() }
}
