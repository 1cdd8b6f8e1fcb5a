//! What a task that starts an execution asks for: the parameters of `StartExecution`.

use fluxus_machine::Failure;
use fluxus_schema::RecipeName;
use serde_json::{Map, Value, json};

/// The service's bound on names of executions.
const MAX_EXECUTION_NAME_CHARS: usize = 80;

/// The parameters, read.
#[derive(Debug, PartialEq)]
pub(super) struct Ask {
    pub(super) recipe: RecipeName,
    /// The live one, where none is asked for.
    pub(super) version: Option<i32>,
    pub(super) name: Option<String>,
    pub(super) input: Value,
}

impl Ask {
    /// Reads `{"StateMachineArn": "orders:3", "Input": {...}, "Name": "..."}`. The ARN is a
    /// recipe's name, with a version maybe, alone or at the end of a state machine's ARN. An input
    /// that is a text is JSON text, and one that is missing is `{}`.
    ///
    /// # Errors
    /// How the task fails.
    pub(super) fn read(parameters: &Value) -> Result<Self, Failure> {
        const KNOWN: [&str; 4] = ["StateMachineArn", "Input", "Name", "TraceHeader"];
        let none = Map::new();
        let fields = parameters.as_object().unwrap_or(&none);
        if let Some(unknown) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(unusable(parameters, &format!("The field '{unknown}' is not supported")));
        }
        let text = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(unusable(
                parameters,
                &format!("The value for the field '{name}' must be a STRING"),
            )),
        };
        let missing = "The field 'StateMachineArn' is required but was missing";
        let arn = text("StateMachineArn")?.ok_or_else(|| unusable(parameters, missing))?;
        let (recipe, version) = recipe(arn).ok_or_else(|| unknown_machine(arn))?;
        let name = text("Name")?.map(checked_name).transpose()?;
        let input = match fields.get("Input") {
            None | Some(Value::Null) => json!({}),
            Some(Value::String(text)) => serde_json::from_str(text).map_err(|error| {
                let cause = format!("Invalid State Machine Execution Input: '{error}'");
                Failure::new("StepFunctions.InvalidExecutionInputException", cause)
            })?,
            Some(input) => input.clone(),
        };
        Ok(Self { recipe, version, name, input })
    }
}

/// The failure of a task that names a state machine which does not exist.
pub(super) fn unknown_machine(arn: &str) -> Failure {
    let cause = format!("State Machine Does Not Exist: '{arn}'");
    Failure::new("StepFunctions.StateMachineDoesNotExistException", cause)
}

fn unusable(parameters: &Value, why: &str) -> Failure {
    let cause =
        format!("The Parameters '{parameters}' could not be used to start the Task: [{why}]");
    Failure::new("States.Runtime", cause)
}

fn recipe(arn: &str) -> Option<(RecipeName, Option<i32>)> {
    let named = match arn.split_once(":stateMachine:") {
        Some((prefix, named)) if prefix.starts_with("arn:") => named,
        _ => arn,
    };
    let (name, version) = match named.rsplit_once(':') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, Some(number.parse().ok()?))
        }
        _ => (named, None),
    };
    Some((name.parse().ok()?, version))
}

fn checked_name(name: &str) -> Result<String, Failure> {
    const WRONG: &str = "<>{}[]?*\"#%\\^|~`$&,;:/";
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || WRONG.contains(c);
    let chars = name.chars().count();
    if chars == 0 || chars > MAX_EXECUTION_NAME_CHARS || name.contains(is_bad) {
        let cause = format!("Invalid Name: '{name}'");
        return Err(Failure::new("StepFunctions.InvalidNameException", cause));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &Value) -> Result<Ask, String> {
        Ask::read(parameters).map_err(|failure| {
            format!("{}: {}", failure.error.unwrap_or_default(), failure.cause.unwrap_or_default())
        })
    }

    #[test]
    fn a_machine_is_named_by_a_name_or_an_arn() {
        let named = |arn: &str| {
            let ask = read(&json!({ "StateMachineArn": arn })).expect("is read");
            (ask.recipe.to_string(), ask.version)
        };
        assert_eq!(named("orders"), ("orders".into(), None));
        assert_eq!(named("orders:3"), ("orders".into(), Some(3)));
        let arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:orders";
        assert_eq!(named(arn), ("orders".into(), None));
        assert_eq!(named(&format!("{arn}:12")), ("orders".into(), Some(12)));
        assert_eq!(named("team/orders"), ("team/orders".into(), None));
    }

    #[test]
    fn an_input_is_json_or_the_text_of_it() {
        let input = |input: Value| {
            read(&json!({ "StateMachineArn": "a", "Input": input })).map(|ask| ask.input)
        };
        assert_eq!(input(json!(null)), Ok(json!({})));
        assert_eq!(input(json!({ "a": 1 })), Ok(json!({ "a": 1 })));
        assert_eq!(input(json!("[1]")), Ok(json!([1])));
        assert!(input(json!("{")).is_err_and(|told| told.contains("InvalidExecutionInput")));
    }

    #[test]
    fn what_is_wrong_is_told_in_the_services_words() {
        let told = |parameters: Value| read(&parameters).expect_err("is refused");
        assert_eq!(
            told(json!({ "Name": "x" })),
            r#"States.Runtime: The Parameters '{"Name":"x"}' could not be used to start the Task: [The field 'StateMachineArn' is required but was missing]"#
        );
        assert!(told(json!({ "StateMachineArn": "a", "Nam": 1 })).contains("'Nam'"));
        assert!(told(json!({ "StateMachineArn": "a", "Name": 1 })).contains("'Name'"));
        assert!(told(json!({ "StateMachineArn": "a b" })).contains("StateMachineDoesNotExist"));
        assert!(told(json!({ "StateMachineArn": "a", "Name": "a b" })).contains("InvalidName"));
    }
}
