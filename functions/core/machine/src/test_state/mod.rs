//! `TestState`: runs one state, with its input, context and variables given and with a mock in the
//! place of whatever it calls.
//!
//! The state runs by the code that runs it in an execution; a [`Probe`](crate::probe::Probe) sees
//! how its data flows. What the service would call is never called: a Task, a Parallel or a Map
//! needs a mock. Source: AWS Step Functions API, "TestState"; the behaviour recorded from it.

mod call;
mod context;
mod http;
mod mock;
mod model;
mod refusal;
mod request;
mod response;
mod run;
mod subject;

use fluxus_schema::problem::Fault;
use serde_json::Value;

pub use call::TestStateCall;
pub use refusal::Refusal;
pub use request::{ErrorOutput, InspectionLevel, MockInput, StateConfiguration, TestStateRequest};
pub use response::{
    ErrorDetails, HttpRequest, HttpResponse, InspectionData, TestStateResponse, TestStatus,
};

/// What is wrong or odd with a single state, which stands in no machine: as
/// [`Definition::parse`](crate::Definition::parse) tells it, the pointers starting from the state.
pub fn faults(state: &Value) -> Vec<Fault> {
    subject::faults(state)
}

/// Tests one state.
///
/// # Errors
/// [`Refusal`] where the request is wrong: in its parameters, its definition, its mock or its
/// context. That a state fails is no error but a response.
pub fn test_state(request: &TestStateRequest) -> Result<TestStateResponse, Refusal> {
    request.check()?;
    let subject = subject::find(request)?;
    mock::check(request, &subject)?;
    run::run(request, &subject)
}
