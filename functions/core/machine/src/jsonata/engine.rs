//! One evaluation by the engine: its time and its randomness are given, its sizes are bounded.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fluxus_schema::Timestamp;
use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorOptions};
use jsonata_core::functions::string::build_regex;
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::Value;

use super::bound::Woven;
use super::meter::Meter;
use super::{Compiled, Error, Invalid, Scope, function, message, meter, tree, value};
use crate::env::Entropy;

/// How deep an evaluation may nest, which is the service's own bound: it takes a sum of a hundred
/// numbers and 99 brackets around each other.
const MAX_DEPTH: usize = 100;

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
    let mut invalid = None;
    tree::visit(&tree, &mut |node| {
        if let AstNode::Regex { pattern, flags } = node {
            invalid = invalid.take().or_else(|| check_regex(pattern, flags).err());
        }
    });
    invalid.map_or(Ok(tree), Err)
}

/// Refuses a regular expression that could not be run.
fn check_regex(pattern: &str, flags: &str) -> Result<(), Invalid> {
    if pattern.is_empty() {
        return Err(message::empty_regex());
    }
    build_regex(pattern, flags).map(|_| ()).map_err(|error| message::regex(pattern, &error))
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
    let functions = &compiled.functions;
    // The service has no `$eval`.
    if functions.names("eval") && context.lookup("eval").is_none() {
        context.bind("eval".to_owned(), JValue::Undefined);
    }
    // A variable takes the place of a function of the same name, whatever stands for that.
    for (name, replaced) in meter::REPLACED {
        if let Some(value) = context.lookup(name).filter(|_| functions.names(replaced)).cloned() {
            context.bind(replaced.to_owned(), value);
        }
    }
    let plainer;
    let woven = match compiled.woven.as_values.iter().any(|name| context.lookup(name).is_some()) {
        true => {
            let tree = parse(&compiled.source).map_err(|_| Error::internal())?;
            plainer = Woven::of(tree, false);
            &plainer
        }
        false => &compiled.woven,
    };
    let options = EvaluatorOptions {
        timeout_ms: Some(MAX_MILLIS),
        max_stack_depth: Some(MAX_DEPTH),
        max_sequence_length: Some(meter::MAX_SEQUENCE),
        cancel: None,
    };
    let evaluated = guarded(|| {
        let mut evaluator = Evaluator::with_options(context, options);
        let meter = Meter::new(compiled.source.len(), woven.has_bindings);
        function::register(functions, &mut evaluator, meter, entropy, now)?;
        evaluator.evaluate(&woven.tree, input)
    });
    let result = evaluated.map_err(|()| Error::internal())?.map_err(|error| Error::from(&error))?;
    value::to_json(&result)
}

/// Runs the engine's code. A panic in there is a fault of that one expression, and none of ours.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, ()> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| ())
}
