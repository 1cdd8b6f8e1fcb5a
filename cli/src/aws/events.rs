//! Follows a change of a stack, and says why it failed.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::{Deserialize, Serialize};

use super::stack::{self, NESTED, Stack};
use super::tool::{Aws, AwsError};
use crate::output::note;
use crate::table::{clean, cut};

/// How long between two looks.
const POLL: Duration = Duration::from_secs(2);

/// How many of the newest events are looked at: more do not happen between two looks.
const PAGE: &str = "300";

/// Columns for a status; the longest that is shown has as many.
const STATUS_WIDTH: usize = 24;

/// How deep nested stacks are asked for their reasons.
const MAX_DEPTH: usize = 3;

/// Something that happened to a resource.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    event_id: String,
    stack_id: String,
    #[serde(default)]
    logical_resource_id: String,
    #[serde(default)]
    physical_resource_id: String,
    #[serde(default)]
    resource_type: String,
    #[serde(default)]
    resource_status: String,
    #[serde(default)]
    resource_status_reason: String,
}

#[derive(Deserialize)]
struct Events {
    #[serde(rename = "StackEvents")]
    events: Vec<Event>,
}

/// A resource that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The name in the template.
    pub resource: String,
    /// The resource's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// In the words of AWS.
    pub why: String,
}

/// A change did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct ChangeFailed {
    /// How the stack stands now.
    pub what: String,
    /// What failed.
    pub failures: Vec<Failure>,
}

impl ChangeFailed {
    /// What failed, each on a line of its own.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let line = |one: &Failure| format!("{} ({}): {}", one.resource, one.kind, one.why);
        self.failures.iter().map(line)
    }
}

/// Watches one stack from the moment that this was made.
#[derive(Debug)]
pub struct Watch<'a> {
    aws: &'a Aws,
    /// Name or, better, ARN: a deleted stack is found by that alone.
    stack: String,
    seen: HashSet<String>,
    failures: Vec<Failure>,
}

impl<'a> Watch<'a> {
    /// Begins to watch: what happened until now is known.
    ///
    /// # Errors
    /// Any [`AwsError`].
    pub async fn new(aws: &'a Aws, stack: &str) -> Result<Self, AwsError> {
        let mut watch =
            Self { aws, stack: stack.to_owned(), seen: HashSet::new(), failures: Vec::new() };
        watch.seen = watch.events().await?.into_iter().map(|event| event.event_id).collect();
        Ok(watch)
    }

    /// Tells what happens until nothing happens any more, and gives the stack as it is then; none
    /// where it is gone.
    ///
    /// # Errors
    /// Any [`AwsError`].
    pub async fn until_done(&mut self) -> Result<Option<Stack>, AwsError> {
        loop {
            // The stack first: what is there afterwards includes all events of its end.
            let stack = stack::find(self.aws, &self.stack).await?;
            self.tell().await?;
            match stack {
                None => return Ok(None),
                Some(stack) if stack.stack_status == "DELETE_COMPLETE" => return Ok(None),
                Some(stack) if !stack.is_busy() => return Ok(Some(stack)),
                Some(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// The error for a change that did not come to its end.
    pub async fn failed(self, what: String) -> ChangeFailed {
        let mut failures = self.failures;
        // Reasons of nested stacks are extras: where they cannot be had, the outer ones stand.
        if let Ok(inner) = nested(self.aws, &failures).await
            && !inner.is_empty()
        {
            failures.retain(|one| one.kind != NESTED);
            failures.extend(inner);
        }
        ChangeFailed { what, failures }
    }

    async fn events(&self) -> Result<Vec<Event>, AwsError> {
        events(self.aws, &self.stack).await
    }

    async fn tell(&mut self) -> Result<(), AwsError> {
        for event in self.events().await?.into_iter().rev() {
            if !self.seen.insert(event.event_id.clone()) {
                continue;
            }
            if let Some(line) = line(&event) {
                note(&line);
            }
            self.failures.extend(failure(event));
        }
        Ok(())
    }
}

async fn events(aws: &Aws, stack: &str) -> Result<Vec<Event>, AwsError> {
    let args = ["cloudformation", "describe-stack-events", "--stack-name", stack];
    match aws.ask::<Events>(&[&args[..], &["--max-items", PAGE]].concat()).await {
        Ok(answer) => Ok(answer.events),
        Err(error) if error.says_absent() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What failed within the nested stacks that failed.
async fn nested(aws: &Aws, failures: &[Failure]) -> Result<Vec<Failure>, AwsError> {
    let mut found = BTreeMap::new();
    let mut stacks: Vec<_> = failures.iter().filter_map(embedded).collect();
    for _ in 0..MAX_DEPTH {
        let mut deeper = Vec::new();
        for stack in std::mem::take(&mut stacks) {
            for failure in events(aws, &stack).await?.into_iter().rev().filter_map(failure) {
                match embedded(&failure) {
                    Some(stack) => deeper.push(stack),
                    None => drop(found.insert(failure.resource.clone(), failure)),
                }
            }
        }
        stacks = deeper;
    }
    Ok(found.into_values().collect())
}

/// The ARN of the nested stack that a failure is about: `Embedded stack ARN was not …`.
fn embedded(failure: &Failure) -> Option<String> {
    let (_, rest) = failure.why.split_once("Embedded stack ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// The failure that an event tells of; not of those that only stopped because another failed.
fn failure(event: Event) -> Option<Failure> {
    let why = event.resource_status_reason;
    let is_own = event.resource_status.ends_with("_FAILED")
        && event.physical_resource_id != event.stack_id
        && !why.contains("cancelled");
    is_own.then(|| Failure {
        resource: event.logical_resource_id,
        kind: event.resource_type,
        why: if why.is_empty() { "no reason given".to_owned() } else { why },
    })
}

/// The line for an event; beginnings are left out, for their ends follow.
fn line(event: &Event) -> Option<String> {
    let status = event.resource_status.as_str();
    if status.ends_with("_IN_PROGRESS") && !status.contains("ROLLBACK") {
        return None;
    }
    let style = match status {
        status if status.ends_with("_FAILED") || status.contains("ROLLBACK") => {
            AnsiColor::Red.on_default()
        }
        status if status.starts_with("DELETE") => Style::new().dimmed(),
        _ => AnsiColor::Green.on_default(),
    };
    let status = cut(status, STATUS_WIDTH);
    let (resource, kind) = (clean(&event.logical_resource_id), clean(&event.resource_type));
    let why = match event.resource_status_reason.as_str() {
        "" => String::new(),
        why => format!(": {}", clean(why)),
    };
    Some(format!("  {style}{status:STATUS_WIDTH$}{style:#}  {resource} ({kind}){why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(status: &str, why: &str) -> Event {
        serde_json::from_value(json!({
            "EventId": "1", "StackId": "arn:stack", "LogicalResourceId": "CoreFunction",
            "PhysicalResourceId": "core", "ResourceType": "AWS::Lambda::Function",
            "ResourceStatus": status, "ResourceStatusReason": why,
        }))
        .expect("an event")
    }

    #[test]
    fn a_failure_is_told_but_not_those_that_follow_from_it() {
        let told = failure(event("CREATE_FAILED", "no such key")).expect("a failure");
        assert_eq!((told.resource.as_str(), told.why.as_str()), ("CoreFunction", "no such key"));
        assert_eq!(failure(event("CREATE_FAILED", "Resource creation cancelled")), None);
        assert_eq!(failure(event("CREATE_COMPLETE", "")), None);
        let error = ChangeFailed { what: "rolled back".into(), failures: vec![told] };
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines, ["CoreFunction (AWS::Lambda::Function): no such key"]);
    }

    #[test]
    fn a_nested_stack_is_asked_for_its_reasons() {
        let why = "Embedded stack arn:aws:cloudformation:x was not successfully created: …";
        let failure = failure(event("CREATE_FAILED", why)).expect("a failure");
        assert_eq!(embedded(&failure).as_deref(), Some("arn:aws:cloudformation:x"));
    }

    #[test]
    fn ends_are_shown_and_beginnings_are_not() {
        assert_eq!(line(&event("CREATE_IN_PROGRESS", "")), None);
        let line = line(&event("CREATE_FAILED", "no\u{1b}[31m")).expect("a line");
        assert_eq!(
            anstream::adapter::strip_str(&line).to_string(),
            "  CREATE_FAILED             CoreFunction (AWS::Lambda::Function): no\u{fffd}[31m"
        );
    }
}
