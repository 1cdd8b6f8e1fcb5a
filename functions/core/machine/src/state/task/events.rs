//! The events by which the service tells how an attempt goes.

use fluxus_schema::history::{Details, Event, EventKey, EventKind, EventRow};
use fluxus_schema::{ClaimId, Json};

use crate::branch::{Branch, Failure, Status};
use crate::definition::{Definition, Kind, Task};
use crate::resource::Resource;
use crate::step::failure_details;

/// The events by which the service tells how an attempt goes.
pub(super) struct Names {
    pub(super) scheduled: EventKind,
    pub(super) started: EventKind,
    pub(super) succeeded: EventKind,
    pub(super) failed: EventKind,
    pub(super) timed_out: EventKind,
}

const TASK: Names = Names {
    scheduled: EventKind::TaskScheduled,
    started: EventKind::TaskStarted,
    succeeded: EventKind::TaskSucceeded,
    failed: EventKind::TaskFailed,
    timed_out: EventKind::TaskTimedOut,
};

const LAMBDA: Names = Names {
    scheduled: EventKind::LambdaFunctionScheduled,
    started: EventKind::LambdaFunctionStarted,
    succeeded: EventKind::LambdaFunctionSucceeded,
    failed: EventKind::LambdaFunctionFailed,
    timed_out: EventKind::LambdaFunctionTimedOut,
};

const ACTIVITY: Names = Names {
    scheduled: EventKind::ActivityScheduled,
    started: EventKind::ActivityStarted,
    succeeded: EventKind::ActivitySucceeded,
    failed: EventKind::ActivityFailed,
    timed_out: EventKind::ActivityTimedOut,
};

impl Resource {
    pub(super) fn names(&self) -> &'static Names {
        match self {
            Self::Fluxling { .. } | Self::Service { .. } => &TASK,
            Self::Lambda { .. } => &LAMBDA,
            Self::Activity { .. } => &ACTIVITY,
        }
    }

    /// The fields by which an event says what was asked for; Lambda and activity events say it
    /// only once, when the task is scheduled.
    pub(super) fn details(&self) -> Details {
        match self {
            Self::Fluxling { capability, pattern, .. } => Details::new()
                .with("resource", &*format!("{capability}{}", pattern.suffix()))
                .with("resourceType", "fluxling"),
            Self::Service { service, action, pattern } => Details::new()
                .with("resource", &*format!("{action}{}", pattern.suffix()))
                .with("resourceType", service.clone()),
            Self::Lambda { .. } | Self::Activity { .. } => Details::new(),
        }
    }
}

/// What an event says of a failed attempt.
pub(super) fn with_failure(resource: &Resource, failure: &Failure) -> Details {
    let mut details = failure_details(failure);
    details.extend(resource.details());
    details
}

/// Whether an event tells of a task that nobody took up.
pub(crate) fn is_before_start(event: EventKind) -> bool {
    use EventKind as Kind;
    matches!(
        event,
        Kind::ActivityScheduleFailed
            | Kind::LambdaFunctionScheduleFailed
            | Kind::LambdaFunctionStartFailed
            | Kind::TaskStartFailed
    )
}

impl Branch {
    /// Notes that the request of the task it scheduled in its last step was handed over at once:
    /// `execution` was started. `row` is what that step recorded, `output` what starting gave.
    pub fn submit(
        &mut self,
        definition: &Definition,
        row: &mut EventRow,
        execution: ClaimId,
        output: Json,
    ) {
        let Status::AwaitingTask { visit, task } = &mut self.status else { return };
        let state = definition.state_named(&visit.state);
        let Some(Kind::Task(Task { resource, .. })) = state.map(|state| &state.kind) else {
            return;
        };
        task.started = true;
        task.submitted = true;
        task.execution = task.execution.map(|_| execution);
        let events = [
            (EventKind::TaskStarted, resource.details()),
            (EventKind::TaskSubmitted, resource.details().with("output", output)),
        ];
        for (kind, details) in events {
            let position = u32::try_from(row.events.len()).unwrap_or(u32::MAX);
            row.events.push(Event { kind, previous: self.last.take(), details });
            let (branch_id, revision) = (self.id.clone(), row.revision);
            self.last = Some(EventKey { branch_id, revision, position });
            self.events += 1;
        }
    }
}
