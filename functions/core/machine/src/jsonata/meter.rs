//! The checks that `bound.rs` weaves into an expression.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fluxus_schema::Timestamp;
use jsonata_core::evaluator::{Evaluator, EvaluatorError};
use jsonata_core::functions::string::build_regex;
use jsonata_core::value::{JValue, with_stack};

use super::{message, replaced};

type Given = Result<JValue, EvaluatorError>;

/// `KEEP(value)`: counts a value, and gives it on.
pub(super) const KEEP: &str = "keep value";
/// `LIMIT(value)`: gives a value on that is not too large.
pub(super) const LIMIT: &str = "limit value";
/// `ITEM(count, value)`: counts an item of an array constructor with `count` of them.
pub(super) const ITEM: &str = "keep item";
/// `ENTER()`: remembers what is counted.
pub(super) const ENTER: &str = "enter function";
/// `LEAVE(ENTER(), value)`: counts nothing but the value of what was counted since.
pub(super) const LEAVE: &str = "leave function";
/// `DROP(ENTER(), value)`: counts nothing of what was counted since.
pub(super) const DROP: &str = "drop function";
/// `TEXT(most, value)`: gives on a value that is no text of more bytes.
pub(super) const TEXT: &str = "limit text";
/// `WIDTH(most, value)`: gives on a value that is no number beyond.
pub(super) const WIDTH: &str = "limit width";
/// `PICTURE(value)`: gives on a value that is no date picture with a huge width.
pub(super) const PICTURE: &str = "limit picture";
/// `NOTE(value)`: gives a value on that a later check looks at.
pub(super) const NOTE: &str = "note argument";
/// `JOIN(separator)`: after the noted list.
pub(super) const JOIN: &str = "limit join";
/// `REPLACE(replacement)`: after the noted text and pattern.
pub(super) const REPLACE: &str = "limit replace";
/// `$distinct`, in linear time.
pub(super) const DISTINCT: &str = "distinct items";
/// `$keys`, in linear time.
pub(super) const KEYS: &str = "distinct keys";
/// `$toMillis` with a picture, completed from the evaluation's time.
pub(super) const TO_MILLIS: &str = "toMillis now";
/// `$decodeUrlComponent` of the service, for which `+` is a space.
pub(super) const DECODE: &str = "decode component";

/// All of them.
const CHECKS: [&str; 16] = [
    KEEP, LIMIT, ITEM, ENTER, LEAVE, DROP, TEXT, WIDTH, PICTURE, NOTE, JOIN, REPLACE, DISTINCT,
    KEYS, TO_MILLIS, DECODE,
];

/// The replaced functions. Where a variable takes the place of the one, it takes that of the other.
pub(super) const REPLACED: [(&str, &str); 4] = [
    ("decodeUrlComponent", DECODE),
    ("distinct", DISTINCT),
    ("keys", KEYS),
    ("toMillis", TO_MILLIS),
];

/// How many bytes one value may take, about. The service takes 873,782 numbers, which are 20 MiB.
const MAX_VALUE: usize = 24 << 20;

/// How many bytes all values may take that an evaluation holds at a time, about. A function with
/// 512 MiB is to live through anything, and the engine copies some values while it works on them.
const MAX_HELD: usize = 64 << 20;

/// How many bytes a text may have. The service takes a text of 2^22 characters and refuses one of
/// 2^23; its bound on a sequence, at eight bytes a number, lies here.
pub(super) const MAX_TEXT: usize = 8 * MAX_SEQUENCE;

/// How many items a sequence may have. The service takes `[1..873782]` and refuses one item more.
pub(super) const MAX_SEQUENCE: usize = 873_782;

/// How long a text may be that is split: each of its characters may become a text.
pub(super) const MAX_SPLIT: usize = 1 << 20;

/// How long a text may be that is matched: each of its characters may become an object. A payload
/// has no longer ones.
pub(super) const MAX_MATCH: usize = 1 << 18;

/// How wide a date's part may be written, at most.
const MAX_WIDTH: usize = 1_000;

/// Whether the name is that of a check.
pub(super) fn is_check(name: &str) -> bool {
    CHECKS.contains(&name)
}

/// The check of that name.
pub(super) fn known(name: &str) -> Option<&'static str> {
    CHECKS.into_iter().find(|known| *known == name)
}

/// What one evaluation holds.
#[derive(Debug, Default)]
pub(super) struct Meter {
    held: Cell<usize>,
    /// What was held when the functions were entered that have not been left.
    entered: RefCell<Vec<usize>>,
    /// Arguments for a check to come.
    noted: RefCell<Vec<JValue>>,
    /// What a function that an expression defines takes: a copy of its part of the tree.
    function_bytes: usize,
    /// What an item of an array takes besides itself.
    item_bytes: usize,
}

fn too_large() -> EvaluatorError {
    EvaluatorError::EvaluationError(message::TOO_LARGE.to_owned())
}

impl Meter {
    /// For an expression of that length, whose values carry others along or not: `items@$i`.
    pub(super) fn new(source_bytes: usize, has_bindings: bool) -> Self {
        /// How many bytes a character of source becomes at most, about: `[` makes a node.
        const BYTES_PER_CHARACTER: usize = 128;
        /// What a value takes that carries others along.
        const BINDINGS: usize = 512;
        let function_bytes = source_bytes * BYTES_PER_CHARACTER;
        let item_bytes = if has_bindings { BINDINGS } else { 0 };
        Self { function_bytes, item_bytes, ..Self::default() }
    }

    /// Gives the engine those checks that an expression holds.
    pub(super) fn register(
        self,
        used: impl Iterator<Item = &'static str>,
        evaluator: &mut Evaluator,
        now: Timestamp,
    ) -> Result<(), EvaluatorError> {
        let meter = Rc::new(self);
        for name in used {
            let meter = Rc::clone(&meter);
            evaluator.register_fn(name, move |args: &[JValue]| match name {
                DISTINCT => Ok(replaced::distinct(args)),
                KEYS => Ok(replaced::keys(args)),
                TO_MILLIS => replaced::to_millis(args, now),
                DECODE => replaced::decode(args),
                _ => meter.check(name, args),
            })?;
        }
        Ok(())
    }

    fn check(&self, name: &str, args: &[JValue]) -> Given {
        let value = args.last().unwrap_or(&JValue::Undefined);
        let most = || args.first().and_then(JValue::as_f64).unwrap_or_default();
        match name {
            KEEP => self.keep(value)?,
            LIMIT => _ = self.size(value)?,
            ITEM => {
                let is_long = value.as_array().is_some_and(|items| {
                    items.len() as f64 > MAX_SEQUENCE as f64 / most().max(1.0)
                });
                if is_long {
                    return Err(too_large());
                }
                self.keep(value)?;
            }
            ENTER => self.entered.borrow_mut().push(self.held.get()),
            LEAVE | DROP => {
                self.held.set(self.entered.borrow_mut().pop().unwrap_or_default());
                if name == LEAVE {
                    self.keep(value)?;
                } else {
                    self.size(value)?;
                }
            }
            TEXT if value.as_str().is_some_and(|text| text.len() as f64 > most()) => {
                return Err(too_large());
            }
            WIDTH if value.as_f64().is_some_and(|width| width.abs() > most()) => {
                return Err(too_large());
            }
            PICTURE if value.as_str().is_some_and(is_wide) => return Err(too_large()),
            NOTE => self.noted.borrow_mut().push(value.clone()),
            JOIN => {
                let list = self.noted.borrow_mut().pop();
                if list.is_some_and(|list| joined_bytes(&list, value) > MAX_TEXT) {
                    return Err(too_large());
                }
            }
            REPLACE => {
                let mut noted = self.noted.borrow_mut();
                if let (Some(pattern), Some(text)) = (noted.pop(), noted.pop())
                    && replaced_bytes(&text, &pattern, value) > MAX_TEXT
                {
                    return Err(too_large());
                }
            }
            _ => {}
        }
        Ok(value.clone())
    }

    fn keep(&self, value: &JValue) -> Result<(), EvaluatorError> {
        let held = self.held.get() + self.size(value)?;
        self.held.set(held);
        if held > MAX_HELD { Err(too_large()) } else { Ok(()) }
    }

    /// How many bytes a value takes, about, if each of its parts were there for itself.
    fn size(&self, value: &JValue) -> Result<usize, EvaluatorError> {
        let mut size = 0;
        self.add(value, &mut size);
        if size > MAX_VALUE { Err(too_large()) } else { Ok(size) }
    }

    fn add(&self, value: &JValue, size: &mut usize) {
        /// A value in its array or in its object.
        const VALUE: usize = 24;
        /// A text's or an array's own allocation, with what that costs.
        const ALLOCATION: usize = 40;
        /// An object's.
        const OBJECT: usize = 160;
        /// A field's name and its place in the index.
        const FIELD: usize = 64;
        *size += VALUE;
        match value {
            JValue::String(text) => *size += ALLOCATION + text.len(),
            JValue::Array(items) => with_stack(|| {
                *size += ALLOCATION;
                for item in items {
                    // What is too large already is not looked at further.
                    if *size > MAX_VALUE {
                        return;
                    }
                    *size += self.item_bytes;
                    self.add(item, size);
                }
            }),
            JValue::Object(fields) => with_stack(|| {
                *size += OBJECT;
                for (name, value) in fields.iter() {
                    if *size > MAX_VALUE {
                        return;
                    }
                    *size += FIELD + name.len();
                    self.add(value, size);
                }
            }),
            JValue::Lambda(_) => *size += self.function_bytes,
            _ => {}
        }
    }
}

/// Whether a date picture asks for a part that is very wide: `[Y,2000]`.
pub(super) fn is_wide(picture: &str) -> bool {
    picture.split('[').skip(1).any(|part| {
        let part = part.split(']').next().unwrap_or_default();
        let Some((_, widths)) = part.rsplit_once(',') else { return false };
        let digits = widths.split(|c: char| !c.is_ascii_digit()).filter(|one| !one.is_empty());
        digits.map(str::parse).any(|width| width.map_or(true, |width: usize| width > MAX_WIDTH))
    })
}

fn joined_bytes(list: &JValue, separator: &JValue) -> usize {
    let between = separator.as_str().map_or(0, str::len);
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().map(|item| item.as_str().map_or(0, str::len) + between).sum()
}

/// How long a text may get at most by replacing a pattern.
fn replaced_bytes(text: &JValue, pattern: &JValue, replacement: &JValue) -> usize {
    let (Some(text), Some(replacement)) = (text.as_str(), replacement.as_str()) else { return 0 };
    if text.len().saturating_mul(replacement.len()) <= MAX_TEXT {
        return 0;
    }
    let count = match pattern {
        JValue::String(pattern) if !pattern.is_empty() => text.matches(&**pattern).count(),
        JValue::Regex { pattern, flags } => {
            build_regex(pattern, flags).map_or(0, |regex| regex.find_iter(text).count())
        }
        _ => 0,
    };
    // `$1` puts in a part of the match: all matches together are no longer than the text.
    let groups = replacement.matches('$').count().saturating_mul(text.len());
    count.saturating_mul(replacement.len()).saturating_add(groups).saturating_add(text.len())
}
