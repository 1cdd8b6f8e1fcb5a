//! Intrinsic functions: `States.Format('{} of {}', $.done, States.ArrayLength($.all))`.
//!
//! A call is parsed once, when a definition is loaded, and evaluated many times. Source: States
//! Language, "Intrinsic Functions", and the Step Functions developer guide's page of that name.
//!
//! Where the documentation and the service differ, the service is followed: wrong arguments, their
//! number included, fail at run time with `Invalid arguments in States.X`; `States.Format` prints
//! objects as `{a=1}`; `States.ArrayContains` compares what it prints; `States.ArrayUnique` answers
//! in the order of a hash set; only `States.MathAdd` rounds, the others cut fractions off.

mod array;
mod parse;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use text::uuid;

use std::borrow::Cow;
use std::fmt;

use serde_json::{Number, Value};

use crate::env::{Env, Failure, FailureKind};
use crate::jsonpath::{Path, java, number};

/// The longest call that is parsed, in bytes, as for paths.
pub const MAX_CALL_BYTES: usize = 10_000;

/// How deep calls may nest: the service's own limit.
pub const MAX_NESTING: usize = 10;

/// How many arguments a call may have, those of nested calls included: each may copy a whole
/// document, so this bounds the memory that one call can ask for.
pub const MAX_ARGUMENTS: usize = 256;

/// How long a text for `States.Hash`, `States.Base64Encode` and `States.Base64Decode` may be, in
/// characters: the service's own limit.
pub const MAX_TEXT_CHARS: usize = 10_000;

/// How many items `States.ArrayRange` makes: the service's own limit.
pub const MAX_RANGE_ITEMS: usize = 1_000;

/// A compiled call of an intrinsic function.
#[derive(Clone, PartialEq)]
pub struct Intrinsic {
    text: Box<str>,
    call: Call,
}

/// Why a text is no call of an intrinsic function; `offset` counts bytes from the start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at offset {offset}")]
pub struct IntrinsicError {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes.
    pub offset: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Call {
    function: Function,
    arguments: Box<[Argument]>,
}

#[derive(Clone, Debug, PartialEq)]
enum Argument {
    /// A number, `true`, `false` or `null`.
    Literal(Value),
    /// A text, and the same as written, in which `States.Format` tells `\{` from `{`.
    Text {
        value: Value,
        written: Box<str>,
    },
    Path(Path),
    Call(Call),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Array,
    ArrayContains,
    ArrayGetItem,
    ArrayLength,
    ArrayPartition,
    ArrayRange,
    ArrayUnique,
    Base64Decode,
    Base64Encode,
    Format,
    Hash,
    JsonMerge,
    JsonToString,
    MathAdd,
    MathRandom,
    StringSplit,
    StringToJson,
    Uuid,
}

const FUNCTIONS: [(&str, Function); 18] = [
    ("Array", Function::Array),
    ("ArrayContains", Function::ArrayContains),
    ("ArrayGetItem", Function::ArrayGetItem),
    ("ArrayLength", Function::ArrayLength),
    ("ArrayPartition", Function::ArrayPartition),
    ("ArrayRange", Function::ArrayRange),
    ("ArrayUnique", Function::ArrayUnique),
    ("Base64Decode", Function::Base64Decode),
    ("Base64Encode", Function::Base64Encode),
    ("Format", Function::Format),
    ("Hash", Function::Hash),
    ("JsonMerge", Function::JsonMerge),
    ("JsonToString", Function::JsonToString),
    ("MathAdd", Function::MathAdd),
    ("MathRandom", Function::MathRandom),
    ("StringSplit", Function::StringSplit),
    ("StringToJson", Function::StringToJson),
    ("UUID", Function::Uuid),
];

impl Function {
    fn named(name: &str) -> Option<Self> {
        FUNCTIONS.into_iter().find_map(|(known, function)| (known == name).then_some(function))
    }

    fn name(self) -> &'static str {
        FUNCTIONS
            .into_iter()
            .find_map(|(name, known)| (known == self).then_some(name))
            .unwrap_or("")
    }
}

impl Intrinsic {
    /// Compiles a call.
    ///
    /// # Errors
    /// [`IntrinsicError`] names the first thing that is wrong; the definition must be refused.
    pub fn parse(text: &str) -> Result<Self, IntrinsicError> {
        Ok(Self { text: text.into(), call: parse::call(text)? })
    }

    /// The call as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value of the call.
    ///
    /// # Errors
    /// [`FailureKind::Intrinsic`] if a path finds nothing or the arguments do not suit.
    pub fn eval(&self, env: &Env<'_>) -> Result<Value, Failure> {
        self.call.eval(env).map_err(|failed| {
            let cause = format!("The function '{}' had the following error: {failed}", self.text);
            Failure { kind: FailureKind::Intrinsic, cause }
        })
    }

    /// Every path among the arguments, in order.
    pub fn for_each_path(&self, mut visit: impl FnMut(&Path)) {
        self.call.for_each_path(&mut visit);
    }
}

impl fmt::Debug for Intrinsic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Intrinsic").field(&self.text).finish()
    }
}

/// Why a call fails.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Failed {
    #[error("Invalid arguments in States.{0}")]
    Arguments(&'static str),
    #[error(
        "Invalid arguments in States.Format: number of arguments do not match the occurrences of {{}}."
    )]
    Placeholders,
    #[error("Invalid template in States.Format: matching '{missing}' not found for '{found}'.")]
    Template { missing: char, found: char },
    #[error(
        "The JsonPath argument for the field '{path}' could not be found in the input '{input}'"
    )]
    NotFound { path: String, input: String },
    #[error("{0}")]
    Path(String),
}

type Found<'a> = Cow<'a, Value>;

impl Call {
    fn for_each_path(&self, visit: &mut impl FnMut(&Path)) {
        for argument in &self.arguments {
            match argument {
                Argument::Path(path) => visit(path),
                Argument::Call(call) => call.for_each_path(visit),
                Argument::Literal(_) | Argument::Text { .. } => {}
            }
        }
    }

    fn eval(&self, env: &Env<'_>) -> Result<Value, Failed> {
        let mut values: Vec<Found<'_>> = Vec::with_capacity(self.arguments.len());
        for argument in &self.arguments {
            values.push(argument.eval(env)?);
        }
        if self.function == Function::Array {
            return Ok(Value::Array(values.into_iter().map(Cow::into_owned).collect()));
        }
        if self.function == Function::Format {
            return self.format(&values);
        }
        let values: Vec<&Value> = values.iter().map(|value| &**value).collect();
        self.apply(&values, env).ok_or(Failed::Arguments(self.function.name()))
    }

    fn format(&self, values: &[Found<'_>]) -> Result<Value, Failed> {
        let Some((template, values)) = values.split_first() else {
            return Err(Failed::Arguments("Format"));
        };
        let written = match (self.arguments.first(), &**template) {
            (Some(Argument::Text { written, .. }), _) => written,
            (_, Value::String(text)) => text.as_str(),
            _ => return Err(Failed::Arguments("Format")),
        };
        text::format(written, values).map(Value::String)
    }

    /// The value, or nothing if the arguments do not suit.
    fn apply(&self, values: &[&Value], env: &Env<'_>) -> Option<Value> {
        Some(match (self.function, values) {
            (Function::ArrayContains, [Value::Array(items), wanted]) => {
                array::contains(items, wanted).into()
            }
            (Function::ArrayGetItem, [Value::Array(items), index]) => {
                items.get(usize::try_from(whole(index)?).ok()?)?.clone()
            }
            (Function::ArrayLength, [Value::Array(items)]) => items.len().into(),
            (Function::ArrayPartition, [Value::Array(items), size]) => {
                array::partition(items, usize::try_from(whole(size)?).ok()?)?
            }
            (Function::ArrayRange, [first, last, step]) => {
                array::range(whole(first)?, whole(last)?, whole(step)?)?
            }
            (Function::ArrayUnique, [Value::Array(items)]) => java::distinct(items).into(),
            (Function::Base64Decode, [Value::String(text)]) => text::base64_decode(text)?.into(),
            (Function::Base64Encode, [Value::String(text)]) => text::base64_encode(text)?.into(),
            (Function::Hash, [Value::String(text), Value::String(algorithm)]) => {
                text::hash(text, algorithm)?.into()
            }
            (Function::JsonMerge, [Value::Object(left), Value::Object(right), deep]) => {
                if **deep == Value::Bool(true) {
                    return None;
                }
                let mut merged = left.clone();
                merged.extend(right.iter().map(|(name, value)| (name.clone(), value.clone())));
                Value::Object(merged)
            }
            (Function::JsonToString, [value]) => value.to_string().into(),
            (Function::MathAdd, [left, right]) => {
                rounded(left)?.checked_add(rounded(right)?)?.into()
            }
            (Function::MathRandom, [start, end]) => {
                let bound = distance(start, end)?;
                let drawn = env.entropy.number() % u64::try_from(bound).ok()?;
                (whole(start)? + i64::try_from(drawn).ok()?).into()
            }
            (Function::MathRandom, [start, end, seed]) => {
                let drawn = java::random(whole(seed)?, distance(start, end)?);
                (whole(start)? + i64::from(drawn)).into()
            }
            (Function::StringSplit, [Value::String(text), Value::String(delimiters)]) => {
                text::split(text, delimiters)
            }
            (Function::StringToJson, [Value::String(text)]) => text::to_json(text)?,
            (Function::Uuid, []) => uuid(env.entropy).into(),
            _ => return None,
        })
    }
}

impl Argument {
    fn eval<'a>(&'a self, env: &Env<'a>) -> Result<Found<'a>, Failed> {
        match self {
            Self::Literal(value) | Self::Text { value, .. } => Ok(Cow::Borrowed(value)),
            Self::Call(call) => call.eval(env).map(Cow::Owned),
            Self::Path(path) => env.resolve(path).map_err(|failure| {
                if failure.is_not_found() {
                    Failed::NotFound { path: path.to_string(), input: env.input.to_string() }
                } else {
                    Failed::Path(failure.to_string())
                }
            }),
        }
    }
}

/// A number with its fraction cut off.
fn whole(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = value.as_number()?;
    if let Some(integer) = number::integer(number) {
        return i64::try_from(integer).ok();
    }
    let cut = number.as_f64()?.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
    (cut.abs() <= EXACT).then_some(cut as i64)
}

/// A number rounded to an integer of 32 bits, halves upwards.
fn rounded(value: &Value) -> Option<i32> {
    let number: &Number = value.as_number()?;
    if let Some(integer) = number::integer(number) {
        return i32::try_from(integer).ok();
    }
    let rounded = (number.as_f64()? + 0.5).floor();
    #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
    (rounded.abs() <= f64::from(i32::MAX)).then_some(rounded as i32)
}

/// How many numbers lie from `start` up to but without `end`; at least one.
fn distance(start: &Value, end: &Value) -> Option<i32> {
    let distance = whole(end)?.checked_sub(whole(start)?)?;
    i32::try_from(distance).ok().filter(|distance| *distance > 0)
}
