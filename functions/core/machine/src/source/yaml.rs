//! Reads YAML, as far as JSON has words for it.

use std::collections::BTreeMap;
use std::iter::Peekable;

use fluxus_schema::limits::{MAX_DEFINITION_BYTES, MAX_NESTING};
use fluxus_schema::problem::FaultCode;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StrInput, Tag};
use indexmap::IndexMap;
use indexmap::map::Entry;
use serde_json::{Number, Value};

use super::node::{Kind, Member, Node, Span, Way};
use super::{Error, Read};

/// Largest document, in bytes, where each alias counts as what it stands for: a definition, and three
/// times as much for what is around it. A few lines could stand for gigabytes.
const MAX_WRITTEN_BYTES: usize = 4 * MAX_DEFINITION_BYTES;

pub(super) fn read(text: &str) -> Result<Read, Error> {
    let options = granit_parser::options! {
        // The reader has a bound of its own, which says what it is; these come after it.
        flow_nesting_limit: 2 * MAX_NESTING,
        block_nesting_limit: 2 * MAX_NESTING,
    };
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options).peekable(),
        text,
        way: Way::default(),
        anchors: BTreeMap::new(),
        weight: 0,
        twice: Vec::new(),
    };
    let root = loop {
        match reader.next()? {
            Some((Event::StreamStart | Event::DocumentStart(..), _)) => {}
            Some((Event::StreamEnd, _)) | None => {
                let detail = "The document is empty".to_owned();
                return Err(Error::new(FaultCode::MissingDescription, Span::default(), detail));
            }
            Some((event, span)) => break reader.node(event, span)?,
        }
    };
    while let Some((event, span)) = reader.next()? {
        if let Event::DocumentStart(..) = event {
            return Err(reader.error(span, "A second document begins here; one is expected"));
        }
    }
    Ok(Read { root, twice: reader.twice })
}

struct Reader<'a> {
    events: Peekable<Parser<'a, StrInput<'a>>>,
    text: &'a str,
    way: Way,
    /// The values that an alias can stand for, and what a copy of each weighs.
    anchors: BTreeMap<usize, (Node, usize)>,
    /// About how many bytes of JSON have been read, copies included.
    weight: usize,
    twice: Vec<Error>,
}

type Spanned<'a> = (Event<'a>, Span);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<Spanned<'a>>, Error> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, self.span(&span)))),
            Some(Err(error)) => Err(self.scan_error(&error)),
        }
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or_default();
        // A block's span runs on to the next token: blanks and line breaks belong to nobody.
        let text = self.text.get(range.clone()).unwrap_or_default();
        Span { start: range.start, end: range.start + text.trim_end().len() }
    }

    fn scan_error(&self, error: &ScanError) -> Error {
        let start = error.marker().byte_offset().unwrap_or_default().min(self.text.len());
        let next = self.text[start..].chars().next().filter(|next| *next != '\n');
        let end = start + next.map_or(0, char::len_utf8);
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            return Error::too_deep(&self.way, Span { start, end });
        }
        self.error(Span { start, end }, error.info())
    }

    fn error(&self, span: Span, detail: impl Into<String>) -> Error {
        Error {
            pointer: self.way.pointer(),
            ..Error::new(FaultCode::InvalidYamlDescription, span, detail.into())
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Error> {
        let opens = matches!(event, Event::SequenceStart(..) | Event::MappingStart(..));
        if opens && self.way.depth() >= MAX_NESTING {
            return Err(Error::too_deep(&self.way, span));
        }
        let before = self.weight;
        let anchor = event.anchor_id();
        let node = match event {
            Event::Alias(id) => return self.alias(id, span),
            Event::Scalar(text, style, _, tag) => {
                self.weigh(text.len() + 2, span)?;
                let value = scalar(&text, style, tag.as_deref());
                let value = value.map_err(|detail| self.error(span, detail))?;
                Node { span, kind: Kind::Scalar(value) }
            }
            Event::SequenceStart(_, _, tag) => {
                self.check_tag(tag.as_deref(), "seq", span)?;
                self.sequence(span)?
            }
            Event::MappingStart(_, _, tag) => {
                self.check_tag(tag.as_deref(), "map", span)?;
                self.mapping(span)?
            }
            _ => return Err(self.error(span, "A value is expected")),
        };
        if let Some(id) = anchor {
            let weight = self.weight - before;
            // Kept for its aliases: a copy like theirs.
            self.weigh(weight, span)?;
            self.anchors.insert(id, (node.clone(), weight));
        }
        Ok(node)
    }

    /// A copy of what the alias stands for, which counts in full: aliases of aliases would
    /// otherwise grow a few lines to more than any memory holds.
    fn alias(&mut self, id: usize, span: Span) -> Result<Node, Error> {
        let Some((node, weight)) = self.anchors.get(&id).cloned() else {
            return Err(self.error(span, "The alias stands within the value that it names"));
        };
        self.weigh(weight, span)?;
        if self.way.depth() + node.nesting() > MAX_NESTING {
            return Err(Error::too_deep(&self.way, span));
        }
        Ok(node)
    }

    fn weigh(&mut self, bytes: usize, span: Span) -> Result<(), Error> {
        self.weight = self.weight.saturating_add(bytes);
        if self.weight > MAX_WRITTEN_BYTES {
            let detail = format!(
                "with its aliases written out, the document has more than {MAX_WRITTEN_BYTES} bytes"
            );
            return Err(Error::new(FaultCode::DefinitionTooLarge, span, detail));
        }
        Ok(())
    }

    fn sequence(&mut self, span: Span) -> Result<Node, Error> {
        self.weigh(2, span)?;
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, end)) => {
                    let span = Span { start: span.start, end: end.end.max(span.end) };
                    return Ok(Node { span, kind: Kind::Array(items) });
                }
                Some((event, span)) => {
                    self.way.index(items.len());
                    items.push(self.node(event, span)?);
                    self.way.back();
                }
                None => return Err(self.error(span, "The sequence has no end")),
            }
        }
    }

    fn mapping(&mut self, span: Span) -> Result<Node, Error> {
        self.weigh(2, span)?;
        let mut members = IndexMap::new();
        loop {
            let (name, key) = match self.next()? {
                Some((Event::MappingEnd, end)) => {
                    let span = Span { start: span.start, end: end.end.max(span.end) };
                    return Ok(Node { span, kind: Kind::Object(members) });
                }
                Some((event, key)) => (self.key(&event, key)?, key),
                None => return Err(self.error(span, "The mapping has no end")),
            };
            self.weigh(name.len() + 2, key)?;
            self.way.key(&name);
            let Some((event, span)) = self.next()? else {
                return Err(self.error(key, "The key has no value"));
            };
            let value = self.node(event, span)?;
            match members.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert(Member { key, value })),
                Entry::Occupied(entry) => {
                    let first: &Member = entry.get();
                    let pointer = self.way.pointer();
                    self.twice.push(Error::twice(pointer, key, first.key));
                }
            }
            self.way.back();
        }
    }

    fn key(&self, event: &Event<'_>, span: Span) -> Result<String, Error> {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<" => {
                let detail = "A merge key is not YAML 1.2; write its fields here, or quote it";
                Err(self.error(span, detail))
            }
            Event::Scalar(text, ..) => Ok(text.to_string()),
            _ => Err(self.error(span, "A key must be a text")),
        }
    }

    fn check_tag(&self, tag: Option<&Tag>, kind: &str, span: Span) -> Result<(), Error> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema_tag(kind) => {
                Err(self.error(span, unknown_tag(tag)))
            }
            _ => Ok(()),
        }
    }
}

fn unknown_tag(tag: &Tag) -> String {
    format!("The tag `{}` has no meaning here", tag.original())
}

/// A scalar by the core schema of YAML 1.2: `yes` and `on` are texts.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let kind = match tag {
        Some(tag) => Some(tag.core_suffix().ok_or_else(|| unknown_tag(tag))?),
        None => None,
    };
    let plain = || match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => Ok(Value::Bool(false)),
        _ => Ok(number(text)?.map_or_else(|| text.into(), Value::Number)),
    };
    match (kind, style) {
        (Some("str"), _) => Ok(text.into()),
        (None, ScalarStyle::Plain) => plain(),
        (None, _) => Ok(text.into()),
        (Some(kind @ ("null" | "bool" | "int" | "float")), _) => {
            let value: Value = plain()?;
            let fits = match kind {
                "null" => value.is_null(),
                "bool" => value.is_boolean(),
                "int" => value.is_i64() || value.is_u64(),
                _ => value.is_number(),
            };
            fits.then_some(value).ok_or_else(|| format!("`{text}` is no {kind}"))
        }
        (Some(_), _) => Err(tag.map(unknown_tag).unwrap_or_default()),
    }
}

/// The number that a plain scalar is, if it is one.
fn number(text: &str) -> Result<Option<Number>, String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (sign, radix) = (if text.starts_with('-') { -1 } else { 1 }, |prefix, radix| {
        let digits = text.strip_prefix(prefix)?;
        i64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']))
    });
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Ok(Some(number.into()));
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("JSON has no number `{text}`"));
    }
    let mut parts = unsigned.splitn(2, ['e', 'E']);
    let mantissa = parts.next().unwrap_or_default();
    let exponent = parts.next();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let any = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
    if !any || !digits(whole) || !fraction.is_none_or(digits) || !exponent_fits {
        return Ok(None);
    }
    if fraction.is_none()
        && exponent.is_none()
        && let Ok(number) = unsigned.parse::<u64>().map(i128::from)
        && let Some(number) = Number::from_i128(sign * number)
    {
        return Ok(Some(number));
    }
    let float = text.parse::<f64>().ok().and_then(Number::from_f64);
    float.map(Some).ok_or_else(|| format!("JSON has no number `{text}`"))
}
