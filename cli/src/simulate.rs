//! `fluxus simulate`: runs a recipe without a server, against mocked tasks.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use fluxus_machine::{Definition, ExecutionContext, Mocks, Seed, Simulated, simulate};
use fluxus_schema::problem::Fault;
use fluxus_schema::{ClaimId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::exit::{Exit, Usage};
use crate::output::Format;
use crate::source;
use crate::story::Story;

/// When simulated executions begin, so that the same case gives the same result on any day.
const BEGINS_AT: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// What `fluxus simulate` can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// File with the recipe, in Amazon States Language
    #[arg(value_name = "DEFINITION", required_unless_present = "batch")]
    pub definition: Option<PathBuf>,
    /// The execution's input: JSON, or a file with JSON
    #[arg(long, value_name = "FILE|JSON")]
    pub input: Option<String>,
    /// File with the answers of the tasks
    #[arg(long, value_name = "FILE")]
    pub mocks: Option<PathBuf>,
    /// File with one case a line, each with its definition, input and mocks
    #[arg(long, value_name = "CASES.jsonl", conflicts_with_all = ["definition", "input", "mocks"])]
    pub batch: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub output: Format,
}

/// One line of a batch.
#[derive(Deserialize)]
struct Case {
    id: String,
    /// The state machine, or its text.
    definition: Value,
    /// The input, or its text.
    #[serde(default)]
    input: Value,
    #[serde(default)]
    mocks: Option<Mocks>,
    #[serde(default)]
    role_arn: Option<String>,
    #[serde(default)]
    sm_name: Option<String>,
}

/// Runs the recipe and prints its history and its end.
///
/// # Errors
/// Where a file cannot be read, or the definition is not valid.
#[allow(clippy::unused_async)] // Every command runs the same way.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match (&args.batch, &args.definition) {
        (Some(batch), _) => run_batch(batch),
        (None, Some(definition)) => run_one(definition, args),
        (None, None) => anyhow::bail!("name a DEFINITION, or a file of cases with --batch"),
    }
}

fn run_one(file: &Path, args: &Args) -> anyhow::Result<ExitCode> {
    let (document, text) = source::file(file)?;
    let input = match args.input.as_deref() {
        None => json!({}),
        Some(text) => match serde_json::from_str(text) {
            Ok(input) => input,
            Err(_) => {
                source::file(Path::new(text)).context("--input is neither JSON nor a file")?.0
            }
        },
    };
    let mocks = match &args.mocks {
        None => Mocks::new(),
        Some(file) => serde_json::from_value(source::file(file)?.0)
            .with_context(|| format!("read the mocks in {}", file.display()))?,
    };
    let definition = match Definition::parse(&document) {
        Ok(definition) => definition,
        Err(faults) => {
            let at = |Fault { pointer, detail }: &Fault| {
                let line = source::line_of(&text, pointer);
                format!("{}:{line}: {pointer} {detail}", file.display())
            };
            let list: Vec<_> = faults.iter().map(at).collect();
            return Err(Usage(format!("not a valid recipe:\n{}", list.join("\n"))).into());
        }
    };
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let context = context(name.as_deref().unwrap_or("recipe"), None, input);
    let simulated = simulate(&definition, &context, &mocks);
    match args.output {
        Format::Json => anstream::println!("{}", result(None, &simulated)),
        Format::Text => print_text(&simulated)?,
    }
    for state in &simulated.unanswered {
        anstream::eprintln!(
            "`{state}` waits for an answer that no mock gives; add one for it with --mocks"
        );
    }
    Ok(Exit::of_claim(simulated.status).into())
}

fn print_text(simulated: &Simulated) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let mut story = Story::new(None);
    for line in simulated.events.iter().filter_map(|event| story.tell(event)) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", simulated.status)?;
    if let Some(output) = &simulated.output {
        writeln!(out, "{}", serde_json::to_string_pretty(&**output)?)?;
    }
    if let Some(failure) = &simulated.failure {
        let error = failure.error.as_deref().unwrap_or("an error without a name");
        writeln!(out, "{error}: {}", failure.cause.as_deref().unwrap_or("no cause was given"))?;
    }
    Ok(())
}

/// One case a line in, one result a line out, in the same order.
fn run_batch(file: &Path) -> anyhow::Result<ExitCode> {
    let cases = std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (index, line) in std::io::BufReader::new(cases).lines().enumerate() {
        let line = line.with_context(|| format!("read {}", file.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let case: Case = serde_json::from_str(&line)
            .with_context(|| format!("read the case at {}:{}", file.display(), index + 1))?;
        writeln!(out, "{}", run_case(case))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn run_case(case: Case) -> Value {
    let (definition, input) = match (parsed(case.definition), parsed(case.input)) {
        (Ok(definition), Ok(input)) => (definition, input),
        (Err(error), _) | (_, Err(error)) => return invalid(&case.id, &error.to_string()),
    };
    match Definition::parse(&definition) {
        Ok(definition) => {
            let name = case.sm_name.as_deref().unwrap_or("recipe");
            let context = context(name, case.role_arn.as_deref(), input);
            result(
                Some(&case.id),
                &simulate(&definition, &context, &case.mocks.unwrap_or_default()),
            )
        }
        Err(faults) => {
            let list: Vec<_> = faults
                .iter()
                .map(|Fault { pointer, detail }| format!("{pointer}: {detail}"))
                .collect();
            invalid(&case.id, &list.join("; "))
        }
    }
}

/// A document that may have come as the text of one.
fn parsed(value: Value) -> serde_json::Result<Value> {
    match value {
        Value::String(text) => serde_json::from_str(&text),
        // As on the service, an execution without an input has an empty one.
        Value::Null => Ok(json!({})),
        document => Ok(document),
    }
}

fn invalid(id: &str, cause: &str) -> Value {
    json!({ "id": id, "status": "FAILED", "error": "InvalidDefinition", "cause": cause, "events": [] })
}

fn result(id: Option<&str>, simulated: &Simulated) -> Value {
    let mut result = json!({ "status": simulated.status });
    if let Some(id) = id {
        result["id"] = id.into();
    }
    if let Some(output) = &simulated.output {
        result["output"] = (**output).clone();
    }
    if let Some(failure) = &simulated.failure {
        result["error"] = json!(failure.error);
        result["cause"] = json!(failure.cause);
    }
    let events = simulated.events.iter().map(|event| {
        let mut event = json!(event);
        // The service knows no branches; its readers would stumble over the field.
        if let Value::Object(fields) = &mut event {
            fields.shift_remove("branch");
        }
        event
    });
    result["events"] = events.collect();
    result
}

fn context(name: &str, role_arn: Option<&str>, input: Value) -> ExecutionContext {
    const ACCOUNT: &str = "arn:aws:states:us-east-1:123456789012";
    let claim_id = ClaimId::new(BEGINS_AT, &[0; 10]);
    ExecutionContext {
        claim_id,
        id: format!("{ACCOUNT}:execution:{name}:{claim_id}"),
        name: claim_id.to_string(),
        input: input.into(),
        role_arn: role_arn.map(Into::into),
        started_at: BEGINS_AT,
        state_machine_id: format!("{ACCOUNT}:stateMachine:{name}"),
        state_machine_name: name.to_owned(),
        region: Some("us-east-1".into()),
        seed: Seed::default(),
    }
}
