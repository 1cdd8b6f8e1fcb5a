//! Weaves checks into an expression, so that no evaluation takes too much room.
//!
//! The engine bounds depth, the length of a sequence and time, but not memory: a few characters can
//! ask for a text of a gigabyte, or double an array forty times. So calls of our own (`meter.rs`)
//! are put around what makes values. Their names hold a space, which no expression can spell.
//!
//! - Every text, array and object that is made is counted, until the function or the step that made
//!   it is done: then only its result counts on.
//! - Arguments that say how much is to be made are looked at before it is made.
//! - Four functions of the engine are replaced: two take quadratic time, one reads a clock, and one
//!   differs on the service.
//!
//! Where every part of an expression runs once and nothing is named twice, the first is left out.

use std::collections::BTreeSet;

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage};
use jsonata_core::value::with_stack;

use super::{function, meter, tree};

/// An expression with its checks.
#[derive(Debug)]
pub(super) struct Woven {
    pub(super) tree: AstNode,
    /// Whether values carry others along: `items@$i`.
    pub(super) has_bindings: bool,
    /// Functions that the expression names as values, and that are wrapped where it does. Where a
    /// variable has the same name, the expression has to be woven again without that.
    pub(super) as_values: BTreeSet<&'static str>,
}

/// Which way a value goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To where the engine looks at what stands there, or where nothing is kept.
    Bare,
    /// To where it may be kept.
    Value,
    /// Into a call that ends a function: it takes the place of what was there before.
    Argument,
    /// Out of a function that may end with a call.
    Tail,
}

/// The functions with checks of their own, by name; how many arguments they take; and what replaces
/// them.
const GUARDED: [(&str, usize); 10] = [
    ("decodeUrlComponent", 1),
    ("distinct", 1),
    ("fromMillis", 3),
    ("join", 2),
    ("keys", 1),
    ("match", 3),
    ("pad", 3),
    ("replace", 4),
    ("split", 3),
    ("toMillis", 2),
];

/// Functions that make numbers and truths, or nothing at all, and nothing that grows.
const SCALAR: [&str; 24] = [
    "abs",
    "assert",
    "average",
    "boolean",
    "ceil",
    "contains",
    "count",
    "error",
    "exists",
    "floor",
    "length",
    "max",
    "millis",
    "min",
    "not",
    "number",
    "parseInteger",
    "power",
    "random",
    "round",
    "sqrt",
    "sum",
    "toMillis",
    "type",
];

/// Functions that apply another to many values.
const APPLYING: [&str; 7] = ["each", "filter", "map", "reduce", "sift", "single", "sort"];

/// How many parts a constructor may have that is not counted.
const FEW: usize = 16;

impl Woven {
    /// Puts the checks in. `with_values` wraps functions that are named as values.
    pub(super) fn of(tree: AstNode, with_values: bool) -> Self {
        let mut weaver = Weaver {
            is_counted: is_counted(&tree),
            named: tree::named(&tree),
            with_values,
            as_values: BTreeSet::new(),
            checks: 0,
        };
        let mut has_bindings = false;
        tree::visit(&tree, &mut |node| {
            let AstNode::Path { steps } = node else { return };
            has_bindings |= steps.iter().any(|step| step.is_tuple || step.focus.is_some());
        });
        let tree = weaver.node(tree, Place::Value);
        Self { tree, has_bindings, as_values: weaver.as_values }
    }
}

/// Whether a part may run more than once, or a value be used more than once.
fn is_counted(tree: &AstNode) -> bool {
    let mut counted = false;
    tree::visit(tree, &mut |node| {
        counted |= match node {
            AstNode::Lambda { .. }
            | AstNode::ObjectTransform { .. }
            | AstNode::Transform { .. } => true,
            AstNode::Binary { op, .. } => matches!(op, BinaryOp::ColonEqual | BinaryOp::Range),
            AstNode::Function { name, .. } => APPLYING.contains(&name.as_str()),
            AstNode::Path { steps } => {
                steps.iter().skip(1).any(|step| !is_plain(step) || step.focus.is_some())
            }
            AstNode::Array(parts) | AstNode::ArrayGroup(parts) => parts.len() > FEW,
            AstNode::Object(parts) => parts.len() > FEW,
            _ => false,
        };
    });
    counted
}

/// Whether a step only picks what is there.
fn is_plain(step: &PathStep) -> bool {
    matches!(
        step.node,
        AstNode::Name(_) | AstNode::String(_) | AstNode::Wildcard | AstNode::Descendant
    )
}

/// Whether the node's value is one of a few bytes, or made of parts that are counted themselves.
fn is_small(node: &AstNode) -> bool {
    match node {
        AstNode::String(_)
        | AstNode::Number(_)
        | AstNode::Boolean(_)
        | AstNode::Null
        | AstNode::Undefined
        | AstNode::Regex { .. }
        | AstNode::Unary { .. }
        | AstNode::Array(_)
        | AstNode::Object(_)
        | AstNode::Placeholder => true,
        AstNode::Binary { op, .. } => {
            !matches!(op, BinaryOp::Concatenate | BinaryOp::Range | BinaryOp::ChainPipe)
        }
        _ => false,
    }
}

struct Weaver {
    is_counted: bool,
    named: BTreeSet<String>,
    with_values: bool,
    as_values: BTreeSet<&'static str>,
    /// How many checks have been put in.
    checks: usize,
}

fn call(name: &str, args: Vec<AstNode>) -> AstNode {
    AstNode::Function { name: name.to_owned(), args, is_builtin: true }
}

fn boxed(node: AstNode) -> Box<AstNode> {
    Box::new(node)
}

impl Weaver {
    /// The node with its checks. A tree may be as deep as the parser lets it be.
    fn node(&mut self, node: AstNode, place: Place) -> AstNode {
        with_stack(|| self.woven(node, place))
    }

    fn nodes(&mut self, nodes: Vec<AstNode>, place: Place) -> Vec<AstNode> {
        nodes.into_iter().map(|node| self.node(node, place)).collect()
    }

    fn woven(&mut self, node: AstNode, place: Place) -> AstNode {
        match node {
            AstNode::Path { steps } => {
                let makes = !steps.iter().skip(1).all(is_plain);
                let steps = steps.into_iter().map(|step| self.step(step)).collect();
                let path = AstNode::Path { steps };
                if makes { self.counted(path, place) } else { path }
            }
            AstNode::Binary { op: BinaryOp::ChainPipe, lhs, rhs } => self.chain(*lhs, *rhs, place),
            AstNode::Binary { op, lhs, rhs } => {
                let lhs = match op {
                    BinaryOp::ColonEqual => lhs,
                    _ => boxed(self.node(*lhs, Place::Value)),
                };
                let rhs = boxed(self.node(*rhs, Place::Value));
                let binary = AstNode::Binary { op, lhs, rhs };
                match op {
                    BinaryOp::Concatenate | BinaryOp::Range => self.counted(binary, place),
                    _ => binary,
                }
            }
            AstNode::Unary { op, operand } => {
                AstNode::Unary { op, operand: boxed(self.node(*operand, Place::Value)) }
            }
            AstNode::Function { name, args, is_builtin } => {
                self.function(name, args, is_builtin, place)
            }
            AstNode::Call { procedure, args } => AstNode::Call {
                procedure: boxed(self.node(*procedure, Place::Bare)),
                args: self.nodes(args, argument(place)),
            },
            AstNode::Lambda { .. } => self.lambda(node, meter::LEAVE),
            AstNode::Array(items) => AstNode::Array(self.items(items)),
            AstNode::ArrayGroup(items) => AstNode::ArrayGroup(self.items(items)),
            AstNode::Object(fields) => AstNode::Object(self.fields(fields, Place::Value)),
            AstNode::ObjectTransform { input, pattern } => {
                let input = boxed(self.node(*input, Place::Bare));
                let pattern = self.fields(pattern, Place::Bare);
                self.counted(AstNode::ObjectTransform { input, pattern }, place)
            }
            AstNode::Block(mut items) => {
                let last = items.pop().map(|last| self.node(last, place));
                let mut items = self.nodes(items, Place::Value);
                items.extend(last);
                AstNode::Block(items)
            }
            AstNode::Conditional { condition, then_branch, else_branch } => AstNode::Conditional {
                condition: boxed(self.node(*condition, Place::Value)),
                then_branch: boxed(self.node(*then_branch, place)),
                else_branch: else_branch.map(|other| boxed(self.node(*other, place))),
            },
            AstNode::FunctionApplication(inner) => {
                AstNode::FunctionApplication(boxed(self.node(*inner, Place::Bare)))
            }
            AstNode::Sort { input, terms } => AstNode::Sort {
                input: boxed(self.node(*input, Place::Bare)),
                terms: terms
                    .into_iter()
                    .map(|(term, ascends)| (self.node(term, Place::Bare), ascends))
                    .collect(),
            },
            AstNode::Transform { location, update, delete } => AstNode::Transform {
                location: boxed(self.node(*location, Place::Bare)),
                update: boxed(self.node(*update, Place::Bare)),
                delete: delete.map(|delete| boxed(self.node(*delete, Place::Bare))),
            },
            AstNode::Variable(name) => self.value(&name).unwrap_or(AstNode::Variable(name)),
            other => other,
        }
    }

    /// Counts what the node makes, where its value may be kept.
    fn counted(&mut self, node: AstNode, place: Place) -> AstNode {
        let name = match place {
            _ if !self.is_counted => return node,
            Place::Bare => return node,
            Place::Value | Place::Tail => meter::KEEP,
            Place::Argument => meter::LIMIT,
        };
        self.checks += 1;
        call(name, vec![node])
    }

    /// A step of a path, and what stands in its brackets. The step's body runs for every value.
    fn step(&mut self, mut step: PathStep) -> PathStep {
        step.node = match step.node {
            // What a step gives goes on with bindings: each value of one with each of the other.
            node @ AstNode::Name(_) if step.focus.is_some() => {
                let path = AstNode::Path { steps: vec![PathStep::new(node)] };
                AstNode::FunctionApplication(boxed(self.counted(path, Place::Value)))
            }
            AstNode::FunctionApplication(inner) if self.is_counted && !step.inner_tuple => {
                AstNode::FunctionApplication(boxed(self.leaving(meter::LEAVE, *inner)))
            }
            node => self.node(node, Place::Bare),
        };
        let stages = step.stages.into_iter().map(|stage| match stage {
            Stage::Filter(filter) => Stage::Filter(boxed(self.node(*filter, Place::Bare))),
            other => other,
        });
        step.stages = stages.collect();
        step
    }

    /// The items of an array constructor, which copies the items of an array into the new one.
    fn items(&mut self, items: Vec<AstNode>) -> Vec<AstNode> {
        let count = items.len();
        let woven = items.into_iter().map(|item| {
            if !self.is_counted || is_small(&item) || matches!(item, AstNode::Lambda { .. }) {
                return self.node(item, Place::Bare);
            }
            let item = self.node(item, Place::Bare);
            self.checks += 1;
            call(meter::ITEM, vec![AstNode::Number(count as f64), item])
        });
        woven.collect()
    }

    /// The fields of an object constructor. Nothing but their values is counted, as nothing else
    /// grows.
    fn fields(&mut self, fields: Vec<(AstNode, AstNode)>, keys: Place) -> Vec<(AstNode, AstNode)> {
        let woven = fields.into_iter().map(|(key, value)| {
            let key = self.node(key, keys);
            let is_small = is_small(&value) || matches!(value, AstNode::Lambda { .. });
            let value = self.node(value, Place::Bare);
            let value = if is_small { value } else { self.counted(value, Place::Value) };
            (key, value)
        });
        woven.collect()
    }

    /// A function that an expression defines. What it makes on the way counts until it is done.
    fn lambda(&mut self, lambda: AstNode, leave: &str) -> AstNode {
        let AstNode::Lambda { params, body, signature, thunk } = lambda else { return lambda };
        // A call at the end takes the place of the function that it ends, so nothing may wait for
        // it.
        if self.ends_with_call(&body) {
            let body = boxed(self.node(*body, Place::Tail));
            return AstNode::Lambda { params, body, signature, thunk };
        }
        let body = boxed(self.leaving(leave, *body));
        let thunk = thunk && !is_check(&body);
        AstNode::Lambda { params, body, signature, thunk }
    }

    /// A body that runs many times. What it makes on the way is let go of when it is done.
    fn leaving(&mut self, leave: &str, body: AstNode) -> AstNode {
        let before = self.checks;
        let body = self.node(body, Place::Bare);
        if self.checks > before {
            self.checks += 1;
            return call(leave, vec![call(meter::ENTER, Vec::new()), body]);
        }
        match &body {
            _ if is_small(&body) => body,
            AstNode::Variable(_) => body,
            AstNode::Function { name, .. } if SCALAR.contains(&name.as_str()) => body,
            _ if leave == meter::LEAVE => self.counted(body, Place::Value),
            _ => self.counted(body, Place::Argument),
        }
    }

    /// Whether the body may end with a call of a function that the expression defines.
    fn ends_with_call(&self, body: &AstNode) -> bool {
        let mut open = vec![body];
        while let Some(node) = open.pop() {
            match node {
                AstNode::Function { name, is_builtin: true, .. } if self.is_language(name) => {}
                AstNode::Function { .. } | AstNode::Call { .. } => return true,
                AstNode::Conditional { then_branch, else_branch, .. } => {
                    open.push(then_branch);
                    open.extend(else_branch.as_deref());
                }
                AstNode::Block(items) => open.extend(items.last()),
                AstNode::Binary { op: BinaryOp::ColonEqual, rhs, .. } => open.push(rhs),
                _ => {}
            }
        }
        false
    }

    /// Whether the name stands for a function of the language, or of ours.
    fn is_language(&self, name: &str) -> bool {
        !self.named.contains(name) && (function::is_known(name) || meter::is_check(name))
    }

    /// Whether the name stands for one of the functions with checks of their own.
    fn guarded(&self, name: &str) -> Option<(&'static str, usize)> {
        let found = GUARDED.into_iter().find(|(known, _)| *known == name);
        found.filter(|_| !self.named.contains(name))
    }

    fn function(
        &mut self,
        name: String,
        args: Vec<AstNode>,
        is_builtin: bool,
        place: Place,
    ) -> AstNode {
        if !is_builtin || !self.is_language(&name) {
            let args = self.nodes(args, argument(place));
            return AstNode::Function { name, args, is_builtin };
        }
        let is_partial = args.iter().any(|argument| matches!(argument, AstNode::Placeholder));
        match self.guarded(&name) {
            Some((known, _)) if is_partial => return self.partial(known, args),
            Some((known, _)) => return self.guard(known, args, place),
            None => {}
        }
        let applied = match name.as_str() {
            "each" | "sift" if args.len() == 1 => Some(0),
            name if APPLYING.contains(&name) => Some(1),
            _ => None,
        };
        let leave = if matches!(&*name, "map" | "each") { meter::LEAVE } else { meter::DROP };
        let woven = args.into_iter().enumerate().map(|(index, argument)| match argument {
            AstNode::Lambda { .. } if Some(index) == applied => self.lambda(argument, leave),
            AstNode::Variable(ref name) if Some(index) == applied => {
                function::as_lambda(name).filter(|_| !self.named.contains(name)).unwrap_or(argument)
            }
            argument => self.node(argument, Place::Value),
        });
        let args = woven.collect();
        let is_scalar = SCALAR.contains(&name.as_str()) || is_partial;
        let node = AstNode::Function { name, args, is_builtin };
        if is_scalar { node } else { self.counted(node, place) }
    }

    /// A call of a function with checks of its own.
    fn guard(&mut self, name: &'static str, args: Vec<AstNode>, place: Place) -> AstNode {
        let mut args = self.nodes(args, Place::Value);
        let limited = |check: &str, limit: usize, argument: AstNode| {
            call(check, vec![AstNode::Number(limit as f64), argument])
        };
        let name = match name {
            "decodeUrlComponent" if args.len() == 1 => meter::DECODE,
            "distinct" if args.len() == 1 => meter::DISTINCT,
            "keys" if args.len() == 1 => meter::KEYS,
            "toMillis" if args.len() == 2 => meter::TO_MILLIS,
            "fromMillis" => {
                args = args.into_iter().map(|one| call(meter::PICTURE, vec![one])).collect();
                name
            }
            "pad" => {
                let all = args.into_iter().map(|one| limited(meter::WIDTH, meter::MAX_TEXT, one));
                args = all.collect();
                name
            }
            "split" | "match" => {
                let most = if name == "split" { meter::MAX_SPLIT } else { meter::MAX_MATCH };
                let all = args.into_iter().map(|one| limited(meter::TEXT, most, one));
                args = all.collect();
                name
            }
            "join" if args.len() == 2 => {
                noted(&mut args, 1, meter::JOIN);
                name
            }
            "replace" if args.len() >= 3 => {
                noted(&mut args, 2, meter::REPLACE);
                name
            }
            _ => name,
        };
        self.counted(call(name, args), place)
    }

    /// `lhs ~> rhs`.
    fn chain(&mut self, lhs: AstNode, rhs: AstNode, place: Place) -> AstNode {
        let rhs = match rhs {
            // `x ~> $f(y)` is `$f(x, y)`, and is made so where the arguments are looked at.
            AstNode::Function { name, args, is_builtin }
                if self.guarded(&name).is_some()
                    && !args.iter().any(|one| matches!(one, AstNode::Placeholder)) =>
            {
                let mut all = vec![lhs];
                all.extend(args);
                return self.function(name, all, is_builtin, place);
            }
            AstNode::Variable(name) if self.guarded(&name).is_some() => {
                return self.function(name, vec![lhs], true, place);
            }
            AstNode::Function { name, args, is_builtin } => {
                let args = self.nodes(args, Place::Value);
                AstNode::Function { name, args, is_builtin }
            }
            other => self.node(other, Place::Bare),
        };
        let lhs = boxed(self.node(lhs, Place::Value));
        let chain = AstNode::Binary { op: BinaryOp::ChainPipe, lhs, rhs: boxed(rhs) };
        self.counted(chain, place)
    }

    /// `$pad(x, ?)`, where the arguments are looked at: a function that makes the call. What is
    /// given by now is worked out by now.
    fn partial(&mut self, name: &'static str, args: Vec<AstNode>) -> AstNode {
        let mut given = Vec::new();
        let mut params = Vec::new();
        let all = args.into_iter().enumerate().map(|(index, argument)| {
            if matches!(argument, AstNode::Placeholder) {
                params.push(format!("argument {index}"));
                return AstNode::Variable(format!("argument {index}"));
            }
            let lhs = boxed(AstNode::Variable(format!("given {index}")));
            let rhs = boxed(self.node(argument, Place::Value));
            given.push(AstNode::Binary { op: BinaryOp::ColonEqual, lhs, rhs });
            AstNode::Variable(format!("given {index}"))
        });
        let all = all.collect();
        let body = boxed(self.guard(name, all, Place::Bare));
        given.push(AstNode::Lambda { params, body, signature: None, thunk: false });
        AstNode::Block(given)
    }

    /// A function with checks of its own that is named as a value: a function that calls it.
    fn value(&mut self, name: &str) -> Option<AstNode> {
        let (known, arity) = self.guarded(name).filter(|_| self.with_values)?;
        self.as_values.insert(known);
        let params: Vec<_> = (1..=arity).map(|index| format!("argument {index}")).collect();
        let args = params.iter().cloned().map(AstNode::Variable).collect();
        let body = boxed(self.guard(known, args, Place::Bare));
        Some(AstNode::Lambda { params, body, signature: None, thunk: false })
    }
}

/// What a call's arguments are for the place that the call stands in.
fn argument(place: Place) -> Place {
    if place == Place::Tail { Place::Argument } else { Place::Value }
}

fn is_check(node: &AstNode) -> bool {
    matches!(node, AstNode::Function { name, .. } if meter::is_check(name))
}

/// Has all arguments before `last` noted, and looked at together with the last.
fn noted(args: &mut [AstNode], last: usize, check: &str) {
    for (index, argument) in args.iter_mut().enumerate().take(last + 1) {
        let inner = std::mem::replace(argument, AstNode::Null);
        *argument = call(if index == last { check } else { meter::NOTE }, vec![inner]);
    }
}
