//! Choice rules in JSONPath form: `{"Variable": "$.x", "NumericLessThan": 10}`, `And`, `Or`, `Not`.
//!
//! A rule is compiled once. A value of another type than the operator asks for makes the test
//! false; a path that finds nothing fails the state, except for `IsPresent`. Source: States
//! Language, "Choice State", "Data-test Expressions".

use std::cmp::Ordering;

use fluxus_schema::problem::{Fault, FaultCode};
use jiff::Timestamp;
use serde_json::{Number, Value};

use crate::definition::Language;
use crate::env::{Env, Failure};
use crate::jsonpath::{Path, number};
use crate::parse::{Faults, escape, wording};

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

/// Every field that makes a rule in JSONPath: its kinds, then the 39 operators.
pub(crate) const FIELDS: &[&str] = &[
    "And",
    "Or",
    "Not",
    "Variable",
    "BooleanEquals",
    "BooleanEqualsPath",
    "IsBoolean",
    "IsNull",
    "IsNumeric",
    "IsPresent",
    "IsString",
    "IsTimestamp",
    "NumericEquals",
    "NumericEqualsPath",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "NumericGreaterThanEqualsPath",
    "NumericGreaterThanPath",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericLessThanEqualsPath",
    "NumericLessThanPath",
    "StringEquals",
    "StringEqualsPath",
    "StringGreaterThan",
    "StringGreaterThanEquals",
    "StringGreaterThanEqualsPath",
    "StringGreaterThanPath",
    "StringLessThan",
    "StringLessThanEquals",
    "StringLessThanEqualsPath",
    "StringLessThanPath",
    "StringMatches",
    "TimestampEquals",
    "TimestampEqualsPath",
    "TimestampGreaterThan",
    "TimestampGreaterThanEquals",
    "TimestampGreaterThanEqualsPath",
    "TimestampGreaterThanPath",
    "TimestampLessThan",
    "TimestampLessThanEquals",
    "TimestampLessThanEqualsPath",
    "TimestampLessThanPath",
];

/// What says of which kind a rule is, in the service's order; `Condition` is JSONata's.
const KINDS: [&str; 5] = ["And", "Or", "Not", "Variable", "Condition"];

impl Rule {
    /// Compiles a rule; `Next`, `Comment` and `Assign` beside it are left to the caller.
    ///
    /// # Errors
    /// Every fault there is; the pointers start from the rule.
    pub fn parse(rule: &Value) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let compiled = Self::compile(rule, "", &mut faults);
        compiled.ok_or_else(|| faults.into_faults())
    }

    /// Compiles the rule at `pointer`, and notes every fault there is.
    pub(crate) fn compile(rule: &Value, pointer: &str, faults: &mut Faults) -> Option<Self> {
        compile(rule, pointer, 0, faults).map(Self)
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

/// Compiles a rule; none where it, or one within it, has a fault.
fn compile(rule: &Value, pointer: &str, depth: usize, faults: &mut Faults) -> Option<Node> {
    let Value::Object(members) = rule else {
        faults.add(pointer, wording::OBJECT);
        return None;
    };
    if depth > MAX_DEPTH {
        let detail = format!("Choice rules must not nest more than {MAX_DEPTH} deep");
        faults.add(pointer, detail);
        return None;
    }
    let kinds: Vec<_> = KINDS.into_iter().filter(|kind| members.contains_key(*kind)).collect();
    let operators: Vec<_> =
        FIELDS[KINDS.len() - 1..].iter().filter(|name| members.contains_key(**name)).collect();
    let tests = kinds == ["Variable"];
    let mut valid = true;
    for name in members.keys().map(String::as_str) {
        let allowed = match name {
            "Comment" => true,
            "Next" | "Assign" => depth == 0,
            name if KINDS.contains(&name) => name != "Condition",
            name => tests && FIELDS.contains(&name),
        };
        if allowed {
            continue;
        }
        valid = false;
        let detail = match name {
            "Condition" | "Output" => wording::other_language(Language::JsonPath, name),
            name => wording::unsupported(name),
        };
        let at = format!("{pointer}/{}", escape(name));
        faults.take(Fault::new(FaultCode::SchemaValidationFailed, at, detail), true);
    }
    let [kind] = kinds.as_slice() else {
        faults.add(pointer, wording::one_kind(&KINDS));
        return None;
    };
    let at = format!("{pointer}/{kind}");
    let operand = &members[*kind];
    let node = match *kind {
        "And" | "Or" => {
            let rules = match operand {
                Value::Array(rules) if rules.is_empty() => Err(wording::EMPTY),
                Value::Array(rules) => Ok(rules),
                _ => Err(wording::ARRAY),
            };
            let rules = rules.map_err(|detail| faults.add(at.as_str(), detail)).ok()?;
            let compiled: Vec<Option<Node>> = rules
                .iter()
                .enumerate()
                .map(|(place, rule)| compile(rule, &format!("{at}/{place}"), depth + 1, faults))
                .collect();
            let nodes = compiled.into_iter().collect::<Option<Box<[Node]>>>()?;
            if *kind == "And" { Node::And(nodes) } else { Node::Or(nodes) }
        }
        "Not" => Node::Not(Box::new(compile(operand, &at, depth + 1, faults)?)),
        "Variable" => {
            let variable = path(operand, &at, faults);
            let name = match operators.as_slice() {
                [name] => **name,
                [] => {
                    faults.add(pointer, wording::one_needed(&FIELDS[KINDS.len() - 1..]));
                    return None;
                }
                several => {
                    let names: Vec<_> = several.iter().map(|name| **name).collect();
                    faults.add(pointer, wording::only_one(&names));
                    return None;
                }
            };
            let at = format!("{pointer}/{name}");
            let test = Test::parse(name, &members[name], &at, faults);
            Node::Test(variable?, test?)
        }
        // `Condition` alone, told above.
        _ => return None,
    };
    valid.then_some(node)
}

/// The path at `pointer`.
fn path(value: &Value, pointer: &str, faults: &mut Faults) -> Option<Path> {
    let Some(text) = value.as_str() else {
        faults.add(pointer, wording::STRING);
        return None;
    };
    match Path::parse(text) {
        Ok(path) => Some(path),
        Err(_) if !text.starts_with('$') => {
            faults.add(pointer, wording::NOT_FROM_ROOT);
            None
        }
        Err(error) => {
            faults.add_with_help(pointer, wording::NOT_A_REFERENCE, Some(error.to_string()));
            None
        }
    }
}

impl Test {
    /// The test of one of the 39 operators.
    fn parse(name: &str, operand: &Value, pointer: &str, faults: &mut Faults) -> Option<Self> {
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
            let wanted = typed(operand, pointer, wording::BOOLEAN, faults, Value::as_bool)?;
            return Some(Self::Is(quality, wanted));
        }
        if name == "StringMatches" {
            let pattern = typed(operand, pointer, wording::STRING, faults, Value::as_str)?;
            return Some(Self::StringMatches(Glob::parse(pattern)));
        }
        let (stem, by_path) = match name.strip_suffix("Path") {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        let kind = ["String", "Numeric", "Boolean", "Timestamp"]
            .into_iter()
            .find_map(|kind| stem.strip_prefix(kind).map(|relation| (kind, relation)));
        let (kind, relation) = kind?;
        let relation = match relation {
            "Equals" => Relation::Equals,
            "LessThan" => Relation::LessThan,
            "LessThanEquals" => Relation::LessThanEquals,
            "GreaterThan" => Relation::GreaterThan,
            "GreaterThanEquals" => Relation::GreaterThanEquals,
            _ => return None,
        };
        let mut wanted = Wanted { operand, by_path, pointer, faults };
        Some(match kind {
            "String" => {
                let text = |value: &Value| value.as_str().map(Into::into);
                Self::String(relation, wanted.operand(wording::STRING, text)?)
            }
            "Numeric" => {
                let number = |value: &Value| value.as_number().cloned();
                Self::Numeric(relation, wanted.operand(wording::NUMBER, number)?)
            }
            "Timestamp" => Self::Timestamp(relation, wanted.operand(wording::NOT_A_TIME, instant)?),
            _ => Self::Boolean(wanted.operand(wording::BOOLEAN, Value::as_bool)?),
        })
    }
}

/// What an operator compares with, as it is written.
struct Wanted<'a, 'f> {
    operand: &'a Value,
    by_path: bool,
    pointer: &'a str,
    faults: &'f mut Faults,
}

impl Wanted<'_, '_> {
    fn operand<T>(
        &mut self,
        expected: &str,
        literal: impl Fn(&Value) -> Option<T>,
    ) -> Option<Operand<T>> {
        if self.by_path {
            return path(self.operand, self.pointer, self.faults).map(Operand::Path);
        }
        typed(self.operand, self.pointer, expected, self.faults, literal).map(Operand::Literal)
    }
}

fn typed<'a, T>(
    value: &'a Value,
    pointer: &str,
    expected: &str,
    faults: &mut Faults,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Option<T> {
    let read = read(value);
    if read.is_none() {
        faults.add(pointer, expected);
    }
    read
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
