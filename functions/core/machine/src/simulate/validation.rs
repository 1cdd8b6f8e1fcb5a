//! The service's calls that check a definition, answered as the service answers them:
//! `ValidateStateMachineDefinition`, `CreateStateMachine` and `UpdateStateMachine`.
//!
//! Only what the request alone decides is answered: whether a name is taken already, or whether a
//! state machine of that ARN exists, is not known here.

use fluxus_schema::problem::{Fault, FaultCode, Severity};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::parse::{self, MachineType, Noted};
use crate::source::{Format, Source};

/// Most diagnostics that a response holds where the request names no number.
const MAX_RESULTS: usize = 100;

/// Longest name of a state machine, in characters.
const MAX_NAME_CHARS: usize = 80;

/// What a name must not hold, beside blanks and control characters.
const NOT_IN_NAMES: &str = "<>{}[]?*\"#%\\^|~`$&,;:/";

/// Most characters of a text that the service's reader of JSON quotes.
const MAX_QUOTED_CHARS: usize = 500;

/// A call of the service, as a case records it.
#[derive(Debug, Deserialize)]
pub struct Call {
    /// Names it in its result.
    pub id: String,
    /// What was sent.
    pub request: Map<String, Value>,
}

impl Call {
    /// The response to `ValidateStateMachineDefinition`, under `response`.
    pub fn validate(&self) -> Value {
        let checked = Checked::of(self.text("definition"), self.machine_type());
        let least = match self.text("severity") {
            "WARNING" => Severity::Warning,
            _ => Severity::Error,
        };
        let found: Vec<_> = checked.diagnostics(least).collect();
        let most = self.request.get("maxResults").and_then(Value::as_u64).filter(|most| *most > 0);
        let most = most.map_or(MAX_RESULTS, |most| usize::try_from(most).unwrap_or(MAX_RESULTS));
        let fails = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        let shown: Vec<_> = found.iter().take(most).map(|one| one.to_json()).collect();
        json!({ "id": self.id, "response": {
            "diagnostics": shown,
            "result": if fails { "FAIL" } else { "OK" },
            "truncated": found.len() > most,
        }})
    }

    /// How `CreateStateMachine`, or `UpdateStateMachine` where the request names a state machine,
    /// refuses the request, under `response`; null there where nothing is wrong with it.
    ///
    /// A refusal has the form in which the case recorded it: a case whose id ends in `#exception`
    /// recorded what the Python SDK raised, all others the error's code and message.
    pub fn create(&self) -> Value {
        let response = match self.refusal() {
            None => Value::Null,
            Some(Refusal { code: None, message }) => message.into(),
            Some(Refusal { code: Some(code), message }) => {
                let (_, recorded) = self.id.rsplit_once('#').unwrap_or_default();
                if recorded.starts_with("exception") {
                    let operation = self.operation();
                    let told = format!(
                        "An error occurred ({code}) when calling the {operation} operation: \
                         {message}"
                    );
                    json!({ "exception_typename": code, "exception_value": told })
                } else {
                    json!({ "Error": { "Code": code, "Message": message }, "message": message })
                }
            }
        };
        json!({ "id": self.id, "response": response })
    }

    fn text(&self, name: &str) -> &str {
        self.request.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn updates(&self) -> bool {
        self.request.contains_key("stateMachineArn")
    }

    fn operation(&self) -> &'static str {
        if self.updates() { "UpdateStateMachine" } else { "CreateStateMachine" }
    }

    fn machine_type(&self) -> MachineType {
        if self.text("type") == "EXPRESS" { MachineType::Express } else { MachineType::Standard }
    }

    fn refusal(&self) -> Option<Refusal> {
        self.wrong_parameters()
            .or_else(|| self.wrong_target())
            .or_else(|| self.wrong_version())
            .or_else(|| self.wrong_logging())
            .or_else(|| self.wrong_name())
            .or_else(|| self.wrong_definition())
    }

    /// What the SDK itself refuses before it sends anything.
    fn wrong_parameters(&self) -> Option<Refusal> {
        let told = |(name, value): (&String, &Value)| {
            value.is_null().then(|| {
                format!(
                    "\nInvalid type for parameter {name}, value: None, type: <class 'NoneType'>, \
                     valid types: <class 'str'>"
                )
            })
        };
        let told: String = self.request.iter().filter_map(told).collect();
        let message = format!("Parameter validation failed:{told}");
        (!told.is_empty()).then_some(Refusal { code: None, message })
    }

    fn wrong_target(&self) -> Option<Refusal> {
        if !self.updates() {
            return None;
        }
        let named = ["definition", "roleArn", "loggingConfiguration", "tracingConfiguration"];
        if !named.iter().any(|name| self.request.contains_key(*name)) {
            let message = "Either the definition, the role ARN, the LoggingConfiguration, or the \
                           TracingConfiguration must be specified";
            return Some(Refusal::new("MissingRequiredParameter", message));
        }
        let arn = self.text("stateMachineArn");
        let parts: Vec<_> = arn.split(':').collect();
        match parts.as_slice() {
            ["arn", _, "states", _, _, "stateMachine", _] => None,
            // A version never changes.
            ["arn", _, "states", _, _, "stateMachine", _, _] => Some(Refusal::new(
                "StateMachineDoesNotExist",
                format!("State Machine Does Not Exist: '{arn}'"),
            )),
            _ => Some(Refusal::new("InvalidArn", format!("Invalid arn: '{arn}'"))),
        }
    }

    fn wrong_version(&self) -> Option<Refusal> {
        let published = self.request.get("publish") == Some(&Value::Bool(true));
        let described = self.request.contains_key("versionDescription");
        let message = "Version description can only be set when publish is true";
        (described && !published).then(|| Refusal::new("ValidationException", message))
    }

    fn wrong_logging(&self) -> Option<Refusal> {
        let logging = self.request.get("loggingConfiguration")?;
        let destinations = logging.get("destinations").and_then(Value::as_array);
        let destinations = destinations.map_or(0, Vec::len);
        let level = logging.get("level").and_then(Value::as_str).unwrap_or("OFF");
        let message = "Invalid Logging Configuration: Must specify exactly one Log Destination.";
        let wrong = destinations > 1 || (level != "OFF" && destinations == 0);
        wrong.then(|| Refusal::new("InvalidLoggingConfiguration", message))
    }

    fn wrong_name(&self) -> Option<Refusal> {
        if self.updates() {
            return None;
        }
        let name = self.text("name");
        let barred = |c: char| c.is_whitespace() || c.is_control() || NOT_IN_NAMES.contains(c);
        let wrong =
            name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.contains(barred);
        wrong.then(|| Refusal::new("InvalidName", format!("Invalid Name: '{name}'")))
    }

    fn wrong_definition(&self) -> Option<Refusal> {
        let definition = self.request.get("definition")?.as_str()?;
        let checked = Checked::of(definition, self.machine_type());
        let message = checked.refusal()?;
        Some(Refusal::new("InvalidDefinition", message))
    }
}

/// Why a call is refused; one that the SDK refuses has no code.
struct Refusal {
    code: Option<&'static str>,
    message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: Some(code), message: message.into() }
    }
}

/// A definition's text and what was found in it.
struct Checked {
    diagnostics: Vec<Diagnostic>,
}

impl Checked {
    fn of(text: &str, machine_type: MachineType) -> Self {
        let diagnostics = match document(text) {
            Ok(document) => {
                let noted = parse::check(&document, machine_type).faults;
                diagnostics(&document, &noted)
            }
            Err(told) => told,
        };
        Self { diagnostics }
    }

    fn diagnostics(&self, least: Severity) -> impl Iterator<Item = &Diagnostic> {
        let told = move |diagnostic: &&Diagnostic| diagnostic.severity <= least;
        self.diagnostics.iter().filter(told)
    }

    fn refusal(&self) -> Option<String> {
        refusal(&self.diagnostics)
    }
}

/// The document that a definition's text holds.
///
/// # Errors
/// What the service says of a text that is no JSON.
pub(crate) fn document(text: &str) -> Result<Value, Vec<Diagnostic>> {
    let faults = match Source::parse(text, Format::Json) {
        Ok(source) => return Ok(source.into_value()),
        Err(faults) => faults,
    };
    // Of two values with one key the service takes the later.
    let twice = faults.iter().all(|fault| fault.code == FaultCode::DuplicateKey);
    match serde_json::from_str(text) {
        Ok(document) if twice => Ok(document),
        _ => Err(faults.iter().map(|fault| Diagnostic::of_text(fault, text)).collect()),
    }
}

/// What is wrong with a definition, as the service lists it.
#[derive(Debug)]
pub(crate) struct Diagnostic {
    severity: Severity,
    code: FaultCode,
    message: String,
    location: Option<String>,
}

/// The faults of `document` as the service tells them. Where states go to is looked at only in a
/// definition that is right otherwise.
pub(crate) fn diagnostics(document: &Value, faults: &[Noted]) -> Vec<Diagnostic> {
    let follows = |fault: &Fault| {
        matches!(fault.code, FaultCode::MissingTransitionTarget | FaultCode::MissingEndState)
    };
    let broken = faults.iter().any(|Noted { fault, .. }| fault.is_error() && !follows(fault));
    let told = faults.iter().filter(|Noted { fault, .. }| !broken || !follows(fault));
    told.map(|noted| Diagnostic::of(noted, document)).collect()
}

/// The message with which the service refuses a definition; none where it has no errors.
pub(crate) fn refusal(diagnostics: &[Diagnostic]) -> Option<String> {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    let told = errors.map(|Diagnostic { code, message, location, .. }| {
        format!("{code}: {message} at {}", location.as_deref().unwrap_or("null"))
    });
    let told: Vec<_> = told.collect();
    let list = told.join(", ");
    (!told.is_empty()).then(|| format!("Invalid State Machine Definition: '{list}'"))
}

impl Diagnostic {
    fn of(Noted { fault, around }: &Noted, document: &Value) -> Self {
        let (before, _) = fault.pointer.rsplit_once('/').unwrap_or_default();
        let pointer = if *around { before } else { &fault.pointer };
        let location = match fault.code {
            FaultCode::MissingEndState => None,
            _ => Some(parse::location(document, pointer)),
        };
        let (severity, code) = (fault.severity, fault.code);
        Self { severity, code, message: fault.detail.clone(), location }
    }

    /// A fault of a text that is no JSON. The service names the place to which it had read.
    fn of_text(fault: &Fault, text: &str) -> Self {
        let quoted: String = text.chars().take(MAX_QUOTED_CHARS).collect();
        let cut = text.chars().count().saturating_sub(MAX_QUOTED_CHARS);
        let cut = if cut > 0 { format!("[truncated {cut} chars]") } else { String::new() };
        let (line, column) = fault.place.map_or((1, 1), |place| (place.end_line, place.end_column));
        let place = format!("[Source: (String)\"{quoted}\"{cut}; line: {line}, column: {column}]");
        let message = format!("{}\n at {place}", fault.detail);
        Self { severity: fault.severity, code: fault.code, message, location: Some(place) }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    fn to_json(&self) -> Value {
        let mut shown = json!({
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
        });
        if let Some(location) = &self.location {
            shown["location"] = location.as_str().into();
        }
        shown
    }
}
