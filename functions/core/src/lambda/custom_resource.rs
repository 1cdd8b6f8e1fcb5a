//! A custom resource of `CloudFormation`: a stack that waits until its tables are up to date.
//!
//! Source: AWS `CloudFormation` user guide, "Custom resource request and response reference".

use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Names the resource in the stack, and never changes: another id would make the stack delete the
/// old resource after each update.
const RESOURCE: &str = "fluxus-migration";

/// How long the answer may take. Without one the stack waits for an hour.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the answer is tried.
const ANSWER_TRIES: u32 = 3;

/// The longest reason: an answer has 4 KiB in all.
const MAX_REASON_BYTES: usize = 2048;

/// What the service asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Request {
    /// `Create`, `Update` or `Delete`.
    pub request_type: String,
    /// Where the answer goes: it is presigned.
    #[serde(rename = "ResponseURL")]
    pub response_url: String,
    /// The stack.
    pub stack_id: String,
    /// The request.
    pub request_id: String,
    /// The resource's name in the template.
    pub logical_resource_id: String,
    /// What the resource was called in the answer before, unless this is the first.
    #[serde(default)]
    pub physical_resource_id: Option<String>,
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    status: &'static str,
    reason: String,
    physical_resource_id: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    data: Data,
}

/// What the template can read of the resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    /// The migrations applied, separated by commas.
    applied: String,
}

impl Request {
    /// Whether the resource goes.
    pub fn is_delete(&self) -> bool {
        self.request_type == "Delete"
    }

    /// How long to keep for the answer.
    pub(super) fn answering(&self) -> Duration {
        ANSWER_TIMEOUT
    }

    /// The answer: which migrations were applied, or why it failed.
    pub fn answer(&self, outcome: Result<Vec<String>, String>) -> Answer {
        let (status, reason, applied) = match outcome {
            Ok(applied) => ("SUCCESS", String::new(), applied.join(",")),
            Err(reason) => ("FAILED", cut(reason), String::new()),
        };
        let physical = self.physical_resource_id.clone().unwrap_or_else(|| RESOURCE.to_owned());
        Answer {
            status,
            reason,
            physical_resource_id: physical,
            stack_id: self.stack_id.clone(),
            request_id: self.request_id.clone(),
            logical_resource_id: self.logical_resource_id.clone(),
            data: Data { applied },
        }
    }
}

impl Answer {
    /// Whether it tells of a failure.
    pub fn has_failed(&self) -> bool {
        self.status == "FAILED"
    }

    /// Why it failed; empty otherwise.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Puts the answer where the request says.
///
/// # Errors
/// If it cannot be delivered; the stack then waits until it gives up.
pub(super) async fn put(request: &Request, answer: &Answer) -> anyhow::Result<()> {
    let body = serde_json::to_vec(answer)?;
    let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build()?;
    let mut tries = 1;
    loop {
        // The presigned URL covers an empty content type.
        let put = client.put(&request.response_url).header("content-type", "").body(body.clone());
        let sent = put.send().await.and_then(reqwest::Response::error_for_status);
        match sent {
            Ok(_taken) => return Ok(()),
            // The URL is a secret for as long as it is valid.
            Err(error) if tries == ANSWER_TRIES => {
                return Err(error.without_url()).context("answer the stack");
            }
            Err(error) => {
                let error = error.without_url();
                tracing::warn!(error = super::described(&error), tries, "answering again");
                tries += 1;
            }
        }
    }
}

fn cut(mut reason: String) -> String {
    let mut end = MAX_REASON_BYTES.min(reason.len());
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_names_the_resource_and_says_why() {
        let request: Request = serde_json::from_value(json!({
            "RequestType": "Update", "ResponseURL": "https://example.org/?signed",
            "StackId": "arn:stack", "RequestId": "r-1", "LogicalResourceId": "Migration",
            "PhysicalResourceId": "before", "ResourceType": "Custom::Migration",
            "ResourceProperties": { "Release": "abc" }
        }))
        .expect("a request");
        let answer = json!(request.answer(Err("é".repeat(MAX_REASON_BYTES))));
        assert_eq!(
            (&answer["Status"], &answer["PhysicalResourceId"]),
            (&json!("FAILED"), &json!("before"))
        );
        assert_eq!(answer["Reason"].as_str().map(str::len), Some(MAX_REASON_BYTES));
        let answer = json!(request.answer(Ok(vec!["V1__a".into(), "V2__b".into()])));
        assert_eq!(answer["Data"]["Applied"], "V1__a,V2__b");
        assert_eq!(
            (&answer["StackId"], &answer["RequestId"]),
            (&json!("arn:stack"), &json!("r-1"))
        );
    }
}
