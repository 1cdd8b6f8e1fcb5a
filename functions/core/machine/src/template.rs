//! Payload templates: `Parameters`, `ResultSelector`, `ItemSelector`, `Assign`; and `Arguments`,
//! `Output` and their like in JSONata.
//!
//! In a JSONPath template, a member whose name ends in `.$` holds a path or an intrinsic function,
//! and its value takes the member's place under the name without `.$`. In a JSONata template, a
//! string `{% ... %}` anywhere holds an expression. All else stands as written. A template is
//! compiled once: parts without expressions are kept ready, and one without any is shared.
//! Source: States Language, "Payload Template", "JSONata".

use std::sync::Arc;

use fluxus_schema::problem::{Fault, FaultCode};
use serde_json::{Map, Value};

use crate::env::{Env, Failure};
use crate::intrinsic::Intrinsic;
use crate::jsonata;
use crate::jsonpath::Path;
use crate::parse::expression::{self, Sees};
use crate::parse::wording;

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
    /// The field and what is in it: as written, with its `.$`, in JSONPath; by its place, such as
    /// `Output/total`, in JSONata.
    Field(Box<str>, Expression),
}

/// What computes one value.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// `$.a`, `$$.State.Name`, `$variable`.
    Path(Path),
    /// `States.X(...)`.
    Call(Intrinsic),
    /// `{% ... %}`.
    Jsonata(jsonata::Expression),
}

/// What stands between `{%` and `%}`, where a text is a JSONata expression. One with anything
/// around it, a blank even, is plain text.
pub fn jsonata_source(text: &str) -> Option<&str> {
    Some(text.strip_prefix("{%")?.strip_suffix("%}")?.trim())
}

impl Expression {
    /// Compiles a path or a call, as a member ending in `.$` holds, and `ErrorPath` and
    /// `CausePath` too.
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
            Self::Jsonata(expression) => env.evaluate(field, expression),
        }
    }

    /// Every path in it, in order.
    pub fn for_each_path(&self, mut visit: impl FnMut(&Path)) {
        match self {
            Self::Path(path) => visit(path),
            Self::Call(call) => call.for_each_path(visit),
            Self::Jsonata(_) => {}
        }
    }
}

impl Template {
    /// Compiles a template in JSONPath.
    ///
    /// # Errors
    /// Every fault there is; the pointers start from the template.
    pub fn parse(template: &Value) -> Result<Self, Vec<Fault>> {
        Self::compile(template, Language::JsonPath)
    }

    /// Compiles a template in JSONata, which stands in the field `name`.
    ///
    /// # Errors
    /// Every fault there is; the pointers start from the template.
    pub(crate) fn parse_jsonata(
        template: &Value,
        name: &str,
        sees: Sees,
    ) -> Result<Self, Vec<Fault>> {
        Self::compile(template, Language::Jsonata(name, sees))
    }

    fn compile(template: &Value, language: Language<'_>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let node = compile(template, language, "", 0, &mut faults);
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

/// Which members hold expressions. In JSONata, with the field that the template stands in, and what
/// it sees.
#[derive(Clone, Copy)]
enum Language<'f> {
    JsonPath,
    Jsonata(&'f str, Sees),
}

fn compile(
    template: &Value,
    language: Language<'_>,
    pointer: &str,
    depth: usize,
    faults: &mut Vec<Fault>,
) -> Node {
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
                nodes.push(match (language, name.strip_suffix(".$")) {
                    (Language::JsonPath, Some(plain)) => {
                        (plain.to_owned(), field(name, value, pointer, faults))
                    }
                    _ => (name.clone(), compile(value, language, &pointer, depth + 1, faults)),
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
                .map(|(at, item)| {
                    compile(item, language, &format!("{pointer}/{at}"), depth + 1, faults)
                })
                .collect();
            if nodes.iter().all(|node| matches!(node, Node::Static(_))) {
                return Node::Static(template.clone());
            }
            Node::Array(nodes.into())
        }
        Value::String(text) => match (language, jsonata_source(text)) {
            (Language::Jsonata(name, sees), Some(source)) => {
                match expression::compile(source, sees, pointer) {
                    Ok(expression) => {
                        Node::Field(place(name, pointer).into(), Expression::Jsonata(expression))
                    }
                    Err(found) => {
                        faults.extend(found);
                        Node::Static(Value::Null)
                    }
                }
            }
            (Language::Jsonata(..), None) if text.starts_with("{%") => {
                let detail = wording::NOT_JSONATA;
                faults.push(Fault::new(FaultCode::SchemaValidationFailed, pointer, detail));
                Node::Static(Value::Null)
            }
            _ => Node::Static(template.clone()),
        },
        other => Node::Static(other.clone()),
    }
}

/// How the service names a place in a template: `Output/list[0]/total`.
fn place(name: &str, pointer: &str) -> String {
    let mut place = name.to_owned();
    for step in pointer.split('/').skip(1) {
        match step.parse::<usize>() {
            Ok(index) => place.push_str(&format!("[{index}]")),
            Err(_) => place.push_str(&format!("/{}", step.replace("~1", "/").replace("~0", "~"))),
        }
    }
    place
}

fn field(name: &str, value: &Value, pointer: String, faults: &mut Vec<Fault>) -> Node {
    let parsed = match value {
        Value::String(text) => Expression::parse(text),
        _ => Err("it is no string".to_owned()),
    };
    match parsed {
        Ok(expression) => Node::Field(name.into(), expression),
        Err(why) => {
            let detail = wording::payload_field(name);
            let fault = Fault::new(FaultCode::SchemaValidationFailed, pointer, detail);
            faults.push(fault.with_help(Some(why)));
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
