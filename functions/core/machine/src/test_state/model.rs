//! Holds mocked results against what the APIs that tasks call give back.
//!
//! `models.txt` says that for the operations that recipes call most; results of others are taken
//! as they are. A member that the table does not name is taken too: APIs grow.

use serde_json::Value;

use super::request::FieldValidation;

const MODELS: &str = include_str!("models.txt");

/// Checks the result of `operation`, such as `sqs:sendMessage` or `aws-sdk:s3:getObject`.
///
/// # Errors
/// The first member that is wrong, in the service's words.
pub(super) fn check(operation: &str, result: &Value, mode: FieldValidation) -> Result<(), String> {
    if mode == FieldValidation::None || members(operation).is_none() {
        return Ok(());
    }
    if !result.is_object() {
        return Err("Mocked result must be a JSON object".to_owned());
    }
    is_of(result, operation, "", mode == FieldValidation::Strict)
}

/// One line of a block: a member of a result, or of a shape in it.
struct Member {
    name: &'static str,
    is_required: bool,
    shape: &'static str,
}

/// The members that the block of an operation, or of a shape, lists.
fn members(block: &str) -> Option<impl Iterator<Item = Member>> {
    let is_member = |line: &&str| line.starts_with(' ');
    let is_text = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let mut lines = MODELS.lines().filter(is_text);
    lines.find(|line| !is_member(line) && line.split(' ').any(|name| name == block))?;
    let member = |line: &'static str| {
        let (name, shape) = line.trim().split_once(' ').unwrap_or((line.trim(), "any"));
        let required = name.strip_suffix('!');
        Member { name: required.unwrap_or(name), is_required: required.is_some(), shape }
    };
    Some(lines.take_while(is_member).map(member))
}

fn is_of(value: &Value, shape: &str, field: &str, is_strict: bool) -> Result<(), String> {
    let must_be = |what: &str| Err(format!("Field '{field}' must be {what}"));
    if let Some(each) = shape.strip_prefix('[').and_then(|shape| shape.strip_suffix(']')) {
        let Value::Array(items) = value else { return must_be("an array") };
        return items.iter().try_for_each(|item| is_of(item, each, field, is_strict));
    }
    if let Some(each) = shape.strip_prefix('{').and_then(|shape| shape.strip_suffix('}')) {
        let Value::Object(values) = value else { return must_be("an object") };
        return values.values().try_for_each(|value| is_of(value, each, field, is_strict));
    }
    if let Some(names) = shape.strip_prefix('=') {
        let Value::String(text) = value else { return must_be("a string") };
        return match names.split('|').any(|name| name == text) {
            true => Ok(()),
            false => Err(format!("Field '{field}' is not an expected value")),
        };
    }
    let (plain, range) = shape.split_once(' ').unwrap_or((shape, ".."));
    match plain {
        "any" => Ok(()),
        "string" => match value {
            Value::String(text) => long_enough(text.chars().count(), range, field),
            _ => must_be("a string"),
        },
        "number" => match value.as_f64() {
            Some(number) => large_enough(number, range, field),
            None => must_be("a number"),
        },
        "boolean" if value.is_boolean() => Ok(()),
        "boolean" => must_be("a boolean"),
        block => {
            let Value::Object(object) = value else { return must_be("an object") };
            let known: Vec<_> = members(block).into_iter().flatten().collect();
            let missing = known.iter().find(|member| {
                is_strict && member.is_required && !object.contains_key(member.name)
            });
            if let Some(Member { name, .. }) = missing {
                return Err(format!("Required field '{name}' is missing"));
            }
            object.iter().try_for_each(|(name, value)| {
                let member = known.iter().find(|member| member.name == name);
                member.map_or(Ok(()), |member| is_of(value, member.shape, name, is_strict))
            })
        }
    }
}

fn long_enough(length: usize, range: &str, field: &str) -> Result<(), String> {
    match bounds(range) {
        (Some(least), _) if (length as f64) < least => {
            Err(format!("Field '{field}' is smaller than the minimum length"))
        }
        (_, Some(most)) if length as f64 > most => {
            Err(format!("Field '{field}' exceeds the maximum length"))
        }
        _ => Ok(()),
    }
}

fn large_enough(number: f64, range: &str, field: &str) -> Result<(), String> {
    match bounds(range) {
        (Some(least), _) if number < least => {
            Err(format!("Field '{field}' is less than the minimum value"))
        }
        (_, Some(most)) if number > most => {
            Err(format!("Field '{field}' exceeds the maximum value"))
        }
        _ => Ok(()),
    }
}

/// `1..256`, `1..` or `..256`.
fn bounds(range: &str) -> (Option<f64>, Option<f64>) {
    let (least, most) = range.split_once("..").unwrap_or_default();
    (least.parse().ok(), most.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn strict(operation: &str, result: &Value) -> String {
        check(operation, result, FieldValidation::Strict).err().unwrap_or_default()
    }

    #[test]
    fn every_shape_of_the_table_is_known() {
        let mut blocks = Vec::new();
        for line in MODELS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let Some(member) = line.strip_prefix("  ") else {
                blocks.extend(line.split(' '));
                continue;
            };
            let (name, shape) = member.split_once(' ').expect("a name and a shape");
            let first = name.chars().next().expect("a name");
            assert!(first.is_ascii_uppercase(), "`{name}`: members are written in capitals");
            let plain = shape.trim_matches(|c| "[]{}".contains(c));
            let (plain, range) = plain.split_once(' ').unwrap_or((plain, "1.."));
            let is_known = plain.starts_with('=')
                || ["any", "string", "number", "boolean"].contains(&plain)
                || members(plain).is_some();
            assert!(is_known && bounds(range) != (None, None), "{line}");
        }
        let count = blocks.len();
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), count, "each block stands once");
    }

    #[test]
    fn members_are_held_against_the_table() {
        let item = json!({ "ConsumedCapacity": { "CapacityUnits": "1" } });
        assert_eq!(strict("dynamodb:putItem", &item), "Field 'CapacityUnits' must be a number");
        let item = json!({ "Attributes": { "a": { "L": [{ "BOOL": 1 }] } } });
        assert_eq!(strict("dynamodb:updateItem", &item), "Field 'BOOL' must be a boolean");
        let item = json!({ "Attributes": [] });
        assert_eq!(strict("dynamodb:updateItem", &item), "Field 'Attributes' must be an object");
        let state = json!({ "Configuration": { "State": "Lost" } });
        let wrong = strict("aws-sdk:lambda:getFunction", &state);
        assert_eq!(wrong, "Field 'State' is not an expected value");
        let long = json!({ "ExecutedVersion": "1".repeat(1025) });
        let wrong = strict("lambda:invoke", &long);
        assert_eq!(wrong, "Field 'ExecutedVersion' exceeds the maximum length");
        assert_eq!(strict("lambda:invoke", &json!(1)), "Mocked result must be a JSON object");
        assert_eq!(strict("events:putEvents", &json!({ "New": 1 })), "");
        assert_eq!(strict("teleport:beam", &json!(1)), "");
    }

    #[test]
    fn what_is_required_is_asked_for_in_the_strict_mode_alone() {
        let missing = json!({ "StartDate": "2026-01-01T00:00:00Z" });
        let wrong = strict("states:startExecution", &missing);
        assert_eq!(wrong, "Required field 'ExecutionArn' is missing");
        check("states:startExecution", &missing, FieldValidation::Present).expect("all is right");
        let wrong = json!({ "StartDate": 1 });
        assert!(check("states:startExecution", &wrong, FieldValidation::Present).is_err());
        check("states:startExecution", &wrong, FieldValidation::None).expect("nothing is checked");
    }
}
