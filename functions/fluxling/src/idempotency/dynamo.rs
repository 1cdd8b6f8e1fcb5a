//! The record in a table of Amazon DynamoDB: one item for each task.
//!
//! ```json
//! {"token": "AZr…", "held_until": 1764084900000, "held_by": "5f0c…", "expires_at": 1765380900}
//! {"token": "AZr…", "outcome": "{\"type\":\"TaskSucceeded\",…}", "expires_at": 1765380900}
//! {"token": "AZr…", "outcome_body": "{\"fluxus:body\":…}", "expires_at": 1765380900}
//! ```
//!
//! `held_until` is in milliseconds since 1970, `expires_at`, the attribute of the table's time to
//! live, in seconds. Every write has a condition, so no two workers can both begin a task. A batch
//! costs one write for each task, side by side: DynamoDB has no conditional write for many items
//! that succeeds for some of them. On Lambda a batch has ten.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use fluxus_queue::{Bodies, BodyReference};
use fluxus_schema::{Json, TaskToken};
use futures::{StreamExt, TryStreamExt, stream};

use super::{Begin, Idempotency, IdempotencyError};

/// The environment variable with the name of the table.
pub const IDEMPOTENCY_TABLE: &str = "FLUXUS_IDEMPOTENCY_TABLE";

/// How long an item is kept: for longer than SQS can deliver its message, which is 14 days.
const KEEP: Duration = Duration::from_secs(15 * 24 * 60 * 60);

/// The largest outcome that is kept in the item: DynamoDB's limit for an item is 400 KB, its names
/// and the token included.
const INLINE_BYTES: usize = 380 * 1024;

/// Writes at the same time on behalf of one call.
const CONCURRENT: usize = 16;

/// The item is not done.
const NOT_DONE: &str = "attribute_not_exists(outcome) AND attribute_not_exists(outcome_body)";

type Item = HashMap<String, AttributeValue>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A record in a DynamoDB table, whose partition key is the text `token`.
#[derive(Clone)]
pub struct DynamoIdempotency {
    client: Client,
    table: Arc<str>,
    /// Where outcomes lie that are too large for an item.
    bodies: Option<Arc<dyn Bodies>>,
    /// Tells what this process began from what others did.
    process: u64,
    begun: Arc<AtomicU64>,
}

impl DynamoIdempotency {
    /// The record in this table, with large outcomes in `bodies`.
    pub fn new(config: &SdkConfig, table: &str, bodies: Option<Arc<dyn Bodies>>) -> Self {
        Self {
            client: Client::new(config),
            table: table.into(),
            bodies,
            process: RandomState::new().hash_one(std::process::id()),
            begun: Arc::default(),
        }
    }

    async fn begin_one(&self, token: TaskToken, lease: Duration) -> Result<Begin, Cause> {
        const HOLD: &str = "SET held_until = :until, held_by = :me, expires_at = :expires \
             REMOVE outcome, outcome_body";
        let now = since_1970();
        let me = format!("{:x}-{:x}", self.process, self.begun.fetch_add(1, Ordering::Relaxed));
        let is_free = format!(
            "attribute_not_exists(#token) OR expires_at <= :seconds \
             OR ({NOT_DONE} AND held_until <= :now)"
        );
        let held = self
            .update(&token, HOLD, &is_free, now)
            .expression_attribute_names("#token", "token")
            .expression_attribute_values(":until", millis(now + lease))
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":seconds", seconds(now))
            .expression_attribute_values(":me", text(&me))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send();
        match held.await {
            Ok(_) => Ok(Begin::New),
            Err(error) => {
                let item = found(error)?;
                // The SDK repeats what had no answer: the first try may have been written.
                if string(&item, "held_by") == Some(&me) {
                    return Ok(Begin::New);
                }
                Ok(self.outcome(&item).await?.map_or(Begin::InProgress, Begin::Done))
            }
        }
    }

    async fn extend_one(&self, token: TaskToken, lease: Duration) -> Result<(), Cause> {
        const PROLONG: &str = "SET held_until = :until, expires_at = :expires";
        let now = since_1970();
        let is_held = format!("attribute_exists(held_until) AND {NOT_DONE}");
        let update = self.update(&token, PROLONG, &is_held, now);
        let prolonged = update.expression_attribute_values(":until", millis(now + lease)).send();
        prolonged.await.map(|_| ()).or_else(|error| found(error).map(|_| ()))
    }

    async fn complete_one(&self, token: TaskToken, outcome: Json) -> Result<(), Cause> {
        let outcome = outcome.to_string();
        let (update, value) = if outcome.len() <= INLINE_BYTES {
            ("SET outcome = :outcome, expires_at = :expires REMOVE held_until, held_by", outcome)
        } else {
            let bodies = self.bodies.as_ref().ok_or_else(|| {
                let bytes = outcome.len();
                format!("the outcome has {bytes} bytes, and FLUXUS_BODY_BUCKET is not set")
            })?;
            let reference = bodies.put(&outcome).await?.to_text();
            (
                "SET outcome_body = :outcome, expires_at = :expires REMOVE held_until, held_by",
                reference,
            )
        };
        let update = self.update(&token, update, NOT_DONE, since_1970());
        let done = update.expression_attribute_values(":outcome", text(&value)).send();
        done.await.map(|_| ()).or_else(|error| found(error).map(|_| ()))
    }

    async fn release_one(&self, token: TaskToken) -> Result<(), Cause> {
        let deletion = self.client.delete_item().table_name(&*self.table);
        let deletion = deletion.key("token", key(&token)).condition_expression(NOT_DONE);
        match deletion.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error))
                if matches!(error.err(), DeleteItemError::ConditionalCheckFailedException(_)) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A write that keeps the item for a while from now on.
    fn update(
        &self,
        token: &TaskToken,
        update: &str,
        condition: &str,
        now: Duration,
    ) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
        let item = self.client.update_item().table_name(&*self.table).key("token", key(token));
        item.update_expression(update)
            .condition_expression(condition)
            .expression_attribute_values(":expires", seconds(now + KEEP))
    }

    /// What came of the task of an item, if it is done.
    async fn outcome(&self, item: &Item) -> Result<Option<Json>, Cause> {
        if let Some(outcome) = string(item, "outcome") {
            return Ok(Some(serde_json::from_str(outcome)?));
        }
        let Some(reference) = string(item, "outcome_body") else { return Ok(None) };
        let reference = BodyReference::from_text(reference).ok_or("no reference to an outcome")?;
        let bodies = self.bodies.as_ref().ok_or("FLUXUS_BODY_BUCKET is not set")?;
        Ok(Some(serde_json::from_str(&bodies.get(&reference).await?)?))
    }
}

#[async_trait]
impl Idempotency for DynamoIdempotency {
    async fn begin(
        &self,
        tokens: &[TaskToken],
        lease: Duration,
    ) -> Result<Vec<Begin>, IdempotencyError> {
        let begins = tokens.iter().cloned().map(|token| self.begin_one(token, lease));
        let begun = stream::iter(begins).buffered(CONCURRENT).try_collect();
        begun.await.map_err(IdempotencyError::while_doing("begin tasks"))
    }

    async fn extend(&self, tokens: &[TaskToken], lease: Duration) -> Result<(), IdempotencyError> {
        let extended = all(tokens.iter().cloned().map(|token| self.extend_one(token, lease)));
        extended.await.map_err(IdempotencyError::while_doing("extend leases"))
    }

    async fn complete(&self, outcomes: &[(TaskToken, Json)]) -> Result<(), IdempotencyError> {
        let outcomes = outcomes.iter().cloned();
        let completed = all(outcomes.map(|(token, outcome)| self.complete_one(token, outcome)));
        completed.await.map_err(IdempotencyError::while_doing("complete tasks"))
    }

    async fn release(&self, tokens: &[TaskToken]) -> Result<(), IdempotencyError> {
        let released = all(tokens.iter().cloned().map(|token| self.release_one(token)));
        released.await.map_err(IdempotencyError::while_doing("release tasks"))
    }
}

/// Does all that can be done, and returns the first error.
async fn all<F>(writes: impl Iterator<Item = F>) -> Result<(), Cause>
where
    F: Future<Output = Result<(), Cause>>,
{
    let done: Vec<_> = stream::iter(writes).buffer_unordered(CONCURRENT).collect().await;
    done.into_iter().collect()
}

/// The item because of which a write was not made; any other error stays one.
fn found(error: SdkError<UpdateItemError>) -> Result<Item, Cause> {
    match error {
        SdkError::ServiceError(error)
            if matches!(error.err(), UpdateItemError::ConditionalCheckFailedException(_)) =>
        {
            match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(failed) => {
                    Ok(failed.item.unwrap_or_default())
                }
                other => Err(other.into()),
            }
        }
        other => Err(other.into()),
    }
}

/// DynamoDB's limit for a key is 2048 bytes; a token has about a hundred.
fn key(token: &TaskToken) -> AttributeValue {
    text(token.as_str())
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn string<'a>(item: &'a Item, name: &str) -> Option<&'a String> {
    item.get(name)?.as_s().ok()
}

fn millis(time: Duration) -> AttributeValue {
    AttributeValue::N(time.as_millis().to_string())
}

fn seconds(time: Duration) -> AttributeValue {
    AttributeValue::N(time.as_secs().to_string())
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
