//! Reads JSON, and JSON with comments. The wording of faults is that of the service's reader.

use fluxus_schema::limits::MAX_NESTING;
use fluxus_schema::problem::FaultCode;
use indexmap::IndexMap;
use indexmap::map::Entry;
use serde_json::{Number, Value};

use super::node::{Kind, Member, Node, Span, Way};
use super::{Error, Read};

/// What may begin a value.
const VALUES: &str = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')";

pub(super) fn read(text: &str, relaxed: bool) -> Result<Read, Error> {
    let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut reader = Reader { text, at, relaxed, way: Way::default(), twice: Vec::new() };
    reader.blanks()?;
    let root = reader.value()?;
    reader.blanks()?;
    match reader.peek() {
        None => Ok(Read { root, twice: reader.twice }),
        Some(_) => Err(reader.unexpected("expected the end of the document")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Whether comments, and commas after the last entry, are allowed.
    relaxed: bool,
    way: Way,
    twice: Vec<Error>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, span: Span, detail: impl Into<String>) -> Error {
        Error {
            pointer: self.way.pointer(),
            ..Error::new(FaultCode::InvalidJsonDescription, span, detail.into())
        }
    }

    /// A fault at the next character, or at the end of the text.
    fn unexpected(&self, expected: &str) -> Error {
        let Some(found) = self.peek() else {
            return self.ended(expected);
        };
        let span = Span { start: self.at, end: self.at + found.len_utf8() };
        let shown = if found.is_control() {
            format!("(CTRL-CHAR, code {})", found as u32)
        } else {
            format!("'{found}' (code {})", found as u32)
        };
        self.error(span, format!("Unexpected character ({shown}): {expected}"))
    }

    fn ended(&self, expected: &str) -> Error {
        let end = self.text.len();
        let span = Span { start: end, end };
        self.error(span, format!("Unexpected end-of-input: {expected}"))
    }

    /// Goes past blanks and, where they are allowed, comments.
    fn blanks(&mut self) -> Result<(), Error> {
        loop {
            let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
            self.at = self.text.len() - rest.len();
            if !rest.starts_with('/') {
                return Ok(());
            }
            if !self.relaxed {
                return Err(self.unexpected(
                    "maybe a comment? JSON has none; name the file .jsonc to have some",
                ));
            }
            let length = match rest.as_bytes().get(1) {
                Some(b'/') => Some(rest.find('\n').unwrap_or(rest.len())),
                Some(b'*') => rest.find("*/").filter(|&at| at > 1).map(|at| at + 2),
                _ => return Err(self.unexpected("a comment begins with '//' or '/*'")),
            };
            match length {
                Some(length) => self.at += length,
                None => return Err(self.ended("was expecting '*/' to close the comment")),
            }
        }
    }

    fn value(&mut self) -> Result<Node, Error> {
        let start = self.at;
        if self.way.depth() >= MAX_NESTING && matches!(self.byte(), Some(b'{' | b'[')) {
            return Err(Error::too_deep(&self.way, Span { start, end: start + 1 }));
        }
        let kind = match self.byte() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            Some(b'"') => Kind::Scalar(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Kind::Scalar(Value::Number(self.number()?)),
            _ => Kind::Scalar(self.word()?),
        };
        Ok(Node { span: Span { start, end: self.at }, kind })
    }

    fn object(&mut self) -> Result<Kind, Error> {
        let mut members = IndexMap::new();
        self.at += 1;
        self.blanks()?;
        while self.byte() != Some(b'}') {
            if self.byte().is_none() {
                return Err(self.ended("expected close marker for Object"));
            }
            if self.byte() != Some(b'"') {
                return Err(self.unexpected("was expecting double-quote to start field name"));
            }
            let start = self.at;
            let name = self.string()?;
            let key = Span { start, end: self.at };
            self.blanks()?;
            if self.byte() != Some(b':') {
                let expected = "was expecting a colon to separate field name and value";
                return Err(self.unexpected(expected));
            }
            self.at += 1;
            self.blanks()?;
            self.way.key(&name);
            let value = self.value()?;
            match members.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert(Member { key, value })),
                Entry::Occupied(entry) => {
                    let first: &Member = entry.get();
                    let pointer = self.way.pointer();
                    self.twice.push(Error::twice(pointer, key, first.key));
                }
            }
            self.way.back();
            self.separator(b'}', "Object")?;
        }
        self.at += 1;
        Ok(Kind::Object(members))
    }

    fn array(&mut self) -> Result<Kind, Error> {
        let mut items = Vec::new();
        self.at += 1;
        self.blanks()?;
        while self.byte() != Some(b']') {
            if self.byte().is_none() {
                return Err(self.ended("expected close marker for Array"));
            }
            self.way.index(items.len());
            items.push(self.value()?);
            self.way.back();
            self.separator(b']', "Array")?;
        }
        self.at += 1;
        Ok(Kind::Array(items))
    }

    /// Goes to the next entry, or to the bracket that ends them.
    fn separator(&mut self, close: u8, kind: &str) -> Result<(), Error> {
        self.blanks()?;
        match self.byte() {
            Some(byte) if byte == close => Ok(()),
            Some(b',') => {
                self.at += 1;
                self.blanks()?;
                match self.byte() {
                    Some(byte) if byte == close && !self.relaxed => {
                        Err(self.unexpected(match kind {
                            "Object" => "was expecting double-quote to start field name",
                            _ => "expected a value",
                        }))
                    }
                    _ => Ok(()),
                }
            }
            None => Err(self.ended(&format!("expected close marker for {kind}"))),
            Some(_) => {
                let expected = format!("was expecting comma to separate {kind} entries");
                Err(self.unexpected(&expected))
            }
        }
    }

    fn word(&mut self) -> Result<Value, Error> {
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$')));
        let word = &rest[..length.unwrap_or(rest.len())];
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "" if rest.is_empty() => return Err(self.ended(&format!("was expecting {VALUES}"))),
            "" => return Err(self.unexpected(&format!("expected a valid value {VALUES}"))),
            word => {
                let span = Span { start: self.at, end: self.at + word.len() };
                let detail = format!("Unrecognized token '{word}': was expecting {VALUES}");
                return Err(self.error(span, detail));
            }
        };
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Number, Error> {
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let number = &rest[..length.unwrap_or(rest.len())];
        let span = Span { start: self.at, end: self.at + number.len() };
        let digits = number.trim_start_matches('-');
        if digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit() {
            return Err(self.error(span, "Invalid numeric value: Leading zeroes not allowed"));
        }
        match serde_json::from_str(number) {
            Ok(read) => {
                self.at = span.end;
                Ok(read)
            }
            Err(_) => Err(self.error(span, format!("Invalid numeric value: '{number}'"))),
        }
    }

    fn string(&mut self) -> Result<String, Error> {
        self.at += 1;
        let mut read = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(length) = rest.find(|c: char| matches!(c, '"' | '\\') || c < ' ') else {
                return Err(self.ended("was expecting closing quote for a string value"));
            };
            read.push_str(&rest[..length]);
            self.at += length;
            match rest.as_bytes()[length] {
                b'"' => {
                    self.at += 1;
                    return Ok(read);
                }
                b'\\' => read.push(self.escaped()?),
                code => {
                    let span = Span { start: self.at, end: self.at + 1 };
                    let detail = format!(
                        "Illegal unquoted character ((CTRL-CHAR, code {code})): has to be escaped \
                         using backslash to be included in string value"
                    );
                    return Err(self.error(span, detail));
                }
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Error> {
        let start = self.at;
        self.at += 1;
        let Some(escape) = self.peek() else {
            return Err(self.ended("in character escape sequence"));
        };
        self.at += escape.len_utf8();
        Ok(match escape {
            '"' | '\\' | '/' => escape,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.hex(start)?;
                let code = match first {
                    0xd800..0xdc00 if self.text[self.at..].starts_with("\\u") => {
                        self.at += 2;
                        let second = self.hex(start)?;
                        let paired = (0xdc00..0xe000).contains(&second);
                        paired.then(|| 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
                    }
                    code => Some(code),
                };
                let span = Span { start, end: self.at };
                let half = || self.error(span, "The escape is one half of a surrogate pair");
                code.and_then(char::from_u32).ok_or_else(half)?
            }
            other => {
                let span = Span { start, end: self.at };
                let code = other as u32;
                let detail = format!("Unrecognized character escape '{other}' (code {code})");
                return Err(self.error(span, detail));
            }
        })
    }

    fn hex(&mut self, start: usize) -> Result<u32, Error> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(code) = code else {
            let span = Span { start, end: self.at };
            return Err(self.error(span, "expected four hex digits after '\\u'"));
        };
        self.at += 4;
        Ok(code)
    }
}
