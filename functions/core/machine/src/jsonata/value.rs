//! Turns JSON into the values that the evaluator works on, and back.

use jsonata_core::value::{JMap, JValue};
use serde_json::{Number, Value};

use super::{Error, States};

/// The code of our own where a result is, or holds, a function.
pub(super) const NO_JSON: &str = "T1006";

/// The object `$states`.
pub(super) fn states(states: &States<'_>) -> JValue {
    let fields = [
        ("input", Some(states.input)),
        ("result", states.result),
        ("errorOutput", states.error_output),
        ("context", Some(states.context.get())),
    ];
    let held =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), from_json(value?))));
    JValue::Object(held.collect::<JMap>().into())
}

/// JSON as the evaluator holds it. Numbers become doubles, which is what JSONata computes with.
pub(super) fn from_json(value: &Value) -> JValue {
    match value {
        Value::Null => JValue::Null,
        Value::Bool(value) => JValue::Bool(*value),
        Value::Number(value) => JValue::Number(value.as_f64().unwrap_or(f64::NAN)),
        Value::String(value) => JValue::string(value.as_str()),
        Value::Array(items) => JValue::array(items.iter().map(from_json).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), from_json(value)));
            JValue::Object(fields.collect::<JMap>().into())
        }
    }
}

/// The result as JSON; nothing for nothing.
pub(super) fn to_json(value: &JValue) -> Result<Option<Value>, Error> {
    Ok(Some(match value {
        JValue::Undefined => return Ok(None),
        JValue::Null => Value::Null,
        JValue::Bool(value) => Value::Bool(*value),
        JValue::Number(value) => Value::Number(number(*value)?),
        JValue::String(value) => Value::String(value.to_string()),
        JValue::Array(items) => {
            let items = items.iter().map(|item| Ok(to_json(item)?.unwrap_or(Value::Null)));
            Value::Array(items.collect::<Result<_, Error>>()?)
        }
        JValue::Object(fields) => {
            let fields = fields.iter().filter_map(|(name, value)| {
                to_json(value).transpose().map(|value| Ok((name.clone(), value?)))
            });
            Value::Object(fields.collect::<Result<_, Error>>()?)
        }
        JValue::Lambda(_) | JValue::Builtin { .. } | JValue::Regex { .. } => {
            return Err(Error {
                code: NO_JSON.to_owned(),
                message: "The result is a function, which is no JSON value".to_owned(),
            });
        }
    }))
}

/// Whole numbers are written without a fraction, as long as a double knows all their digits.
fn number(value: f64) -> Result<Number, Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        return Ok((value as i64).into());
    }
    Number::from_f64(value).ok_or_else(|| Error {
        code: "D1001".to_owned(),
        message: format!("Number out of range: {value}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_comes_back_as_it_went_in() {
        let value = json!({"a": [1, 2.5, -3, "x", null, true, {"b": []}], "big": 1e300});
        assert_eq!(to_json(&from_json(&value)), Ok(Some(value)));
    }
}
