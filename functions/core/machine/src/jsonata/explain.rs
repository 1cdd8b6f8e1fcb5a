//! Says what failed in the words of the service, with the values that failed.
//!
//! The engine's own texts leave out which function, operator or value was meant, and some have no
//! code. So a failed evaluation is made once more, with an eye on the arguments of functions and on
//! the operands of operators. It draws the same numbers and has the same time, so it fails the same
//! way, and this time its parts are known.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage};
use jsonata_core::evaluator::{Evaluator, EvaluatorError};
use jsonata_core::value::{JValue, with_stack};

use super::{Error, function, meter, signature, tree};

/// `ARGUMENT(value)`: an argument of a function, or the left of an operator.
const ARGUMENT: &str = "watch argument";
/// `CALL(function, types, $, value)`: the last of a function's arguments.
const CALL: &str = "watch call";
/// `OPERATOR(operator, value)`: the right of an operator.
const OPERATOR: &str = "watch operator";
/// `NEGATED(value)`: what a minus stands before.
const NEGATED: &str = "watch negation";
/// `UPDATE(value)`: what a transform puts in.
const UPDATE: &str = "watch update";
/// `DELETION(value)`: what a transform leaves out.
const DELETION: &str = "watch deletion";

const ALL: [&str; 6] = [ARGUMENT, CALL, OPERATOR, NEGATED, UPDATE, DELETION];

/// In `types`: an argument that is watched, and one that is a function by the look of it.
const WATCHED: char = 'w';
const FUNCTION: char = 'f';

/// The codes whose texts hold more than the engine says.
const LACKING: [&str; 15] = [
    "D1001", "D1002", "D3030", "D3100", "S0500", "T0410", "T0411", "T0412", "T2001", "T2002",
    "T2009", "T2010", "T2011", "T2012", "",
];

/// What an evaluation that is watched has seen.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Arguments and operands that wait for the last of them.
    waiting: RefCell<Vec<JValue>>,
    /// The arguments of the last function that was called.
    last: RefCell<Option<(String, Vec<JValue>)>>,
}

/// Whether a failure has more to it than its text says.
pub(super) fn is_lacking(error: &Error) -> bool {
    !error.code.is_empty() && LACKING.contains(&error.code.as_str())
}

/// The tree with an eye on arguments and operands.
pub(super) fn watched(tree: AstNode) -> AstNode {
    let named = tree::named(&tree);
    Watcher { named }.node(tree)
}

impl Watch {
    /// Gives the engine what it reports to.
    pub(super) fn register(
        self: &Rc<Self>,
        evaluator: &mut Evaluator,
    ) -> Result<(), EvaluatorError> {
        for name in ALL {
            let watch = Rc::clone(self);
            evaluator.register_fn(name, move |args: &[JValue]| watch.see(name, args))?;
        }
        Ok(())
    }

    fn see(&self, name: &str, args: &[JValue]) -> Result<JValue, EvaluatorError> {
        let value = args.last().unwrap_or(&JValue::Undefined);
        let text = |index: usize| args.get(index).and_then(JValue::as_str).unwrap_or_default();
        let fault = match name {
            ARGUMENT => {
                self.waiting.borrow_mut().push(value.clone());
                None
            }
            CALL => self.call(text(0), text(1), args.get(2), value),
            OPERATOR => {
                let left = self.waiting.borrow_mut().pop().unwrap_or(JValue::Undefined);
                operands(text(0), &left, value)
            }
            NEGATED if !matches!(value, JValue::Number(_) | JValue::Undefined) => {
                Some(format!("D1002: Cannot negate a non-numeric value: {}", shown(value)))
            }
            UPDATE if !matches!(value, JValue::Object(_) | JValue::Undefined) => Some(format!(
                "T2011: The insert/update clause of the transform expression must evaluate to an \
                 object: {}",
                shown(value)
            )),
            DELETION if !is_names(value) => Some(format!(
                "T2012: The delete clause of the transform expression must evaluate to a string or \
                 array of strings: {}",
                shown(value)
            )),
            _ => None,
        };
        fault.map_or_else(|| Ok(value.clone()), |text| Err(EvaluatorError::EvaluationError(text)))
    }

    fn call(
        &self,
        name: &str,
        types: &str,
        context: Option<&JValue>,
        value: &JValue,
    ) -> Option<String> {
        let mut waiting = self.waiting.borrow_mut();
        let count = types.chars().filter(|one| *one == WATCHED).count();
        if count > 0 {
            waiting.push(value.clone());
        }
        let from = waiting.len().saturating_sub(count);
        let mut values = waiting.drain(from..);
        let function = || JValue::builtin(name);
        let args: Vec<_> =
            types
                .chars()
                .map(|one| {
                    if one == FUNCTION {
                        function()
                    } else {
                        values.next().unwrap_or_else(function)
                    }
                })
                .collect();
        let fault = signature::fault(name, &args, context.unwrap_or(&JValue::Undefined));
        *self.last.borrow_mut() = Some((name.to_owned(), args));
        fault
    }

    /// The failure of the watched evaluation, or `plain` where that failed in another way.
    pub(super) fn explain(&self, again: &EvaluatorError, plain: Error) -> Error {
        let again = Error::from(again);
        let is_same = again.code == plain.code || plain.is_uncoded();
        if again.code.is_empty() || again.is_uncoded() || !is_same {
            return plain;
        }
        let last = self.last.borrow();
        let (name, args) = last.as_ref().map_or(("", &[][..]), |(name, args)| (name, args));
        let message = match (again.code.as_str(), name, args) {
            ("D3030", "number", [value, ..]) => {
                format!("Unable to cast value to a number: {}", shown(value))
            }
            ("D3100", "formatBase", [_, radix, ..]) => format!(
                "The radix of the formatBase function must be between 2 and 36.  It was given {}",
                shown(radix)
            ),
            _ => again.message,
        };
        Error { code: again.code, message }
    }
}

/// A value as it stands in a text.
fn shown(value: &JValue) -> String {
    match value {
        JValue::Number(number) if !number.is_finite() => super::value::number(*number).to_string(),
        JValue::Undefined => "undefined".to_owned(),
        other => other.to_json_string().unwrap_or_default(),
    }
}

/// What is wrong about the operands of an operator.
fn operands(operator: &str, left: &JValue, right: &JValue) -> Option<String> {
    if !operator.starts_with(['<', '>']) {
        return [("T2001", "left", left), ("T2002", "right", right)].into_iter().find_map(
            |(code, side, value)| match value {
                JValue::Undefined => None,
                JValue::Number(number) if number.is_infinite() => {
                    Some(format!("D1001: Number out of range: {}", shown(value)))
                }
                JValue::Number(number) if !number.is_nan() => None,
                _ => Some(format!(
                    "{code}: The {side} side of the \"{operator}\" operator must evaluate to a \
                     number"
                )),
            },
        );
    }
    let is_comparable =
        |value| matches!(value, &JValue::Number(_) | &JValue::String(_) | &JValue::Undefined);
    if !is_comparable(left) || !is_comparable(right) {
        return Some(format!(
            "T2010: The expressions either side of operator \"{operator}\" must evaluate to \
             numeric or string values"
        ));
    }
    let differ = matches!(
        (left, right),
        (JValue::Number(_), JValue::String(_)) | (JValue::String(_), JValue::Number(_))
    );
    differ.then(|| {
        format!(
            "T2009: The values {} and {} either side of operator \"{operator}\" must be of the \
             same data type",
            shown(left),
            shown(right)
        )
    })
}

fn is_names(value: &JValue) -> bool {
    match value {
        JValue::String(_) | JValue::Undefined => true,
        JValue::Array(items) => items.iter().all(JValue::is_string),
        _ => false,
    }
}

/// The sign of an operator whose operands are watched.
fn sign(op: BinaryOp) -> Option<&'static str> {
    Some(match op {
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Modulo => "%",
        BinaryOp::LessThan => "<",
        BinaryOp::LessThanOrEqual => "<=",
        BinaryOp::GreaterThan => ">",
        BinaryOp::GreaterThanOrEqual => ">=",
        _ => return None,
    })
}

fn call(name: &str, args: Vec<AstNode>) -> AstNode {
    AstNode::Function { name: name.to_owned(), args, is_builtin: true }
}

fn text(text: impl Into<String>) -> AstNode {
    AstNode::String(text.into())
}

struct Watcher {
    /// The names that the expression gives to values of its own.
    named: BTreeSet<String>,
}

impl Watcher {
    fn node(&self, node: AstNode) -> AstNode {
        with_stack(|| self.watched(node))
    }

    fn boxed(&self, node: AstNode) -> Box<AstNode> {
        Box::new(self.node(node))
    }

    fn nodes(&self, nodes: Vec<AstNode>) -> Vec<AstNode> {
        nodes.into_iter().map(|node| self.node(node)).collect()
    }

    fn pairs(&self, pairs: Vec<(AstNode, AstNode)>) -> Vec<(AstNode, AstNode)> {
        pairs.into_iter().map(|(key, value)| (self.node(key), self.node(value))).collect()
    }

    fn watched(&self, node: AstNode) -> AstNode {
        match node {
            AstNode::Path { steps } => {
                AstNode::Path { steps: steps.into_iter().map(|step| self.step(step)).collect() }
            }
            AstNode::Binary { op: BinaryOp::ChainPipe, lhs, rhs } => self.chain(*lhs, *rhs),
            AstNode::Binary { op, lhs, rhs } => {
                let (mut lhs, mut rhs) = (self.boxed(*lhs), self.boxed(*rhs));
                if let Some(sign) = sign(op) {
                    lhs = Box::new(call(ARGUMENT, vec![*lhs]));
                    rhs = Box::new(call(OPERATOR, vec![text(sign), *rhs]));
                }
                AstNode::Binary { op, lhs, rhs }
            }
            AstNode::Unary { op, operand } => {
                let operand = Box::new(call(NEGATED, vec![self.node(*operand)]));
                AstNode::Unary { op, operand }
            }
            AstNode::Function { name, args, is_builtin } => self.function(name, args, is_builtin),
            AstNode::Call { procedure, args } => {
                AstNode::Call { procedure: self.boxed(*procedure), args: self.nodes(args) }
            }
            AstNode::Lambda { params, body, signature, thunk } => {
                AstNode::Lambda { params, body: self.boxed(*body), signature, thunk }
            }
            AstNode::Array(items) => AstNode::Array(self.nodes(items)),
            AstNode::ArrayGroup(items) => AstNode::ArrayGroup(self.nodes(items)),
            AstNode::Block(items) => AstNode::Block(self.nodes(items)),
            AstNode::Object(pairs) => AstNode::Object(self.pairs(pairs)),
            AstNode::ObjectTransform { input, pattern } => {
                AstNode::ObjectTransform { input: self.boxed(*input), pattern: self.pairs(pattern) }
            }
            AstNode::Conditional { condition, then_branch, else_branch } => AstNode::Conditional {
                condition: self.boxed(*condition),
                then_branch: self.boxed(*then_branch),
                else_branch: else_branch.map(|other| self.boxed(*other)),
            },
            AstNode::FunctionApplication(inner) => AstNode::FunctionApplication(self.boxed(*inner)),
            AstNode::Sort { input, terms } => AstNode::Sort {
                input: self.boxed(*input),
                terms: terms.into_iter().map(|(term, up)| (self.node(term), up)).collect(),
            },
            AstNode::Transform { location, update, delete } => AstNode::Transform {
                location: self.boxed(*location),
                update: Box::new(call(UPDATE, vec![self.node(*update)])),
                delete: delete.map(|one| Box::new(call(DELETION, vec![self.node(*one)]))),
            },
            other => other,
        }
    }

    fn step(&self, mut step: PathStep) -> PathStep {
        step.node = self.node(step.node);
        let stages = step.stages.into_iter().map(|stage| match stage {
            Stage::Filter(filter) => Stage::Filter(self.boxed(*filter)),
            other => other,
        });
        step.stages = stages.collect();
        step
    }

    /// The function of the language that the name stands for, if it does for one.
    fn language<'a>(&self, name: &'a str) -> Option<&'a str> {
        let original = meter::REPLACED.iter().find(|(_, replaced)| *replaced == name);
        let name = original.map_or(name, |(name, _)| name);
        let is_language = signature::of(name).is_some() && !function::is_ours(name);
        (is_language && name != "eval" && !self.named.contains(name)).then_some(name)
    }

    fn function(&self, name: String, args: Vec<AstNode>, is_builtin: bool) -> AstNode {
        let is_partial = args.iter().any(|one| matches!(one, AstNode::Placeholder));
        let known = self.language(&name).filter(|_| is_builtin && !is_partial).map(str::to_owned);
        let Some(known) = known else {
            return AstNode::Function { name, args: self.nodes(args), is_builtin };
        };
        let args: Vec<_> = args.into_iter().map(|argument| self.applied(argument)).collect();
        let is_function = |one: &AstNode| match one {
            AstNode::Lambda { .. } | AstNode::Transform { .. } | AstNode::Regex { .. } => true,
            AstNode::Variable(name) => self.language(name).is_some() || function::is_ours(name),
            _ => false,
        };
        let types: String =
            args.iter().map(|one| if is_function(one) { FUNCTION } else { WATCHED }).collect();
        if args.is_empty() && signature::of(&known).is_some_and(|one| one.contains('-')) {
            // The context stands in, so it is looked at first.
            let dollar = AstNode::Variable(String::new());
            let look = call(CALL, vec![text(known), text(""), dollar.clone(), dollar]);
            return AstNode::Block(vec![look, AstNode::Function { name, args, is_builtin }]);
        }
        let last = types.rfind(WATCHED);
        let args = args.into_iter().enumerate().map(|(index, argument)| {
            if is_function(&argument) {
                argument
            } else if Some(index) == last {
                let dollar = AstNode::Variable(String::new());
                call(CALL, vec![text(known.as_str()), text(types.as_str()), dollar, argument])
            } else {
                call(ARGUMENT, vec![argument])
            }
        });
        AstNode::Function { name, args: args.collect(), is_builtin }
    }

    /// An argument, where a function of one parameter is put into a function that can be watched.
    fn applied(&self, argument: AstNode) -> AstNode {
        if let AstNode::Variable(name) = &argument
            && self.language(name).is_some_and(signature::takes_one)
        {
            let param = "argument 1".to_owned();
            let args = vec![AstNode::Variable(param.clone())];
            let body = Box::new(self.function(name.clone(), args, true));
            return AstNode::Lambda { params: vec![param], body, signature: None, thunk: false };
        }
        self.node(argument)
    }

    /// `lhs ~> $f(x)` is `$f(lhs, x)`.
    fn chain(&self, lhs: AstNode, rhs: AstNode) -> AstNode {
        match rhs {
            AstNode::Function { name, args, is_builtin: true }
                if self.language(&name).is_some()
                    && !args.iter().any(|one| matches!(one, AstNode::Placeholder)) =>
            {
                let mut all = vec![lhs];
                all.extend(args);
                self.function(name, all, true)
            }
            AstNode::Variable(name) if self.language(&name).is_some() => {
                self.function(name, vec![lhs], true)
            }
            AstNode::Function { name, args, is_builtin } => AstNode::Binary {
                op: BinaryOp::ChainPipe,
                lhs: self.boxed(lhs),
                rhs: Box::new(AstNode::Function { name, args: self.nodes(args), is_builtin }),
            },
            other => AstNode::Binary {
                op: BinaryOp::ChainPipe,
                lhs: self.boxed(lhs),
                rhs: self.boxed(other),
            },
        }
    }
}
