//! Task: has work done by somebody else and waits for the answer.
//!
//! Source: States Language, "Task State", "Timeouts"; AWS Step Functions API, "HistoryEvent".

mod events;

use std::time::Duration;

use fluxus_schema::history::{Details, EventKind};
use fluxus_schema::id::TaskAddress;
use fluxus_schema::{ClaimId, Json, TaskToken, Timestamp};
use serde_json::{Value, json};

use super::or_fail;
use crate::branch::{Attempt, Failure, Status, Visit};
use crate::data_flow::{self, Failed, Reading};
use crate::definition::{Kind, Number, State, Task};
use crate::effect::{Dispatch, Effect, Nested};
use crate::env::Entropy as _;
use crate::resource::{Pattern, Resource};
use crate::retry;
use crate::state::map;
use crate::step::{Go, Input, Stepper};

pub(crate) use events::is_before_start;
use events::with_failure;

/// Schedules an attempt.
pub(super) fn run(stepper: &mut Stepper<'_>, state: &State, task: &Task, visit: Visit) -> Go {
    or_fail(visit, |visit| {
        if let Resource::Activity { arn, exists: false } = &task.resource {
            let cause = format!("The activity {arn} does not exist.");
            return Err(data_flow::runtime(visit, "States.Runtime", &cause).into());
        }
        let address = TaskAddress {
            claim_id: stepper.context.claim_id,
            branch_id: stepper.branch.id.clone(),
            revision: stepper.revision,
        };
        let token = TaskToken::new(&address, stepper.entropy.number());
        let callback = (task.resource.pattern() == Pattern::WaitForTaskToken)
            .then(|| TaskToken::new(&address, stepper.entropy.number()));
        let input = data_flow::effective_input(stepper, state, visit, callback.as_ref())?;
        let seconds = |number: &Option<Number>, field| {
            let number = number.as_ref();
            let read = |n| data_flow::number(stepper, visit, &visit.input, n, (field, 1));
            number.map(read).transpose()
        };
        let timeout_s = seconds(&task.timeout, "TimeoutSeconds")?;
        let heartbeat_s = seconds(&task.heartbeat, "HeartbeatSeconds")?;
        let details = match &task.resource {
            Resource::Lambda { arn } | Resource::Activity { arn, .. } => {
                Details::new().with("resource", arn.clone()).with("input", input.clone())
            }
            resource => resource
                .details()
                .with("region", stepper.context.region.as_deref().unwrap_or_default())
                .with("parameters", input.clone()),
        };
        let details = details
            .with_some("timeoutInSeconds", timeout_s)
            .with_some("heartbeatInSeconds", heartbeat_s)
            .with_some("taskCredentials", role(stepper, state, task, visit)?);
        stepper.record(task.resource.names().scheduled, details);
        let pattern = task.resource.pattern();
        let nested = task
            .resource
            .starts_execution()
            .then(|| Nested { claim_id: claim_id(stepper), pattern });
        let after = |seconds| after(stepper.now, seconds);
        let attempt = Attempt {
            token: token.clone(),
            callback,
            capability: task.resource.capability(),
            labels: task.resource.labels(),
            port: None,
            execution: nested.filter(|_| pattern.is_sync()).map(|nested| nested.claim_id),
            held: None,
            scheduled_at: stepper.now,
            started: false,
            submitted: false,
            deadline: timeout_s.map(after),
            heartbeat_s,
            heartbeat_due: heartbeat_s.map(after),
        };
        stepper.effects.push(Effect::Dispatch(Dispatch {
            token,
            capability: attempt.capability.clone(),
            labels: attempt.labels.clone(),
            nested,
            input: task.resource.request(input),
            state: visit.state.clone(),
            attempt: visit.retry_count(),
            deadline: attempt.deadline,
            heartbeat_s,
        }));
        Ok(watch(stepper, visit.clone(), attempt))
    })
}

/// The id of an execution that this step starts.
fn claim_id(stepper: &Stepper<'_>) -> ClaimId {
    let mut random = [0; 10];
    random.copy_from_slice(&stepper.entropy.bytes()[..10]);
    ClaimId::new(stepper.now, &random)
}

/// The role that a task's credentials name, as its event tells.
fn role(
    stepper: &Stepper<'_>,
    state: &State,
    task: &Task,
    visit: &Visit,
) -> Result<Option<Value>, Failed> {
    let Some(template) = &task.credentials else { return Ok(None) };
    let input = data_flow::selected_input(stepper, state, visit)?;
    let reading = Reading::of(stepper, visit);
    let credentials = data_flow::evaluate(stepper, reading, &input, |env| template.eval(env))?;
    Ok(Some(json!({ "roleArn": credentials["RoleArn"] })))
}

/// Takes what happened to an attempt; nothing if it does not concern it.
pub(crate) fn on_event(
    stepper: &mut Stepper<'_>,
    visit: Visit,
    mut task: Attempt,
    revision: u32,
    event: Input,
) -> Option<Go> {
    let state = stepper.definition.state_named(&visit.state)?;
    if task.port.is_some() {
        return map::port::on_event(stepper, state, visit, task, event);
    }
    let Kind::Task(Task { resource, .. }) = &state.kind else { return None };
    // Once the request was handed over, whoever took it has no more say: the callback has.
    let handed_over = task.submitted && task.callback.is_some();
    let is_attempt = |token: &TaskToken| *token == task.token && !handed_over;
    let is_callback = |token: &TaskToken| task.callback.as_ref() == Some(token);
    let names = resource.names();
    match event {
        Input::TaskStarted { token, worker } if is_attempt(&token) && !task.started => {
            let details = match resource {
                Resource::Activity { .. } => {
                    Details::new().with_some("workerName", worker.as_deref())
                }
                _ => resource.details(),
            };
            stepper.record(names.started, details);
            task.started = true;
            // Until somebody polled for it, nobody could send heartbeats.
            if task.held.take().is_some() {
                task.heartbeat_due = task.heartbeat_s.map(|s| after(stepper.now, s));
            }
            Some(watch(stepper, visit, task))
        }
        // Whoever took the request has handed it on; now the callback must come.
        Input::TaskSucceeded { token, output, .. }
            if is_attempt(&token) && task.callback.is_some() =>
        {
            Some(submitted(stepper, resource, visit, task, output))
        }
        Input::TaskSubmitted { token, output }
            if is_attempt(&token) && !task.submitted && resource.pattern().submits() =>
        {
            Some(submitted(stepper, resource, visit, task, output))
        }
        Input::TaskSucceeded { token, output, .. } if is_attempt(&token) || is_callback(&token) => {
            start(stepper, resource, &mut task);
            if let Err(failure) = data_flow::bounded(stepper, &visit, &output) {
                stepper.record(names.failed, with_failure(resource, &failure));
                return Some(Go::Fail(visit, failure.into()));
            }
            stepper.record(names.succeeded, resource.details().with("output", output.clone()));
            Some(Go::Result(visit, output))
        }
        Input::TaskFailed { token, failure, .. } if is_attempt(&token) || is_callback(&token) => {
            start(stepper, resource, &mut task);
            let failure = failure.within_bounds();
            let kind = if retry::is_timeout(failure.error.as_deref()) {
                names.timed_out
            } else if resource.pattern().is_sync() && !task.submitted {
                EventKind::TaskSubmitFailed
            } else {
                names.failed
            };
            stepper.record(kind, with_failure(resource, &failure));
            Some(Go::Fail(visit, failure.into()))
        }
        Input::TaskFailedAs { token, event, failure }
            if is_attempt(&token) || is_callback(&token) =>
        {
            if !is_before_start(event) {
                start(stepper, resource, &mut task);
            }
            let failure = failure.within_bounds();
            stepper.record(event, with_failure(resource, &failure));
            Some(Go::Fail(visit, failure.into()))
        }
        Input::TaskHeartbeat { token } if is_attempt(&token) || is_callback(&token) => {
            let seconds = task.heartbeat_s?;
            // Whoever polled for it has it, though the word of that may come later.
            if resource.is_polled() {
                task.held = None;
            }
            task.heartbeat_due = Some(after(stepper.now, seconds));
            Some(watch(stepper, visit, task))
        }
        Input::TimerFired { revision: of } if of == revision => {
            let passed = |due: Option<Timestamp>| due.is_some_and(|due| due <= stepper.now);
            let timeout = Failure { error: Some("States.Timeout".to_owned()), cause: None };
            let failed = match (passed(task.deadline), passed(task.heartbeat_due)) {
                (true, _) if task.held.is_some() && !resource.is_polled() => nobody(&task).into(),
                (true, _) => Failed::from(timeout),
                (false, true) => {
                    Failed { also: Some(retry::HEARTBEAT_TIMEOUT), ..Failed::from(timeout) }
                }
                (false, false) => {
                    // Set before the task was held. A step would hold it once more, for another.
                    task.due()?;
                    return Some(watch(stepper, visit, task));
                }
            };
            stepper.record(names.timed_out, with_failure(resource, &failed.failure));
            Some(Go::Fail(visit, failed))
        }
        _ => None,
    }
}

fn after(now: Timestamp, seconds: u64) -> Timestamp {
    now.plus(Duration::from_secs(seconds))
}

/// The request was handed over: what comes of it is told later.
fn submitted(
    stepper: &mut Stepper<'_>,
    resource: &Resource,
    visit: Visit,
    mut task: Attempt,
    output: Json,
) -> Go {
    start(stepper, resource, &mut task);
    stepper.record(EventKind::TaskSubmitted, resource.details().with("output", output));
    task.submitted = true;
    watch(stepper, visit, task)
}

/// The failure of a task that nobody could be given in its time.
fn nobody(task: &Attempt) -> Failure {
    let capability = task.capability.as_ref().map_or("", |capability| capability.as_str());
    Failure::new(
        "Fluxus.NoFluxling",
        format!("No fluxling that offers `{capability}` could take the task in its time"),
    )
}

/// Waits for the answer, with a timer where its time is bounded.
fn watch(stepper: &mut Stepper<'_>, visit: Visit, task: Attempt) -> Go {
    if let Some(due) = task.due() {
        stepper.effects.push(Effect::Timer { due, watch: true });
    }
    Go::Await(Status::AwaitingTask { visit, task })
}

fn start(stepper: &mut Stepper<'_>, resource: &Resource, task: &mut Attempt) {
    if !task.started {
        stepper.record(resource.names().started, resource.details());
        task.started = true;
    }
}
