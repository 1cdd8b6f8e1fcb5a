//! What an expression can see while it is evaluated, and how its evaluation fails.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use fluxus_schema::Timestamp;
use serde_json::Value;

use crate::jsonata;
use crate::jsonpath::{Path, PathFailure, Root};

/// What an expression reads. Cheap to make: some references, and the context object is built only
/// when something asks for it.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// What `$` stands for in JSONPath, and `$states.input` in JSONata.
    pub input: &'a Value,
    /// What `$states.result` stands for, where there is a result.
    pub result: Option<&'a Value>,
    /// What `$states.errorOutput` stands for, in a catcher.
    pub error_output: Option<&'a Value>,
    /// What `$$` and `$states.context` stand for.
    pub context: &'a dyn Context,
    /// What `$name` stands for.
    pub variables: &'a dyn Variables,
    /// Where `States.MathRandom`, `States.UUID` and their like draw from.
    pub entropy: &'a dyn Entropy,
    /// What `$now()` tells.
    pub now: Timestamp,
}

/// The context object, `$$`.
pub trait Context {
    /// The object, built by now at the latest.
    fn get(&self) -> &Value;
}

impl Context for Value {
    fn get(&self) -> &Value {
        self
    }
}

/// A context object that is built when it is first asked for.
pub struct LazyContext<F> {
    built: OnceCell<Value>,
    build: F,
}

impl<F: Fn() -> Value> LazyContext<F> {
    /// `build` runs once at most.
    pub fn new(build: F) -> Self {
        Self { built: OnceCell::new(), build }
    }
}

impl<F: Fn() -> Value> Context for LazyContext<F> {
    fn get(&self) -> &Value {
        self.built.get_or_init(&self.build)
    }
}

/// The variables that states have assigned.
pub trait Variables {
    /// The value of `$name`, if it was assigned.
    fn get(&self, name: &str) -> Option<&Value>;
}

/// No variables.
impl Variables for () {
    fn get(&self, _name: &str) -> Option<&Value> {
        None
    }
}

impl Variables for BTreeMap<String, Arc<Value>> {
    fn get(&self, name: &str) -> Option<&Value> {
        Self::get(self, name).map(|value| &**value)
    }
}

/// A source of random numbers. It comes in as a value, so that a step that is repeated draws the
/// same numbers again.
pub trait Entropy {
    /// The next random number.
    fn number(&self) -> u64;
}

/// Numbers that follow from a seed (SplitMix64): for tests and simulation, not for secrets.
pub struct Seeded(Cell<u64>);

impl Seeded {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }
}

impl Entropy for Seeded {
    fn number(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl<'a> Env<'a> {
    /// A document with what is around it, before there is a result.
    pub fn new(
        input: &'a Value,
        context: &'a dyn Context,
        variables: &'a dyn Variables,
        entropy: &'a dyn Entropy,
        now: Timestamp,
    ) -> Self {
        Self { input, result: None, error_output: None, context, variables, entropy, now }
    }

    /// What a JSONata expression yields; `field` says where it stands, for the failure's text.
    ///
    /// # Errors
    /// [`Failure`] if it fails, or yields nothing, or something that is no JSON.
    pub fn evaluate(
        &self,
        field: &str,
        expression: &jsonata::Expression,
    ) -> Result<Value, Failure> {
        let states = jsonata::States {
            input: self.input,
            result: self.result,
            error_output: self.error_output,
            context: self.context,
        };
        let Self { variables, entropy, now, .. } = *self;
        let scope = jsonata::Scope { states, variables, entropy, now };
        let wrong = match expression.eval(&scope) {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => "returned nothing (undefined).".to_owned(),
            Err(error) if error.is_no_json() => "returned an unsupported result type.".to_owned(),
            // A bound that was reached has no code, and the service joins that on otherwise.
            Err(error) => {
                let joint = if error.code.is_empty() { ':' } else { '.' };
                format!("threw an error during evaluation{joint} {error}")
            }
        };
        Err(Failure::query(field, expression, &wrong))
    }

    /// What the path finds.
    ///
    /// # Errors
    /// [`PathFailure`]; what it becomes depends on the field that the path stands in:
    /// [`Failure::invalid_path`], [`Failure::not_found_in_input`], [`Failure::invalid_value`].
    pub fn resolve(&self, path: &Path) -> Result<Cow<'a, Value>, PathFailure> {
        let root = match path.root() {
            Root::Input => self.input,
            Root::Context => self.context.get(),
            Root::Variable(name) => {
                self.variables.get(name).ok_or_else(|| PathFailure::NoVariable(name.to_string()))?
            }
        };
        path.eval(root)
    }
}

/// A failed evaluation: an error inside a recipe, which is data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {cause}", self.error())]
pub struct Failure {
    /// What failed.
    pub kind: FailureKind,
    /// The service's text, without the "An error occurred while executing the state ..." that it
    /// puts in front.
    pub cause: String,
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A path in a field such as `InputPath`, or in a Choice rule.
    Path,
    /// A path in a payload template.
    ParameterPath,
    /// An intrinsic function.
    Intrinsic,
    /// Putting a result at its `ResultPath`.
    ResultPath,
    /// A JSONata expression, or what it yielded.
    Query {
        /// The field it stands in, such as `Output/total`.
        location: Option<Box<str>>,
    },
}

impl Failure {
    /// The error name that the service reports. For paths and intrinsic functions that is
    /// `States.Runtime`, whatever the language says: see [`Failure::documented_error`].
    pub fn error(&self) -> &'static str {
        match self.kind {
            FailureKind::ResultPath => "States.ResultPathMatchFailure",
            FailureKind::Query { .. } => "States.QueryEvaluationError",
            _ => "States.Runtime",
        }
    }

    /// The error name that the States Language gives to this kind of failure.
    pub fn documented_error(&self) -> &'static str {
        match self.kind {
            FailureKind::Path => "States.Runtime",
            FailureKind::ParameterPath => "States.ParameterPathFailure",
            FailureKind::Intrinsic => "States.IntrinsicFailure",
            FailureKind::ResultPath => "States.ResultPathMatchFailure",
            FailureKind::Query { .. } => "States.QueryEvaluationError",
        }
    }

    /// For a path field: `InputPath`, `OutputPath`, `TimeoutSecondsPath`, ...
    pub fn invalid_path(path: &Path, failure: &PathFailure) -> Self {
        Self { kind: FailureKind::Path, cause: format!("Invalid path '{path}' : {failure}") }
    }

    /// For a path in a Choice rule.
    pub fn invalid_value(path: &Path) -> Self {
        let cause = format!(
            "Invalid path '{path}': The choice state's condition path references an invalid value."
        );
        Self { kind: FailureKind::Path, cause }
    }

    /// For a path in a field of a template, or in `ErrorPath` or `CausePath`. `field` is the name
    /// as written, with its `.$`.
    pub fn not_found_in_input(
        path: &Path,
        failure: &PathFailure,
        field: &str,
        input: &Value,
    ) -> Self {
        let cause = if failure.is_not_found() {
            format!(
                "The JSONPath '{path}' specified for the field '{field}' could not be found in the \
                 input '{input}'"
            )
        } else {
            failure.to_string()
        };
        Self { kind: FailureKind::ParameterPath, cause }
    }

    /// For a JSONata expression in `field`; `wrong` says what it did.
    pub fn query(field: &str, expression: &jsonata::Expression, wrong: &str) -> Self {
        let cause = format!(
            "The JSONata expression '{}' specified for the field '{field}' {wrong}",
            expression.source()
        );
        Self { kind: FailureKind::Query { location: Some(field.into()) }, cause }
    }

    /// For a JSONata expression in `field` that yielded another type of value than `expected`.
    pub fn query_type(
        field: &str,
        expression: &jsonata::Expression,
        expected: &str,
        value: &Value,
    ) -> Self {
        let was = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let wrong = format!(
            "returned an unexpected result type. Expected '{expected}', but was '{was}' for \
             value: {value}"
        );
        Self::query(field, expression, &wrong)
    }

    /// For `ResultPath`.
    pub fn result_path(failure: &PathFailure) -> Self {
        Self { kind: FailureKind::ResultPath, cause: failure.to_string() }
    }
}
