//! The functions that the service adds to JSONata, and those of JSONata that would read a clock or
//! draw random numbers of their own.
//!
//! An argument that is not there gives nothing rather than a failure, mostly; `tests.rs` has the
//! cases, which follow from what the service does. Source: AWS Step Functions Developer Guide,
//! "JSONata functions provided by Step Functions".

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use fluxus_schema::Timestamp;
use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Evaluator, EvaluatorError};
use jsonata_core::value::{JMap, JValue};
use md5::Digest as _;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::meter::Meter;
use super::random::{Draws, seeded_fraction};
use super::{message, meter, replaced, signature, tree};
use crate::env::Entropy;

type Given = Result<JValue, EvaluatorError>;

/// How many numbers `$range` gives at most. The service takes `$range(1, 360145, 1)` and refuses
/// one number more.
const MAX_RANGE: i128 = 360_145;

/// The functions that we give to the engine, and how many arguments they take.
const OURS: [(&str, usize); 9] = [
    ("hash", 2),
    ("millis", 0),
    ("now", 2),
    ("parse", 1),
    ("partition", 2),
    ("random", 1),
    ("range", 3),
    ("shuffle", 1),
    ("uuid", 0),
];

/// Those that draw random numbers.
const RANDOM: [&str; 3] = ["random", "shuffle", "uuid"];

/// Whether the name stands for a function, unless a variable takes its place.
pub(super) fn is_known(name: &str) -> bool {
    is_ours(name) || signature::of(name).is_some()
}

/// Whether the name stands for one of the functions that we give to the engine.
pub(super) fn is_ours(name: &str) -> bool {
    OURS.iter().any(|(known, _)| *known == name)
}

/// A function that calls the one of ours with that name, for those that apply it to many values:
/// the engine would pass it more arguments than it takes.
pub(super) fn as_lambda(name: &str) -> Option<AstNode> {
    let (known, arity) = OURS.into_iter().find(|(known, _)| *known == name)?;
    let params: Vec<_> = (1..=arity).map(|index| format!("argument {index}")).collect();
    let args = params.iter().cloned().map(AstNode::Variable).collect();
    let body = AstNode::Function { name: known.to_owned(), args, is_builtin: true };
    Some(AstNode::Lambda { params, body: Box::new(body), signature: None, thunk: false })
}

/// The functions of ours, and `eval`, that an expression names, and the checks that it holds.
#[derive(Debug, Default)]
pub(super) struct Used(BTreeSet<&'static str>);

impl Used {
    pub(super) fn by(tree: &AstNode) -> Self {
        let mut used = Self::default();
        tree::visit(tree, &mut |node| {
            let (AstNode::Variable(name) | AstNode::Function { name, .. }) = node else { return };
            let ours = OURS.into_iter().map(|(known, _)| known).chain(["eval"]);
            used.0.extend(ours.into_iter().find(|known| known == name));
            used.0.extend(meter::known(name));
        });
        used
    }

    /// The random numbers of one evaluation, where it takes any: two of `entropy` make them all.
    pub(super) fn draws(&self, entropy: &dyn Entropy) -> Option<Draws> {
        RANDOM.iter().any(|name| self.names(name)).then(|| Draws::new(entropy))
    }

    pub(super) fn names(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// Gives the engine those functions that an expression names.
pub(super) fn register(
    used: &Used,
    evaluator: &mut Evaluator,
    meter: Meter,
    draws: Option<&Draws>,
    now: Timestamp,
) -> Result<(), EvaluatorError> {
    let checks = used.0.iter().copied().filter(|name| meter::is_check(name));
    meter.register(checks, evaluator, now)?;
    let draws = draws.cloned().map(Rc::new);
    for name in &used.0 {
        match (*name, draws.clone()) {
            ("hash", _) => evaluator.register_fn("hash", hash)?,
            ("millis", _) => {
                let millis = move |args: &[JValue]| {
                    at_most("millis", args, 0)?;
                    Ok(JValue::from(now.as_millis()))
                };
                evaluator.register_fn_override("millis", millis)?;
            }
            ("now", _) => {
                evaluator.register_fn_override("now", move |args: &[JValue]| tell(args, now))?;
            }
            ("parse", _) => evaluator.register_fn("parse", parse)?,
            ("partition", _) => evaluator.register_fn("partition", partition)?,
            ("range", _) => evaluator.register_fn("range", range)?,
            ("random", Some(draws)) => {
                evaluator.register_fn_override("random", move |args: &[JValue]| {
                    at_most("random", args, 1)?;
                    Ok(JValue::Number(match args.first() {
                        None | Some(JValue::Undefined) => draws.fraction(),
                        Some(seed) => seeded_fraction(whole("random", 1, seed)?),
                    }))
                })?;
            }
            ("shuffle", Some(draws)) => {
                evaluator.register_fn_override("shuffle", move |args: &[JValue]| {
                    shuffle(args, &draws)
                })?;
            }
            ("uuid", Some(draws)) => evaluator.register_fn("uuid", move |args: &[JValue]| {
                at_most("uuid", args, 0)?;
                Ok(JValue::from(draws.uuid()))
            })?,
            _ => {}
        }
    }
    Ok(())
}

/// An argument of a type that the function does not take.
fn mismatch(function: &str, argument: usize) -> EvaluatorError {
    failed(&format!(
        "T0410: Argument {argument} of function \"{function}\" does not match function signature"
    ))
}

fn failed(text: &str) -> EvaluatorError {
    EvaluatorError::EvaluationError(text.to_owned())
}

fn at_most(function: &str, args: &[JValue], most: usize) -> Result<(), EvaluatorError> {
    if args.len() > most { Err(mismatch(function, most + 1)) } else { Ok(()) }
}

/// A number without its fraction.
fn whole(function: &str, argument: usize, value: &JValue) -> Result<i64, EvaluatorError> {
    value.as_f64().map(|number| number as i64).ok_or_else(|| mismatch(function, argument))
}

/// `$now(picture, timezone)`.
fn tell(args: &[JValue], now: Timestamp) -> Given {
    at_most("now", args, 2)?;
    let mut given = vec![AstNode::Number(now.as_millis() as f64)];
    for (index, argument) in args.iter().enumerate() {
        match argument {
            JValue::String(text) if meter::is_wide(text) => return Err(failed(message::TOO_LARGE)),
            JValue::String(text) => given.push(AstNode::String(text.to_string())),
            JValue::Undefined => given.push(AstNode::Undefined),
            _ => return Err(mismatch("now", index + 1)),
        }
    }
    replaced::engine_call("fromMillis", given)
}

/// `$shuffle(array)`.
fn shuffle(args: &[JValue], draws: &Draws) -> Given {
    at_most("shuffle", args, 1)?;
    let mut items = match args.first() {
        None => return Err(mismatch("shuffle", 1)),
        Some(JValue::Undefined) => return Ok(JValue::Undefined),
        Some(JValue::Array(items)) => items.to_vec(),
        Some(single) => vec![single.clone()],
    };
    for last in (1..items.len()).rev() {
        // The bias of a remainder over 64 bits is out of reach.
        items.swap(last, (draws.number() % (last as u64 + 1)) as usize);
    }
    Ok(JValue::array(items))
}

/// `$partition(array, size)`.
fn partition(args: &[JValue]) -> Given {
    at_most("partition", args, 2)?;
    let items = match args.first() {
        None | Some(JValue::Undefined) => return Ok(JValue::Undefined),
        Some(JValue::Array(items)) => items,
        Some(_) => {
            let text = "T0412: Argument 1 of function \"partition\" must be an array of undefined";
            return Err(failed(text));
        }
    };
    let size = match args.get(1) {
        None | Some(JValue::Undefined) => {
            return Ok(JValue::array(vec![JValue::array(items.to_vec())]));
        }
        Some(size) => whole("partition", 2, size)?,
    };
    match usize::try_from(size) {
        Err(_) => Err(failed("D3137: Second argument must be zero or greater")),
        Ok(0) => Ok(JValue::Undefined),
        _ if items.is_empty() => Ok(JValue::Undefined),
        Ok(size) => {
            let parts = items.chunks(size).map(|part| JValue::array(part.to_vec()));
            Ok(JValue::array(parts.collect()))
        }
    }
}

/// `$range(first, last, step)`: up to and with `last`, where a step gets there.
fn range(args: &[JValue]) -> Given {
    at_most("range", args, 3)?;
    if args.len() < 2 {
        return Err(mismatch("range", args.len() + 1));
    }
    let mut bounds = [0; 3];
    for (index, bound) in bounds.iter_mut().enumerate() {
        *bound = match args.get(index) {
            None | Some(JValue::Undefined) => return Ok(JValue::Undefined),
            Some(given) => i128::from(whole("range", index + 1, given)?),
        };
    }
    let [first, last, step] = bounds;
    if step == 0 || (last - first).signum() == -step.signum() {
        return Ok(JValue::Undefined);
    }
    let count = (last - first) / step + 1;
    if count > MAX_RANGE {
        return Err(failed(message::TOO_LARGE));
    }
    let numbers = (0..count).map(|index| JValue::Number((first + index * step) as f64));
    Ok(JValue::sequence_flat(numbers.collect(), true))
}

/// `$hash(text, algorithm)`.
fn hash(args: &[JValue]) -> Given {
    at_most("hash", args, 2)?;
    let text = match args.first() {
        Some(JValue::String(text)) => text,
        Some(JValue::Undefined) => return Ok(JValue::Undefined),
        _ => return Err(mismatch("hash", 1)),
    };
    let algorithm = match args.get(1) {
        None => return Ok(JValue::Undefined),
        Some(JValue::String(name)) => name,
        Some(JValue::Undefined) => "null",
        Some(_) => return Err(mismatch("hash", 2)),
    };
    let digest = match algorithm {
        "MD5" => md5::Md5::digest(text.as_bytes()).to_vec(),
        "SHA-1" => sha1::Sha1::digest(text.as_bytes()).to_vec(),
        "SHA-256" => sha2::Sha256::digest(text.as_bytes()).to_vec(),
        "SHA-384" => sha2::Sha384::digest(text.as_bytes()).to_vec(),
        "SHA-512" => sha2::Sha512::digest(text.as_bytes()).to_vec(),
        other => {
            return Err(failed(&format!(
                "D3137: Hash algorithm '{other}' must be one of SHA-1, SHA-384, SHA-256, SHA-512, \
                 MD5"
            )));
        }
    };
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(JValue::from(hex))
}

/// `$parse(text)`: one JSON document, in which no object names a field twice.
fn parse(args: &[JValue]) -> Given {
    at_most("parse", args, 1)?;
    match args.first() {
        None | Some(JValue::Undefined) => Ok(JValue::Undefined),
        Some(JValue::String(text)) => match serde_json::from_str::<Parsed>(text) {
            Ok(parsed) => Ok(parsed.0),
            Err(_) => Err(failed("D3137: Invalid JSON")),
        },
        Some(_) => Err(mismatch("parse", 1)),
    }
}

/// A value read without a stop at `serde_json::Value`.
struct Parsed(JValue);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Parser).map(Self)
    }
}

struct Parser;

impl<'de> Visitor<'de> for Parser {
    type Value = JValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<JValue, E> {
        Ok(JValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<JValue, E> {
        Ok(JValue::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<JValue, E> {
        Ok(JValue::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<JValue, E> {
        // A minus before zero is lost, as on the service.
        Ok(JValue::Number(value + 0.0))
    }

    fn visit_str<E>(self, value: &str) -> Result<JValue, E> {
        Ok(JValue::string(value))
    }

    fn visit_unit<E>(self) -> Result<JValue, E> {
        Ok(JValue::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<JValue, A::Error> {
        let mut held = Vec::new();
        while let Some(Parsed(item)) = items.next_element()? {
            held.push(item);
        }
        Ok(JValue::array(held))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<JValue, A::Error> {
        let mut held = JMap::default();
        while let Some((name, Parsed(value))) = fields.next_entry::<String, _>()? {
            if held.insert(name, value).is_some() {
                return Err(A::Error::custom("a field that is there twice"));
            }
        }
        Ok(JValue::Object(Rc::new(held)))
    }
}
