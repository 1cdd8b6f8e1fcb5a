//! `fluxus simulate --state`: tests one state of a recipe, as the service's `TestState` does.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use fluxus_machine::Definition;
use fluxus_machine::test_state::{
    ErrorDetails, InspectionData, MockInput, StateConfiguration, TestStateRequest,
    TestStateResponse, TestStatus, faults, test_state,
};
use serde_json::{Value, json};

use super::given;
use crate::exit::{Exit, Usage};
use crate::output::{Format, Printer, indented};
use crate::report::Faulty;
use crate::source::Document;
use crate::table::clean;

/// Columns of a line where stdout is no terminal.
const DEFAULT_WIDTH: usize = 100;

/// Blanks between the name of a stage and its value.
const GAP: usize = 2;

/// What the test of one state can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct StateArgs {
    /// Test only this state, however deep in the recipe; a file that holds a single state needs no
    /// name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["batch", "mocks"])]
    pub state: Option<String>,
    /// What answers for whatever the state calls: `{"result": ..}` or
    /// `{"errorOutput": {"error": .., "cause": ..}}`; JSON, or a file with JSON
    #[arg(long, value_name = "FILE|JSON", conflicts_with = "batch")]
    pub mock: Option<String>,
    /// The context object that the state reads: JSON, or a file with JSON
    #[arg(long, value_name = "FILE|JSON", conflicts_with = "batch")]
    pub context: Option<String>,
    /// What states before it assigned: JSON, or a file with JSON
    #[arg(long, value_name = "FILE|JSON", conflicts_with = "batch")]
    pub variables: Option<String>,
    /// Retries so far, items that failed, and the like: the service's `stateConfiguration`; JSON,
    /// or a file with JSON
    #[arg(long, value_name = "FILE|JSON", conflicts_with = "batch")]
    pub configuration: Option<String>,
    /// How much to tell: how it ended; how its data flowed; HTTP requests [default: DEBUG]
    #[arg(long, value_name = "LEVEL", value_parser = ["INFO", "DEBUG", "TRACE"],
          ignore_case = true, conflicts_with = "batch")]
    pub inspect: Option<String>,
}

impl StateArgs {
    /// The first flag that only the test of one state can take.
    pub(super) fn only_for_one(&self) -> Option<&'static str> {
        let flags = [
            ("--mock", &self.mock),
            ("--context", &self.context),
            ("--variables", &self.variables),
            ("--configuration", &self.configuration),
            ("--inspect", &self.inspect),
        ];
        flags.iter().find_map(|(flag, value)| value.is_some().then_some(*flag))
    }
}

/// Whether a document is a single state.
pub(super) fn is_one(document: &Value) -> bool {
    document.get("Type").is_some_and(Value::is_string) && document.get("States").is_none()
}

/// Runs the state and prints what came of it.
pub(super) fn run(
    document: &Document,
    input: Option<&str>,
    args: &StateArgs,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let definition = document.source.value();
    let found = match (is_one(definition), &args.state) {
        (true, Some(_)) => {
            let name = &document.name;
            let wrong = format!("{name} holds a single state, not a machine: leave out --state");
            return Err(Usage(wrong).into());
        }
        (true, None) => faults(definition),
        (false, _) => Definition::parse(definition).err().unwrap_or_default(),
    };
    if found.iter().any(|fault| fault.is_error()) {
        return Err(Faulty::new(vec![document.report(found)]).into());
    }
    let request = request(definition, input, args)?;
    let response = test_state(&request).map_err(|refusal| {
        let help = refusal.help.map(|help| format!("; {help}")).unwrap_or_default();
        Usage(format!("{}: {}{help}", refusal.code, refusal.message))
    })?;
    let printer = Printer::stdout(output);
    match output {
        Format::Json => printer.raw(&serde_json::to_vec(&response)?)?,
        Format::Text => printer.text(&told(&response, printer.width.unwrap_or(DEFAULT_WIDTH)))?,
    }
    Ok(match response.status {
        TestStatus::Succeeded | TestStatus::CaughtError => Exit::Ok,
        TestStatus::Failed | TestStatus::Retriable => Exit::Unfulfilled,
    }
    .into())
}

fn request(
    definition: &Value,
    input: Option<&str>,
    args: &StateArgs,
) -> anyhow::Result<TestStateRequest> {
    let read = |flag: &str, text: &Option<String>| {
        text.as_deref().map(|text| given(flag, text)).transpose()
    };
    let configuration = read("--configuration", &args.configuration)?;
    // A text in the place of a document is taken for JSON text: what was read here is not.
    let document = |read: Option<Value>| read.map(|document| Value::String(document.to_string()));
    Ok(TestStateRequest {
        definition: definition.clone(),
        state_name: args.state.clone(),
        input: document(input.map(|text| given("--input", text)).transpose()?),
        inspection_level: Some(args.inspect.as_deref().unwrap_or("DEBUG").to_ascii_uppercase()),
        // The service asks for a role; nothing here acts in one.
        role_arn: Some("arn:aws:iam::123456789012:role/simulated".to_owned()),
        variables: document(read("--variables", &args.variables)?),
        context: document(read("--context", &args.context)?),
        mock: typed::<MockInput>("--mock", read("--mock", &args.mock)?)?,
        state_configuration: typed::<StateConfiguration>("--configuration", configuration)?,
        ..TestStateRequest::default()
    })
}

fn typed<T: serde::de::DeserializeOwned>(
    flag: &str,
    value: Option<Value>,
) -> anyhow::Result<Option<T>> {
    let Some(value) = value else { return Ok(None) };
    let typed = serde_json::from_value(value);
    typed.map(Some).map_err(|wrong| Usage(format!("{flag}: {wrong}")).into())
}

/// The response for reading: each stage of the data, how it ended, who took an error, what is next.
fn told(response: &TestStateResponse, width: usize) -> String {
    let mut text = String::new();
    let stages = stages(response);
    let names = stages.iter().map(|(name, _)| name.len() + GAP).max().unwrap_or_default();
    for (name, value) in stages {
        let line = clean(&value.to_string());
        if names + line.chars().count() <= width {
            text.push_str(&format!("{name:<names$}{line}\n"));
        } else {
            text.push_str(&format!("{name}\n{}", indented(&value)));
        }
    }
    let style = status_style(response.status);
    text.push_str(&format!("{style}{}{style:#}", response.status.as_str()));
    if response.error.is_some() || response.cause.is_some() {
        let error = response.error.as_deref().unwrap_or("an error without a name");
        let cause = response.cause.as_deref().unwrap_or("no cause was given");
        text.push_str(&format!("  {}: {}", clean(error), clean(cause)));
    }
    text.push('\n');
    let details = response.inspection_data.as_ref().and_then(|data| data.error_details);
    details.iter().for_each(|details| text.push_str(&taken(details)));
    if let Some(next) = &response.next_state {
        text.push_str(&format!("goes on to {}\n", clean(next)));
    }
    text
}

/// Who took an error, or could not.
fn taken(details: &ErrorDetails) -> String {
    let mut text = String::new();
    match (details.retry_index, details.retry_backoff_interval_seconds) {
        (Some(index), Some(seconds)) => {
            text.push_str(&format!("Retry[{index}] tries again in {seconds} s\n"));
        }
        (Some(index), None) => {
            text.push_str(&format!("Retry[{index}] has no attempts left\n"));
        }
        (None, _) => {}
    }
    if let Some(index) = details.catch_index {
        text.push_str(&format!("Catch[{index}] takes the error\n"));
    }
    text
}

/// What there is to show of the data's way, in its order.
fn stages(response: &TestStateResponse) -> Vec<(&'static str, Value)> {
    let mut stages = Vec::new();
    let mut show = |name, value: Option<Value>| stages.extend(value.map(|value| (name, value)));
    if let Some(data) = &response.inspection_data {
        let InspectionData { input, result, variables, .. } = data;
        let document = |document: &Option<fluxus_schema::Json>| document.as_deref().cloned();
        show("input", document(input));
        show("after InputPath", document(&data.after_input_path));
        show("after Parameters", document(&data.after_parameters));
        show("after Arguments", document(&data.after_arguments));
        show("after ItemsPath", document(&data.after_items_path));
        show("after ItemsPointer", document(&data.after_items_pointer));
        show("after ItemSelector", document(&data.after_item_selector));
        show("after ItemBatcher", document(&data.after_item_batcher));
        show("MaxConcurrency", data.max_concurrency.map(Value::from));
        show("ToleratedFailureCount", data.tolerated_failure_count.map(Value::from));
        show("ToleratedFailurePercentage", data.tolerated_failure_percentage.map(Value::from));
        show("HTTP request", data.request.as_ref().map(|request| json!(request)));
        show("HTTP response", data.response.as_ref().map(|response| json!(response)));
        show("result", document(result));
        show("after ResultSelector", document(&data.after_result_selector));
        show("after ResultPath", document(&data.after_result_path));
        show("variables", document(variables));
    }
    show("output", response.output.as_deref().cloned());
    stages
}

const fn status_style(status: TestStatus) -> Style {
    match status {
        TestStatus::Succeeded => AnsiColor::Green.on_default(),
        TestStatus::CaughtError | TestStatus::Retriable => AnsiColor::Yellow.on_default(),
        TestStatus::Failed => AnsiColor::Red.on_default(),
    }
}
