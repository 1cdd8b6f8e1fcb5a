//! JSONata, the other query language of the States Language, as the service runs it.
//!
//! [`Expression::parse`] compiles the text between `{%` and `%}` once; [`Expression::eval`] runs it
//! over what a state can see. The language itself is the crate `jsonata-core`.

mod tree;
mod value;

use std::fmt;
use std::sync::Arc;

use fluxus_schema::Timestamp;
use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError, EvaluatorOptions};
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::Value;

use crate::env;

/// What an expression sees while it is evaluated.
pub struct Scope<'a> {
    /// What `$states` holds.
    pub states: States<'a>,
    /// What `$name` stands for.
    pub variables: &'a dyn env::Variables,
    /// Where `$random`, `$uuid` and `$shuffle` draw from.
    pub entropy: &'a dyn env::Entropy,
    /// What `$now` and `$millis` tell.
    pub now: Timestamp,
}

/// What `$states` holds.
#[derive(Clone, Copy)]
pub struct States<'a> {
    /// `$states.input`.
    pub input: &'a Value,
    /// `$states.result`, where a result is at hand.
    pub result: Option<&'a Value>,
    /// `$states.errorOutput`, inside a catcher.
    pub error_output: Option<&'a Value>,
    /// `$states.context`.
    pub context: &'a dyn env::Context,
}

/// A compiled expression: the text between `{%` and `%}`. Cheap to clone.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    tree: Arc<AstNode>,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// JSONata's error code, such as `S0201`.
    pub code: String,
    /// JSONata's words.
    pub message: String,
    /// Where in the text, in characters, if known.
    pub position: Option<usize>,
}

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    /// JSONata's error code, such as `T2001`.
    pub code: String,
    /// JSONata's words, with their parts filled in.
    pub message: String,
}

impl Error {
    /// Whether all went well, but the result is, or holds, a function.
    pub fn is_no_json(&self) -> bool {
        self.code == value::NO_JSON
    }
}

impl Expression {
    /// Compiles `source`, without its `{%` and `%}`.
    ///
    /// # Errors
    /// [`Invalid`], if the text is no expression.
    pub fn parse(source: &str) -> Result<Self, Invalid> {
        let source = source.trim();
        let tree = parser::parse(source).map_err(|error| {
            let text = error.to_string();
            let (code, message) = split(&text);
            Invalid { code, message, position: None }
        })?;
        Ok(Self { source: source.into(), tree: Arc::new(tree) })
    }

    /// The text, without surrounding space.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What the expression gives; nothing, where it gives nothing (JSONata's `undefined`).
    ///
    /// # Errors
    /// [`Error`], in the words of JSONata.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Option<Value>, Error> {
        let mut context = Context::new();
        tree::visit(&self.tree, &mut |node| {
            let (AstNode::Variable(name) | AstNode::Function { name, .. }) = node else { return };
            if let Some(value) = scope.variables.get(name) {
                context.bind(name.clone(), value::from_json(value));
            }
        });
        context.bind("states".to_owned(), value::states(&scope.states));
        let mut evaluator = Evaluator::with_options(context, EvaluatorOptions::default());
        match evaluator.evaluate(&self.tree, &JValue::Undefined) {
            Ok(result) => value::to_json(&result),
            Err(error) => Err(Error::from(&error)),
        }
    }
}

/// The leading code of a text such as `T2001: The left side ...`, and the rest of it.
fn split(text: &str) -> (String, String) {
    match jsonata_core::evaluator::error_code_prefix(text) {
        Some(code) => (code.to_owned(), text[code.len() + 1..].trim_start().to_owned()),
        None => ("S0500".to_owned(), text.to_owned()),
    }
}

impl From<&EvaluatorError> for Error {
    fn from(error: &EvaluatorError) -> Self {
        let (code, message) = split(error.message());
        Self { code, message }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

const _: () = {
    const fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<Expression>();
};
