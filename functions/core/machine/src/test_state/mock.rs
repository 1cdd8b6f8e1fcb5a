//! Mocks: whether the state may have one, and whether it is one that the state can use.

use serde_json::Value;

use super::request::{MockInput, TestStateRequest, document};
use super::subject::Subject;
use super::{Refusal, model};
use crate::branch::Failure;
use crate::definition::{Kind, Task};
use crate::resource::{Pattern, Resource};

/// What answers in the place of whatever the state calls.
pub(super) enum Answer {
    Result(Value),
    Error(Failure),
}

const NEEDS_MOCK: &str = "a test calls nothing: say with a mock what comes back";

/// Whether request and state agree on a mock.
pub(super) fn check(request: &TestStateRequest, subject: &Subject) -> Result<(), Refusal> {
    check_configuration(request, subject)?;
    match &request.mock {
        None => without(request, &subject.state().kind),
        Some(mock) => with(request, mock, subject),
    }
}

/// The answer that the mock gives, if there is a mock.
pub(super) fn answer(request: &TestStateRequest) -> Result<Option<Answer>, Refusal> {
    let Some(mock) = &request.mock else { return Ok(None) };
    if let Some(output) = &mock.error_output {
        let (error, cause) = (output.error.clone(), output.cause.clone());
        return Ok(Some(Answer::Error(Failure { error, cause })));
    }
    result(mock).map(|result| result.map(Answer::Result))
}

fn check_configuration(request: &TestStateRequest, subject: &Subject) -> Result<(), Refusal> {
    let configuration = request.configuration();
    if request.mock.is_none() {
        let given = [
            ("MapIterationFailureCount", configuration.map_iteration_failure_count.is_some()),
            ("RetrierRetryCount", configuration.retrier_retry_count.is_some()),
            ("ErrorCausedByState", configuration.error_caused_by_state.is_some()),
            ("MapItemReaderData", configuration.map_item_reader_data.is_some()),
        ];
        if let Some((name, _)) = given.iter().find(|(_, is_given)| *is_given) {
            return Err(unmocked(name));
        }
    }
    match configuration.error_caused_by_state {
        Some(name) if !subject.holds(&name) => Err(Refusal::validation(
            "State not found in definition",
        )
        .with_help("errorCausedByState names a state within the Map or the Parallel under test")),
        _ => Ok(()),
    }
}

fn unmocked(what: &str) -> Refusal {
    Refusal::validation(format!("TestState does not support {what} when a mock is not specified."))
}

fn without(request: &TestStateRequest, kind: &Kind) -> Result<(), Refusal> {
    match kind {
        Kind::Map(_) | Kind::Parallel { .. } => {
            let message = "TestState API does not support Map or Parallel states. Supported state \
                           types include: [Task, Wait, Pass, Succeed, Fail, Choice]";
            Err(Refusal::definition(message).with_help(NEEDS_MOCK))
        }
        Kind::Task(task) => Err(without_in_task(request, task).with_help(NEEDS_MOCK)),
        _ if request.context.is_some() => Err(unmocked("Context")),
        _ => Ok(()),
    }
}

fn without_in_task(request: &TestStateRequest, task: &Task) -> Refusal {
    match (&task.resource, task.resource.pattern()) {
        (Resource::Activity { .. }, _) => {
            Refusal::definition("TestState API does not support Activity tasks.")
        }
        (_, Pattern::RequestResponse) if request.role_arn.is_none() => {
            Refusal::validation("RoleArn must be specified when testing a Task state")
        }
        // Here the service calls what the task names.
        (_, Pattern::RequestResponse) => {
            Refusal::validation("A mock must be specified when testing a Task state")
        }
        _ => Refusal::definition(
            "TestState API does not support '.sync' or '.waitForTaskToken' integration patterns.",
        ),
    }
}

fn with(request: &TestStateRequest, mock: &MockInput, subject: &Subject) -> Result<(), Refusal> {
    let kind = &subject.state().kind;
    let unmockable = match kind {
        Kind::Pass { .. } => Some("Pass"),
        Kind::Choice { .. } => Some("Choice"),
        Kind::Wait(_) => Some("Wait"),
        Kind::Succeed => Some("Succeed"),
        Kind::Fail { .. } => Some("Fail"),
        Kind::Task(_) | Kind::Parallel { .. } | Kind::Map(_) => None,
    };
    if let Some(name) = unmockable {
        return Err(Refusal::validation(format!(
            "State type '{name}' is not supported when a mock is specified"
        )));
    }
    if request.reveal_secrets {
        return Err(Refusal::validation(
            "TestState does not support RevealSecrets when a mock is specified.",
        ));
    }
    if mock.result.is_some() == mock.error_output.is_some() {
        return Err(Refusal::validation(
            "A test mock should have only one of the following fields: [result, errorOutput].",
        ));
    }
    if mock.error_output.as_ref().is_some_and(|output| output.error.is_none()) {
        return Err(Refusal::validation("An error was not specified in the mocked error output."));
    }
    match result(mock)? {
        Some(result) => fits(&result, mock, kind),
        None => Ok(()),
    }
}

fn result(mock: &MockInput) -> Result<Option<Value>, Refusal> {
    let result = mock.result.as_ref().map(document).transpose();
    result.map_err(|_| Refusal::validation("Mocked result must be valid JSON"))
}

fn fits(result: &Value, mock: &MockInput, kind: &Kind) -> Result<(), Refusal> {
    match kind {
        Kind::Parallel { branches } => match result.as_array() {
            None => Err(Refusal::validation("Mocked result must be an array.")),
            Some(results) if results.len() != branches.len() => Err(Refusal::validation(
                "Mocked result must contain the same number of items as number of Parallel \
                 branches.",
            )),
            Some(_) => Ok(()),
        },
        // Where results are written, the state's own result says where.
        Kind::Map(map) if map.writes() => match result.is_object() {
            true => Ok(()),
            false => Err(Refusal::validation("Mocked result must be a JSON object.")),
        },
        Kind::Map(_) if !result.is_array() => {
            Err(Refusal::validation("Mocked result must be an array."))
        }
        Kind::Task(Task { resource: Resource::Service { service, action, pattern }, .. }) => {
            let operation = format!("{service}:{action}{}", pattern.suffix());
            model::check(&operation, result, mock.field_validation()).map_err(|wrong| {
                Refusal::validation(format!("Mock result schema validation error: {wrong}"))
            })
        }
        _ => Ok(()),
    }
}
