//! `fluxus deploy`: from the sources to a running system, or what that would change.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::bucket::{self, Identity, size};
use super::build::{self, Architecture, Compiler};
use super::bundle::{Bucket, Package};
use super::change::{self, ChangeSet, Planned, Wanted};
use super::events::Watch;
use super::recipes::{self, Recipe};
use super::register::{self, Registered};
use super::settings::{Settings, Whereto};
use super::stack::{self, Stack};
use super::template::{Parameter, Template, text};
use super::tool::Aws;
use crate::exit::{Exit, Usage};
use crate::output::{Printer, note};

/// The longest template that CloudFormation takes without a bucket.
const MAX_BODY: usize = 51_200;

/// The parameter that changes with the code: the hash that the migration goes by.
const RELEASE: &str = "Release";

/// What to deploy, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Builds the functions that template.yaml names, puts them in a bucket, and creates or updates the
stack. The stack migrates the database before any function changes; then fluxlings and recipes are
registered. The API's address goes to stdout. Where a step fails, the system that runs stays as it
was, and what failed is named with its reason.

Parameters and tags come from fluxus.toml and from the command line, which is the stronger. A
parameter that nobody names keeps the value that the stack has.

Needs the AWS CLI, cargo-lambda and zig: pip install awscli cargo-lambda ziglang

Examples:
  fluxus deploy --env prod --plan
  fluxus deploy --env prod
  fluxus deploy --parameter Architecture=x86_64 --compiler cargo
  fluxus deploy --endpoint-url http://localhost:4566 --skip-build --recipes examples")]
pub struct Args {
    #[command(flatten)]
    whereto: Whereto,
    /// Show what would change, and change nothing
    #[arg(long)]
    plan: bool,
    /// The template [default: template.yaml here, or in a folder above]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// A parameter of the template; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parse_pair)]
    parameters: Vec<(String, String)>,
    /// A tag for the stack and all that is in it; may be given several times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = parse_pair)]
    tags: Vec<(String, String)>,
    /// The bucket for what is deployed [default: fluxus-artifacts-ACCOUNT-REGION, created]
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// The folder with recipes to register: NAME/recipe.json or NAME.asl.json
    #[arg(long, value_name = "FOLDER")]
    recipes: Option<PathBuf>,
    /// What links the functions
    #[arg(long, value_enum, default_value_t = Compiler::CargoZigbuild)]
    compiler: Compiler,
    /// Deploy what was built before
    #[arg(long)]
    skip_build: bool,
}

/// A name and its value.
pub(super) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// Deploys, or plans to.
///
/// # Errors
/// Where something is missing, a build fails, AWS refuses, or the change is rolled back.
pub async fn run(args: &Args, printer: Printer) -> anyhow::Result<Exit> {
    let deployment = Deployment::prepare(args).await?;
    if args.plan {
        return deployment.plan(printer).await;
    }
    deployment.run(printer).await
}

/// Everything that is known before anything changes.
struct Deployment {
    settings: Settings,
    aws: Aws,
    identity: Identity,
    region: String,
    bucket: Bucket,
    template: Template,
    package: Package,
    parameters: BTreeMap<String, Option<String>>,
    recipes: Vec<Recipe>,
    /// The stack as it is; none where there is nothing in it.
    stack: Option<Stack>,
    /// Whether a failed creation left its shell.
    has_remains: bool,
}

impl Deployment {
    async fn prepare(args: &Args) -> anyhow::Result<Self> {
        let mut settings = Settings::load(&args.whereto)?;
        settings.parameters.extend(args.parameters.iter().cloned());
        settings.tags.extend(args.tags.iter().cloned());
        settings.bucket = args.bucket.clone().or(settings.bucket);
        settings.recipes = args.recipes.clone().or(settings.recipes);
        let template = Template::find(args.template.as_deref())?;
        let recipes = settings.recipes.as_deref().map(recipes::read).transpose()?;
        let aws = Aws::new(&settings);
        let identity = bucket::identity(&aws).await?;
        let region = bucket::region(&aws, &settings).await?;
        let (name, account) = (&settings.stack, &identity.account);
        note(&format!("Stack {name} in {region}, account {account}"));
        let found = stack::find(&aws, name).await?;
        let (stack, remains) = found.into_iter().partition::<Vec<_>, _>(|stack| !stack.is_empty());
        let stack = stack.into_iter().next();
        check_free(stack.as_ref(), name)?;
        let mut parameters = parameters(&template, &settings, stack.as_ref())?;
        let architecture = architecture(&template, &settings, stack.as_ref())?;
        if !args.skip_build {
            build::check(args.compiler, architecture).await?;
            let functions = template.functions();
            note("Building the functions");
            build::build(template.folder(), &functions, args.compiler, architecture).await?;
        }
        let bucket = Bucket::of(&settings, account, &region);
        let target = build::target_folder(template.folder()).await;
        let package = Package::of(&template, &target, &bucket)?;
        if let Some(release) = parameters.get_mut(RELEASE) {
            *release = Some(package.release.clone());
        }
        let recipes = recipes.unwrap_or_default();
        let has_remains = remains.iter().any(|stack| stack.stack_status == "ROLLBACK_COMPLETE");
        Ok(Self {
            settings,
            aws,
            identity,
            region,
            bucket,
            template,
            package,
            parameters,
            recipes,
            stack,
            has_remains,
        })
    }

    /// What would change. A stack that is not there yet needs no asking: everything is new.
    async fn plan(self, printer: Printer) -> anyhow::Result<Exit> {
        let planned = match &self.stack {
            None => all_new(&self.template),
            Some(_) => {
                let in_bucket = self.bucket.exists(&self.aws).await?;
                if in_bucket {
                    let artifacts = self.package.artifacts.iter().cloned();
                    let templates: Vec<_> =
                        artifacts.filter(|one| one.key.ends_with(".json")).collect();
                    self.bucket.upload(&self.aws, &templates).await?;
                }
                match self.change(in_bucket).await? {
                    None => Vec::new(),
                    Some(set) => {
                        change::discard(&self.aws, &set).await?;
                        set.planned()
                    }
                }
            }
        };
        if printer.is_json() {
            let plan = json!({"stack": self.settings.stack, "region": self.region,
                "account": self.identity.account, "creates": self.stack.is_none(),
                "release": self.package.release, "changes": planned});
            printer.raw(plan.to_string().as_bytes())?;
            return Ok(Exit::Ok);
        }
        if planned.is_empty() {
            note("Nothing would change: the stack is as the template and the code say.");
        } else {
            printer.text(&change::render(&planned, printer.width))?;
            note("This is a plan; nothing was changed. `fluxus deploy` without --plan does it.");
        }
        Ok(Exit::Ok)
    }

    async fn run(mut self, printer: Printer) -> anyhow::Result<Exit> {
        if !self.bucket.exists(&self.aws).await? {
            self.bucket.create(&self.aws, &self.region).await?;
        }
        let bytes = self.package.artifacts.iter().map(|one| one.bytes.len()).sum();
        let count = self.package.artifacts.len();
        note(&format!(
            "Packed {count} files, {}, as release {}",
            size(bytes),
            self.package.release
        ));
        self.bucket.upload(&self.aws, &self.package.artifacts).await?;
        if self.has_remains {
            self.clear_away().await?;
        }
        let set = self.change(true).await?;
        let has_changed = set.is_some();
        let stack = match set {
            Some(set) => self.change_to(&set).await?,
            None => self.stack.take().context("a stack in which nothing changes is there")?,
        };
        note("Registering fluxlings and recipes");
        let registered = register::register(&self.aws, &stack, &self.recipes).await?;
        self.tell(&stack, has_changed, &registered, printer)
    }

    async fn change(&self, in_bucket: bool) -> anyhow::Result<Option<ChangeSet>> {
        let template = &self.package.template;
        let template = if in_bucket {
            ("TemplateURL", format!("{}/{}", self.bucket.url, template.key))
        } else {
            let fits = template.bytes.len() <= MAX_BODY;
            let bucket = &self.bucket.name;
            anyhow::ensure!(
                fits,
                "the template is too long for a plan without the bucket {bucket}"
            );
            ("TemplateBody", String::from_utf8(template.bytes.clone())?)
        };
        let wanted = Wanted {
            stack: &self.settings.stack,
            creates: self.stack.is_none(),
            template,
            parameters: self.parameters.clone(),
            tags: &self.settings.tags,
        };
        change::prepare(&self.aws, &wanted).await
    }

    /// Makes the change, and gives the stack as it is then.
    async fn change_to(&self, set: &ChangeSet) -> anyhow::Result<Stack> {
        let name = &self.settings.stack;
        let creates = self.stack.is_none();
        note(&format!("{} the stack", if creates { "Creating" } else { "Updating" }));
        let mut watch = Watch::new(&self.aws, name).await?;
        change::execute(&self.aws, set).await?;
        let stack = watch.until_done().await?;
        if let Some(stack) = stack.as_ref().filter(|stack| stack.is_well()) {
            return Ok(stack.clone());
        }
        let status = stack.map_or_else(|| "gone".to_owned(), |stack| stack.stack_status);
        let what = match status.as_str() {
            "UPDATE_ROLLBACK_COMPLETE" => {
                format!("the update failed; the stack {name} is as it was before ({status})")
            }
            "UPDATE_ROLLBACK_FAILED" => format!(
                "the update failed, and so did the way back ({status}); mend the cause, then: aws \
                 cloudformation continue-update-rollback --stack-name {name}"
            ),
            _ if creates => format!("the stack {name} could not be created ({status})"),
            _ => format!("the update of the stack {name} failed ({status})"),
        };
        Err(watch.failed(what).await.into())
    }

    /// A stack whose creation failed cannot be updated; there is nothing in it.
    async fn clear_away(&self) -> anyhow::Result<()> {
        note("Clearing away what the last failed creation left");
        let name = self.settings.stack.as_str();
        let mut watch = Watch::new(&self.aws, name).await?;
        self.aws.tell(&["cloudformation", "delete-stack", "--stack-name", name]).await?;
        match watch.until_done().await? {
            None => Ok(()),
            Some(stack) => {
                let status = stack.stack_status;
                Err(watch
                    .failed(format!("the stack {name} cannot be deleted ({status})"))
                    .await
                    .into())
            }
        }
    }

    fn tell(
        &self,
        stack: &Stack,
        has_changed: bool,
        registered: &Registered,
        printer: Printer,
    ) -> anyhow::Result<Exit> {
        for recipe in &registered.recipes {
            let state = if recipe.changed { "new" } else { "unchanged" };
            note(&format!("  recipe {} version {} ({state})", recipe.name, recipe.version));
        }
        match registered.fluxlings {
            0 => {}
            1 => note("  1 fluxling"),
            count => note(&format!("  {count} fluxlings")),
        }
        let has_changed = has_changed || registered.recipes.iter().any(|recipe| recipe.changed);
        let url = stack.output("ApiUrl");
        if printer.is_json() {
            let told = json!({"stack": self.settings.stack, "region": self.region,
                "account": self.identity.account, "changed": has_changed, "api_url": url,
                "release": self.package.release, "outputs": stack.outputs(),
                "registered": registered});
            printer.raw(told.to_string().as_bytes())?;
        }
        if !registered.faults.is_empty() {
            let faults: Vec<_> = registered.faults.iter().map(register::fault_line).collect();
            anyhow::bail!(
                "the stack is deployed, but not all was registered: {}",
                faults.join("; ")
            );
        }
        note(if has_changed {
            "Deployed"
        } else {
            "Nothing changed: the stack is as the template and the code say"
        });
        if let Some(url) = url.filter(|_| !printer.is_json()) {
            printer.text(&format!("{url}\n"))?;
        }
        Ok(Exit::Ok)
    }
}

/// Whether the stack can be changed at all.
fn check_free(stack: Option<&Stack>, name: &str) -> anyhow::Result<()> {
    let Some(stack) = stack else { return Ok(()) };
    let status = &stack.stack_status;
    anyhow::ensure!(
        !status.ends_with("_IN_PROGRESS"),
        "the stack {name} is being changed by somebody else ({status}); try again when it is done"
    );
    anyhow::ensure!(
        status != "UPDATE_ROLLBACK_FAILED",
        "the stack {name} is stuck ({status}); mend the cause, then: aws cloudformation \
         continue-update-rollback --stack-name {name}"
    );
    Ok(())
}

/// The value for each parameter that is to be given, none for those that keep theirs.
fn parameters(
    template: &Template,
    settings: &Settings,
    stack: Option<&Stack>,
) -> Result<BTreeMap<String, Option<String>>, Usage> {
    let declared = template.parameters();
    for name in settings.parameters.keys() {
        if !declared.iter().any(|one| one.name == *name) {
            let known: Vec<_> = declared.iter().map(|one| one.name.as_str()).collect();
            let known = known.join(", ");
            return Err(Usage(format!("the template has no parameter `{name}`; it has {known}")));
        }
    }
    let kept = stack.map(Stack::parameters).unwrap_or_default();
    let mut parameters = BTreeMap::new();
    let mut missing = Vec::new();
    for Parameter { name, description, default } in declared {
        if let Some(value) = settings.parameters.get(&name) {
            parameters.insert(name, Some(value.clone()));
        } else if kept.contains_key(name.as_str()) || name == RELEASE {
            parameters.insert(name, None);
        } else if default.is_none() {
            missing.push(format!("{name} ({description})"));
        }
    }
    if missing.is_empty() {
        return Ok(parameters);
    }
    let missing = missing.join(", ");
    Err(Usage(format!(
        "the template needs {missing}; give them by --parameter NAME=VALUE or in fluxus.toml"
    )))
}

/// The architecture that the stack will have.
fn architecture(
    template: &Template,
    settings: &Settings,
    stack: Option<&Stack>,
) -> Result<Architecture, Usage> {
    const NAME: &str = "Architecture";
    let kept = stack.map(Stack::parameters).unwrap_or_default();
    let given = settings.parameters.get(NAME).cloned();
    let default = || text(&template.document["Parameters"][NAME]["Default"]);
    let name = given.or_else(|| kept.get(NAME).map(|&kept| kept.to_owned())).or_else(default);
    Architecture::named(name.as_deref().unwrap_or("arm64"))
}

/// Everything in the template, as it would be created.
fn all_new(template: &Template) -> Vec<Planned> {
    let new = |(name, resource): (&String, &serde_json::Value)| Planned {
        action: "Add".to_owned(),
        resource: name.clone(),
        kind: text(&resource["Type"]).unwrap_or_default(),
        why: resource["Condition"].as_str().map(|name| format!("if {name}")).unwrap_or_default(),
    };
    template.resources().map(new).collect()
}

#[cfg(test)]
mod tests {
    use super::super::template::tests::template;
    use super::*;

    fn settings(parameters: &[(&str, &str)]) -> Settings {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Settings { parameters: parameters.iter().map(own).collect(), ..Settings::default() }
    }

    fn stack(parameters: &serde_json::Value) -> Stack {
        let stack = json!({"StackId": "1", "StackStatus": "CREATE_COMPLETE",
            "Parameters": parameters});
        serde_json::from_value(stack).expect("a stack")
    }

    #[test]
    fn parameters_are_given_kept_or_left_to_their_defaults() {
        let given = parameters(&template(), &settings(&[]), None).expect("parameters");
        assert_eq!(given, BTreeMap::from([(RELEASE.to_owned(), None)]));
        let old = stack(&json!([{"ParameterKey": "Environment", "ParameterValue": "test"},
            {"ParameterKey": "Gone", "ParameterValue": "x"}]));
        let given = parameters(&template(), &settings(&[]), Some(&old)).expect("parameters");
        assert_eq!(given.keys().collect::<Vec<_>>(), ["Environment", RELEASE]);
        let given = settings(&[("Environment", "dev")]);
        let given = parameters(&template(), &given, Some(&old)).expect("parameters");
        assert_eq!(given["Environment"].as_deref(), Some("dev"));
    }

    #[test]
    fn an_unknown_and_a_missing_parameter_are_named() {
        let error = parameters(&template(), &settings(&[("Enviroment", "x")]), None);
        let error = error.expect_err("unknown").0;
        assert_eq!(
            error,
            "the template has no parameter `Enviroment`; it has Environment, Release"
        );
        let mut template = template();
        template.document["Parameters"]["VpcId"] = json!({"Description": "The network"});
        let error = parameters(&template, &settings(&[]), None).expect_err("missing").0;
        assert!(error.contains("needs VpcId (The network)"), "{error}");
    }

    #[test]
    fn the_architecture_is_given_or_kept() {
        let old = stack(&json!([{"ParameterKey": "Architecture", "ParameterValue": "x86_64"}]));
        let of = |given: &[_], stack| architecture(&template(), &settings(given), stack);
        assert_eq!(of(&[], None).expect("arm64"), Architecture::Arm64);
        assert_eq!(of(&[], Some(&old)).expect("x86_64"), Architecture::X86_64);
        let given = of(&[("Architecture", "arm64")], Some(&old));
        assert_eq!(given.expect("arm64"), Architecture::Arm64);
    }

    #[test]
    fn a_stack_that_is_being_changed_is_left_alone() {
        let mut busy = stack(&json!([]));
        busy.stack_status = "UPDATE_IN_PROGRESS".into();
        assert!(check_free(Some(&busy), "x").is_err() && check_free(None, "x").is_ok());
    }
}
