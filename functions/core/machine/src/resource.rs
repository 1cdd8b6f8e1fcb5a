//! What a Task's `Resource` names, and what of it Fluxus runs for real.
//!
//! A simulation runs every resource that the service accepts, since mocks stand for whatever it
//! names. What cannot be run for real is refused when a recipe is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use fluxus_schema::{Capability, Json};
use serde_json::json;

use crate::definition::Task;

/// Invokes the Lambda function that its input names, and answers as `lambda:invoke` does.
const LAMBDA_INVOKE: &str = "lambda.invoke";

/// Invokes the Lambda function that its input names, and answers with the payload alone.
const LAMBDA_CALL: &str = "lambda.call";

/// What a task asks for, and how the answer comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    /// `fluxling:NAME?LABEL=VALUE&...`: whoever has the capability and the labels.
    Fluxling { capability: Capability, pattern: Pattern, labels: BTreeMap<String, String> },
    /// `arn:aws:states:::SERVICE:ACTION`: an integration of the service; SERVICE is
    /// `aws-sdk:NAME` where the action is one of the SDK.
    Service { service: Arc<str>, action: Arc<str>, pattern: Pattern },
    /// `arn:aws:lambda:...`: a Lambda function by its ARN.
    Lambda { arn: Arc<str> },
    /// `arn:aws:states:REGION:ACCOUNT:activity:NAME`: polled by outside workers. In a simulation, a
    /// task that asks for one that does not exist fails.
    Activity { arn: Arc<str>, exists: bool },
}

/// When a task counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// When whoever took it answers.
    RequestResponse,
    /// When the job it started has ended.
    Sync,
    /// The same, with the job's output as JSON.
    Sync2,
    /// When somebody calls back with the token.
    WaitForTaskToken,
}

impl Task {
    /// The field for which it cannot be run for real, and why.
    pub(crate) fn unsupported(&self) -> Option<(&'static str, String)> {
        if let Some(detail) = self.resource.unsupported() {
            return Some(("Resource", detail));
        }
        self.credentials.as_ref().map(|_| ("Credentials", CREDENTIALS.to_owned()))
    }
}

const CREDENTIALS: &str = "name an AWS role, which only a simulation can note; leave them out: \
                           whoever takes the task acts with its own";

impl Pattern {
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::RequestResponse => "",
            Self::Sync => ".sync",
            Self::Sync2 => ".sync:2",
            Self::WaitForTaskToken => ".waitForTaskToken",
        }
    }

    /// Whether there is more to wait for once the request was handed over.
    pub(crate) const fn submits(self) -> bool {
        !matches!(self, Self::RequestResponse)
    }

    /// Whether it is done when the job it started has ended.
    pub const fn is_sync(self) -> bool {
        matches!(self, Self::Sync | Self::Sync2)
    }
}

impl Resource {
    pub(crate) fn pattern(&self) -> Pattern {
        match self {
            Self::Fluxling { pattern, .. } | Self::Service { pattern, .. } => *pattern,
            Self::Lambda { .. } | Self::Activity { .. } => Pattern::RequestResponse,
        }
    }

    /// The capability that stands for it when a recipe runs for real.
    pub(crate) fn capability(&self) -> Option<Capability> {
        match self {
            Self::Fluxling { capability, .. } => Some(capability.clone()),
            Self::Lambda { .. } => LAMBDA_CALL.parse().ok(),
            _ if self.invokes_lambda() => LAMBDA_INVOKE.parse().ok(),
            Self::Activity { arn, .. } => {
                let name = arn.rsplit(':').next().unwrap_or_default();
                Capability::of_activity(name).ok()
            }
            Self::Service { .. } => None,
        }
    }

    /// What whoever takes the task is given: a function named by its ARN stands beside its payload,
    /// since the state has nowhere else to name it.
    pub(crate) fn request(&self, input: Json) -> Json {
        match self {
            Self::Lambda { arn } => json!({ "FunctionName": **arn, "Payload": *input }).into(),
            _ => input,
        }
    }

    /// Whether outside workers poll for its tasks.
    pub(crate) fn is_polled(&self) -> bool {
        matches!(self, Self::Activity { .. })
    }

    fn invokes_lambda(&self) -> bool {
        matches!(self, Self::Service { service, action, .. }
            if &**service == "lambda" && &**action == "invoke")
    }

    /// The labels that whoever takes it must have.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        match self {
            Self::Fluxling { labels, .. } => labels.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// Whether it starts an execution of another recipe.
    pub(crate) fn starts_execution(&self) -> bool {
        matches!(self, Self::Service { service, action, .. }
            if &**service == "states" && &**action == "startExecution")
    }

    /// Whether whoever does the task hands its result over as JSON text: a Lambda function's
    /// payload, and the `output` of `SendTaskSuccess`. Other integrations build a document.
    pub(crate) fn answers_in_text(&self) -> bool {
        match self {
            Self::Lambda { .. } | Self::Activity { .. } => true,
            Self::Service { pattern, .. } => *pattern == Pattern::WaitForTaskToken,
            Self::Fluxling { .. } => false,
        }
    }

    /// Why it cannot be run for real, and the nearest thing that can.
    fn unsupported(&self) -> Option<String> {
        let (what, instead) = match self {
            Self::Fluxling { .. } => return None,
            Self::Lambda { .. } => return None,
            Self::Activity { .. } if self.capability().is_some() => return None,
            _ if self.starts_execution() || self.invokes_lambda() => return None,
            Self::Activity { .. } => ("an activity of that name".to_owned(), ACTIVITY.to_owned()),
            Self::Service { service, action, pattern } => {
                let suffix = pattern.suffix();
                (format!("`{service}:{action}{suffix}`"), instead(service, action, *pattern))
            }
        };
        Some(format!("{what} runs only in a simulation, with mocks; {instead}"))
    }
}

const ACTIVITY: &str = "give the activity a name of letters, digits and `._-/`";

/// What to write for an integration that Fluxus has no way to.
fn instead(service: &str, action: &str, pattern: Pattern) -> String {
    match (service, action) {
        ("http", _) => "use `fluxling:http.request`".to_owned(),
        ("aws-sdk:sfn", "startExecution" | "startSyncExecution") => {
            "use `arn:aws:states:::states:startExecution`, with `.sync:2` to wait for its end"
                .to_owned()
        }
        ("aws-sdk:sfn", "sendTaskSuccess" | "sendTaskFailure" | "sendTaskHeartbeat") => {
            "use `fluxling:http.request` with `/v1/tasks/{token}` of the API".to_owned()
        }
        _ => {
            let service = service.trim_start_matches("aws-sdk:");
            let suffix = match pattern {
                Pattern::WaitForTaskToken => pattern.suffix(),
                _ => "",
            };
            format!(
                "write a fluxling that does it and name its capability, such as \
                 `fluxling:{service}.{action}{suffix}`"
            )
        }
    }
}
