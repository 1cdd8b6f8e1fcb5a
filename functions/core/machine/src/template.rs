//! Payload templates: `Parameters`, `ResultSelector`, `ItemSelector`, `Assign`.
//!
//! In a template, a member whose name ends in `.$` holds a path or an intrinsic function, and its
//! value takes the member's place under the name without `.$`; all else stands as written. It is
//! compiled once: parts without such members are kept ready, and a template without any is shared.
//! Source: States Language, "Payload Template".

use std::sync::Arc;

use fluxus_schema::problem::{Fault, FaultCode};
use serde_json::{Map, Value};

use crate::env::{Env, Failure};
use crate::intrinsic::Intrinsic;
use crate::jsonpath::Path;

/// How deep a template may nest: compiling and evaluating recurse. JSON text nests no deeper.
pub const MAX_DEPTH: usize = 128;

/// A compiled payload template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Static(Arc<Value>),
    Dynamic(Node),
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Static(Value),
    Object(Box<[(String, Node)]>),
    Array(Box<[Node]>),
    /// The field as written, with its `.$`, and what is in it.
    Field(Box<str>, Expression),
}

/// A path or an intrinsic function: what a member ending in `.$` holds, and `ErrorPath` and
/// `CausePath` too.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// `$.a`, `$$.State.Name`, `$variable`.
    Path(Path),
    /// `States.X(...)`.
    Call(Intrinsic),
}

impl Expression {
    /// Compiles a path or a call.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('$') {
            Path::parse(text).map(Self::Path).map_err(|error| error.to_string())
        } else {
            Intrinsic::parse(text).map(Self::Call).map_err(|error| error.to_string())
        }
    }

    /// The value; `field` is the field's name as written, for the failure's text.
    ///
    /// # Errors
    /// [`Failure`] if the path finds nothing or the function fails.
    pub fn eval(&self, field: &str, env: &Env<'_>) -> Result<Value, Failure> {
        match self {
            Self::Path(path) => match env.resolve(path) {
                Ok(found) => Ok(found.into_owned()),
                Err(failure) => Err(Failure::not_found_in_input(path, &failure, field, env.input)),
            },
            Self::Call(call) => call.eval(env),
        }
    }

    /// Every path in it, in order.
    pub fn for_each_path(&self, mut visit: impl FnMut(&Path)) {
        match self {
            Self::Path(path) => visit(path),
            Self::Call(call) => call.for_each_path(visit),
        }
    }
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// Every fault there is; the pointers start from the template.
    pub fn parse(template: &Value) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let node = compile(template, "", 0, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self(match node {
            Node::Static(value) => Kind::Static(Arc::new(value)),
            node => Kind::Dynamic(node),
        }))
    }

    /// Whether it yields the same whatever the input.
    pub fn is_static(&self) -> bool {
        matches!(self.0, Kind::Static(_))
    }

    /// The payload.
    ///
    /// # Errors
    /// The first [`Failure`] of a path or an intrinsic function.
    pub fn eval(&self, env: &Env<'_>) -> Result<Arc<Value>, Failure> {
        match &self.0 {
            Kind::Static(value) => Ok(Arc::clone(value)),
            Kind::Dynamic(node) => node.eval(env).map(Arc::new),
        }
    }

    /// Every path in it, in order.
    pub fn for_each_path(&self, mut visit: impl FnMut(&Path)) {
        if let Kind::Dynamic(node) = &self.0 {
            node.for_each_path(&mut visit);
        }
    }
}

fn compile(template: &Value, pointer: &str, depth: usize, faults: &mut Vec<Fault>) -> Node {
    if depth > MAX_DEPTH {
        let detail = format!("A template must not nest more than {MAX_DEPTH} deep");
        faults.push(Fault::new(FaultCode::SchemaValidationFailed, pointer, detail));
        return Node::Static(Value::Null);
    }
    match template {
        Value::Object(members) => {
            let mut nodes: Vec<(String, Node)> = Vec::with_capacity(members.len());
            for (name, value) in members {
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                nodes.push(match name.strip_suffix(".$") {
                    Some(plain) => (plain.to_owned(), field(name, value, pointer, faults)),
                    None => (name.clone(), compile(value, &pointer, depth + 1, faults)),
                });
            }
            if nodes.iter().all(|(_, node)| matches!(node, Node::Static(_))) {
                return Node::Static(template.clone());
            }
            Node::Object(nodes.into())
        }
        Value::Array(items) => {
            let nodes: Vec<Node> = items
                .iter()
                .enumerate()
                .map(|(at, item)| compile(item, &format!("{pointer}/{at}"), depth + 1, faults))
                .collect();
            if nodes.iter().all(|node| matches!(node, Node::Static(_))) {
                return Node::Static(template.clone());
            }
            Node::Array(nodes.into())
        }
        other => Node::Static(other.clone()),
    }
}

fn field(name: &str, value: &Value, pointer: String, faults: &mut Vec<Fault>) -> Node {
    let parsed = match value {
        Value::String(text) => Expression::parse(text),
        _ => Err("it is no string".to_owned()),
    };
    match parsed {
        Ok(expression) => Node::Field(name.into(), expression),
        Err(why) => {
            let detail = format!(
                "The value for the field '{name}' must be a valid JSONPath or a valid intrinsic \
                 function call: {why}"
            );
            faults.push(Fault::new(FaultCode::SchemaValidationFailed, pointer, detail));
            Node::Static(Value::Null)
        }
    }
}

impl Node {
    fn eval(&self, env: &Env<'_>) -> Result<Value, Failure> {
        Ok(match self {
            Self::Static(value) => value.clone(),
            Self::Object(members) => {
                let mut object = Map::with_capacity(members.len());
                for (name, node) in members {
                    object.insert(name.clone(), node.eval(env)?);
                }
                Value::Object(object)
            }
            Self::Array(items) => {
                Value::Array(items.iter().map(|item| item.eval(env)).collect::<Result<_, _>>()?)
            }
            Self::Field(field, expression) => expression.eval(field, env)?,
        })
    }

    fn for_each_path(&self, visit: &mut impl FnMut(&Path)) {
        match self {
            Self::Static(_) => {}
            Self::Object(members) => members.iter().for_each(|(_, node)| node.for_each_path(visit)),
            Self::Array(items) => items.iter().for_each(|node| node.for_each_path(visit)),
            Self::Field(_, expression) => expression.for_each_path(visit),
        }
    }
}

#[cfg(test)]
mod tests;
