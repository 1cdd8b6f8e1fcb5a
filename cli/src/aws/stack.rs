//! The stack in CloudFormation: how it stands, and what is in it.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Context as _;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::tool::{Aws, AwsError};

/// Stacks that are asked at a time: each is a process of its own.
const AT_A_TIME: usize = 4;

/// The type of a stack within a stack.
pub const NESTED: &str = "AWS::CloudFormation::Stack";

/// A stack as CloudFormation describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Stack {
    /// Its ARN; names of deleted stacks are given again, this is not.
    pub stack_id: String,
    /// `UPDATE_COMPLETE` and its like.
    pub stack_status: String,
    /// Why it has that status.
    pub stack_status_reason: Option<String>,
    /// When it was created, as text.
    pub creation_time: Option<String>,
    /// When it was last updated, as text.
    pub last_updated_time: Option<String>,
    #[serde(default)]
    parameters: Vec<Pair>,
    #[serde(default)]
    outputs: Vec<Pair>,
}

#[derive(Debug, Clone, Deserialize)]
struct Pair {
    #[serde(alias = "ParameterKey", alias = "OutputKey")]
    key: String,
    #[serde(alias = "ParameterValue", alias = "OutputValue", default)]
    value: String,
}

impl Stack {
    /// The parameters that it has.
    pub fn parameters(&self) -> BTreeMap<&str, &str> {
        self.parameters.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect()
    }

    /// What it gives out.
    pub fn outputs(&self) -> BTreeMap<&str, &str> {
        self.outputs.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect()
    }

    /// One of what it gives out.
    pub fn output(&self, name: &str) -> Option<&str> {
        self.outputs().get(name).copied()
    }

    /// Whether its last change came to its end and stayed.
    pub fn is_well(&self) -> bool {
        // Cleaning up takes away what the change has replaced; the change itself is done.
        let fine = ["CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"];
        let status = self.stack_status.trim_end_matches("_CLEANUP_IN_PROGRESS");
        fine.contains(&status)
    }

    /// Whether a change to it is going on.
    pub fn is_busy(&self) -> bool {
        !self.is_well() && self.stack_status.ends_with("_IN_PROGRESS")
    }

    /// Whether there is nothing in it: it was planned only, or its creation failed.
    pub fn is_empty(&self) -> bool {
        let empty = ["REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"];
        empty.contains(&self.stack_status.as_str())
    }
}

#[derive(Deserialize)]
struct Stacks {
    #[serde(rename = "Stacks")]
    stacks: Vec<Stack>,
}

/// The stack of this name or ARN, if there is one.
///
/// # Errors
/// Any [`AwsError`] but that there is none.
pub async fn find(aws: &Aws, name: &str) -> Result<Option<Stack>, AwsError> {
    let args = ["cloudformation", "describe-stacks", "--stack-name", name];
    match aws.ask::<Stacks>(&args).await {
        Ok(answer) => Ok(answer.stacks.into_iter().next()),
        Err(error) if error.says_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The stack of this name, which must be there.
///
/// # Errors
/// [`NoStack`], or why it cannot be told.
pub async fn get(aws: &Aws, name: &str) -> anyhow::Result<Stack> {
    let stack = find(aws, name).await?;
    Ok(stack.ok_or_else(|| NoStack(name.to_owned()))?)
}

/// There is no such stack.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no stack `{0}` here; `fluxus deploy` makes one, --stack, --env and --region say which"
)]
pub struct NoStack(pub String);

/// Something in a stack.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resource {
    /// Its name in the template.
    pub logical_resource_id: String,
    /// Its name in AWS; absent until it was created.
    #[serde(default)]
    pub physical_resource_id: String,
    /// Its type.
    pub resource_type: String,
    /// How it stands.
    pub resource_status: String,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(rename = "StackResourceSummaries")]
    resources: Vec<Resource>,
}

/// Everything in a stack, by name.
///
/// # Errors
/// Any [`AwsError`].
pub async fn resources(aws: &Aws, name: &str) -> Result<Vec<Resource>, AwsError> {
    let args = ["cloudformation", "list-stack-resources", "--stack-name", name];
    let mut resources = aws.ask::<Resources>(&args).await?.resources;
    resources.retain(|one| one.resource_status != "DELETE_COMPLETE");
    resources.sort_by(|a, b| a.logical_resource_id.cmp(&b.logical_resource_id));
    Ok(resources)
}

/// A stack, or one nested in it, with what is in it.
#[derive(Debug)]
pub struct Part {
    /// The stack's ARN.
    pub stack_id: String,
    /// Everything in it but the parts that are nested.
    pub resources: Vec<Resource>,
}

/// A stack and all stacks nested in it; the outermost first.
///
/// # Errors
/// Any [`AwsError`].
pub async fn parts(aws: &Aws, stack_id: &str) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut asked = JoinSet::new();
    let mut waiting = VecDeque::from([stack_id.to_owned()]);
    loop {
        while asked.len() < AT_A_TIME
            && let Some(stack_id) = waiting.pop_front()
        {
            let aws = aws.clone();
            asked.spawn(async move {
                let resources = resources(&aws, &stack_id).await?;
                Ok::<_, AwsError>(Part { stack_id, resources })
            });
        }
        let Some(part) = asked.join_next().await else { break };
        let part = part.context("wait for a stack")??;
        let nested = part.resources.iter().filter(|one| one.resource_type == NESTED);
        waiting.extend(nested.map(|one| one.physical_resource_id.clone()));
        parts.push(part);
    }
    parts[1..].sort_by(|a, b| a.stack_id.cmp(&b.stack_id));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(status: &str) -> Stack {
        serde_json::from_value(serde_json::json!({
            "StackId": "arn:1", "StackStatus": status,
            "Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://here", "Description": "x"}],
            "Parameters": [{"ParameterKey": "Auth", "ParameterValue": "iam"}],
        }))
        .expect("a stack")
    }

    #[test]
    fn a_status_says_how_a_stack_stands() {
        let told = |status| {
            let stack = stack(status);
            (stack.is_well(), stack.is_busy(), stack.is_empty())
        };
        assert_eq!(told("UPDATE_COMPLETE"), (true, false, false));
        assert_eq!(told("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), (true, false, false));
        assert_eq!(told("UPDATE_IN_PROGRESS"), (false, true, false));
        assert_eq!(told("UPDATE_ROLLBACK_COMPLETE"), (false, false, false));
        assert_eq!(told("ROLLBACK_COMPLETE"), (false, false, true));
        assert_eq!(stack("CREATE_COMPLETE").output("ApiUrl"), Some("https://here"));
        assert_eq!(stack("CREATE_COMPLETE").parameters()["Auth"], "iam");
    }
}
