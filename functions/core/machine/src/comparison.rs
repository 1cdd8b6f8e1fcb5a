//! Choice rules in JSONPath form: `{"Variable": "$.x", "NumericLessThan": 10}`, `And`, `Or`, `Not`.
//!
//! A rule is compiled once. A value of another type than the operator asks for makes the test
//! false; a path that finds nothing fails the state, except for `IsPresent`. Source: States
//! Language, "Choice State", "Data-test Expressions".

use std::cmp::Ordering;

use fluxus_schema::problem::{Fault, FaultCode};
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use crate::env::{Env, Failure};
use crate::jsonpath::{Path, number};

/// How deep `And`, `Or` and `Not` may nest: compiling and evaluating recurse.
pub const MAX_DEPTH: usize = 64;

/// A compiled Choice rule, without its `Next`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Not(Box<Node>),
    Test(Path, Test),
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Boolean(Operand<bool>),
    Numeric(Relation, Operand<Number>),
    String(Relation, Operand<Box<str>>),
    Timestamp(Relation, Operand<Timestamp>),
    StringMatches(Glob),
    Is(Quality, bool),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand<T> {
    Literal(T),
    Path(Path),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quality {
    Boolean,
    Null,
    Numeric,
    Present,
    String,
    Timestamp,
}

impl Rule {
    /// Compiles a rule; `Next`, `Comment` and `Assign` beside it are left to the caller.
    ///
    /// # Errors
    /// Every fault there is; the pointers start from the rule.
    pub fn parse(rule: &Value) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let node = compile(rule, "", 0, &mut faults);
        match node {
            Some(node) if faults.is_empty() => Ok(Self(node)),
            _ => Err(faults),
        }
    }

    /// Whether the rule holds.
    ///
    /// # Errors
    /// [`Failure`] if a path of a test that had to be looked at finds nothing.
    pub fn matches(&self, env: &Env<'_>) -> Result<bool, Failure> {
        self.0.matches(env)
    }

    /// Every path in it, in order.
    pub fn for_each_path(&self, mut visit: impl FnMut(&Path)) {
        self.0.for_each_path(&mut visit);
    }
}

fn compile(rule: &Value, pointer: &str, depth: usize, faults: &mut Vec<Fault>) -> Option<Node> {
    let mut fault = |pointer: &str, detail: String| {
        faults.push(Fault::new(FaultCode::SchemaValidationFailed, pointer, detail));
        None
    };
    let Value::Object(members) = rule else {
        return fault(pointer, "A Choice rule must be an object".to_owned());
    };
    if depth > MAX_DEPTH {
        return fault(pointer, format!("Choice rules must not nest more than {MAX_DEPTH} deep"));
    }
    let mut asked = members
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "Next" | "Comment" | "Assign" | "Variable"));
    let (Some((name, operand)), None) = (asked.next(), asked.next()) else {
        let detail = "A Choice rule must have exactly one comparison operator";
        return fault(pointer, detail.to_owned());
    };
    let at = format!("{pointer}/{name}");
    match (name.as_str(), operand) {
        ("And" | "Or", Value::Array(rules)) if !rules.is_empty() => {
            let compiled: Vec<Option<Node>> = rules
                .iter()
                .enumerate()
                .map(|(place, rule)| compile(rule, &format!("{at}/{place}"), depth + 1, faults))
                .collect();
            let nodes = compiled.into_iter().collect::<Option<Box<[Node]>>>()?;
            Some(if name == "And" { Node::And(nodes) } else { Node::Or(nodes) })
        }
        ("And" | "Or", _) => fault(&at, format!("{name} must be an array of rules, not empty")),
        ("Not", rule) => {
            compile(rule, &at, depth + 1, faults).map(|node| Node::Not(Box::new(node)))
        }
        _ => {
            let variable = variable(members);
            if let Err(why) = &variable {
                fault(&format!("{pointer}/Variable"), why.clone());
            }
            match Test::parse(name, operand) {
                Ok(test) => Some(Node::Test(variable.ok()?, test)),
                Err(why) => fault(&at, why),
            }
        }
    }
}

fn variable(members: &Map<String, Value>) -> Result<Path, String> {
    match members.get("Variable") {
        Some(Value::String(text)) => Path::parse(text).map_err(|error| error.to_string()),
        Some(_) => Err("Variable must be a string".to_owned()),
        None => Err("These fields are required: [Variable]".to_owned()),
    }
}

impl Test {
    /// One of the 39 operators.
    fn parse(name: &str, operand: &Value) -> Result<Self, String> {
        let quality = match name {
            "IsBoolean" => Some(Quality::Boolean),
            "IsNull" => Some(Quality::Null),
            "IsNumeric" => Some(Quality::Numeric),
            "IsPresent" => Some(Quality::Present),
            "IsString" => Some(Quality::String),
            "IsTimestamp" => Some(Quality::Timestamp),
            _ => None,
        };
        if let Some(quality) = quality {
            let wanted = operand.as_bool().ok_or_else(|| format!("{name} must be a boolean"))?;
            return Ok(Self::Is(quality, wanted));
        }
        if name == "StringMatches" {
            let pattern = operand.as_str().ok_or("StringMatches must be a string")?;
            return Ok(Self::StringMatches(Glob::parse(pattern)));
        }
        let (stem, by_path) = match name.strip_suffix("Path") {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        let kind = ["String", "Numeric", "Boolean", "Timestamp"]
            .into_iter()
            .find_map(|kind| stem.strip_prefix(kind).map(|relation| (kind, relation)));
        let relation = |relation| match relation {
            "Equals" => Some(Relation::Equals),
            "LessThan" => Some(Relation::LessThan),
            "LessThanEquals" => Some(Relation::LessThanEquals),
            "GreaterThan" => Some(Relation::GreaterThan),
            "GreaterThanEquals" => Some(Relation::GreaterThanEquals),
            _ => None,
        };
        let unknown = || format!("There is no comparison operator {name}");
        let (kind, relation) =
            kind.and_then(|(kind, rest)| Some((kind, relation(rest)?))).ok_or_else(unknown)?;
        Ok(match kind {
            "String" => Self::String(
                relation,
                operand_of(name, operand, by_path, |value| value.as_str().map(Into::into))?,
            ),
            "Numeric" => Self::Numeric(
                relation,
                operand_of(name, operand, by_path, |value| value.as_number().cloned())?,
            ),
            "Timestamp" => Self::Timestamp(relation, operand_of(name, operand, by_path, instant)?),
            _ if relation == Relation::Equals => {
                Self::Boolean(operand_of(name, operand, by_path, Value::as_bool)?)
            }
            _ => return Err(unknown()),
        })
    }
}

fn operand_of<T>(
    name: &str,
    operand: &Value,
    by_path: bool,
    literal: impl Fn(&Value) -> Option<T>,
) -> Result<Operand<T>, String> {
    if by_path {
        let text = operand.as_str().ok_or_else(|| format!("{name} must be a path"))?;
        return Path::parse(text).map(Operand::Path).map_err(|error| error.to_string());
    }
    literal(operand)
        .map(Operand::Literal)
        .ok_or_else(|| format!("{name} has a wrong type of value"))
}

impl Node {
    fn matches(&self, env: &Env<'_>) -> Result<bool, Failure> {
        match self {
            Self::And(nodes) => {
                for node in nodes {
                    if !node.matches(env)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(nodes) => {
                for node in nodes {
                    if node.matches(env)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(node) => Ok(!node.matches(env)?),
            Self::Test(variable, Test::Is(Quality::Present, wanted)) => {
                Ok(env.resolve(variable).is_ok() == *wanted)
            }
            Self::Test(variable, test) => {
                let found = env.resolve(variable).map_err(|_| Failure::invalid_value(variable))?;
                test.holds(&found, env)
            }
        }
    }

    fn for_each_path(&self, visit: &mut impl FnMut(&Path)) {
        match self {
            Self::And(nodes) | Self::Or(nodes) => {
                nodes.iter().for_each(|node| node.for_each_path(visit));
            }
            Self::Not(node) => node.for_each_path(visit),
            Self::Test(variable, test) => {
                visit(variable);
                match test {
                    Test::Boolean(Operand::Path(path))
                    | Test::Numeric(_, Operand::Path(path))
                    | Test::String(_, Operand::Path(path))
                    | Test::Timestamp(_, Operand::Path(path)) => visit(path),
                    _ => {}
                }
            }
        }
    }
}

impl Test {
    fn holds(&self, found: &Value, env: &Env<'_>) -> Result<bool, Failure> {
        Ok(match self {
            Self::Boolean(operand) => {
                operand.with(env, Value::as_bool, |wanted| found.as_bool() == Some(*wanted))?
            }
            Self::Numeric(relation, operand) => operand.with(
                env,
                |value| value.as_number().cloned(),
                |wanted| relation.holds(found.as_number().and_then(|n| number::order(n, wanted))),
            )?,
            Self::String(relation, operand) => {
                operand.with(
                    env,
                    |value| value.as_str().map(Into::into),
                    |wanted| {
                        // The service orders texts by UTF-16 code units.
                        let order = |text: &str| text.encode_utf16().cmp(wanted.encode_utf16());
                        relation.holds(found.as_str().map(order))
                    },
                )?
            }
            Self::Timestamp(relation, operand) => operand.with(env, instant, |wanted| {
                relation.holds(instant(found).map(|found| found.cmp(wanted)))
            })?,
            Self::StringMatches(glob) => found.as_str().is_some_and(|text| glob.matches(text)),
            Self::Is(quality, wanted) => {
                let has = match quality {
                    Quality::Boolean => found.is_boolean(),
                    Quality::Null => found.is_null(),
                    Quality::Numeric => found.is_number(),
                    Quality::Present => true,
                    Quality::String => found.is_string(),
                    Quality::Timestamp => instant(found).is_some(),
                };
                has == *wanted
            }
        })
    }
}

impl<T> Operand<T> {
    /// Whether the operand passes `test`; one of another type does not.
    fn with(
        &self,
        env: &Env<'_>,
        typed: impl Fn(&Value) -> Option<T>,
        test: impl Fn(&T) -> bool,
    ) -> Result<bool, Failure> {
        match self {
            Self::Literal(operand) => Ok(test(operand)),
            Self::Path(path) => {
                let found = env.resolve(path).map_err(|_| Failure::invalid_value(path))?;
                Ok(typed(&found).is_some_and(|operand| test(&operand)))
            }
        }
    }
}

impl Relation {
    fn holds(self, order: Option<Ordering>) -> bool {
        order.is_some_and(|order| match self {
            Self::Equals => order.is_eq(),
            Self::LessThan => order.is_lt(),
            Self::LessThanEquals => order.is_le(),
            Self::GreaterThan => order.is_gt(),
            Self::GreaterThanEquals => order.is_ge(),
        })
    }
}

fn instant(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(timestamp)
}

/// A timestamp as the States Language has it: RFC 3339, with an upper-case `T`, and `Z` or an
/// offset. Source: States Language, "Timestamps".
pub fn timestamp(text: &str) -> Option<Timestamp> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    let fits = bytes.len() > SHAPE.len()
        && SHAPE.iter().zip(bytes).all(|(shape, byte)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == shape,
        });
    let mut rest = text.get(SHAPE.len()..).filter(|_| fits)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == fraction.len() {
            return None;
        }
    }
    let zone = match rest.as_bytes() {
        [b'Z'] => true,
        [b'+' | b'-', h, hh, b':', m, mm] => [h, hh, m, mm].iter().all(|c| c.is_ascii_digit()),
        _ => false,
    };
    zone.then(|| text.parse().ok()).flatten()
}

/// A `StringMatches` pattern: `*` stands for any text; `\*` and `\\` for themselves.
#[derive(Clone, Debug, PartialEq)]
struct Glob(Box<[Box<str>]>);

impl Glob {
    fn parse(pattern: &str) -> Self {
        let mut parts = vec![String::new()];
        let mut rest = pattern.chars().peekable();
        while let Some(next) = rest.next() {
            let literal = match next {
                '*' => {
                    parts.push(String::new());
                    continue;
                }
                '\\' => rest.next_if(|escaped| matches!(escaped, '*' | '\\')).unwrap_or('\\'),
                other => other,
            };
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        Self(parts.into_iter().map(String::into_boxed_str).collect())
    }

    /// The first part stands at the start, the last at the end, the others in turn between.
    fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = &self.0[..] else {
            return self.0.first().is_some_and(|only| **only == *text);
        };
        let Some(mut rest) =
            text.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last))
        else {
            return false;
        };
        for part in middle {
            let Some(at) = rest.find(&**part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests;
