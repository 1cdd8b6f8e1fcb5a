//! JSON values as the service's own runtime prints, hashes and orders them. It holds them in Java
//! collections, and that shows: `States.Format` prints an object as `{a=1}`, `States.ArrayUnique`
//! answers in the order of a hash set.

use std::fmt::Write as _;

use serde_json::{Number, Value};

use super::number;

/// `String.valueOf`: a text bare, an object as `{a=1, b=[]}`, an array as `[1, 2]`.
pub(crate) fn to_string(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value);
    text
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number_to_string(number)),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                // Writing to a string cannot fail.
                let _ = write!(out, "{name}=");
                write(out, member);
            }
            out.push('}');
        }
    }
}

/// `Double.toString`: plain between 10^-3 and 10^7, else with an exponent: `1.0E10`.
fn number_to_string(number: &Number) -> String {
    let plain = number.to_string();
    let Some(double) = number.as_f64().filter(|_| number::integer(number).is_none()) else {
        return plain;
    };
    if double == 0.0 || (1e-3..1e7).contains(&double.abs()) {
        return format!("{double:?}");
    }
    let exponential = format!("{double:E}");
    match exponential.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => exponential,
    }
}

/// `Object.hashCode` of the collections that the service holds values in.
pub(crate) fn hash(value: &Value) -> i32 {
    match value {
        Value::Null => 0,
        Value::Bool(true) => 1231,
        Value::Bool(false) => 1237,
        Value::Number(number) => hash_number(number),
        Value::String(text) => hash_text(text),
        Value::Array(items) => items
            .iter()
            .fold(1_i32, |so_far, item| so_far.wrapping_mul(31).wrapping_add(hash(item))),
        Value::Object(members) => members.iter().fold(0_i32, |so_far, (name, member)| {
            so_far.wrapping_add(hash_text(name) ^ hash(member))
        }),
    }
}

fn hash_text(text: &str) -> i32 {
    text.encode_utf16()
        .fold(0_i32, |so_far, unit| so_far.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

fn hash_number(number: &Number) -> i32 {
    match number.as_i64() {
        Some(integer) => match i32::try_from(integer) {
            Ok(small) => small,
            Err(_) => fold(integer.cast_unsigned()),
        },
        None => fold(number.as_f64().unwrap_or_default().to_bits()),
    }
}

/// The two halves of a 64-bit value, combined.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn fold(bits: u64) -> i32 {
    ((bits ^ (bits >> 32)) as u32).cast_signed()
}

/// The distinct values in the order in which a `HashSet`, filled in turn, would give them.
pub(crate) fn distinct(items: &[Value]) -> Vec<Value> {
    let mut kept: Vec<(u32, &Value)> = Vec::new();
    let mut seen: std::collections::HashMap<i32, Vec<&Value>> = std::collections::HashMap::new();
    for item in items {
        let hash = hash(item);
        let twins = seen.entry(hash).or_default();
        if !twins.contains(&item) {
            twins.push(item);
            let bits = hash.cast_unsigned();
            kept.push((bits ^ (bits >> 16), item));
        }
    }
    // The table starts at 16 buckets and doubles whenever it is more than three quarters full; in a
    // bucket the order is that of insertion.
    let mut buckets = 16_usize;
    while kept.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    kept.sort_by_key(|(spread, _)| *spread as usize & (buckets - 1));
    kept.into_iter().map(|(_, item)| item.clone()).collect()
}

/// `java.util.Random(seed).nextInt(bound)`, by which the service draws a seeded number.
pub(crate) fn random(seed: i64, bound: i32) -> i32 {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = (seed.cast_unsigned() ^ MULTIPLIER) & MASK;
    let mut next = || {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        // 31 bits always fit.
        i32::try_from(state >> 17).unwrap_or_default()
    };
    if bound <= 0 {
        return 0;
    }
    if bound & (bound - 1) == 0 {
        return i32::try_from((i64::from(bound) * i64::from(next())) >> 31).unwrap_or_default();
    }
    loop {
        let bits = next();
        let drawn = bits % bound;
        if bits.wrapping_sub(drawn).wrapping_add(bound - 1) >= 0 {
            return drawn;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prints_as_java_does() {
        for (value, text) in [
            (json!({"Arg1": 1, "Arg2": []}), "{Arg1=1, Arg2=[]}"),
            (json!([null, true, "a b", 1.5]), "[null, true, a b, 1.5]"),
            (json!(1.0), "1.0"),
            (json!(1e10), "1.0E10"),
            (json!(1.25e-5), "1.25E-5"),
            (json!(-12_345_678.5), "-1.23456785E7"),
        ] {
            assert_eq!(to_string(&value), text);
        }
    }

    /// Observed on the service: hash order, not order of arrival.
    #[test]
    fn distinct_values_come_in_hash_order() {
        for (items, distinct_items) in [
            (json!([1, 2, 3, 3, 3, 4]), json!([1, 2, 3, 4])),
            (json!([true, false, true]), json!([false, true])),
            (json!([[1, 2], [1, 2], [2, 1]]), json!([[2, 1], [1, 2]])),
            (json!(["a", "b", "a", "c", "b"]), json!(["a", "b", "c"])),
            (json!([{"a": 1, "b": 2}, {"b": 2, "a": 1}]), json!([{"a": 1, "b": 2}])),
            (json!([1, "1", "01"]), json!([1, "1", "01"])),
            (json!([null, null, 1]), json!([null, 1])),
        ] {
            assert_eq!(json!(distinct(items.as_array().unwrap())), distinct_items);
        }
    }

    /// Known values of `new java.util.Random(seed).nextInt(bound)`.
    #[test]
    fn seeded_numbers_are_those_of_java() {
        assert_eq!([random(42, 10), random(42, 100), random(0, 100)], [0, 30, 60]);
        assert_eq!([random(42, 16), random(-10, 9), random(1, 7)], [11, 0, 4]);
        assert_eq!(random(1, 0), 0);
    }
}
