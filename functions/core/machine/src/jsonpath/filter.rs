//! Filters: `[?(@.price < 10 && @.name)]`.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::number;
use super::parse::{Cursor, Ending, segments};
use super::pattern::Pattern;
use super::syntax::{Comparator, Condition, Operand, Segment};
use super::{MAX_FILTER_DEPTH, PathError, PathFailure, eval};

/// `?(...)`, or several of them with commas between.
pub(super) fn filter(cursor: &mut Cursor<'_>, depth: usize) -> Result<Segment, PathError> {
    let mut conditions = Vec::new();
    loop {
        cursor.expect('?', "Filter must start with '[?(' and end with ')]'.")?;
        cursor.spaces();
        cursor.expect('(', "Filter must start with '[?(' and end with ')]'.")?;
        conditions.push(any(cursor, depth + 1)?);
        cursor.spaces();
        cursor.expect(')', "Filter must start with '[?(' and end with ')]'.")?;
        cursor.spaces();
        if !cursor.eat(',') {
            break;
        }
        cursor.spaces();
    }
    Ok(Segment::Filter(Box::new(join(conditions, Condition::All))))
}

fn join(mut conditions: Vec<Condition>, with: fn(Box<[Condition]>) -> Condition) -> Condition {
    if conditions.len() == 1 { conditions.remove(0) } else { with(conditions.into()) }
}

fn any(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, PathError> {
    let mut conditions = vec![all(cursor, depth)?];
    while cursor.eat_word("||") {
        conditions.push(all(cursor, depth)?);
    }
    Ok(join(conditions, Condition::Any))
}

fn all(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, PathError> {
    let mut conditions = vec![one(cursor, depth)?];
    while cursor.eat_word("&&") {
        conditions.push(one(cursor, depth)?);
    }
    Ok(join(conditions, Condition::All))
}

fn one(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, PathError> {
    if depth > MAX_FILTER_DEPTH {
        let message = format!("Filters must not nest more than {MAX_FILTER_DEPTH} deep");
        return Err(cursor.error(message));
    }
    cursor.spaces();
    let condition = if cursor.eat('!') {
        Condition::Not(Box::new(one(cursor, depth + 1)?))
    } else if cursor.eat('(') {
        let inner = any(cursor, depth + 1)?;
        cursor.expect(')', "Expected ')'")?;
        inner
    } else {
        comparison(cursor, depth)?
    };
    cursor.spaces();
    Ok(condition)
}

fn comparison(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, PathError> {
    let left = operand(cursor, depth)?;
    cursor.spaces();
    if cursor.eat_word("=~") {
        cursor.spaces();
        return Ok(Condition::Matches(left, pattern(cursor)?));
    }
    let Some(comparator) = comparator(cursor) else {
        return Ok(Condition::Exists(left));
    };
    cursor.spaces();
    Ok(Condition::Compare(left, comparator, operand(cursor, depth)?))
}

fn comparator(cursor: &mut Cursor<'_>) -> Option<Comparator> {
    const SIGNS: [(&str, Comparator); 6] = [
        ("==", Comparator::Equal),
        ("!=", Comparator::NotEqual),
        ("<=", Comparator::LessOrEqual),
        (">=", Comparator::GreaterOrEqual),
        ("<", Comparator::Less),
        (">", Comparator::Greater),
    ];
    const WORDS: [(&str, Comparator); 6] = [
        ("in", Comparator::In),
        ("nin", Comparator::NotIn),
        ("subsetof", Comparator::SubsetOf),
        ("contains", Comparator::Contains),
        ("size", Comparator::Size),
        ("empty", Comparator::Empty),
    ];
    if let Some((_, comparator)) = SIGNS.into_iter().find(|(sign, _)| cursor.eat_word(sign)) {
        return Some(comparator);
    }
    let rest = cursor.rest();
    let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let word = rest[..length].to_ascii_lowercase();
    let (_, comparator) = WORDS.into_iter().find(|(known, _)| *known == word)?;
    cursor.offset += length;
    Some(comparator)
}

fn operand(cursor: &mut Cursor<'_>, depth: usize) -> Result<Operand, PathError> {
    let start = cursor.offset;
    match cursor.peek() {
        Some(sign @ ('@' | '$')) => {
            cursor.bump();
            let path = segments(cursor, Ending::InFilter, depth)?;
            if !path.iter().all(Segment::is_definite) {
                let text = &cursor.text[start..cursor.offset];
                let message = format!("the predicate path: {text} is not definite");
                return Err(cursor.error_at(start, message));
            }
            Ok(if sign == '@' { Operand::Current(path) } else { Operand::Document(path) })
        }
        Some('\'' | '"') => cursor.quoted().map(|text| Operand::Literal(Value::String(text))),
        Some('[' | '{') => literal_tree(cursor, depth).map(Operand::Literal),
        _ => bare(cursor).map(Operand::Literal),
    }
}

/// An array, whose texts may be in single quotes, or a JSON object.
fn literal_tree(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, PathError> {
    if depth > MAX_FILTER_DEPTH {
        return Err(cursor.error("The literal nests too deep"));
    }
    if cursor.peek() == Some('{') {
        let mut stream = serde_json::Deserializer::from_str(cursor.rest()).into_iter::<Value>();
        let object = match stream.next() {
            Some(Ok(object)) => object,
            _ => return Err(cursor.error("Expected a JSON object")),
        };
        cursor.offset += stream.byte_offset();
        return Ok(object);
    }
    cursor.expect('[', "Expected '['")?;
    let mut items = Vec::new();
    cursor.spaces();
    while !cursor.eat(']') {
        items.push(match cursor.peek() {
            Some('\'' | '"') => Value::String(cursor.quoted()?),
            Some('[' | '{') => literal_tree(cursor, depth + 1)?,
            _ => bare(cursor)?,
        });
        cursor.spaces();
        if !cursor.eat(',') && cursor.peek() != Some(']') {
            return Err(cursor.error("Expected ',' or ']'"));
        }
        cursor.spaces();
    }
    Ok(Value::Array(items))
}

/// A number, `true`, `false`, `null`, or a text without quotes.
fn bare(cursor: &mut Cursor<'_>) -> Result<Value, PathError> {
    let rest = cursor.rest();
    let end = rest.find([' ', ')', ']', ',', '&', '|', '=', '<', '>', '!']).unwrap_or(rest.len());
    let word = &rest[..end];
    if word.is_empty() {
        return Err(cursor.error("Expected a value"));
    }
    cursor.offset += end;
    Ok(match word {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        _ => match word.parse::<Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(word.to_owned()),
        },
    })
}

/// `/text/i`
fn pattern(cursor: &mut Cursor<'_>) -> Result<Pattern, PathError> {
    let start = cursor.offset;
    cursor.expect('/', "Expected a pattern: /.../")?;
    let mut text = String::new();
    loop {
        match cursor.peek() {
            None => return Err(cursor.error_at(start, "The pattern is not closed")),
            Some('/') => break,
            Some('\\') if cursor.rest().starts_with("\\/") => {
                cursor.offset += 2;
                text.push('/');
            }
            Some('\\') => {
                cursor.bump();
                text.push('\\');
                if let Some(escaped) = cursor.peek() {
                    cursor.bump();
                    text.push(escaped);
                }
            }
            Some(other) => {
                cursor.bump();
                text.push(other);
            }
        }
    }
    cursor.bump();
    let ignore_case = cursor.eat('i');
    Pattern::parse(&text, ignore_case).map_err(|message| cursor.error_at(start, message))
}

/// Whether `here` passes the filter.
pub(super) fn holds(
    condition: &Condition,
    here: &Value,
    root: &Value,
) -> Result<bool, PathFailure> {
    Ok(match condition {
        Condition::All(conditions) => {
            for condition in conditions {
                if !holds(condition, here, root)? {
                    return Ok(false);
                }
            }
            true
        }
        Condition::Any(conditions) => {
            for condition in conditions {
                if holds(condition, here, root)? {
                    return Ok(true);
                }
            }
            false
        }
        Condition::Not(condition) => !holds(condition, here, root)?,
        Condition::Exists(operand) => {
            value(operand, here, root)?.is_some_and(|found| !found.is_null())
        }
        Condition::Matches(operand, pattern) => match value(operand, here, root)?.as_deref() {
            Some(Value::String(text)) => pattern.matches(text),
            _ => false,
        },
        Condition::Compare(left, comparator, right) => {
            match (value(left, here, root)?, value(right, here, root)?) {
                (Some(left), Some(right)) => compare(&left, *comparator, &right),
                _ => false,
            }
        }
    })
}

/// The value of one side, or nothing if its path finds none.
fn value<'v>(
    operand: &'v Operand,
    here: &'v Value,
    root: &'v Value,
) -> Result<Option<Cow<'v, Value>>, PathFailure> {
    let found = match operand {
        Operand::Literal(literal) => return Ok(Some(Cow::Borrowed(literal))),
        Operand::Current(path) => eval::definite_segments(path, here),
        Operand::Document(path) => eval::definite_segments(path, root),
    };
    match found {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn compare(left: &Value, comparator: Comparator, right: &Value) -> bool {
    let within = |list: &Value, wanted: &Value| {
        list.as_array().is_some_and(|items| items.iter().any(|item| equal(item, wanted)))
    };
    match comparator {
        Comparator::Equal => equal(left, right),
        // A list or object and a text or number do not compare at all, as in the service.
        Comparator::NotEqual => {
            let comparable = nested(left) == nested(right) || left.is_null() || right.is_null();
            comparable && !equal(left, right)
        }
        Comparator::Less => order(left, right) == Some(Ordering::Less),
        Comparator::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
        Comparator::Greater => order(left, right) == Some(Ordering::Greater),
        Comparator::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
        Comparator::In => within(right, left),
        Comparator::NotIn => right.is_array() && !within(right, left),
        Comparator::SubsetOf => {
            left.as_array().is_some_and(|items| items.iter().all(|item| within(right, item)))
        }
        Comparator::Contains => match (left, right) {
            (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
            _ => within(left, right),
        },
        Comparator::Size => {
            size(left).is_some_and(|size| right.as_u64().is_some_and(|wanted| wanted == size))
        }
        Comparator::Empty => {
            size(left).is_some_and(|size| right.as_bool().is_some_and(|empty| empty == (size == 0)))
        }
    }
}

fn nested(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

fn size(value: &Value) -> Option<u64> {
    let size = match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::String(text) => text.chars().count(),
        _ => return None,
    };
    u64::try_from(size).ok()
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Null, _) => left == right,
        _ => order(left, right) == Some(Ordering::Equal),
    }
}

/// Numbers and texts have an order; a text that reads as a number has one with numbers too, as in
/// the service.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => number::order(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::String(right)) => {
            number::order(left, &right.trim().parse().ok()?)
        }
        (Value::String(left), Value::Number(right)) => {
            number::order(&left.trim().parse().ok()?, right)
        }
        _ => None,
    }
}
