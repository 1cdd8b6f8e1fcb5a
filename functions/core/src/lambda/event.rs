//! What the function is invoked with.

use fluxus_queue::sqs_event::SqsEvent;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::custom_resource::Request;
use super::register::Register;

/// Who invokes on a schedule.
const SCHEDULES: [&str; 2] = ["aws.scheduler", "aws.events"];

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Messages.
    Batch(SqsEvent),
    /// It is time to sweep.
    Sweep,
    /// The tables are to be brought up to date.
    Migrate,
    /// Fluxlings and recipes are to be registered.
    Register(Box<Register>),
    /// A stack wants its tables up to date.
    CustomResource(Box<Request>),
}

/// An event that this function does not know, or that is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// None of those known.
    #[error(
        "this is no event of SQS, of a schedule or of CloudFormation, and not {{\"sweep\": {{}}}}, \
         {{\"migrate\": {{}}}} or {{\"register\": {{…}}}}"
    )]
    Unknown,
    /// One of those known, but not as it should be.
    #[error("this is no {what}: {source}")]
    Malformed {
        /// What it was taken for.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Event {
    /// Tells the events apart by what each alone has.
    ///
    /// # Errors
    /// [`EventError`], which says what is known.
    pub fn read(mut event: Value) -> Result<Self, EventError> {
        let has = |name: &str| event.get(name).is_some_and(|value| !value.is_null());
        if has("Records") {
            return Ok(Self::Batch(parse("batch of SQS", event)?));
        }
        if has("RequestType") && has("ResponseURL") {
            return Ok(Self::CustomResource(parse("request of a custom resource", event)?));
        }
        if has("register") {
            let wanted = event["register"].take();
            return Ok(Self::Register(parse("list of fluxlings and recipes", wanted)?));
        }
        if has("migrate") {
            return Ok(Self::Migrate);
        }
        let source = event.get("source").and_then(Value::as_str).unwrap_or_default();
        if has("sweep") || SCHEDULES.contains(&source) {
            return Ok(Self::Sweep);
        }
        Err(EventError::Unknown)
    }
}

fn parse<T: DeserializeOwned>(what: &'static str, value: Value) -> Result<T, EventError> {
    serde_json::from_value(value).map_err(|source| EventError::Malformed { what, source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_told_apart() {
        let read = |event: Value| Event::read(event).expect("an event");
        assert_eq!(read(json!({"sweep": {}})), Event::Sweep);
        assert_eq!(read(json!({"source": "aws.events", "detail": {}})), Event::Sweep);
        assert_eq!(read(json!({"source": "aws.scheduler"})), Event::Sweep);
        assert_eq!(read(json!({"migrate": {}})), Event::Migrate);
        assert!(matches!(read(json!({"Records": []})), Event::Batch(_)));
        assert!(matches!(read(json!({"register": {}})), Event::Register(_)));
    }

    #[test]
    fn what_is_none_of_them_is_refused_with_what_is_known() {
        let error = |event: Value| Event::read(event).expect_err("refused").to_string();
        assert!(error(json!({"source": "aws.s3"})).contains("migrate"));
        assert!(error(json!([])).contains("SQS"));
        assert!(error(json!({"Records": 7})).contains("batch of SQS"));
        assert!(error(json!({"register": {"fluxling": []}})).contains("fluxling"));
    }
}
