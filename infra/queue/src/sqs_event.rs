//! What Lambda's event source hands over from an SQS queue, and takes back: shared by all functions
//! that work on one.

use serde::{Deserialize, Serialize};

use crate::bodies::{self, Bodies, Resolved};
use crate::{MessageId, Receipt, Received};

/// What SQS hands to a function.
///
/// Source: AWS Lambda developer guide, "Using Lambda with Amazon SQS", standard queue event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SqsEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<SqsMessage>,
}

/// One message, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsMessage {
    /// The same each time it is received.
    pub message_id: String,
    /// Another one each time.
    pub receipt_handle: String,
    /// The text.
    pub body: String,
    /// What the service says of it.
    #[serde(default)]
    pub attributes: SqsAttributes,
}

/// What the service says of a message: numbers as text.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SqsAttributes {
    /// How often it was received, this time included.
    pub approximate_receive_count: String,
    /// When it was sent, in milliseconds since 1970.
    pub sent_timestamp: String,
}

/// A partial batch response.
///
/// Source: AWS Lambda developer guide, "Reporting batch item failures".
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsBatchResponse {
    /// The messages that are to come again.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A message that is to come again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// Its message id.
    pub item_identifier: String,
}

impl From<SqsMessage> for Received {
    fn from(message: SqsMessage) -> Self {
        Self {
            id: MessageId(message.message_id),
            receipt: Receipt(message.receipt_handle),
            body: message.body,
            receive_count: message.attributes.approximate_receive_count.parse().unwrap_or(1),
            sent_at_ms: message.attributes.sent_timestamp.parse().unwrap_or_default(),
        }
    }
}

/// The messages of an event, with the bodies that they refer to. Those that are not resolved are to
/// be reported as failed, so that they come again.
pub async fn resolve(event: SqsEvent, bodies: Option<&dyn Bodies>) -> Resolved {
    let messages = event.records.into_iter().map(Received::from).collect();
    bodies::resolve(messages, bodies).await
}
