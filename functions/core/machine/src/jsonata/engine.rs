//! One evaluation by the engine: its time and its randomness are given, its sizes are bounded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use fluxus_schema::Timestamp;
use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError, EvaluatorOptions};
use jsonata_core::functions::string::build_regex;
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::Value;

use super::bound::Woven;
use super::explain::Watch;
use super::meter::Meter;
use super::random::Draws;
use super::{Compiled, Error, Invalid, Scope, explain, function, message, meter, tree, value};
use crate::env::Entropy;

/// How deep an evaluation may nest, which is the service's own bound: it takes a sum of a hundred
/// numbers and 99 brackets around each other.
const MAX_DEPTH: usize = 100;

/// How long an evaluation may take, which is the service's own bound. A last resort: a slow machine
/// must not fail what a fast one does, so whatever grows is bounded by its size first, and only a
/// loop without an end gets here. Code that is not optimised takes several times as long; fuzzing
/// optimises, though it asserts.
const MAX_MILLIS: u64 = if cfg!(all(debug_assertions, not(fuzzing))) { 5_000 } else { 1_000 };

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
    let bind = |context: &mut Context| compiled.wanted.bind(scope, context);
    let draws = compiled.functions.draws(scope.entropy);
    let input = JValue::Undefined;
    Run { compiled, bind: &bind, input, draws, now: scope.now }.eval()
}

/// What an expression gives with an input document and variables.
pub(super) fn eval_plain(
    compiled: &Compiled,
    input: Option<&Value>,
    variables: &[(String, Value)],
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<Option<Value>, Error> {
    let bind = |context: &mut Context| {
        for (name, value) in variables {
            context.bind(name.clone(), value::from_json(value));
        }
    };
    let draws = compiled.functions.draws(entropy);
    let input = input.map_or(JValue::Undefined, value::from_json);
    Run { compiled, bind: &bind, input, draws, now }.eval()
}

/// An evaluation that can be made again.
struct Run<'a> {
    compiled: &'a Compiled,
    bind: &'a dyn Fn(&mut Context),
    input: JValue,
    draws: Option<Draws>,
    now: Timestamp,
}

impl Run<'_> {
    fn eval(&self) -> Result<Option<Value>, Error> {
        let mut context = Context::new();
        (self.bind)(&mut context);
        let as_values = &self.compiled.woven.as_values;
        let plainer;
        let woven = match as_values.iter().any(|name| context.lookup(name).is_some()) {
            true => {
                let tree = parse(&self.compiled.source).map_err(|_| Error::internal())?;
                plainer = Woven::of(tree, false);
                &plainer
            }
            false => &self.compiled.woven,
        };
        let failure = match self.attempt(&woven.tree, woven.has_bindings, context, None)? {
            Ok(result) => return value::to_json(&result),
            Err(failure) => Error::from(&failure),
        };
        if !explain::is_lacking(&failure) {
            return Err(failure);
        }
        let watch = Rc::new(Watch::default());
        let tree = explain::watched(woven.tree.clone());
        let mut context = Context::new();
        (self.bind)(&mut context);
        match self.attempt(&tree, woven.has_bindings, context, Some(&watch))? {
            Err(again) => Err(watch.explain(&again, failure)),
            Ok(_) => Err(failure),
        }
    }

    fn attempt(
        &self,
        tree: &AstNode,
        has_bindings: bool,
        mut context: Context,
        watch: Option<&Rc<Watch>>,
    ) -> Result<Result<JValue, EvaluatorError>, Error> {
        let Compiled { functions, source, .. } = self.compiled;
        // The service has no `$eval`.
        if functions.names("eval") && context.lookup("eval").is_none() {
            context.bind("eval".to_owned(), JValue::Undefined);
        }
        // A variable takes the place of a function of the same name, whatever stands for that.
        for (name, replaced) in meter::REPLACED {
            let hides = context.lookup(name).filter(|_| functions.names(replaced)).cloned();
            if let Some(value) = hides {
                context.bind(replaced.to_owned(), value);
            }
        }
        // Each eye makes a level more.
        let depth = if watch.is_some() { 3 * MAX_DEPTH } else { MAX_DEPTH };
        let options = EvaluatorOptions {
            timeout_ms: Some(MAX_MILLIS),
            max_stack_depth: Some(depth),
            max_sequence_length: Some(meter::MAX_SEQUENCE),
            cancel: None,
        };
        let evaluated = guarded(|| {
            let mut evaluator = Evaluator::with_options(context, options);
            let meter = Meter::new(source.len(), has_bindings);
            function::register(functions, &mut evaluator, meter, self.draws.as_ref(), self.now)?;
            if let Some(watch) = watch {
                watch.register(&mut evaluator)?;
            }
            evaluator.evaluate(tree, &self.input)
        });
        evaluated.map_err(|()| Error::internal())
    }
}

/// Runs the engine's code. A panic in there is a fault of that one expression, and none of ours.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, ()> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| ())
}
