//! The ends of executions that tasks started: who waits for one is answered with its description.

use fluxus_machine::Failure;
use fluxus_schema::limits::{MAX_CAUSE_CHARS, MAX_PAYLOAD_BYTES};
use fluxus_schema::message::CoreMessage;
use fluxus_schema::{ClaimId, ClaimStatus, Json, Timestamp};
use fluxus_store::Message;
use fluxus_store::claim::Waiter;
use serde_json::{Map, Value, json};

use super::start::message;
use crate::error::CoreError;
use crate::ledger::Ledger;

/// An execution that was started by a task and ends.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) claim_id: ClaimId,
    pub(crate) name: String,
    /// The recipe and its version.
    pub(crate) machine: String,
    pub(crate) input: Json,
    pub(crate) status: ClaimStatus,
    /// JSON text.
    pub(crate) output: Option<String>,
    pub(crate) failure: Failure,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Timestamp,
    /// That of whoever started it.
    pub(crate) priority: u8,
}

/// Answers to those who wait for these ends, which must be saved already: none or one statement.
pub(crate) async fn answers(
    ledger: &impl Ledger,
    ended: &[Ended],
) -> Result<Vec<Message>, CoreError> {
    if ended.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = ended.iter().map(|ended| ended.claim_id).collect();
    let waiters = ledger.take_waiters(&ids).await?;
    let answer = |waiter: Waiter| {
        let ended = ended.iter().find(|ended| ended.claim_id == waiter.claim_id)?;
        let parent = waiter.token.address().ok()?.claim_id;
        let for_claim = (parent, &waiter.tenant, ended.priority);
        Some(ended.answer(&waiter).and_then(|answer| message(for_claim, &answer)))
    };
    waiters.into_iter().filter_map(answer).collect()
}

impl Ended {
    fn answer(&self, waiter: &Waiter) -> Result<CoreMessage, CoreError> {
        let token = waiter.token.clone();
        if self.status == ClaimStatus::Succeeded {
            let output: Json = self.description(waiter.as_json, true, None)?.into();
            // As text its documents are written within a document, and two of them: that may be far
            // more than a message carries.
            if output.to_string().len() <= MAX_PAYLOAD_BYTES {
                return Ok(CoreMessage::TaskSucceeded { token, output, report: None });
            }
            let cause = format!(
                "the description of the execution {} has more than {MAX_PAYLOAD_BYTES} bytes",
                self.claim_id
            );
            let error = "States.DataLimitExceeded".to_owned();
            return Ok(CoreMessage::TaskFailed { token, error, cause, report: None });
        }
        let cause = self.cause(waiter.as_json)?;
        let error = "States.TaskFailed".to_owned();
        Ok(CoreMessage::TaskFailed { token, error, cause, report: None })
    }

    /// The description as a cause. It stays JSON where it would be too long: then the input is left
    /// out, and the execution's own cause is cut.
    fn cause(&self, as_json: bool) -> Result<String, CoreError> {
        let fits = |text: &String| text.chars().count() <= MAX_CAUSE_CHARS;
        let mut text = self.description(as_json, true, None)?.to_string();
        let mut keep = MAX_CAUSE_CHARS;
        while !fits(&text) && keep > 0 {
            text = self.description(as_json, false, Some(keep))?.to_string();
            keep /= 2;
        }
        Ok(text)
    }

    /// What `DescribeExecution` says, with the input and at most so many characters of the cause.
    fn description(
        &self,
        as_json: bool,
        with_input: bool,
        cause_chars: Option<usize>,
    ) -> Result<Value, CoreError> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        if let Some(cause) = &self.failure.cause {
            let some = cause_chars.map(|most| cause.chars().take(most).collect::<String>());
            put("Cause", json!(some.as_ref().unwrap_or(cause)));
        }
        if let Some(error) = &self.failure.error {
            put("Error", json!(error));
        }
        put("ExecutionArn", json!(self.claim_id));
        if with_input {
            let text = || Value::String(self.input.to_string());
            put("Input", if as_json { Value::clone(&self.input) } else { text() });
        }
        put("InputDetails", json!({ "Included": with_input }));
        put("Name", json!(self.name));
        if let Some(output) = &self.output {
            put("Output", if as_json { serde_json::from_str(output)? } else { json!(output) });
            put("OutputDetails", json!({ "Included": true }));
        }
        put("StartDate", self.started_at.as_millis().into());
        put("StateMachineArn", json!(self.machine));
        put("Status", json!(status(self.status)));
        put("StopDate", self.ended_at.as_millis().into());
        Ok(Value::Object(fields))
    }
}

/// A status in the service's words: it has none for a claim that its recipe never began.
fn status(status: ClaimStatus) -> ClaimStatus {
    match status {
        ClaimStatus::Rejected => ClaimStatus::Failed,
        status => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(cause: String) -> Ended {
        let at = Timestamp::from_millis(1_000);
        Ended {
            claim_id: ClaimId::new(at, &[0; 10]),
            name: "n".to_owned(),
            machine: "r:1".to_owned(),
            input: json!({ "text": "x".repeat(100) }).into(),
            status: ClaimStatus::Failed,
            output: None,
            failure: Failure::new("E", cause),
            started_at: at,
            ended_at: at,
            priority: 0,
        }
    }

    #[test]
    fn a_cause_stays_json_however_long_it_would_be() {
        let read = |cause: String| {
            let text = failed(cause).cause(false).expect("a text");
            assert!(text.chars().count() <= MAX_CAUSE_CHARS);
            serde_json::from_str::<Value>(&text).expect("JSON")
        };
        let whole = read("short".to_owned());
        assert_eq!(
            (&whole["Cause"], &whole["InputDetails"]["Included"]),
            (&json!("short"), &json!(true))
        );
        let cut = read("\"".repeat(MAX_CAUSE_CHARS));
        assert_eq!((cut.get("Input"), &cut["Error"]), (None, &json!("E")));
        assert!(cut["Cause"].as_str().is_some_and(|cause| cause.len() > 8_000));
    }
}
