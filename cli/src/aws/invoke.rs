//! `fluxus invoke`: sends an event to one function, on this machine or on AWS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use super::build::target_folder;
use super::deploy::parse_pair;
use super::settings::{Settings, Whereto};
use super::template::{Function, Template, code_folder, text};
use super::tool::Aws;
use super::{functions, lambda, rie, stack};
use crate::exit::{Exit, Usage};
use crate::output::{Printer, note};
use crate::source;

/// The account that stands for the real one, as in AWS's own examples.
const ACCOUNT: &str = "123456789012";

/// The function, the event, and where to run.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Runs the function as it was built by `cargo lambda build`: through `sam local invoke` where a Docker
daemon answers, else straight on this machine through AWS's runtime interface emulator, which comes
with `pip install aws-sam-cli` (or FLUXUS_RIE says where it is). Its variables are those of the
template, with the defaults of its parameters; what only AWS knows must be given by --var. The
answer goes to stdout, what the function says to stderr. With --remote the deployed function is
invoked.

Examples:
  fluxus invoke fluxling-http --event tests/events/fluxling-http.json
  fluxus invoke core --event tests/events/core.json --var FLUXUS_DATABASE_URL=postgres://localhost/fluxus
  echo '{\"migrate\": {}}' | fluxus invoke migrate --remote --env prod --event -")]
pub struct Args {
    /// The function: core, api, fluxling-http, or its name in the template
    function: String,
    /// File with the event, - for stdin
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// Invoke the deployed function
    #[arg(long, conflicts_with_all = ["variables", "env_file", "template"])]
    remote: bool,
    /// A variable for the function; may be given several times
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_pair)]
    variables: Vec<(String, String)>,
    /// File with variables for the function, NAME=VALUE on each line
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// The template [default: template.yaml here, or in a folder above]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    #[command(flatten)]
    whereto: Whereto,
}

/// Invokes the function and prints what it answers.
///
/// # Errors
/// Where the function is not there or not built, cannot be run, or fails.
pub async fn run(args: &Args, printer: Printer) -> anyhow::Result<Exit> {
    let event = source::file(&args.event)?.source.into_value();
    let settings = Settings::load(&args.whereto)?;
    let answer = if args.remote {
        remote(&args.function, &settings, &event).await?
    } else {
        local(args, &settings, &event).await?
    };
    let mut text = answer.to_string();
    if !printer.is_json() {
        text = serde_json::to_string_pretty(&answer)?;
    }
    printer.raw(text.as_bytes())?;
    if lambda::is_failure(&answer) {
        let function = args.function.clone();
        return Err(lambda::FunctionFailed { function, why: lambda::why(&answer) }.into());
    }
    Ok(Exit::Ok)
}

async fn remote(name: &str, settings: &Settings, event: &Value) -> anyhow::Result<Value> {
    let aws = Aws::new(settings);
    let stack = stack::get(&aws, &settings.stack).await?;
    let resources = stack::resources(&aws, &stack.stack_id).await?;
    let functions = functions::of(&aws, &resources).await?;
    lambda::invoke(&aws, &functions::named(&functions, name)?.name, event).await
}

async fn local(args: &Args, settings: &Settings, event: &Value) -> anyhow::Result<Value> {
    let template = Template::find(args.template.as_deref())?;
    let function = template.function(&args.function)?;
    let target = target_folder(template.folder()).await;
    let code = code_folder(&function.code, template.folder(), &target);
    let bootstrap = code.join("bootstrap");
    if !bootstrap.is_file() {
        let binary = &function.binary;
        let what = format!(
            "`{binary}` was not built: there is no {}; build it: cargo lambda build --profile \
             lambda --features aws --bin {binary}",
            bootstrap.display()
        );
        return Err(Usage(what).into());
    }
    let mut given = match &args.env_file {
        Some(path) => read_variables(path)?,
        None => Vec::new(),
    };
    given.extend(args.variables.iter().cloned());
    let variables = variables(&template, &function, settings, &given);
    if has_docker().await {
        note("Through `sam local invoke`, for a Docker daemon answers");
        return through_sam(&template, &target, &function, settings, &given, event).await;
    }
    let emulator = rie::find().await?;
    rie::invoke(&emulator, &function, &bootstrap, &variables, event).await
}

/// The function's variables; those that only AWS knows are told and left out.
fn variables(
    template: &Template,
    function: &Function,
    settings: &Settings,
    given: &[(String, String)],
) -> Vec<(String, String)> {
    let known = Known::of(template, settings);
    let mut variables = BTreeMap::new();
    let mut unknown = Vec::new();
    for (name, value) in &function.environment {
        match known.resolve(value) {
            Some(value) => drop(variables.insert(name.clone(), value)),
            None => unknown.push(name.as_str()),
        }
    }
    variables.extend(given.iter().cloned());
    unknown.retain(|name| !variables.contains_key(*name));
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        note(&format!("Left out, for only AWS knows them: {unknown}; --var NAME=VALUE gives them"));
    }
    variables.into_iter().collect()
}

/// What can be known of a template's references without AWS.
struct Known(BTreeMap<String, String>);

impl Known {
    fn of(template: &Template, settings: &Settings) -> Self {
        let mut known: BTreeMap<_, _> = template
            .parameters()
            .into_iter()
            .filter_map(|parameter| Some((parameter.name, parameter.default?)))
            .collect();
        known.extend(settings.parameters.clone());
        let region = settings.region.as_deref().unwrap_or("us-east-1");
        let pseudo = [
            ("AWS::StackName", settings.stack.as_str()),
            ("AWS::Region", region),
            ("AWS::AccountId", ACCOUNT),
            ("AWS::Partition", "aws"),
            ("AWS::URLSuffix", "amazonaws.com"),
        ];
        known.extend(pseudo.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Self(known)
    }

    fn resolve(&self, value: &Value) -> Option<String> {
        if let Some(text) = text(value) {
            return Some(text);
        }
        if let Some(name) = value["Ref"].as_str() {
            return self.0.get(name).cloned();
        }
        let mut rest = value["Fn::Sub"].as_str()?;
        let mut text = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}')?;
            text.push_str(before);
            text.push_str(self.0.get(name)?);
            rest = after;
        }
        Some(text + rest)
    }
}

fn read_variables(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let (name, text) = source::text(path)?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|(number, line)| {
        parse_pair(line).map_err(|why| Usage(format!("{name}:{number}: {why}")).into())
    });
    pairs.collect()
}

async fn has_docker() -> bool {
    let answers = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        async move { command.status().await.is_ok_and(|status| status.success()) }
    };
    answers("docker", &["info"]).await && answers("sam", &["--version"]).await
}

/// Lets `sam local invoke` run it: with the template as it is, but for where the code is.
async fn through_sam(
    template: &Template,
    target: &Path,
    function: &Function,
    settings: &Settings,
    given: &[(String, String)],
    event: &Value,
) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir().context("make room for sam")?;
    let file = |name: &str, document: &Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, document.to_string()).context("write a file for sam")?;
        anyhow::Ok(path)
    };
    let mut document = template.document.clone();
    let code = std::path::absolute(code_folder(&function.code, template.folder(), target))?;
    document["Resources"][&function.id]["Properties"]["CodeUri"] = code.to_string_lossy().into();
    let names: Map<_, _> =
        given.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let mut command = Command::new("sam");
    command.args(["local", "invoke", &function.id, "--skip-pull-image", "--template"]);
    command.arg(file("template.json", &document)?).arg("--event").arg(file("event.json", event)?);
    command.arg("--env-vars").arg(file("variables.json", &json!({ &function.id: names }))?);
    command.args(settings.region.iter().flat_map(|region| ["--region", region]));
    if !settings.parameters.is_empty() {
        let pair = |(name, value): (&String, &String)| {
            format!("ParameterKey={name},ParameterValue={value}")
        };
        command.arg("--parameter-overrides").args(settings.parameters.iter().map(pair));
    }
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = command.output().await.context("run sam")?;
    anyhow::ensure!(output.status.success(), "`sam local invoke` failed; see above");
    let answer = String::from_utf8_lossy(&output.stdout);
    Ok(serde_json::from_str(answer.trim()).unwrap_or_else(|_| Value::String(answer.into_owned())))
}

#[cfg(test)]
mod tests {
    use super::super::template::tests::template;
    use super::*;

    #[test]
    fn variables_come_from_the_template_and_are_given_on_top() {
        let mut template = template();
        let own = &mut template.document["Resources"]["CoreFunction"]["Properties"]["Environment"];
        own["Variables"]["PREFIX"] = json!({"Fn::Sub": "${AWS::StackName}-${Environment}-x"});
        own["Variables"]["QUEUE"] = json!({"Fn::GetAtt": ["CoreQueue", "Arn"]});
        let function = template.function("core").expect("the function");
        let settings = Settings { stack: "try".into(), ..Settings::default() };
        let given = [("RUST_LOG".to_owned(), "trace".to_owned())];
        let variables = variables(&template, &function, &settings, &given);
        let told: Vec<_> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(told, ["FLUXUS_STACK=try", "PREFIX=try-prod-x", "RUST_LOG=trace"]);
    }

    #[test]
    fn a_file_of_variables_names_its_bad_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("env");
        std::fs::write(&path, "# a comment\nA=1\n\nB=x=y\n").expect("writes");
        let pairs = read_variables(&path).expect("variables");
        assert_eq!(pairs, [("A".into(), "1".into()), ("B".into(), "x=y".into())]);
        std::fs::write(&path, "A=1\nB\n").expect("writes");
        let error = read_variables(&path).expect_err("no value").to_string();
        assert!(error.ends_with("env:2: write NAME=VALUE"), "{error}");
    }
}
