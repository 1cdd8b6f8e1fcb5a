//! Running the state: entering it, answering what it waits for, and telling how it went.

use fluxus_schema::Json;
use fluxus_schema::items::ReadItems;
use serde_json::{Value, json};

use super::mock::Answer;
use super::request::StateConfiguration;
use super::response::{ErrorDetails, InspectionData, TestStateResponse, TestStatus};
use super::subject::{NAME, Subject};
use super::{InspectionLevel, Refusal, TestStateRequest, context, http, mock};
use crate::branch::{Attempt, Branch, Failure, Port, Status, Visit};
use crate::data_flow;
use crate::definition::{Definition, Flow, Kind, State, Then};
use crate::items;
use crate::probe::{Probe, Seen};
use crate::retry;
use crate::state::task;
use crate::step::{Go, Input, Stepper, run_alone};

pub(super) fn run(
    request: &TestStateRequest,
    subject: &Subject,
) -> Result<TestStateResponse, Refusal> {
    let input = Json::new(request.input()?);
    let (definition, state) = (&subject.definition, subject.state());
    let execution = context::execution(request, input.clone());
    let probe = context::probe(request, &execution, state)?;
    let variables = request.variables()?;
    let branch = Branch {
        // The beginning of the execution stands before the state.
        events: 1,
        variables: variables.into_iter().map(|(name, value)| (name, value.into())).collect(),
        ..Branch::root(NAME.into(), input.clone())
    };
    let run = |branch: &Branch, go: Go| {
        run_alone(definition, &execution, branch, |_| go, context::NOW, &probe).branch
    };
    let mut branch = run(&branch, Go::Enter(subject.id(), input.clone()));
    if let Status::AwaitingTask { visit, task } = &branch.status
        && let Some(Port::Read { asked, .. }) = &task.port
    {
        let read = read(request, asked, task)?;
        let take = |stepper: &mut Stepper<'_>| {
            let taken = task::on_event(stepper, visit.clone(), task.clone(), branch.revision, read);
            taken.unwrap_or_else(|| Go::Lost(visit.state.clone()))
        };
        branch = run_alone(definition, &execution, &branch, take, context::NOW, &probe).branch;
    }
    let branch = match &branch.status {
        Status::AwaitingTimer { visit, .. } => run(&branch, Go::HandOn(visit.clone())),
        Status::AwaitingTask { visit, .. } => {
            run(&branch, answered(request, state, visit.clone(), &probe, None)?)
        }
        Status::AwaitingBranches { visit, total, .. } => {
            run(&branch, answered(request, state, visit.clone(), &probe, Some(*total as u64))?)
        }
        _ => branch,
    };
    let response = Ended { definition, state, branch, seen: probe.into_seen() };
    Ok(response.told(request.level(), input))
}

/// What a distributed Map gets that asked for its items.
fn read(request: &TestStateRequest, asked: &ReadItems, task: &Attempt) -> Result<Input, Refusal> {
    let data = request.configuration().map_item_reader_data.ok_or_else(|| {
        Refusal::validation(
            "ItemReader data must be specified when testing a Map state with ItemReader specified.",
        )
        .with_help("stateConfiguration.mapItemReaderData is the text that the reader finds")
    })?;
    let token = task.token.clone();
    Ok(match items::all(&asked.config, &data_flow::shown(&data), asked.max_items) {
        Ok(items) => {
            let output = json!({ "items": items }).into();
            Input::TaskSucceeded { token, output, report: None }
        }
        Err(unreadable) => {
            let failure = Failure::new("States.ItemReaderFailed", unreadable.to_string());
            Input::TaskFailed { token, failure, report: None }
        }
    })
}

/// How the state goes on with what its mock answers; `iterations` is the number of a Map's.
fn answered(
    request: &TestStateRequest,
    state: &State,
    mut visit: Visit,
    probe: &Probe,
    iterations: Option<u64>,
) -> Result<Go, Refusal> {
    let configuration = request.configuration();
    let retries = configuration.retrier_retry_count.unwrap_or_default();
    visit.retries = vec![u32::try_from(retries).unwrap_or(u32::MAX); state.retry.len()];
    if let (Kind::Map(_), Some(iterations)) = (&state.kind, iterations)
        && let Some(failure) = exceeded(&configuration, iterations, probe)?
    {
        return Ok(Go::Fail(visit, failure.into()));
    }
    match mock::answer(request)? {
        Some(Answer::Error(failure)) => Ok(Go::Fail(visit, failure.into())),
        Some(Answer::Result(result)) => {
            let result = Json::new(result);
            if let Kind::Task(_) = state.kind {
                probe.inspect(|data| data.result = Some(result.clone()));
            }
            Ok(Go::Result(visit, result))
        }
        None => Err(Refusal::validation("A mock must be specified when testing this state")),
    }
}

/// The failure of a Map of which more iterations failed than it tolerates. One that does not say
/// what it tolerates is not looked at, as recorded.
fn exceeded(
    configuration: &StateConfiguration,
    iterations: u64,
    probe: &Probe,
) -> Result<Option<Failure>, Refusal> {
    let Some(failed) = configuration.map_iteration_failure_count else { return Ok(None) };
    let failed = u64::try_from(failed).unwrap_or_default();
    if failed > iterations {
        return Err(Refusal::validation(
            "Map iteration failure count must be less than or equal to the number of Map \
             iterations",
        ));
    }
    let mut is_exceeded = false;
    probe.inspect(|data| {
        let percentage = failed as f64 * 100.0 / iterations.max(1) as f64;
        is_exceeded = data.tolerated_failure_count.is_some_and(|most| failed > most)
            || data.tolerated_failure_percentage.is_some_and(|most| percentage > most);
    });
    let cause = "The specified tolerated failure threshold was exceeded";
    Ok(is_exceeded.then(|| Failure::new("States.ExceedToleratedFailureThreshold", cause)))
}

/// A state that was run.
struct Ended<'s> {
    definition: &'s Definition,
    state: &'s State,
    branch: Branch,
    seen: Seen,
}

impl Ended<'_> {
    fn told(self, level: InspectionLevel, input: Json) -> TestStateResponse {
        let (status, output, failure) = match (&self.branch.status, &self.seen.failure) {
            (Status::Succeeded { output }, None) => {
                (TestStatus::Succeeded, Some(output.clone()), None)
            }
            (Status::Succeeded { output }, Some(failure)) => {
                (TestStatus::CaughtError, Some(output.clone()), Some(failure.clone()))
            }
            (Status::AwaitingRetry { .. }, failure) => {
                (TestStatus::Retriable, None, failure.clone())
            }
            (Status::Failed { failure, .. }, _) => {
                (TestStatus::Failed, None, Some(failure.clone()))
            }
            // A state that still waits was given no answer: it is told of as failed.
            (_, failure) => (TestStatus::Failed, None, failure.clone()),
        };
        let Failure { error, cause } = failure.unwrap_or_default();
        let next_state = match self.seen.then {
            Some(Then::Next(next)) => Some(self.definition.state(next).name.clone()),
            _ => None,
        };
        let inspection_data =
            (level > InspectionLevel::Info).then(|| self.inspected(level, status, input));
        TestStateResponse { status, output, error, cause, next_state, inspection_data }
    }

    fn inspected(self, level: InspectionLevel, status: TestStatus, input: Json) -> InspectionData {
        let error_details = self.error_details(status);
        let Self { state, branch, seen, .. } = self;
        let mut data = InspectionData { input: Some(input.clone()), error_details, ..seen.data };
        match (&state.kind, &state.flow) {
            (Kind::Pass { result }, _) => data.result.clone_from(result),
            (Kind::Fail { .. }, Flow::Path(_)) => data.after_input_path = Some(input),
            // Of what goes into a Parallel the service tells nothing.
            (Kind::Parallel { .. }, _) => {
                data.after_input_path = None;
                data.after_parameters = None;
                data.after_arguments = None;
            }
            (Kind::Task(task), _) if level == InspectionLevel::Trace => {
                http::trace(task, &mut data);
            }
            _ => {}
        }
        if !branch.variables.is_empty() {
            let variables = branch.variables.into_iter();
            let variables = variables.map(|(name, value)| (name, Json::unwrap_or_clone(value)));
            data.variables = Some(Json::new(Value::Object(variables.collect())));
        }
        data
    }

    fn error_details(&self, status: TestStatus) -> Option<ErrorDetails> {
        let failure = self.seen.failure.as_ref()?;
        let backoff = match self.branch.status {
            Status::AwaitingRetry { due, .. } => Some(due.since(context::NOW).as_secs()),
            _ => None,
        };
        let is_caught = status == TestStatus::CaughtError;
        let details = ErrorDetails {
            catch_index: retry::catcher_of(self.state, failure, None).filter(|_| is_caught),
            retry_index: retry::retrier_of(self.state, failure, None),
            retry_backoff_interval_seconds: backoff,
        };
        (details != ErrorDetails::default()).then_some(details)
    }
}
