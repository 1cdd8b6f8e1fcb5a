//! The orchestrator as a Lambda function on its queue.

pub use fluxus_queue::sqs_event::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use fluxus_queue::{Receipt, Received};
use lambda_runtime::LambdaEvent;

use crate::Core;

/// Handles one SQS batch. A message reported here comes back after its visibility timeout and,
/// after `maxReceiveCount` tries, goes to the dead-letter queue.
pub async fn handle_batch(core: &Core, event: LambdaEvent<SqsEvent>) -> SqsBatchResponse {
    let batch = event.payload.records.into_iter().map(|message| {
        let received = Received::from(message);
        // The id stands in for the receipt: the event source deletes by what is not reported.
        Received { receipt: Receipt(received.id.0.clone()), ..received }
    });
    let handled = core.handle(batch.collect()).await;
    let failure = |(receipt, _): (Receipt, String)| BatchItemFailure { item_identifier: receipt.0 };
    SqsBatchResponse { batch_item_failures: handled.failed.into_iter().map(failure).collect() }
}
