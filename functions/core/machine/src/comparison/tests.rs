//! Choice rules: operators, types and absent values.

use expect_test::expect;
use fluxus_schema::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Glob, Rule, timestamp};
use crate::env::{Env, Seeded};

fn eval(rule: &Value, input: &Value) -> String {
    let rule = match Rule::parse(rule) {
        Ok(rule) => rule,
        Err(faults) => {
            let lines = faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail));
            return lines.collect::<Vec<_>>().join("\n");
        }
    };
    let (context, entropy) = (json!({"n": 1}), Seeded::new(1));
    let env = Env::new(input, &context, &(), &entropy, Timestamp::default());
    match rule.matches(&env) {
        Ok(matches) => matches.to_string(),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn every_operator() {
    const RELATIONS: [(&str, [bool; 3]); 5] = [
        ("Equals", [false, true, false]),
        ("LessThan", [true, false, false]),
        ("LessThanEquals", [true, true, false]),
        ("GreaterThan", [false, false, true]),
        ("GreaterThanEquals", [false, true, true]),
    ];
    let kinds = [
        ("Numeric", json!([1, 1.5, 2])),
        ("String", json!(["a", "b", "c"])),
        (
            "Timestamp",
            json!(["2024-01-01T00:30:00Z", "2024-01-01T02:00:00+01:00", "2024-01-01T01:00:00.1Z"]),
        ),
    ];
    for (kind, values) in kinds {
        for (relation, outcomes) in RELATIONS {
            for (value, outcome) in values.as_array().unwrap().iter().zip(outcomes) {
                let input = json!({"v": value, "w": values[1], "other": []});
                let literal = json!({"Variable": "$.v", format!("{kind}{relation}"): values[1]});
                let path = json!({"Variable": "$.v", format!("{kind}{relation}Path"): "$.w"});
                let other = json!({"Variable": "$.v", format!("{kind}{relation}Path"): "$.other"});
                assert_eq!(eval(&literal, &input), outcome.to_string(), "{literal} {input}");
                assert_eq!(eval(&path, &input), outcome.to_string(), "{path} {input}");
                assert_eq!(eval(&other, &input), "false", "{other} {input}");
            }
        }
    }
    for (quality, value) in [
        ("IsBoolean", json!(true)),
        ("IsNull", json!(null)),
        ("IsNumeric", json!(1)),
        ("IsString", json!("x")),
        ("IsTimestamp", json!("2024-01-01T00:00:00Z")),
        ("IsPresent", json!([])),
    ] {
        for wanted in [true, false] {
            let rule = json!({"Variable": "$.v", quality: wanted});
            assert_eq!(eval(&rule, &json!({"v": value})), wanted.to_string(), "{quality}");
        }
    }
    for (rule, outcome) in [
        (json!({"Variable": "$.b", "BooleanEquals": true}), "true"),
        (json!({"Variable": "$.b", "BooleanEqualsPath": "$.b"}), "true"),
        (json!({"Variable": "$.s", "BooleanEquals": true}), "false"),
        (json!({"Variable": "$.s", "StringMatches": "log-*.txt"}), "true"),
        (json!({"Variable": "$.b", "StringMatches": "*"}), "false"),
        (json!({"Variable": "$.none", "IsPresent": false}), "true"),
        (json!({"Variable": "$$.n", "NumericEquals": 1}), "true"),
    ] {
        assert_eq!(eval(&rule, &json!({"b": true, "s": "log-1.txt"})), outcome, "{rule}");
    }
}

#[test]
fn combines_rules_and_looks_no_further_than_needed() {
    let yes = json!({"Variable": "$.n", "IsNumeric": true});
    let no = json!({"Variable": "$.n", "IsNull": true});
    let missing = json!({"Variable": "$.none", "IsNull": true});
    let input = json!({"n": 1});
    for (rule, outcome) in [
        (json!({"And": [yes, {"Not": no}], "Next": "X", "Comment": "c"}), "true"),
        (json!({"And": [no, missing]}), "false"),
        (json!({"Or": [yes, missing]}), "true"),
        (json!({"Or": [no, no]}), "false"),
    ] {
        assert_eq!(eval(&rule, &input), outcome, "{rule}");
    }
    expect!["States.Runtime: Invalid path '$.none': The choice state's condition path references an invalid value."].assert_eq(&eval(&missing, &input));
    expect!["States.Runtime: Invalid path '$.none': The choice state's condition path references an invalid value."]
        .assert_eq(&eval(&json!({"Variable": "$.n", "NumericEqualsPath": "$.none"}), &input));
}

#[test]
fn reports_every_fault_with_its_place() {
    let rule = json!({"And": [
        {"Variable": "$.a", "NumericEquals": "x"},
        {"Variable": "$.", "IsNull": 1},
        {"Or": [{"StringEquals": "x"}, {"Variable": "$.a", "Equals": 1}]},
        {"Variable": "$.a"},
        {"Not": 1},
        {"Or": []},
        {"Variable": "$.a", "BooleanLessThan": true},
        {"Variable": "$.a", "TimestampEquals": "2024-01-01"},
    ]});
    expect![[r#"
        /And/0/NumericEquals: Expected value of type [NUMBER]
        /And/1/Variable: Value is not a Reference Path
        /And/1/IsNull: Expected value of type [BOOLEAN]
        /And/2/Or/0/StringEquals: Field 'StringEquals' is not supported
        /And/2/Or/0: The object must have only one of the following fields, [And, Or, Not, Variable, Condition]
        /And/2/Or/1/Equals: Field 'Equals' is not supported
        /And/2/Or/1: This object should have only one of the following fields: [BooleanEquals, BooleanEqualsPath, IsBoolean, IsNull, IsNumeric, IsPresent, IsString, IsTimestamp, NumericEquals, NumericEqualsPath, NumericGreaterThan, NumericGreaterThanEquals, NumericGreaterThanEqualsPath, NumericGreaterThanPath, NumericLessThan, NumericLessThanEquals, NumericLessThanEqualsPath, NumericLessThanPath, StringEquals, StringEqualsPath, StringGreaterThan, StringGreaterThanEquals, StringGreaterThanEqualsPath, StringGreaterThanPath, StringLessThan, StringLessThanEquals, StringLessThanEqualsPath, StringLessThanPath, StringMatches, TimestampEquals, TimestampEqualsPath, TimestampGreaterThan, TimestampGreaterThanEquals, TimestampGreaterThanEqualsPath, TimestampGreaterThanPath, TimestampLessThan, TimestampLessThanEquals, TimestampLessThanEqualsPath, TimestampLessThanPath]
        /And/3: This object should have only one of the following fields: [BooleanEquals, BooleanEqualsPath, IsBoolean, IsNull, IsNumeric, IsPresent, IsString, IsTimestamp, NumericEquals, NumericEqualsPath, NumericGreaterThan, NumericGreaterThanEquals, NumericGreaterThanEqualsPath, NumericGreaterThanPath, NumericLessThan, NumericLessThanEquals, NumericLessThanEqualsPath, NumericLessThanPath, StringEquals, StringEqualsPath, StringGreaterThan, StringGreaterThanEquals, StringGreaterThanEqualsPath, StringGreaterThanPath, StringLessThan, StringLessThanEquals, StringLessThanEqualsPath, StringLessThanPath, StringMatches, TimestampEquals, TimestampEqualsPath, TimestampGreaterThan, TimestampGreaterThanEquals, TimestampGreaterThanEqualsPath, TimestampGreaterThanPath, TimestampLessThan, TimestampLessThanEquals, TimestampLessThanEqualsPath, TimestampLessThanPath]
        /And/4/Not: Expected value of type [OBJECT]
        /And/5/Or: Value cannot be empty
        /And/6/BooleanLessThan: Field 'BooleanLessThan' is not supported
        /And/6: This object should have only one of the following fields: [BooleanEquals, BooleanEqualsPath, IsBoolean, IsNull, IsNumeric, IsPresent, IsString, IsTimestamp, NumericEquals, NumericEqualsPath, NumericGreaterThan, NumericGreaterThanEquals, NumericGreaterThanEqualsPath, NumericGreaterThanPath, NumericLessThan, NumericLessThanEquals, NumericLessThanEqualsPath, NumericLessThanPath, StringEquals, StringEqualsPath, StringGreaterThan, StringGreaterThanEquals, StringGreaterThanEqualsPath, StringGreaterThanPath, StringLessThan, StringLessThanEquals, StringLessThanEqualsPath, StringLessThanPath, StringMatches, TimestampEquals, TimestampEqualsPath, TimestampGreaterThan, TimestampGreaterThanEquals, TimestampGreaterThanEqualsPath, TimestampGreaterThanPath, TimestampLessThan, TimestampLessThanEquals, TimestampLessThanEqualsPath, TimestampLessThanPath]
        /And/7/TimestampEquals: String does not match RFC3339 timestamp"#]]
    .assert_eq(&eval(&rule, &json!({})));
    let mut deep = json!({"Variable": "$", "IsNull": true});
    for _ in 0..100 {
        deep = json!({"Not": deep});
    }
    assert!(eval(&deep, &json!({})).contains("64"));
}

#[test]
fn globs() {
    for (pattern, text, matches) in [
        ("*", "", true),
        ("a*c*e", "abcde", true),
        ("a*a", "a", false),
        ("*b*b*", "ab", false),
        ("\\*", "*", true),
        ("\\*", "x", false),
        ("\\\\*", "\\x", true),
        ("", "", true),
        ("", "x", false),
        ("*.log", "zebra.log", true),
    ] {
        assert_eq!(Glob::parse(pattern).matches(text), matches, "{pattern} {text}");
    }
}

#[test]
fn timestamps_are_those_of_rfc_3339() {
    for text in [
        "2016-03-14T01:59:00Z",
        "2016-03-14T01:59:00.123456789Z",
        "2016-03-14T01:59:00+05:30",
        "2016-03-14T01:59:00.5-08:00",
    ] {
        assert!(timestamp(text).is_some(), "{text}");
    }
    for text in [
        "2016-03-14",
        "2016-03-14T01:59:00",
        "2016-03-14 01:59:00Z",
        "2016-03-14t01:59:00z",
        "2016-13-14T01:59:00Z",
        "2016-03-14T25:59:00Z",
        "2016-03-14T01:59:00.Z",
        "2016-03-14T01:59:00+0530",
        "2016-03-14T01:59:00Z[UTC]",
        "05-12-2016T21:29:29Z",
        "",
    ] {
        assert!(timestamp(text).is_none(), "{text}");
    }
}

proptest! {
    #[test]
    fn timestamps_and_globs_never_panic(text in "\\PC*", pattern in "[ab*\\\\ü]{0,8}") {
        timestamp(&text);
        Glob::parse(&pattern).matches(&text);
        Glob::parse(&text).matches(&pattern);
    }
}
