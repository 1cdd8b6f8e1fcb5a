//! Reads CloudFormation templates: YAML with short tags such as `!Sub`, or JSON, to the JSON that
//! CloudFormation takes too.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value, json};

/// Deeper templates do not exist; a bound keeps a wrong file from taking the stack.
const MAX_DEPTH: usize = 64;

/// Reads a template.
///
/// # Errors
/// The line, and why it cannot be read.
pub fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: BTreeMap::new() };
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd => return Err("the template is empty".to_owned()),
            event => return reader.node(event, 0),
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, Value>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.events.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(format!("line {}: {}", error.marker().line(), error.info())),
            None => Err("the template ends too early".to_owned()),
        }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(format!("the template nests deeper than {MAX_DEPTH} levels"));
        }
        let anchor = event.anchor_id();
        let value = match event {
            Event::Alias(id) => {
                return self.anchors.get(&id).cloned().ok_or_else(|| "a loose alias".to_owned());
            }
            Event::Scalar(text, style, _, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                tagged(tag.as_deref(), if plain { scalar(&text) } else { text.as_ref().into() })
            }
            Event::SequenceStart(_, _, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break tagged(tag.as_deref(), Value::Array(items)),
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(_, _, tag) => {
                let mut members = Map::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => break tagged(tag.as_deref(), Value::Object(members)),
                        Event::Scalar(key, ..) => key.into_owned(),
                        _ => return Err("a key of the template is no text".to_owned()),
                    };
                    let event = self.next()?;
                    let value = self.node(event, depth + 1)?;
                    if members.insert(key.clone(), value).is_some() {
                        return Err(format!("`{key}` stands twice in one mapping"));
                    }
                }
            }
            other => return Err(format!("the template has {other:?} where a value is expected")),
        };
        if let Some(id) = anchor {
            self.anchors.insert(id, value.clone());
        }
        Ok(value)
    }
}

/// The long form of a short tag: `!Ref X` is `{"Ref": "X"}`, `!Sub X` is `{"Fn::Sub": "X"}`.
fn tagged(tag: Option<&Tag>, value: Value) -> Value {
    let Some(tag) = tag.map(Tag::original) else { return value };
    match (tag.trim_start_matches('!'), value) {
        // `!!str` and its like say how to read what stands there, which is text already.
        (_, value) if tag.starts_with("!!") => value,
        (name @ ("Ref" | "Condition"), value) => json!({ name: value }),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').unwrap_or((&path, ""));
            json!({"Fn::GetAtt": [resource, attribute]})
        }
        (name, value) => json!({ format!("Fn::{name}"): value }),
    }
}

/// A plain scalar. Only numbers in their shortest form are numbers: account ids and dates are texts.
fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" | "True" => true.into(),
        "false" | "False" => false.into(),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) if number.to_string() == text => number.into(),
            (_, Ok(number)) if number.to_string() == text && text.contains('.') => number.into(),
            _ => text.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tags_become_their_long_forms() {
        let text = "
Version: 2012-10-17
Account: 001234567890
Sizes: [1, 2.5, '3', 1e3]
Name: !Sub '${AWS::StackName}-core'
Target: !GetAtt CoreQueue.Arn
Both: !If [Large, !Ref Big, !Ref AWS::NoValue]
Joined: !Join ['-', [a, !Select [0, !Ref List]]]
When: !Condition Large
Shared: &anchor {a: true}
Again: *anchor
";
        let want = json!({
            "Version": "2012-10-17",
            "Account": "001234567890",
            "Sizes": [1, 2.5, "3", "1e3"],
            "Name": {"Fn::Sub": "${AWS::StackName}-core"},
            "Target": {"Fn::GetAtt": ["CoreQueue", "Arn"]},
            "Both": {"Fn::If": ["Large", {"Ref": "Big"}, {"Ref": "AWS::NoValue"}]},
            "Joined": {"Fn::Join": ["-", ["a", {"Fn::Select": [0, {"Ref": "List"}]}]]},
            "When": {"Condition": "Large"},
            "Shared": {"a": true},
            "Again": {"a": true},
        });
        assert_eq!(read(text), Ok(want));
    }

    #[test]
    fn json_is_read_too_and_faults_have_their_place() {
        assert_eq!(
            read(r#"{"Resources": {"A": {"Ref": "B"}}}"#),
            Ok(json!({"Resources": {"A": {"Ref": "B"}}}))
        );
        assert!(read("a: [1,\nb: 2").is_err_and(|why| why.starts_with("line ")));
        assert!(read("a: 1\na: 2").is_err_and(|why| why.contains("`a` stands twice")));
        assert!(read("").is_err_and(|why| why.contains("empty")));
    }
}
