//! `fluxus simulate --state`: tests one state of a recipe, as the service's `TestState` does.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use fluxus_machine::test_state::{
    MockInput, StateConfiguration, TestStateRequest, TestStateResponse, TestStatus, test_state,
};
use serde_json::Value;

use super::given;
use crate::exit::{Exit, Usage};
use crate::output::Format;
use crate::source;

/// What the test of one state can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct StateArgs {
    /// Test only this state, however deep in the recipe
    #[arg(long, value_name = "NAME", conflicts_with_all = ["batch", "mocks"])]
    pub state: Option<String>,
    /// The context object that the state reads: JSON, or a file with JSON
    #[arg(long, value_name = "FILE|JSON", requires = "state")]
    pub context: Option<String>,
    /// What states before it assigned: JSON, or a file with JSON
    #[arg(long, value_name = "FILE|JSON", requires = "state")]
    pub variables: Option<String>,
    /// What answers for whatever the state calls: `{"result": ..}` or
    /// `{"errorOutput": {"error": .., "cause": ..}}`; JSON, or a file with JSON
    #[arg(long, value_name = "FILE|JSON", requires = "state")]
    pub mock: Option<String>,
    /// Retries so far, items that failed, and the like: the service's `stateConfiguration`
    #[arg(long, value_name = "FILE|JSON", requires = "state")]
    pub configuration: Option<String>,
    /// How much to tell: how it ended, how its data flowed, and HTTP requests
    #[arg(long, value_name = "LEVEL", requires = "state", default_value = "DEBUG",
          value_parser = ["INFO", "DEBUG", "TRACE"], ignore_case = true)]
    pub inspect: String,
}

/// Runs the state and prints what came of it.
pub(super) fn run(
    file: &Path,
    input: Option<&str>,
    args: &StateArgs,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let definition = source::file(file)?.source.into_value();
    let read = |flag: &str, text: &Option<String>| {
        text.as_deref().map(|text| given(flag, text)).transpose()
    };
    let mock: Option<MockInput> = typed("--mock", read("--mock", &args.mock)?)?;
    let configuration = read("--configuration", &args.configuration)?;
    let state_configuration: Option<StateConfiguration> = typed("--configuration", configuration)?;
    let request = TestStateRequest {
        definition,
        state_name: args.state.clone(),
        input: input.map(|text| given("--input", text)).transpose()?,
        inspection_level: Some(args.inspect.to_ascii_uppercase()),
        // A role is asked for by the service alone; nothing here acts in one.
        role_arn: Some("arn:aws:iam::123456789012:role/simulated".to_owned()),
        variables: read("--variables", &args.variables)?,
        context: read("--context", &args.context)?,
        mock,
        state_configuration,
        ..TestStateRequest::default()
    };
    let response = test_state(&request).map_err(|refusal| {
        let help = refusal.help.map(|help| format!("; {help}")).unwrap_or_default();
        Usage(format!("{}: {}{help}", refusal.code, refusal.message))
    })?;
    match output {
        Format::Json => anstream::println!("{}", serde_json::to_string(&response)?),
        Format::Text => print(&response)?,
    }
    Ok(match response.status {
        TestStatus::Succeeded | TestStatus::CaughtError => Exit::Ok,
        _ => Exit::Unfulfilled,
    }
    .into())
}

fn typed<T: serde::de::DeserializeOwned>(
    flag: &str,
    value: Option<Value>,
) -> anyhow::Result<Option<T>> {
    let Some(value) = value else { return Ok(None) };
    let typed = serde_json::from_value(value);
    typed.map(Some).map_err(|wrong| Usage(format!("{flag}: {wrong}")).into())
}

fn print(response: &TestStateResponse) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let told = serde_json::to_value(response)?;
    if let Some(Value::Object(stages)) = told.get("inspectionData") {
        for (name, value) in stages {
            // Documents stand in the response as JSON text.
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(out, "{:<22} {value}", words(name))?;
        }
    }
    writeln!(out, "{}", response.status.as_str())?;
    if let Some(output) = &response.output {
        writeln!(out, "{}", serde_json::to_string_pretty(&**output)?)?;
    }
    if let Some(error) = &response.error {
        let cause = response.cause.as_deref().unwrap_or("no cause was given");
        writeln!(out, "{error}: {cause}")?;
    }
    if let Some(next) = &response.next_state {
        writeln!(out, "goes on to {next}")?;
    }
    Ok(())
}

/// `afterResultSelector` in words.
fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
