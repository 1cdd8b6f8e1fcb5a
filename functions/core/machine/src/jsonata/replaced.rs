//! Functions in place of the engine's, where that takes quadratic time, reads a clock, or differs
//! from the service.

use std::collections::HashSet;

use fluxus_schema::Timestamp;
use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Evaluator, EvaluatorError};
use jsonata_core::value::{JMap, JValue, with_stack};

type Given = Result<JValue, EvaluatorError>;

/// `$distinct`: the items of an array, each the first time that it comes.
pub(super) fn distinct(args: &[JValue]) -> JValue {
    let value = args.first().unwrap_or(&JValue::Undefined);
    let JValue::Array(items) = value else { return value.clone() };
    if items.len() <= 1 {
        return value.clone();
    }
    let mut seen = HashSet::new();
    let kept = items.iter().filter(|item| seen.insert(identity(item))).cloned();
    JValue::Array(items.with_items(kept.collect()))
}

/// A text that two values share exactly where they are equal.
fn identity(value: &JValue) -> String {
    match value {
        // The order of an object's fields makes no difference.
        JValue::Object(fields) => with_stack(|| {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            let fields = fields.into_iter().map(|(name, value)| {
                format!("{}:{}", identity(&JValue::string(name.as_str())), identity(value))
            });
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }),
        JValue::Array(items) => {
            with_stack(|| format!("[{}]", items.iter().map(identity).collect::<Vec<_>>().join(",")))
        }
        other => other.to_json_string().unwrap_or_default(),
    }
}

/// `$keys` of an object, or of all objects in an array.
pub(super) fn keys(args: &[JValue]) -> JValue {
    let mut names = JMap::default();
    let mut add = |value: &JValue| {
        if let JValue::Object(fields) = value {
            names.extend(fields.keys().map(|name| (name.clone(), JValue::Null)));
        }
    };
    match args.first() {
        Some(JValue::Array(items)) => items.iter().for_each(add),
        Some(value) => add(value),
        None => {}
    }
    let names = names.keys().map(|name| JValue::string(name.as_str()));
    JValue::sequence_flat(names.collect(), true)
}

/// `$decodeUrlComponent`, as the service has it: `+` is a space, and bytes that are no text become
/// the sign for that.
pub(super) fn decode(args: &[JValue]) -> Given {
    let Some(JValue::String(text)) = args.first() else {
        return engine_call("decodeUrlComponent", args.iter().map(literal).collect());
    };
    let malformed = || {
        let quoted = JValue::string(&**text);
        EvaluatorError::EvaluationError(format!(
            "D3140: Malformed URL passed to $decodeUrlComponent(): {quoted}"
        ))
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit(), digit());
                (high.ok_or_else(malformed)? * 16 + low.ok_or_else(malformed)?) as u8
            }
            other => other,
        });
    }
    Ok(JValue::from(String::from_utf8_lossy(&bytes).into_owned()))
}

/// `$toMillis` with a picture: the parts of a date that the picture begins without are those of the
/// evaluation's time, which the engine would take from a clock.
pub(super) fn to_millis(args: &[JValue], now: Timestamp) -> Given {
    /// The parts of a moment, the greatest first, and how each is written in full.
    const PARTS: [(char, &str); 6] = [
        ('Y', "[Y0001]"),
        ('M', "[M01]"),
        ('D', "[D01]"),
        ('H', "[H01]"),
        ('m', "[m01]"),
        ('s', "[s01]"),
    ];
    let mut given: Vec<_> = args.iter().map(literal).collect();
    if let [JValue::String(text), JValue::String(picture)] = args {
        let has = |part: char| picture.contains(&format!("[{part}"));
        // A day of the year stands for month and day, an hour of twelve for one of 24.
        let is_given = |part: char| match part {
            'M' | 'D' => has(part) || has('d'),
            'H' => has('H') || has('h'),
            _ => has(part),
        };
        let missing = PARTS.iter().take_while(|(part, _)| !is_given(*part));
        let lead: String = missing.map(|(_, written)| format!("{written} ")).collect();
        // A picture of weeks, or of nothing, is the engine's to refuse.
        if !lead.is_empty() && PARTS.iter().any(|(part, _)| is_given(*part)) {
            let millis = AstNode::Number(now.as_millis() as f64);
            let written = engine_call("fromMillis", vec![millis, AstNode::String(lead.clone())])?;
            let written = written.as_str().unwrap_or_default();
            given = [format!("{written}{text}"), format!("{lead}{picture}")]
                .map(AstNode::String)
                .to_vec();
        }
    }
    engine_call("toMillis", given)
}

fn literal(value: &JValue) -> AstNode {
    match value {
        JValue::String(text) => AstNode::String(text.to_string()),
        JValue::Number(number) => AstNode::Number(*number),
        JValue::Bool(value) => AstNode::Boolean(*value),
        JValue::Undefined => AstNode::Undefined,
        JValue::Null => AstNode::Null,
        // Of a type that is taken by no function that this is for.
        _ => AstNode::Array(Vec::new()),
    }
}

/// Calls a function of the engine.
pub(super) fn engine_call(name: &str, args: Vec<AstNode>) -> Given {
    let call = AstNode::Function { name: name.to_owned(), args, is_builtin: true };
    Evaluator::new().evaluate(&call, &JValue::Undefined)
}
