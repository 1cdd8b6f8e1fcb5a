//! Answers the plainest expressions from the JSON itself: paths over `$states` and variables,
//! literals, and constructors of both. That takes no engine and no copy but the answer's, and an
//! integer keeps all its digits.

use jsonata_core::ast::{AstNode, PathStep, Stage, UnaryOp};
use serde_json::{Map, Value};

use super::{Scope, States, function, tree, value};

/// How to answer an expression without the engine.
#[derive(Debug)]
pub(super) struct Plan {
    form: Form,
    /// Variables with the name of a function, which they only are where they have been assigned.
    hiding: Vec<String>,
}

#[derive(Debug)]
enum Form {
    Literal(Value),
    /// `$states` itself.
    States,
    Path {
        root: Root,
        steps: Vec<Step>,
    },
    Array(Vec<Form>),
    Object(Vec<(String, Form)>),
}

/// Where a path starts.
#[derive(Debug)]
enum Root {
    /// A field of `$states`, and the positions taken of it.
    States(String, Vec<f64>),
    /// A variable, and the positions taken of it.
    Variable(String, Vec<f64>),
}

/// `.name[0]`: a field, and the positions taken of it.
#[derive(Debug)]
struct Step {
    name: String,
    positions: Vec<f64>,
}

/// How deep constructors may be nested: far above what people write, far below any stack.
const MAX_DEPTH: usize = 32;

impl Plan {
    /// The plan, where the expression is plain enough for one.
    pub(super) fn of(tree: &AstNode) -> Option<Self> {
        let form = Form::at(tree, 0)?;
        let mut hiding = Vec::new();
        tree::visit(tree, &mut |node| {
            if let AstNode::Variable(name) = node
                && function::is_known(name)
            {
                hiding.push(name.clone());
            }
        });
        Some(Self { form, hiding })
    }

    /// Whether all that looks like a variable is one.
    pub(super) fn fits(&self, scope: &Scope<'_>) -> bool {
        self.hiding.iter().all(|name| scope.variables.get(name).is_some())
    }

    /// What the expression gives; nothing, where it gives nothing.
    pub(super) fn eval(&self, scope: &Scope<'_>) -> Option<Value> {
        self.form.eval(scope)
    }
}

impl Form {
    fn at(tree: &AstNode, depth: usize) -> Option<Self> {
        if depth > MAX_DEPTH {
            return None;
        }
        Some(match tree {
            AstNode::String(text) => Self::Literal(Value::String(text.clone())),
            AstNode::Number(number) => Self::Literal(value::number(*number)),
            AstNode::Boolean(value) => Self::Literal(Value::Bool(*value)),
            AstNode::Null => Self::Literal(Value::Null),
            AstNode::Variable(name) if name == "states" => Self::States,
            // `$` is no variable.
            AstNode::Variable(name) if !name.is_empty() => {
                Self::Path { root: Root::Variable(name.clone(), Vec::new()), steps: Vec::new() }
            }
            AstNode::Path { steps } => path(steps)?,
            AstNode::Array(items) => Self::Array(
                items.iter().map(|item| Self::at(item, depth + 1)).collect::<Option<_>>()?,
            ),
            AstNode::Object(fields) => {
                let mut known = Vec::<(String, Self)>::with_capacity(fields.len());
                for (key, value) in fields {
                    let AstNode::String(key) = key else { return None };
                    // The engine has the words for a key that comes twice.
                    if known.iter().any(|(other, _)| other == key) {
                        return None;
                    }
                    known.push((key.clone(), Self::at(value, depth + 1)?));
                }
                Self::Object(known)
            }
            _ => return None,
        })
    }

    fn eval(&self, scope: &Scope<'_>) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::States => {
                let held = States::FIELDS.into_iter().filter_map(|name| {
                    Some((name.to_owned(), value::written(scope.states.get(name)?)))
                });
                Some(Value::Object(held.collect()))
            }
            Self::Path { root, steps } => root.find(scope)?.walk(steps).value(),
            Self::Array(items) => {
                let mut all = Vec::with_capacity(items.len());
                for item in items {
                    match (item, item.eval(scope)) {
                        // What an item gives is taken apart, unless brackets hold it together.
                        (Self::Array(_), Some(value)) => all.push(value),
                        (_, Some(Value::Array(inner))) => all.extend(inner),
                        (_, Some(value)) => all.push(value),
                        (_, None) => {}
                    }
                }
                Some(Value::Array(all))
            }
            Self::Object(fields) => {
                let known = fields
                    .iter()
                    .filter_map(|(name, value)| Some((name.clone(), value.eval(scope)?)));
                Some(Value::Object(known.collect::<Map<_, _>>()))
            }
        }
    }
}

fn path(steps: &[PathStep]) -> Option<Form> {
    let (first, mut rest) = steps.split_first()?;
    let AstNode::Variable(name) = &first.node else { return None };
    let positions = positions(first)?;
    let root = if name == "states" {
        let (second, others) = rest.split_first()?;
        let AstNode::Name(field) = &second.node else { return None };
        if !positions.is_empty() {
            return None;
        }
        rest = others;
        Root::States(field.clone(), self::positions(second)?)
    } else if !name.is_empty() {
        Root::Variable(name.clone(), positions)
    } else {
        return None;
    };
    let steps = rest.iter().map(|step| {
        let AstNode::Name(name) = &step.node else { return None };
        Some(Step { name: name.clone(), positions: self::positions(step)? })
    });
    Some(Form::Path { root, steps: steps.collect::<Option<_>>()? })
}

/// The positions behind a step; nothing where there is more to it than that.
fn positions(step: &PathStep) -> Option<Vec<f64>> {
    let PathStep { node: _, stages, focus, index_var, ancestor_label, is_tuple, .. } = step;
    if focus.is_some() || index_var.is_some() || ancestor_label.is_some() || *is_tuple {
        return None;
    }
    let position = |stage: &Stage| match stage {
        Stage::Filter(filter) => match &**filter {
            AstNode::Number(position) => Some(*position),
            AstNode::Unary { op: UnaryOp::Negate, operand } => match &**operand {
                AstNode::Number(position) => Some(-position),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    stages.iter().map(position).collect()
}

impl Root {
    fn find<'a>(&self, scope: &Scope<'a>) -> Option<Found<'a>> {
        let (value, positions) = match self {
            Self::States(field, positions) => (scope.states.get(field)?, positions),
            Self::Variable(name, positions) => (scope.variables.get(name)?, positions),
        };
        Some(Found::One(value).at(positions))
    }
}

/// What a path has found so far.
enum Found<'a> {
    /// A value of the document.
    One(&'a Value),
    /// What was gathered from arrays on the way: one such value stands for itself, none is nothing.
    Many(Vec<&'a Value>),
}

impl<'a> Found<'a> {
    fn walk(self, steps: &[Step]) -> Self {
        let mut found = self;
        for (index, step) in steps.iter().enumerate() {
            found = found.step(step, index + 1 == steps.len());
        }
        found
    }

    /// A path's step: it reads a field of each value that there is, and gathers what it finds.
    fn step(self, step: &Step, is_last: bool) -> Self {
        let mut found = Vec::new();
        for value in self.values() {
            let field = match lookup(value, &step.name) {
                Self::Many(none) if none.is_empty() && step.positions.is_empty() => continue,
                field => field.at(&step.positions),
            };
            found.push(field);
        }
        // An array of the document stays what it is, even empty or with one item.
        if is_last && let [Self::One(array @ Value::Array(_))] = found[..] {
            return Self::One(array);
        }
        Self::Many(found.into_iter().flat_map(Self::values).collect())
    }

    /// The values one by one: an array's items in its place.
    fn values(self) -> Vec<&'a Value> {
        match self {
            Self::One(Value::Array(items)) => items.iter().collect(),
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }

    /// What stands at the positions, one after the other; from the end where they are negative.
    fn at(self, positions: &[f64]) -> Self {
        positions.iter().fold(self, |found, position| {
            let values = found.values();
            let position = position.floor();
            let index = if position < 0.0 { values.len() as f64 + position } else { position };
            let item = (index >= 0.0).then(|| values.get(index as usize)).flatten();
            match item {
                Some(array @ Value::Array(_)) => Self::One(array),
                Some(item) => Self::Many(vec![item]),
                None => Self::Many(Vec::new()),
            }
        })
    }

    fn value(self) -> Option<Value> {
        match self {
            Self::One(value) => Some(value::written(value)),
            Self::Many(values) => match values[..] {
                [] => None,
                [value] => Some(value::written(value)),
                _ => Some(values.into_iter().map(value::written).collect()),
            },
        }
    }
}

/// A field of an object, or of each object in an array.
fn lookup<'a>(value: &'a Value, name: &str) -> Found<'a> {
    match value {
        Value::Object(fields) => match fields.get(name) {
            Some(value) => Found::One(value),
            None => Found::Many(Vec::new()),
        },
        Value::Array(items) => {
            let found: Vec<_> = items.iter().flat_map(|item| lookup(item, name).values()).collect();
            match found[..] {
                [one] => Found::One(one),
                _ => Found::Many(found),
            }
        }
        _ => Found::Many(Vec::new()),
    }
}
