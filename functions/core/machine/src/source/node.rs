//! A document as a tree whose nodes keep their places.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::parse::escape;

/// A stretch of a text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar(Value),
    Array(Vec<Node>),
    Object(IndexMap<String, Member>),
}

/// A value in an object, and the place of its key.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) key: Span,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::Array(items) => items.iter().map(Self::to_value).collect(),
            Kind::Object(members) => {
                let member =
                    |(key, member): (&String, &Member)| (key.clone(), member.value.to_value());
                Value::Object(members.iter().map(member).collect::<Map<_, _>>())
            }
        }
    }

    /// How many arrays and objects lie in each other.
    pub(super) fn nesting(&self) -> usize {
        match &self.kind {
            Kind::Scalar(_) => 0,
            Kind::Array(items) => 1 + items.iter().map(Self::nesting).max().unwrap_or(0),
            Kind::Object(members) => {
                1 + members.values().map(|member| member.value.nesting()).max().unwrap_or(0)
            }
        }
    }

    /// The place to show for `pointer`, or for the nearest value around it.
    pub(super) fn find(&self, pointer: &str) -> Span {
        let mut node = self;
        let mut found = self.shown();
        for part in pointer.split('/').skip(1) {
            match &node.kind {
                Kind::Array(items) => {
                    let Some(item) = part.parse().ok().and_then(|at: usize| items.get(at)) else {
                        break;
                    };
                    node = item;
                    found = node.shown();
                }
                Kind::Object(members) => {
                    let part = part.replace("~1", "/").replace("~0", "~");
                    let Some(member) = members.get(&part) else { break };
                    node = &member.value;
                    found = match node.kind {
                        Kind::Scalar(_) => node.span,
                        _ => member.key,
                    };
                }
                Kind::Scalar(_) => break,
            }
        }
        found
    }

    /// All of a scalar, only the first character of an array or object: the rest is elsewhere.
    fn shown(&self) -> Span {
        match self.kind {
            Kind::Scalar(_) => self.span,
            _ => Span { start: self.span.start, end: self.span.end.min(self.span.start + 1) },
        }
    }
}

/// The way from the root to where a reader is.
#[derive(Debug, Default)]
pub(super) struct Way(Vec<Step>);

#[derive(Debug)]
enum Step {
    Key(String),
    Index(usize),
}

impl Way {
    pub(super) fn key(&mut self, key: &str) {
        self.0.push(Step::Key(key.to_owned()));
    }

    pub(super) fn index(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }

    pub(super) fn back(&mut self) {
        self.0.pop();
    }

    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }

    pub(super) fn pointer(&self) -> String {
        let step = |step: &Step| match step {
            Step::Key(key) => format!("/{}", escape(key)),
            Step::Index(index) => format!("/{index}"),
        };
        self.0.iter().map(step).collect()
    }
}
