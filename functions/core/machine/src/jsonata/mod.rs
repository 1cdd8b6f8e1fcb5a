//! JSONata, the other query language of the States Language, as the service runs it.
//!
//! [`Expression::parse`] compiles the text between `{%` and `%}` once; [`Expression::eval`] runs it
//! over what a state can see. The language itself is the crate `jsonata-core`, at version 2.2 of the
//! language; the service runs 2.0.6, less `$eval`, plus six functions of its own (`function.rs`).
//!
//! What happens at which place:
//! - `refuse.rs`: what the service refuses when a definition is created: `$`, `$$` and bare names at
//!   the top level, and the operators that came after 2.0.6.
//! - `direct.rs`: paths, literals and constructors of both, which are most expressions in practice,
//!   are answered from the JSON itself. They keep every digit of an integer.
//! - `wanted.rs`: for all others, only what an expression mentions of `$states` and of the variables
//!   is handed over, as JSONata's own values: numbers are doubles there, so an integer past 2^53 is
//!   rounded, as `$states.input.n + 0` is on the service.
//! - `bound.rs` and `meter.rs`: checks in the expression itself, so that it does not take too much
//!   room.
//! - `engine.rs`: one evaluation, its time and randomness given, its depth and its time bounded.
//! - `message.rs` and `explain.rs`: failures in the words of the service, with the values that failed.
//!
//! What differs from the service, as far as is known:
//! - An integer past 2^53 that goes through the engine, as in `$map(...)`, is rounded.
//! - A regular expression has no look-around and no reference back, and is refused with that word.
//!   `\s` takes every space of Unicode, not only those of ASCII.
//! - A transform, `|...|...|`, changes every object that equals one of those it is to change.
//! - `$parse` takes no text in single quotes. `$base64decode` gives nothing for what it cannot read.
//! - Text is counted in characters, not in halves of surrogate pairs, and holds no such half.
//! - Bounds on depth, on a sequence and on a text lie where the service's do, by about one; that on
//!   all room together is ours.
//!
//! Of the language's own suite, run by `tests/jsonata_suite.rs`, what calls `$eval` fails, and what
//! goes past the bounds.
//!
//! Source: AWS Step Functions Developer Guide, "Transforming data with JSONata".

mod bound;
mod direct;
mod engine;
mod explain;
mod function;
mod message;
mod meter;
mod random;
mod refuse;
mod replaced;
mod signature;
#[cfg(test)]
mod tests;
mod tree;
mod value;
mod wanted;

use std::fmt;
use std::sync::Arc;

use fluxus_schema::Timestamp;
use jsonata_core::ast::AstNode;
use serde_json::Value;

use self::bound::Woven;
use self::direct::Plan;
use self::wanted::Wanted;
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

impl<'a> States<'a> {
    /// What `$states` may hold.
    const FIELDS: [&'static str; 4] = ["input", "result", "errorOutput", "context"];

    /// The context object is built when it is first asked for.
    fn get(&self, field: &str) -> Option<&'a Value> {
        match field {
            "input" => Some(self.input),
            "result" => self.result,
            "errorOutput" => self.error_output,
            "context" => Some(self.context.get()),
            _ => None,
        }
    }
}

/// A compiled expression: the text between `{%` and `%}`. Cheap to clone.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

/// What parsing finds out once.
struct Compiled {
    source: Box<str>,
    woven: Woven,
    /// How to answer without the engine, where that can be.
    plan: Option<Plan>,
    wanted: Wanted,
    functions: function::Used,
}

/// Why a text is no expression, or none that the service takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// JSONata's error code, such as `S0202`; [`Invalid::UNSUPPORTED`] where the text is an
    /// expression that the service does not take.
    pub code: String,
    /// JSONata's words, or the service's.
    pub message: String,
    /// Where in the text, in characters, if known.
    pub position: Option<usize>,
    /// Further messages of the same code, in the order of the text.
    pub further: Vec<String>,
}

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// JSONata's error code, such as `T2001`. Empty for a bound that was reached, which the service
    /// reports without one.
    pub code: String,
    /// JSONata's words, with their parts filled in.
    pub message: String,
}

impl Invalid {
    /// The code of an expression that JSONata takes and the service does not.
    pub const UNSUPPORTED: &str = "UNSUPPORTED_JSONATA_EXPRESSION";

    /// The code of the service's diagnostic.
    pub fn diagnostic(&self) -> &'static str {
        if self.code == Self::UNSUPPORTED {
            Self::UNSUPPORTED
        } else {
            "INVALID_JSONATA_EXPRESSION"
        }
    }
}

impl Error {
    /// Whether all went well, but the result is, or holds, a function.
    pub fn is_no_json(&self) -> bool {
        self.code == value::NO_JSON
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.code.is_empty() {
            write!(f, "{}: ", self.code)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl Expression {
    /// Compiles `source`, without its `{%` and `%}`.
    ///
    /// # Errors
    /// [`Invalid`], if the text is no expression, or reads what the service has not got: `$`, `$$`
    /// or a bare name at the top level.
    pub fn parse(source: &str) -> Result<Self, Invalid> {
        let source = source.trim();
        let tree = engine::parse(source)?;
        refuse::check(&tree)?;
        Ok(Self::compile(source, tree))
    }

    /// Compiles an expression of the language as such, without the service's refusals: for the
    /// language's own test suite, whose expressions have an input document.
    ///
    /// # Errors
    /// [`Invalid`], if the text is no expression.
    pub fn parse_plain(source: &str) -> Result<Self, Invalid> {
        let source = source.trim();
        Ok(Self::compile(source, engine::parse(source)?))
    }

    fn compile(source: &str, tree: AstNode) -> Self {
        let (plan, wanted) = (Plan::of(&tree), Wanted::by(&tree));
        let woven = Woven::of(tree, true);
        let functions = function::Used::by(&woven.tree);
        Self(Arc::new(Compiled { source: source.into(), woven, plan, wanted, functions }))
    }

    /// The text, without surrounding space.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether a path of the expression starts with `$states.` and this field.
    pub fn reads_states(&self, field: &str) -> bool {
        self.0.wanted.names_states_field(field)
    }

    /// What the expression gives; nothing, where it gives nothing (JSONata's `undefined`).
    ///
    /// # Errors
    /// [`Error`], in the words of the service.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Option<Value>, Error> {
        if let Some(plan) = self.0.plan.as_ref().filter(|plan| plan.fits(scope)) {
            return Ok(plan.eval(scope));
        }
        engine::eval(&self.0, scope)
    }

    /// Evaluates an expression of [`Expression::parse_plain`] over an input document.
    ///
    /// # Errors
    /// [`Error`], in the words of the service.
    pub fn eval_plain(
        &self,
        input: Option<&Value>,
        variables: &[(String, Value)],
        entropy: &dyn env::Entropy,
        now: Timestamp,
    ) -> Result<Option<Value>, Error> {
        engine::eval_plain(&self.0, input, variables, entropy, now)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source()).finish()
    }
}

const _: () = {
    const fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<Expression>();
};
