//! The orchestrator as a Lambda function on its queue.

use fluxus_queue::{MessageId, Receipt, Received};
use lambda_runtime::LambdaEvent;
use serde::{Deserialize, Serialize};

use crate::Core;

/// What Lambda's event source gives: messages of the queue. AWS Lambda, "Using Lambda with Amazon
/// SQS".
#[derive(Debug, Deserialize)]
pub struct SqsEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<SqsRecord>,
}

/// One message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsRecord {
    /// Its id.
    pub message_id: String,
    /// Proves that it was received.
    pub receipt_handle: String,
    /// Its body.
    pub body: String,
    /// What SQS says of it.
    #[serde(default)]
    pub attributes: SqsAttributes,
}

/// What SQS says of a message: numbers, as text.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SqsAttributes {
    /// How often it was received.
    pub approximate_receive_count: String,
    /// When it was sent, in milliseconds since 1970.
    pub sent_timestamp: String,
}

/// Tells the event source which messages to deliver again.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsBatchResponse {
    /// Those.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// One message to deliver again.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// Its id.
    pub item_identifier: String,
}

/// Handles one SQS batch. A message reported here comes back after its visibility timeout and,
/// after `maxReceiveCount` tries, goes to the dead-letter queue.
pub async fn handle_batch(core: &Core, event: LambdaEvent<SqsEvent>) -> SqsBatchResponse {
    let records = event.payload.records;
    // The id stands in for the receipt: the event source deletes by what is not reported.
    let batch = records.into_iter().map(|record| Received {
        receipt: Receipt(record.message_id.clone()),
        id: MessageId(record.message_id),
        body: record.body,
        receive_count: record.attributes.approximate_receive_count.parse().unwrap_or(1),
        sent_at_ms: record.attributes.sent_timestamp.parse().unwrap_or_default(),
    });
    let handled = core.handle(batch.collect()).await;
    let failures = handled.failed.into_iter();
    let batch_item_failures =
        failures.map(|(receipt, _)| BatchItemFailure { item_identifier: receipt.0 }).collect();
    SqsBatchResponse { batch_item_failures }
}
