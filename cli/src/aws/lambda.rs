//! Invokes deployed functions.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::tool::Aws;

/// A function failed, or was ended by Lambda.
#[derive(Debug, thiserror::Error)]
#[error("`{function}` failed: {why}")]
pub struct FunctionFailed {
    /// Its name.
    pub function: String,
    /// Its error, in its own words.
    pub why: String,
}

/// Invokes a function and waits for what it answers.
///
/// # Errors
/// [`FunctionFailed`], or why it could not be invoked.
pub async fn invoke(aws: &Aws, function: &str, payload: &Value) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir().context("make room for an invocation")?;
    let (event, answer) = (folder.path().join("event.json"), folder.path().join("answer.json"));
    std::fs::write(&event, payload.to_string()).context("write the event")?;
    let payload = format!("fileb://{}", event.display());
    let out = answer.to_string_lossy();
    let args = ["lambda", "invoke", "--function-name", function, "--payload", &payload, &out];
    let told: Value = aws.ask_long(&args).await?;
    let answer = read(&answer)?;
    if told.get("FunctionError").is_some_and(|error| !error.is_null()) {
        return Err(FunctionFailed { function: function.to_owned(), why: why(&answer) }.into());
    }
    Ok(answer)
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let bytes = std::fs::read(path).context("read the answer")?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    // A function may answer with what is no JSON; that is shown as it came.
    Ok(serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()))
}

/// What a failed function says, in one line.
pub fn why(answer: &Value) -> String {
    let part = |name: &str| answer[name].as_str().filter(|text| !text.is_empty());
    match (part("errorType"), part("errorMessage")) {
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        (None, Some(one)) | (Some(one), None) => one.to_owned(),
        (None, None) => answer.to_string(),
    }
}

/// Whether an answer is how Lambda tells that a function failed.
pub fn is_failure(answer: &Value) -> bool {
    answer["errorType"].is_string() && answer.get("errorMessage").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_is_told_in_one_line() {
        let answer = json!({"errorType": "Runtime.ExitError", "errorMessage": "exit status 1"});
        assert!(is_failure(&answer) && !is_failure(&json!({"batchItemFailures": []})));
        assert_eq!(why(&answer), "Runtime.ExitError: exit status 1");
        assert_eq!(why(&json!({"errorMessage": "timed out"})), "timed out");
    }
}
