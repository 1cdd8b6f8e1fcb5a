//! Turns JSON into the values that the engine works on, and back.

use jsonata_core::value::{JArray, JMap, JValue, with_stack};
use serde_json::{Map, Number, Value};

use super::Error;

/// The code of our own where a result is, or holds, a function.
pub(super) const NO_JSON: &str = "no JSON";

/// How deep a result may be nested. JSON is read back with at most 128 levels, and a result is
/// stored inside something.
const MAX_DEPTH: usize = 100;

/// How many bytes a result may take, about: a value can hold another many times over without taking
/// more room, until it is written out. The service's bound on all memory of an evaluation lies at
/// about 10 MiB; what leaves a state is bounded more closely elsewhere.
const MAX_BYTES: usize = 16 << 20;

/// What a number or a bracket counts for in [`MAX_BYTES`].
const SCALAR_BYTES: usize = 8;

/// JSON as the engine holds it. Numbers become doubles, which is what JSONata computes with.
pub(super) fn from_json(value: &Value) -> JValue {
    match value {
        Value::Null => JValue::Null,
        Value::Bool(value) => JValue::Bool(*value),
        Value::Number(value) => JValue::Number(value.as_f64().unwrap_or(f64::NAN)),
        Value::String(value) => JValue::string(value.as_str()),
        Value::Array(items) => with_stack(|| {
            let flat = !items.iter().any(Value::is_array);
            JValue::Array(JArray::new_flat(items.iter().map(from_json).collect(), flat))
        }),
        Value::Object(fields) => with_stack(|| {
            let fields = fields.iter().map(|(name, value)| (name.clone(), from_json(value)));
            JValue::Object(fields.collect::<JMap>().into())
        }),
    }
}

/// The result as JSON; nothing for nothing.
pub(super) fn to_json(value: &JValue) -> Result<Option<Value>, Error> {
    Written { room: MAX_BYTES }.value(value, 0)
}

/// A result on its way out.
struct Written {
    room: usize,
}

impl Written {
    fn take(&mut self, bytes: usize) -> Result<(), Error> {
        self.room = self.room.checked_sub(bytes).ok_or_else(Error::memory)?;
        Ok(())
    }

    fn value(&mut self, value: &JValue, depth: usize) -> Result<Option<Value>, Error> {
        self.take(SCALAR_BYTES)?;
        if depth > MAX_DEPTH {
            return Err(Error::depth());
        }
        Ok(Some(match value {
            JValue::Undefined => return Ok(None),
            JValue::Null => Value::Null,
            JValue::Bool(value) => Value::Bool(*value),
            JValue::Number(value) => number(*value),
            JValue::String(value) => {
                self.take(value.len())?;
                Value::String(value.to_string())
            }
            JValue::Array(items) => with_stack(|| {
                let mut written = Vec::with_capacity(items.len().min(self.room / SCALAR_BYTES));
                for item in items {
                    written.push(self.value(item, depth + 1)?.unwrap_or(Value::Null));
                }
                Ok::<_, Error>(Value::Array(written))
            })?,
            JValue::Object(fields) => with_stack(|| {
                let mut written = Map::new();
                for (name, value) in fields.iter() {
                    self.take(name.len())?;
                    if let Some(value) = self.value(value, depth + 1)? {
                        written.insert(name.clone(), value);
                    }
                }
                Ok::<_, Error>(Value::Object(written))
            })?,
            JValue::Lambda(_) | JValue::Builtin { .. } | JValue::Regex { .. } => {
                let message = "The result holds a function, which is no JSON".to_owned();
                return Err(Error { code: NO_JSON.to_owned(), message });
            }
        }))
    }
}

/// A number as the service writes it: without a fraction where it is whole and fits into 64 bits,
/// and as a text where JSON has no number for it.
pub(super) fn number(value: f64) -> Value {
    /// 2^63, the first whole number that is too large.
    const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() == 0.0 && value.abs() < TOO_LARGE {
        return Value::Number((value as i64).into());
    }
    Number::from_f64(value).map_or_else(
        || {
            let text = match value {
                f64::INFINITY => "Infinity",
                f64::NEG_INFINITY => "-Infinity",
                _ => "NaN",
            };
            Value::from(text)
        },
        Value::Number,
    )
}

/// JSON with its numbers as the service writes them. Integers that fit into 64 bits keep all their
/// digits.
pub(super) fn written(value: &Value) -> Value {
    match value {
        Value::Number(held) if held.as_i64().is_none() => {
            held.as_f64().map_or_else(|| value.clone(), number)
        }
        Value::Array(items) => with_stack(|| items.iter().map(written).collect()),
        Value::Object(fields) => with_stack(|| {
            fields.iter().map(|(name, value)| (name.clone(), written(value))).collect()
        }),
        _ => value.clone(),
    }
}
