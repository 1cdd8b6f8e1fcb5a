//! Change sets: what a deployment would change, and the change itself.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::tool::Aws;
use crate::table::{Cell, Column, Table};

/// How long between two looks at a change set that is being made.
const POLL: Duration = Duration::from_millis(500);

/// What CloudFormation says of a change set in which there is nothing.
const NOTHING: [&str; 2] = ["didn't contain changes", "No updates are to be performed"];

/// What a change set is made of.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The stack's name.
    pub stack: &'a str,
    /// Whether the stack is to be made first.
    pub creates: bool,
    /// The template: `TemplateURL` or `TemplateBody`.
    pub template: (&'static str, String),
    /// Parameters; those without a value keep theirs.
    pub parameters: BTreeMap<String, Option<String>>,
    /// Tags.
    pub tags: &'a BTreeMap<String, String>,
}

/// A change set that was made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChangeSet {
    /// Its ARN.
    pub change_set_id: String,
    status: String,
    #[serde(default)]
    status_reason: String,
    #[serde(default)]
    changes: Vec<Value>,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// `Add`, `Modify`, `Replace` or `Remove`.
    pub action: String,
    /// The name in the template.
    pub resource: String,
    /// The resource's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Why, or on what condition.
    pub why: String,
}

/// Makes a change set and waits until it says what it holds. None where nothing would change.
///
/// # Errors
/// Where CloudFormation refuses the template or the parameters.
pub async fn prepare(aws: &Aws, wanted: &Wanted<'_>) -> anyhow::Result<Option<ChangeSet>> {
    let given = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => json!({"ParameterKey": name, "ParameterValue": value}),
        None => json!({"ParameterKey": name, "UsePreviousValue": true}),
    };
    let tag = |(key, value): (&String, &String)| json!({"Key": key, "Value": value});
    let (property, template) = &wanted.template;
    let nanos = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    let input = json!({
        "StackName": wanted.stack,
        "ChangeSetName": format!("fluxus-{nanos}"),
        "ChangeSetType": if wanted.creates { "CREATE" } else { "UPDATE" },
        (*property): template,
        "Parameters": wanted.parameters.iter().map(given).collect::<Vec<_>>(),
        "Tags": wanted.tags.iter().map(tag).collect::<Vec<_>>(),
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    });
    // By a file: parameters may be secrets, and arguments of a process are for all to see.
    let mut file = tempfile::NamedTempFile::new().context("keep the parameters")?;
    file.write_all(input.to_string().as_bytes()).context("keep the parameters")?;
    let from = format!("file://{}", file.path().display());
    let made = ["cloudformation", "create-change-set", "--cli-input-json", &from];
    let made: Value = aws.ask(&made).await?;
    let id = made["Id"].as_str().context("read the answer to create-change-set")?;
    loop {
        let args = ["cloudformation", "describe-change-set", "--change-set-name", id];
        let set: ChangeSet = aws.ask(&args).await?;
        match set.status.as_str() {
            "CREATE_COMPLETE" => return Ok(Some(set)),
            "FAILED" => {
                discard(aws, &set).await?;
                if NOTHING.iter().any(|what| set.status_reason.contains(what)) {
                    return Ok(None);
                }
                anyhow::bail!("CloudFormation refuses the change: {}", set.status_reason);
            }
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

/// Lets go of a change set.
///
/// # Errors
/// Any [`AwsError`](super::tool::AwsError).
pub async fn discard(aws: &Aws, set: &ChangeSet) -> anyhow::Result<()> {
    let id = set.change_set_id.as_str();
    Ok(aws.tell(&["cloudformation", "delete-change-set", "--change-set-name", id]).await?)
}

/// Begins the change.
///
/// # Errors
/// Any [`AwsError`](super::tool::AwsError).
pub async fn execute(aws: &Aws, set: &ChangeSet) -> anyhow::Result<()> {
    let id = set.change_set_id.as_str();
    Ok(aws.tell(&["cloudformation", "execute-change-set", "--change-set-name", id]).await?)
}

impl ChangeSet {
    /// What would change, by the names in the template.
    pub fn planned(&self) -> Vec<Planned> {
        let changes = self.changes.iter().map(|change| &change["ResourceChange"]);
        let mut planned: Vec<_> =
            changes.filter(|change| change.is_object()).map(planned).collect();
        planned.sort_by(|a, b| a.resource.cmp(&b.resource));
        planned
    }
}

fn planned(change: &Value) -> Planned {
    let text = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
    let action = match (text("Action").as_str(), text("Replacement").as_str()) {
        ("Modify", "True") => "Replace".to_owned(),
        (action, _) => action.to_owned(),
    };
    let details = change["Details"].as_array().into_iter().flatten();
    let mut why: Vec<_> = details
        .filter_map(|detail| {
            let target = &detail["Target"];
            target["Name"].as_str().or_else(|| target["Attribute"].as_str())
        })
        .collect();
    why.sort_unstable();
    why.dedup();
    let mut why = why.join(", ");
    if text("Replacement") == "Conditional" {
        why = format!("{why} (may replace)").trim().to_owned();
    }
    Planned { action, resource: text("LogicalResourceId"), kind: text("ResourceType"), why }
}

/// A plan for reading.
pub fn render(planned: &[Planned], width: Option<usize>) -> String {
    let mut table = Table::new(&[
        Column::whole("ACTION"),
        Column::whole("RESOURCE"),
        Column::text("TYPE"),
        Column::text("WHAT"),
    ]);
    for Planned { action, resource, kind, why } in planned {
        let style = match action.as_str() {
            "Add" => AnsiColor::Green.on_default(),
            "Modify" => AnsiColor::Yellow.on_default(),
            "Remove" | "Replace" => AnsiColor::Red.on_default(),
            _ => Style::new(),
        };
        table.row(vec![Cell::styled(action, style), resource.into(), kind.into(), why.into()]);
    }
    table.render(width)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_plan_says_what_happens_to_each_resource() {
        let set: ChangeSet = serde_json::from_value(json!({
            "ChangeSetId": "arn", "Status": "CREATE_COMPLETE", "Changes": [
            {"Type": "Resource", "ResourceChange": {"Action": "Modify", "Replacement": "False",
              "LogicalResourceId": "CoreFunction", "ResourceType": "AWS::Lambda::Function",
              "Details": [{"Target": {"Attribute": "Properties", "Name": "Code"}},
                          {"Target": {"Attribute": "Properties", "Name": "Code"}},
                          {"Target": {"Attribute": "Tags"}}]}},
            {"Type": "Resource", "ResourceChange": {"Action": "Modify", "Replacement": "True",
              "LogicalResourceId": "Table", "ResourceType": "AWS::DynamoDB::Table",
              "Details": [{"Target": {"Attribute": "Properties", "Name": "TableName"}}]}},
            {"Type": "Resource", "ResourceChange": {"Action": "Add",
              "LogicalResourceId": "Alarm", "ResourceType": "AWS::CloudWatch::Alarm"}},
        ]}))
        .expect("a change set");
        expect![[r#"
            ACTION   RESOURCE      TYPE                    WHAT
            Add      Alarm         AWS::CloudWatch::Alarm
            Modify   CoreFunction  AWS::Lambda::Function   Code, Tags
            Replace  Table         AWS::DynamoDB::Table    TableName
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&render(&set.planned(), None)).to_string());
    }
}
