//! Documents as text: JSON, JSON with comments and YAML, read so that every value keeps its place.
//!
//! A fault of a document carries a JSON pointer. [`Source::locate`] adds line and column, so that
//! people and editors find it in what they wrote.

mod json;
mod node;
mod position;
mod yaml;

use fluxus_schema::limits::{MAX_NESTING, MAX_PAYLOAD_BYTES};
use fluxus_schema::problem::{Fault, FaultCode, Place};
use serde_json::Value;

use node::{Node, Span, Way};
use position::Lines;

/// Longest text, in bytes: that of the largest payload, with as much for indentation. A definition
/// in it is bounded by [`MAX_DEFINITION_BYTES`](fluxus_schema::limits::MAX_DEFINITION_BYTES).
pub const MAX_SOURCE_BYTES: usize = 2 * MAX_PAYLOAD_BYTES;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, to the letter of RFC 8259.
    Json,
    /// JSON with `//` and `/* */` comments, and commas after the last entry.
    Jsonc,
    /// YAML 1.2, as far as JSON has words for it. Aliases stand for copies; tags other than those
    /// of the core schema, merge keys, and keys that are no scalars are refused.
    Yaml,
}

impl Format {
    /// The format that a file's name says by its ending, if it does.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "jsonc" => Some(Self::Jsonc),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// The format that a text without a name looks like: JSON begins with a bracket, a quote or a
    /// comment.
    pub fn of_text(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.starts_with(['{', '[', '"', '/']) { Self::Jsonc } else { Self::Yaml }
    }
}

/// A document with the places of all its values and keys.
#[derive(Debug, Clone)]
pub struct Source {
    value: Value,
    root: Node,
    lines: Lines,
}

impl Source {
    /// Reads a text.
    ///
    /// # Errors
    /// Where and why the text is not of that format; or every key that stands twice in an object.
    pub fn parse(text: &str, format: Format) -> Result<Self, Vec<Fault>> {
        let lines = Lines::of(text);
        let read = read(text, format).and_then(|Read { root, twice }| match twice.is_empty() {
            true => Ok(root),
            false => Err(twice),
        });
        match read {
            Ok(root) => Ok(Self { value: root.to_value(), root, lines }),
            Err(errors) => Err(errors.into_iter().map(|error| error.fault(&lines)).collect()),
        }
    }

    /// The document.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The document, without the places.
    pub fn into_value(self) -> Value {
        self.value
    }

    /// The place that a JSON pointer names: a text, number or word itself, the key of an object or
    /// array. Where there is no such value, the nearest one around it.
    pub fn place(&self, pointer: &str) -> Place {
        self.lines.place(self.root.find(pointer))
    }

    /// Adds to each fault its place in this text.
    pub fn locate(&self, faults: &mut [Fault]) {
        for fault in faults.iter_mut().filter(|fault| fault.place.is_none()) {
            fault.place = Some(self.place(&fault.pointer));
        }
    }
}

/// A document as a client gives it: itself, or its text in a string, as the service has it.
#[derive(Debug, Clone)]
pub struct Given {
    document: Value,
    source: Option<Source>,
}

impl Given {
    /// Takes the document; a string is read as JSON, JSON with comments or YAML, as it looks.
    ///
    /// # Errors
    /// Where and why the text is none of them.
    pub fn read(given: Value) -> Result<Self, Vec<Fault>> {
        let Value::String(text) = given else {
            return Ok(Self { document: given, source: None });
        };
        let source = Source::parse(&text, Format::of_text(&text))?;
        Ok(Self { document: source.value().clone(), source: Some(source) })
    }

    /// The document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The document, without its text.
    pub fn into_document(self) -> Value {
        self.document
    }

    /// Adds to each fault its place, where the document came as text.
    pub fn locate(&self, faults: &mut [Fault]) {
        if let Some(source) = &self.source {
            source.locate(faults);
        }
    }
}

/// What a reader comes to: the document, and the keys that stand twice in it.
struct Read {
    root: Node,
    twice: Vec<Error>,
}

fn read(text: &str, format: Format) -> Result<Read, Vec<Error>> {
    if text.len() > MAX_SOURCE_BYTES {
        let detail = format!("has {} bytes of text; the bound is {MAX_SOURCE_BYTES}", text.len());
        return Err(vec![Error::new(FaultCode::DefinitionTooLarge, Span::default(), detail)]);
    }
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        let detail = "The document is empty".to_owned();
        return Err(vec![Error::new(FaultCode::MissingDescription, Span::default(), detail)]);
    }
    let read = match format {
        Format::Json => json::read(text, false),
        Format::Jsonc => json::read(text, true),
        Format::Yaml => yaml::read(text),
    };
    read.map_err(|error| vec![error])
}

/// Why a text cannot be read, and where.
#[derive(Debug)]
struct Error {
    code: FaultCode,
    span: Span,
    pointer: String,
    detail: String,
    /// Where the key stands that is repeated here.
    first: Option<Span>,
}

impl Error {
    fn new(code: FaultCode, span: Span, detail: String) -> Self {
        Self { code, span, pointer: String::new(), detail, first: None }
    }

    /// The key at `span`, at `pointer`, was there before, at `first`.
    fn twice(pointer: String, span: Span, first: Span) -> Self {
        let (code, detail) = (FaultCode::DuplicateKey, String::new());
        Self { code, span, pointer, detail, first: Some(first) }
    }

    fn too_deep(way: &Way, span: Span) -> Self {
        let detail = format!("is nested deeper than {MAX_NESTING} levels");
        let error = Self::new(FaultCode::TooDeeplyNested, span, detail);
        Self { pointer: way.pointer(), ..error }
    }

    fn fault(self, lines: &Lines) -> Fault {
        let detail = match self.first {
            None => self.detail,
            Some(first) => {
                let line = lines.place(first).line;
                format!("The key stands in this object already, on line {line}")
            }
        };
        let place = Some(lines.place(self.span));
        Fault { place, ..Fault::new(self.code, self.pointer, detail) }
    }
}

#[cfg(test)]
mod tests;
