//! `fluxus destroy`: takes the system off AWS again, and says what stays.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::bucket;
use super::bundle::Bucket;
use super::cfn;
use super::events::Watch;
use super::settings::{Settings, Whereto};
use super::stack::{self, NESTED, Resource};
use super::tool::Aws;
use crate::exit::{Exit, Usage};
use crate::output::{Printer, note};
use crate::table::{Cell, Column, Table};

/// Which stack, and whether to ask.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Deletes the stack with its queues, functions and, where the template made it, the database. What the
template says to keep stays, such as a last snapshot of the database; so does the bucket with what
was deployed. Asks for the stack's name first.

Examples:
  fluxus destroy --env test --plan
  fluxus destroy --env test --yes")]
pub struct Args {
    #[command(flatten)]
    whereto: Whereto,
    /// Show what would be deleted and what would stay, and change nothing
    #[arg(long)]
    plan: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Deletes the stack.
///
/// # Errors
/// Where there is no such stack, nobody agrees, or something in it cannot be deleted.
pub async fn run(args: &Args, printer: Printer) -> anyhow::Result<Exit> {
    let settings = Settings::load(&args.whereto)?;
    let aws = Aws::new(&settings);
    let identity = bucket::identity(&aws).await?;
    let region = bucket::region(&aws, &settings).await?;
    let stack = stack::get(&aws, &settings.stack).await?;
    let fates = fates(&aws, &stack.stack_id).await?;
    let artifacts = Bucket::of(&settings, &identity.account, &region).name;
    let name = &settings.stack;
    note(&format!("Stack {name} in {region}, account {}", identity.account));
    if args.plan {
        show(&fates, &artifacts, printer)?;
        return Ok(Exit::Ok);
    }
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            let what = "nobody is here to be asked; --yes deletes without asking";
            return Err(Usage(what.to_owned()).into());
        }
        show(&fates, &artifacts, Printer { format: crate::output::Format::Text, ..printer })?;
        if !agreed(name)? {
            note("Nothing was deleted.");
            return Ok(Exit::Failed);
        }
    }
    for (resource, _) in fates.iter().filter(|(one, fate)| is_bucket(one) && *fate == Fate::Deleted)
    {
        // CloudFormation deletes no bucket that has something in it.
        let bucket = format!("s3://{}", resource.physical_resource_id);
        note(&format!("Emptying {bucket}"));
        aws.text_long(&["s3", "rm", "--recursive", "--only-show-errors", &bucket]).await?;
    }
    let mut watch = Watch::new(&aws, &stack.stack_id).await?;
    note("Deleting the stack");
    aws.tell(&["cloudformation", "delete-stack", "--stack-name", &stack.stack_id]).await?;
    if let Some(left) = watch.until_done().await? {
        let status = left.stack_status;
        return Err(watch
            .failed(format!("the stack {name} is not deleted ({status})"))
            .await
            .into());
    }
    note(&format!("Deleted the stack {name}"));
    for (resource, fate) in fates.iter().filter(|(_, fate)| *fate != Fate::Deleted) {
        note(&format!("  {}: {}", resource.logical_resource_id, fate.words()));
    }
    note(&format!("  the bucket {artifacts} stays, with what was deployed"));
    if printer.is_json() {
        printer.raw(json!({"stack": name, "deleted": true}).to_string().as_bytes())?;
    }
    Ok(Exit::Ok)
}

fn is_bucket(resource: &Resource) -> bool {
    resource.resource_type == "AWS::S3::Bucket"
}

/// What becomes of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Deleted,
    Snapshot,
    Stays,
}

impl Fate {
    fn words(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Snapshot => "deleted, a snapshot stays",
            Self::Stays => "stays",
        }
    }
}

/// The template's word on what to keep.
struct Policies(Value);

impl Policies {
    fn fate(&self, resource: &Resource) -> Fate {
        match self.0["Resources"][&resource.logical_resource_id]["DeletionPolicy"].as_str() {
            Some("Retain") => Fate::Stays,
            Some("Snapshot") => Fate::Snapshot,
            _ => Fate::Deleted,
        }
    }
}

/// What becomes of everything in a stack, and in those nested in it.
async fn fates(aws: &Aws, stack: &str) -> anyhow::Result<Vec<(Resource, Fate)>> {
    let mut fates = Vec::new();
    for part in stack::parts(aws, stack).await? {
        let policies = policies(aws, &part.stack_id).await?;
        let resources = part.resources.into_iter().filter(|one| one.resource_type != NESTED);
        fates.extend(resources.map(|one| {
            let fate = policies.fate(&one);
            (one, fate)
        }));
    }
    Ok(fates)
}

async fn policies(aws: &Aws, stack: &str) -> anyhow::Result<Policies> {
    let args = ["cloudformation", "get-template", "--stack-name", stack];
    let answer: Value = aws.ask(&args).await?;
    let template = match &answer["TemplateBody"] {
        Value::String(text) => {
            cfn::read(text).map_err(anyhow::Error::msg).context("read the template")?
        }
        document => document.clone(),
    };
    Ok(Policies(template))
}

fn show(fates: &[(Resource, Fate)], artifacts: &str, printer: Printer) -> anyhow::Result<()> {
    if printer.is_json() {
        let resource = |(one, fate): &(Resource, Fate)| {
            json!({"resource": one.logical_resource_id, "type": one.resource_type,
                "id": one.physical_resource_id, "fate": fate.words()})
        };
        let all: Vec<_> = fates.iter().map(resource).collect();
        let plan = json!({"resources": all, "stays": [format!("s3://{artifacts}")]});
        return printer.raw(plan.to_string().as_bytes());
    }
    let mut table = Table::new(&[
        Column::whole("RESOURCE"),
        Column::text("TYPE"),
        Column::text("WHAT BECOMES OF IT"),
    ]);
    for (one, fate) in fates {
        let words = Cell::from(fate.words());
        table.row(vec![(&one.logical_resource_id).into(), (&one.resource_type).into(), words]);
    }
    printer.text(&table.render(printer.width))?;
    note(&format!("The bucket {artifacts} stays, with what was deployed."));
    Ok(())
}

/// Whether a person types the stack's name.
fn agreed(name: &str) -> anyhow::Result<bool> {
    note(&format!("Type the name of the stack, {name}, to delete all of this:"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("read the answer")?;
    Ok(answer.trim() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_says_what_stays() {
        let policies = Policies(json!({"Resources": {
            "Bodies": {"DeletionPolicy": "Retain"}, "Database": {"DeletionPolicy": "Snapshot"}}}));
        let fate = |name: &str| {
            let resource = json!({"LogicalResourceId": name, "ResourceType": "T",
                "ResourceStatus": "CREATE_COMPLETE"});
            policies.fate(&serde_json::from_value(resource).expect("a resource"))
        };
        assert_eq!(fate("Bodies"), Fate::Stays);
        assert_eq!(fate("Database"), Fate::Snapshot);
        assert_eq!(fate("Queue"), Fate::Deleted);
    }
}
