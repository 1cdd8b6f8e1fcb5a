//! `fluxus simulate`: runs a recipe without a server, against mocked tasks.

mod state;

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use fluxus_machine::{Definition, ExecutionContext, Mocks, Simulated, run_case, simulate};
use serde_json::{Value, json};

use crate::exit::{Exit, Usage};
use crate::output::{Format, Printer, StdoutFailed};
use crate::report::Faulty;
use crate::source::{self, Document};
use crate::story::Story;

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
    /// The test of one state.
    #[command(flatten, next_help_heading = "One state")]
    pub one: state::StateArgs,
}

/// Runs the recipe and prints its history and its end.
///
/// # Errors
/// Where a file cannot be read, or the definition is not valid.
#[allow(clippy::unused_async)] // Every command runs the same way.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match (&args.batch, &args.definition) {
        (Some(batch), _) => run_batch(batch),
        (None, Some(definition)) => {
            let document = source::file(definition)?;
            if args.one.state.is_some() || state::is_one(document.source.value()) {
                return state::run(&document, args.input.as_deref(), &args.one, args.output);
            }
            if let Some(flag) = args.one.only_for_one() {
                let wrong = format!("{flag} is for the test of one state: name it with --state");
                return Err(Usage(wrong).into());
            }
            run_whole(definition, &document, args)
        }
        (None, None) => anyhow::bail!("name a DEFINITION, or a file of cases with --batch"),
    }
}

fn run_whole(file: &Path, document: &Document, args: &Args) -> anyhow::Result<ExitCode> {
    let input = match args.input.as_deref() {
        None => json!({}),
        Some(text) => given("--input", text)?,
    };
    let mocks = match &args.mocks {
        None => Mocks::new(),
        Some(file) => serde_json::from_value(source::file(file)?.source.into_value())
            .with_context(|| format!("read the mocks in {}", file.display()))?,
    };
    let definition = Definition::parse(document.source.value())
        .map_err(|faults| Faulty::new(vec![document.report(faults)]))?;
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = name.as_deref().unwrap_or("recipe");
    let context = ExecutionContext::simulated(name, None, input);
    let simulated = simulate(&definition, &context, &mocks);
    let printer = Printer::stdout(args.output);
    match args.output {
        Format::Json => printer.raw(simulated.to_json().to_string().as_bytes())?,
        Format::Text => printer.text(&told(&simulated)?)?,
    }
    for state in &simulated.unanswered {
        anstream::eprintln!(
            "`{state}` waits for an answer that no mock gives; add one for it with --mocks"
        );
    }
    Ok(Exit::of_claim(simulated.status).into())
}

/// A document given on the command line: JSON, or the name of a file, with or without an `@`.
fn given(flag: &str, text: &str) -> anyhow::Result<Value> {
    source::argument_or_file(flag, text)
}

fn told(simulated: &Simulated) -> anyhow::Result<String> {
    use std::fmt::Write as _;
    let mut out = String::new();
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
    Ok(out)
}

/// One case a line in, one result a line out, in the same order.
fn run_batch(file: &Path) -> anyhow::Result<ExitCode> {
    use std::io::Write as _;
    let cases = std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (index, line) in std::io::BufReader::new(cases).lines().enumerate() {
        let line = line.with_context(|| format!("read {}", file.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let result = run_case(&line)
            .with_context(|| format!("read the case at {}:{}", file.display(), index + 1))?;
        writeln!(out, "{result}").map_err(StdoutFailed)?;
    }
    out.flush().map_err(StdoutFailed)?;
    Ok(ExitCode::SUCCESS)
}
