//! The official test suite of JSONata, where it is present: `FLUXUS_JSONATA_SUITE`, by default the
//! folder `jsonata-suite` beside the recorded cases. `FLUXUS_JSONATA_SHOW=50` prints the first
//! cases that differ. The count is a floor that must not fall.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// The machine itself does no I/O; its test reads files.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::path::{Path, PathBuf};

use fluxus_machine::env::Seeded;
use fluxus_machine::jsonata::Expression;
use fluxus_schema::Timestamp;
use serde_json::{Map, Value};

/// How many cases pass at least. Of the other 22, 12 call `$eval`, which the service has not got; 8
/// go past its bounds on depth, room and time, whose failures have no code; two hold half of a
/// surrogate pair, which is no text.
const FLOOR: usize = 1664;

/// How far apart two numbers may be that count as equal.
const TOLERANCE: f64 = 1e-9;

fn suite() -> Option<PathBuf> {
    let folder = std::env::var_os("FLUXUS_JSONATA_SUITE").map_or_else(
        || match std::env::var_os("FLUXUS_CONFORMANCE_DIR") {
            Some(cases) => Path::new(&cases).join("../jsonata-suite"),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/jsonata-suite"),
        },
        PathBuf::from,
    );
    let path = folder.join("suite.jsonl");
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: no JSONata suite at {}; set FLUXUS_JSONATA_SUITE", path.display());
    None
}

#[test]
fn the_official_suite_passes() {
    let Some(path) = suite() else { return };
    let show = std::env::var("FLUXUS_JSONATA_SHOW").ok().and_then(|show| show.parse().ok());
    let mut left = show.unwrap_or(0usize);
    let text = std::fs::read_to_string(path).unwrap();
    let (mut total, mut passed) = (0, 0);
    for line in text.lines() {
        total += 1;
        // Half of a surrogate pair, which is no text, makes a line unreadable.
        let case: Value = serde_json::from_str(line).unwrap_or_default();
        let difference = difference(&case);
        if difference.is_none() {
            passed += 1;
        }
        if let Some(difference) = difference.filter(|_| left > 0) {
            left -= 1;
            eprintln!("{}\n    {}\n    {difference}", case["id"], case["expr"]);
        }
    }
    let percent = 100.0 * f64::from(passed) / f64::from(total);
    eprintln!("JSONata suite: {passed} of {total} pass, {percent:.1}%");
    assert!(passed as usize >= FLOOR, "{passed} pass, {FLOOR} did");
}

/// What is wrong about the case; nothing where it passes.
fn difference(case: &Value) -> Option<String> {
    let Some(source) = case["expr"].as_str() else { return Some("unreadable".to_owned()) };
    let code = case.get("code").or_else(|| case["error"].get("code")).and_then(Value::as_str);
    let evaluated = evaluate(case, source);
    match (evaluated, code) {
        (Ok(given), Some(code)) => Some(format!("gave {given:?}, not the failure {code}")),
        (Ok(given), None) => {
            let expected = case.get("result");
            let is_unordered = case.get("unordered").is_some();
            let is_same = match (&given, expected) {
                (None, None) => true,
                (Some(given), Some(expected)) => same(given, expected, is_unordered),
                _ => false,
            };
            let text = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
            (!is_same).then(|| format!("gave {}, not {}", text(given.as_ref()), text(expected)))
        }
        (Err(failure), Some(code)) if failure.starts_with(code) => None,
        (Err(failure), Some(code)) => Some(format!("failed with {failure}, not {code}")),
        (Err(failure), None) => Some(format!("failed with {failure}")),
    }
}

fn evaluate(case: &Value, source: &str) -> Result<Option<Value>, String> {
    let expression = Expression::parse_plain(source)
        .map_err(|invalid| format!("{}: {}", invalid.code, invalid.message))?;
    let none = Map::new();
    let bindings = case["bindings"].as_object().unwrap_or(&none);
    let variables: Vec<_> =
        bindings.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let now = Timestamp::from_millis(1_780_000_000_000);
    expression
        .eval_plain(case.get("data"), &variables, &Seeded::new(1), now)
        .map_err(|error| error.to_string())
}

fn same(given: &Value, expected: &Value, is_unordered: bool) -> bool {
    match (given, expected) {
        (Value::Number(given), Value::Number(expected)) => {
            let (given, expected) = (given.as_f64().unwrap(), expected.as_f64().unwrap());
            (given - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
        }
        (Value::Array(given), Value::Array(expected)) if given.len() == expected.len() => {
            if !is_unordered {
                return given.iter().zip(expected).all(|(a, b)| same(a, b, false));
            }
            let mut left: Vec<_> = expected.iter().collect();
            given.iter().all(|item| {
                let found = left.iter().position(|other| same(item, other, true));
                found.map(|index| left.swap_remove(index)).is_some()
            })
        }
        (Value::Object(given), Value::Object(expected)) => {
            given.len() == expected.len()
                && given.iter().all(|(name, value)| {
                    expected.get(name).is_some_and(|other| same(value, other, is_unordered))
                })
        }
        _ => given == expected,
    }
}
