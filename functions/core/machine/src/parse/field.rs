//! Reading the fields of one JSON object: each kind of value, each with its fault.

use std::collections::BTreeSet;
use std::sync::Arc;

use fluxus_schema::limits::MAX_SECONDS;
use serde_json::{Map, Value};

use super::{Faults, escape};
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
    known: BTreeSet<&'static str>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value, pointer: String, faults: &mut Faults) -> Option<Self> {
        let Value::Object(object) = value else {
            faults.add(pointer, "must be an object");
            return None;
        };
        Some(Self { object, pointer, language: Language::default(), known: BTreeSet::new() })
    }

    /// The fields of an object within this one, in the same language.
    pub(crate) fn within(
        &self,
        value: &'a Value,
        pointer: String,
        faults: &mut Faults,
    ) -> Option<Self> {
        let language = self.language;
        Fields::of(value, pointer, faults).map(|fields| Self { language, ..fields })
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
            faults.add(self.at(name), "must be a string");
        }
        value.as_str()
    }

    pub(crate) fn required(
        &mut self,
        name: &'static str,
        faults: &mut Faults,
    ) -> Option<&'a Value> {
        let value = self.value(name);
        if value.is_none() {
            faults.add(self.pointer.clone(), format!("the field `{name}` is missing"));
        }
        value
    }

    pub(crate) fn flag(&mut self, name: &'static str, faults: &mut Faults) -> bool {
        match self.value(name) {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => {
                faults.add(self.at(name), "must be true or false");
                false
            }
        }
    }

    pub(crate) fn whole(
        &mut self,
        name: &'static str,
        least: u64,
        most: u64,
        faults: &mut Faults,
    ) -> Option<u64> {
        let value = self.value(name)?;
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            faults.add(self.at(name), format!("must be a whole number from {least} to {most}"));
        }
        number
    }

    pub(crate) fn seconds(&mut self, name: &'static str, faults: &mut Faults) -> Option<u64> {
        self.whole(name, 1, MAX_SECONDS, faults)
    }

    pub(crate) fn path(&mut self, name: &'static str, faults: &mut Faults) -> Option<Path> {
        let text = self.text(name, faults)?;
        match Path::parse(text) {
            Ok(path) => Some(path),
            Err(error) => {
                faults.add(self.at(name), format!("`{text}` is not a JSONPath: {error}"));
                None
            }
        }
    }

    pub(crate) fn reference(&mut self, name: &'static str, faults: &mut Faults) -> Option<Path> {
        let path = self.path(name, faults)?;
        if !path.is_reference_path() {
            faults.add(
                self.at(name),
                format!("`{}` must be a reference path: it has to name one place", path.as_str()),
            );
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
        let value = self.value(name)?;
        let parsed = match self.language {
            Language::JsonPath => Template::parse(value),
            Language::Jsonata => Template::parse_jsonata(value, name),
        };
        match parsed {
            Ok(template) => Some(template),
            Err(found) => {
                for fault in found {
                    faults.add(format!("{}{}", self.at(name), fault.pointer), fault.detail);
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
        match jsonata::Expression::parse(source) {
            Ok(expression) => Some(expression),
            Err(invalid) => {
                let detail = format!("Invalid JSONata expression '{source}': {invalid}");
                faults.add(self.at(name), detail);
                None
            }
        }
    }

    /// Whether the field holds a text `{% ... %}`, and may.
    fn holds_expression(&self, name: &str) -> bool {
        let text = self.get(name).and_then(Value::as_str);
        self.is_jsonata() && text.and_then(jsonata_source).is_some()
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
        if self.has(name) && self.has(name_path) {
            faults.add(
                self.pointer.clone(),
                format!("only one of `{name}` and `{name_path}` may be there"),
            );
        }
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
        if self.has(name) && self.has(name_path) {
            faults.add(
                self.pointer.clone(),
                format!("only one of `{name}` and `{name_path}` may be there"),
            );
        }
        if let Some(text) = self.text(name, faults) {
            return Some(Text::Literal(Arc::from(text)));
        }
        let text = self.text(name_path, faults)?;
        match Expression::parse(text) {
            Ok(expression) => Some(Text::Computed { field: name_path, expression }),
            Err(error) => {
                faults.add(self.at(name_path), error);
                None
            }
        }
    }

    /// Reads `QueryLanguage` where it is there; within a machine whose language is `machine`.
    pub(crate) fn query_language(&mut self, machine: Language, faults: &mut Faults) {
        self.language = match self.text("QueryLanguage", faults) {
            None => machine,
            Some("JSONata") => Language::Jsonata,
            Some("JSONPath") => {
                if machine == Language::Jsonata {
                    faults.add(
                        self.pointer.clone(),
                        "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state \
                         machine",
                    );
                }
                Language::JsonPath
            }
            Some(other) => {
                faults.add(
                    self.at("QueryLanguage"),
                    format!("`{other}` is not a query language; JSONPath and JSONata are"),
                );
                machine
            }
        };
    }

    /// Reports every field that nothing asked for.
    pub(crate) fn report_unknown(&self, faults: &mut Faults) {
        for name in self.object.keys().filter(|name| !self.known.contains(name.as_str())) {
            faults.add(self.at(name), "is not a field that is known here");
        }
    }
}
