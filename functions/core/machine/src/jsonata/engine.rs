//! One evaluation by the engine: its time and its randomness are given, its sizes are bounded.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fluxus_schema::Timestamp;
use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorOptions};
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::Value;

use super::{Compiled, Error, Invalid, Scope, function, message, tree, value};
use crate::env::Entropy;

/// How deep an evaluation may nest, which is the service's own bound: it takes a sum of a hundred
/// numbers and 99 brackets around each other.
const MAX_DEPTH: usize = 100;

/// How many items a sequence may have. The service takes `[1..873782]` and refuses one item more.
const MAX_SEQUENCE: usize = 873_782;

/// How long an evaluation may take. A last resort: a slow machine must not fail what a fast one
/// does, so whatever grows is bounded by its size first. Only a loop without an end gets here.
const MAX_MILLIS: u64 = 1_000;

/// Reads an expression.
pub(super) fn parse(source: &str) -> Result<AstNode, Invalid> {
    let parsed = guarded(|| parser::parse(source));
    let Ok(parsed) = parsed else {
        let code = "S0500".to_owned();
        let message = "The expression cannot be read".to_owned();
        return Err(Invalid { code, message, position: None, further: Vec::new() });
    };
    let tree = parsed.map_err(|error| message::invalid(source, &error))?;
    let mut is_valid = true;
    tree::visit(&tree, &mut |node| {
        is_valid &= !matches!(node, AstNode::Regex { pattern, .. } if pattern.is_empty());
    });
    if is_valid { Ok(tree) } else { Err(message::empty_regex()) }
}

/// What an expression gives with `$states` and the variables at hand.
pub(super) fn eval(compiled: &Compiled, scope: &Scope<'_>) -> Result<Option<Value>, Error> {
    let mut context = Context::new();
    compiled.wanted.bind(scope, &mut context);
    run(compiled, context, &JValue::Undefined, scope.entropy, scope.now)
}

/// What an expression gives with an input document and variables.
pub(super) fn eval_plain(
    compiled: &Compiled,
    input: Option<&Value>,
    variables: &[(String, Value)],
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<Option<Value>, Error> {
    let mut context = Context::new();
    for (name, value) in variables {
        context.bind(name.clone(), value::from_json(value));
    }
    let input = input.map_or(JValue::Undefined, value::from_json);
    run(compiled, context, &input, entropy, now)
}

fn run(
    compiled: &Compiled,
    mut context: Context,
    input: &JValue,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<Option<Value>, Error> {
    // The service has no `$eval`.
    if compiled.functions.names("eval") && context.lookup("eval").is_none() {
        context.bind("eval".to_owned(), JValue::Undefined);
    }
    let options = EvaluatorOptions {
        timeout_ms: Some(MAX_MILLIS),
        max_stack_depth: Some(MAX_DEPTH),
        max_sequence_length: Some(MAX_SEQUENCE),
        cancel: None,
    };
    let evaluated = guarded(|| {
        let mut evaluator = Evaluator::with_options(context, options);
        function::register(&compiled.functions, &mut evaluator, entropy, now)?;
        evaluator.evaluate(&compiled.tree, input)
    });
    let result = evaluated.map_err(|()| Error::internal())?.map_err(|error| Error::from(&error))?;
    value::to_json(&result)
}

/// Runs the engine's code. A panic in there is a fault of that one expression, and none of ours.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, ()> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| ())
}
