//! Reading the fields of one JSON object: each kind of value, each with its fault.

use std::collections::BTreeSet;
use std::sync::Arc;

use fluxus_schema::problem::{Fault, FaultCode};
use serde_json::{Map, Value};

use super::expression::{self, Sees};
use super::near::nearest;
use super::{Faults, escape, wording};
use crate::definition::{Language, Number, PathField, Text};
use crate::jsonata;
use crate::jsonpath::Path;
use crate::template::{Expression, Template, jsonata_source};

/// The fields of an object, with a note of those that were asked for.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    pub(crate) pointer: String,
    /// The language of the expressions in it.
    pub(crate) language: Language,
    /// The language is refused as a whole, so its fields are not told one by one.
    downgraded: bool,
    known: BTreeSet<&'static str>,
    missing: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value, pointer: String, faults: &mut Faults) -> Option<Self> {
        let Value::Object(object) = value else {
            faults.add(pointer, wording::OBJECT);
            return None;
        };
        let language = Language::default();
        let (known, missing) = (BTreeSet::new(), Vec::new());
        Some(Self { object, pointer, language, downgraded: false, known, missing })
    }

    /// The fields of an object within this one, in the same language.
    pub(crate) fn within(
        &self,
        value: &'a Value,
        pointer: String,
        faults: &mut Faults,
    ) -> Option<Self> {
        let (language, downgraded) = (self.language, self.downgraded);
        Fields::of(value, pointer, faults).map(|fields| Self { language, downgraded, ..fields })
    }

    /// The fields of the object under `name`, where it is there.
    pub(crate) fn object(&mut self, name: &'static str, faults: &mut Faults) -> Option<Self> {
        let value = self.value(name)?;
        self.within(value, self.at(name), faults)
    }

    pub(crate) fn is_jsonata(&self) -> bool {
        self.language == Language::Jsonata
    }

    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escape(name))
    }

    /// The field without a note that it was asked for.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// Accepts a field that has no bearing on how a recipe runs.
    pub(crate) fn ignore(&mut self, name: &'static str) {
        self.known.insert(name);
    }

    pub(crate) fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.insert(name);
        self.object.get(name)
    }

    pub(crate) fn text(&mut self, name: &'static str, faults: &mut Faults) -> Option<&'a str> {
        let value = self.value(name)?;
        if value.as_str().is_none() {
            faults.add(self.at(name), wording::STRING);
        }
        value.as_str()
    }

    /// A text that must be one of `values`.
    pub(crate) fn one_of(
        &mut self,
        name: &'static str,
        values: &[&'static str],
        faults: &mut Faults,
    ) -> Option<&'a str> {
        let text = self.text(name, faults)?;
        if !values.contains(&text) {
            let help = nearest(values.iter().copied(), text).map(|near| format!("there is {near}"));
            faults.add_with_help(self.at(name), wording::one_of(values), help);
            return None;
        }
        Some(text)
    }

    /// A field that must be there; [`Fields::finish`] tells all that are not, at once.
    pub(crate) fn required(&mut self, name: &'static str) -> Option<&'a Value> {
        let value = self.value(name);
        if value.is_none() {
            self.missing.push(name);
        }
        value
    }

    /// The entries of an array that must be there and hold something.
    pub(crate) fn entries(
        &mut self,
        name: &'static str,
        faults: &mut Faults,
    ) -> Option<&'a [Value]> {
        match self.required(name)? {
            Value::Array(entries) if entries.is_empty() => {
                faults.add(self.at(name), wording::EMPTY);
            }
            Value::Array(entries) => return Some(entries),
            _ => faults.add(self.at(name), wording::ARRAY),
        }
        None
    }

    pub(crate) fn flag(&mut self, name: &'static str, faults: &mut Faults) -> Option<bool> {
        let value = self.value(name)?;
        if value.as_bool().is_none() {
            faults.add(self.at(name), wording::BOOLEAN);
        }
        value.as_bool()
    }

    pub(crate) fn whole(
        &mut self,
        name: &'static str,
        least: u64,
        most: u64,
        faults: &mut Faults,
    ) -> Option<u64> {
        let value = self.value(name)?;
        let detail = match value.as_u64() {
            Some(number) if number < least => wording::minimum(least),
            Some(number) if number > most => wording::maximum(most),
            Some(number) => return Some(number),
            None if value.as_i64().is_some() => wording::minimum(least),
            None if self.is_jsonata() && value.is_string() => wording::NOT_JSONATA.to_owned(),
            None => wording::INTEGER.to_owned(),
        };
        faults.add(self.at(name), detail);
        None
    }

    pub(crate) fn float(
        &mut self,
        name: &'static str,
        least: f64,
        most: f64,
        faults: &mut Faults,
    ) -> Option<f64> {
        let value = self.value(name)?;
        let detail = match value.as_f64() {
            Some(number) if number < least => wording::minimum(format_args!("{least:.1}")),
            Some(number) if number > most => wording::maximum(format_args!("{most:.1}")),
            Some(number) => return Some(number),
            None if self.is_jsonata() && value.is_string() => wording::NOT_JSONATA.to_owned(),
            None => wording::NUMBER.to_owned(),
        };
        faults.add(self.at(name), detail);
        None
    }

    pub(crate) fn path(&mut self, name: &'static str, faults: &mut Faults) -> Option<Path> {
        let text = self.text(name, faults)?;
        match Path::parse(text) {
            Ok(path) => Some(path),
            Err(error) => {
                let help = text.starts_with('$').then(|| error.to_string());
                faults.add_with_help(self.at(name), wording::NOT_A_PATH, help);
                None
            }
        }
    }

    pub(crate) fn reference(&mut self, name: &'static str, faults: &mut Faults) -> Option<Path> {
        let path = self.path(name, faults)?;
        if !path.is_reference_path() {
            let help = Some("it has to name one place, as $.a.b[0] does".to_owned());
            faults.add_with_help(self.at(name), wording::NOT_A_REFERENCE, help);
            return None;
        }
        Some(path)
    }

    pub(crate) fn path_field(&mut self, name: &'static str, faults: &mut Faults) -> PathField {
        match self.value(name) {
            None => PathField::Whole,
            Some(Value::Null) => PathField::Null,
            Some(Value::String(whole)) if whole == "$" => PathField::Whole,
            Some(_) => self.path(name, faults).map_or(PathField::Whole, PathField::Path),
        }
    }

    pub(crate) fn reference_field(&mut self, name: &'static str, faults: &mut Faults) -> PathField {
        match self.value(name) {
            None => PathField::Whole,
            Some(Value::Null) => PathField::Null,
            Some(Value::String(whole)) if whole == "$" => PathField::Whole,
            Some(_) => self.reference(name, faults).map_or(PathField::Whole, PathField::Path),
        }
    }

    pub(crate) fn template(&mut self, name: &'static str, faults: &mut Faults) -> Option<Template> {
        self.template_seeing(Sees::Input, name, faults)
    }

    /// A template that may read more than the input and the context.
    pub(crate) fn template_seeing(
        &mut self,
        sees: Sees,
        name: &'static str,
        faults: &mut Faults,
    ) -> Option<Template> {
        let value = self.value(name)?;
        let (parsed, around) = match self.language {
            Language::JsonPath => (Template::parse(value), true),
            Language::Jsonata => (Template::parse_jsonata(value, name, sees), false),
        };
        match parsed {
            Ok(template) => Some(template),
            Err(found) => {
                for fault in found {
                    let pointer = format!("{}{}", self.at(name), fault.pointer);
                    faults.take(Fault { pointer, ..fault }, around);
                }
                None
            }
        }
    }

    /// The expression under `name`, if that is a text `{% ... %}`.
    pub(crate) fn expression(
        &mut self,
        name: &'static str,
        faults: &mut Faults,
    ) -> Option<jsonata::Expression> {
        let source = jsonata_source(self.get(name)?.as_str()?)?;
        self.ignore(name);
        match expression::compile(source, Sees::Input, &self.at(name)) {
            Ok(expression) => Some(expression),
            Err(found) => {
                found.into_iter().for_each(|fault| faults.take(fault, false));
                None
            }
        }
    }

    /// Whether the field holds a text `{% ... %}`, and may.
    pub(crate) fn holds_expression(&self, name: &str) -> bool {
        let text = self.get(name).and_then(Value::as_str);
        self.is_jsonata() && text.and_then(jsonata_source).is_some()
    }

    /// Tells that two or more of `names` are there; whether just one is.
    pub(crate) fn only_one(&self, names: &[&str], faults: &mut Faults) -> bool {
        let count = names.iter().filter(|name| self.has(name)).count();
        if count > 1 {
            faults.add(self.pointer.clone(), wording::only_one(names));
        }
        count == 1
    }

    /// Tells that none of `names`, or more than one, is there.
    pub(crate) fn exactly_one(&self, names: &[&str], faults: &mut Faults) -> bool {
        if !names.iter().any(|name| self.has(name)) {
            faults.add(self.pointer.clone(), wording::one_needed(names));
        }
        self.only_one(names, faults)
    }

    /// A number given as it is under `name`, or by a path under `name_path`; not both. In JSONata
    /// as it is, or by an expression.
    pub(crate) fn number(
        &mut self,
        name: &'static str,
        name_path: &'static str,
        (least, most): (u64, u64),
        faults: &mut Faults,
    ) -> Option<Number> {
        if self.holds_expression(name) {
            return self.expression(name, faults).map(Number::Jsonata);
        }
        if self.is_jsonata() {
            return self.whole(name, least, most, faults).map(Number::Literal);
        }
        self.only_one(&[name, name_path], faults);
        let path = self.path(name_path, faults).map(Number::Path);
        self.whole(name, least, most, faults).map(Number::Literal).or(path)
    }

    /// A text given as it is under `name`, or by a path or an intrinsic under `name_path`. In
    /// JSONata as it is, or by an expression.
    pub(crate) fn text_or_path(
        &mut self,
        name: &'static str,
        name_path: &'static str,
        faults: &mut Faults,
    ) -> Option<Text> {
        if self.holds_expression(name) {
            let expression = Expression::Jsonata(self.expression(name, faults)?);
            return Some(Text::Computed { field: name, expression });
        }
        if self.is_jsonata() {
            return self.text(name, faults).map(|text| Text::Literal(Arc::from(text)));
        }
        self.only_one(&[name, name_path], faults);
        if let Some(text) = self.text(name, faults) {
            return Some(Text::Literal(Arc::from(text)));
        }
        let text = self.text(name_path, faults)?;
        match Expression::parse(text) {
            Ok(expression) => Some(Text::Computed { field: name_path, expression }),
            Err(error) => {
                let detail = wording::payload_field(name_path);
                faults.add_with_help(self.at(name_path), detail, Some(error));
                None
            }
        }
    }

    /// Reads `QueryLanguage` where it is there; within a machine whose language is `machine`. A
    /// language that does not exist counts as JSONata, as on the service.
    pub(crate) fn query_language(&mut self, machine: Language, faults: &mut Faults) {
        if !self.has("QueryLanguage") {
            self.language = machine;
            return;
        }
        let named = self.one_of("QueryLanguage", &["JSONPath", "JSONata"], faults);
        self.language = match named {
            Some("JSONPath") => Language::JsonPath,
            _ => Language::Jsonata,
        };
        self.downgraded = machine == Language::Jsonata && self.language == Language::JsonPath;
        if self.downgraded {
            let fault = Fault::new(
                FaultCode::SchemaValidationFailed,
                self.at("QueryLanguage"),
                wording::DOWNGRADE,
            );
            faults.take(fault, true);
        }
    }

    /// Tells what is missing.
    pub(crate) fn tell_missing(&mut self, faults: &mut Faults) {
        if !self.missing.is_empty() {
            faults.add(self.pointer.clone(), wording::required(&self.missing));
            self.missing.clear();
        }
    }

    /// Tells what is missing, and every field that nothing asked for; `other` are those that the
    /// other query language has here.
    pub(crate) fn finish(&mut self, other: &[&str], faults: &mut Faults) {
        self.tell_missing(faults);
        let object = self.object;
        for name in object.keys().map(String::as_str) {
            if self.known.contains(name) {
                continue;
            }
            let (detail, help) = if !other.contains(&name) {
                let free: Vec<_> =
                    self.known.iter().copied().filter(|near| !self.has(near)).collect();
                let near = nearest(free.iter().copied(), name);
                (wording::unsupported(name), near.map(|near| format!("there is {near}")))
            } else if self.downgraded {
                continue;
            } else {
                (wording::other_language(self.language, name), None)
            };
            let fault = Fault::new(FaultCode::SchemaValidationFailed, self.at(name), detail);
            faults.take(fault.with_help(help), true);
        }
    }
}
