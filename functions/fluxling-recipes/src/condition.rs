//! A Choice rule in words, for the label of its branch.

use serde_json::{Map, Value};

/// The rule as a reader would say it: `$.total > 100 and not ($.vip is present)`.
pub(crate) fn in_words(rule: &Map<String, Value>) -> String {
    if let Some(condition) = rule.get("Condition") {
        let text = condition.as_str().map_or_else(|| condition.to_string(), str::to_owned);
        let inner = text.trim().strip_prefix("{%").and_then(|text| text.strip_suffix("%}"));
        return inner.unwrap_or(&text).trim().to_owned();
    }
    for (key, word) in [("And", " and "), ("Or", " or ")] {
        if let Some(Value::Array(rules)) = rule.get(key) {
            let rules = rules.iter().filter_map(Value::as_object).map(nested);
            return rules.collect::<Vec<_>>().join(word);
        }
    }
    if let Some(Value::Object(inner)) = rule.get("Not") {
        return format!("not ({})", in_words(inner));
    }
    let variable = rule.get("Variable").and_then(Value::as_str).unwrap_or("?");
    let operator = rule.iter().find_map(|(name, value)| comparison(variable, name, value));
    operator.unwrap_or_else(|| variable.to_owned())
}

/// A rule within another, in parentheses where it could be misread.
fn nested(rule: &Map<String, Value>) -> String {
    let words = in_words(rule);
    if rule.contains_key("And") || rule.contains_key("Or") { format!("({words})") } else { words }
}

/// One comparison; none if the name is not that of an operator.
fn comparison(variable: &str, name: &str, value: &Value) -> Option<String> {
    if let Some(kind) = name.strip_prefix("Is") {
        let not = if value == &Value::Bool(false) { "not " } else { "" };
        let kind = if kind == "Present" { "present".to_owned() } else { format!("a {kind}") };
        let kind = if kind == "a Null" { "null".to_owned() } else { kind.to_lowercase() };
        return Some(format!("{variable} is {not}{kind}"));
    }
    let name = name.strip_suffix("Path").unwrap_or(name);
    let kinds = ["String", "Numeric", "Boolean", "Timestamp"];
    let operator = kinds.iter().find_map(|kind| name.strip_prefix(kind))?;
    let symbol = match operator {
        "Equals" => "=",
        "LessThan" => "<",
        "LessThanEquals" => "<=",
        "GreaterThan" => ">",
        "GreaterThanEquals" => ">=",
        "Matches" => "matches",
        _ => return None,
    };
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some(format!("{variable} {symbol} {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_are_said_in_words() {
        let cases = [
            (json!({"Variable": "$.a", "NumericGreaterThan": 5, "Next": "B"}), "$.a > 5"),
            (json!({"Next": "B", "Variable": "$.a", "StringEqualsPath": "$.b"}), "$.a = $.b"),
            (json!({"Variable": "$.a", "StringMatches": "log-*"}), "$.a matches log-*"),
            (json!({"Variable": "$.a", "IsPresent": true}), "$.a is present"),
            (json!({"Variable": "$.a", "IsNull": false}), "$.a is not null"),
            (json!({"Variable": "$.a", "IsString": true}), "$.a is a string"),
            (json!({"Condition": "{% $x > 1 %}", "Next": "B"}), "$x > 1"),
            (json!({"Condition": true}), "true"),
            (
                json!({"And": [
                    {"Variable": "$.a", "BooleanEquals": true},
                    {"Or": [{"Variable": "$.b", "IsNull": true}, {"Not": {"Variable": "$.c",
                        "TimestampLessThanEquals": "2026-01-01T00:00:00Z"}}]},
                ]}),
                "$.a = true and ($.b is null or not ($.c <= 2026-01-01T00:00:00Z))",
            ),
            (json!({}), "?"),
        ];
        for (rule, want) in cases {
            assert_eq!(in_words(rule.as_object().expect("a rule")), want);
        }
    }
}
