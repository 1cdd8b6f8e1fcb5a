//! A recorded call as JSON: the request in, the response or the refusal out.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{TestStateRequest, test_state};

/// One call of `TestState`, as a file of cases holds it.
#[derive(Debug, Deserialize)]
pub struct TestStateCall {
    /// Names it in its result.
    pub id: String,
    /// What was asked.
    pub request: TestStateRequest,
}

impl TestStateCall {
    /// `{"id", "response"}`, the latter in the shape of the service's response. A refusal has the
    /// form in which the case recorded it: a case whose id ends in `#exception` recorded what the
    /// Python SDK raised, all others the error's response.
    pub fn run(&self) -> Value {
        let response = match test_state(&self.request) {
            Ok(response) => json!(response),
            Err(refusal) => refusal.to_json(self.id.ends_with("#exception")),
        };
        json!({ "id": self.id, "response": response })
    }
}
