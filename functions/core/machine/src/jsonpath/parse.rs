//! Parsing a JSONPath.

use super::syntax::Segment;
use super::{MAX_PATH_BYTES, MAX_SEGMENTS, Path, PathError, Root, filter};

pub(super) fn path(text: &str) -> Result<Path, PathError> {
    if text.len() > MAX_PATH_BYTES {
        let message = format!("A path must not be longer than {MAX_PATH_BYTES} bytes");
        return Err(PathError { message, offset: MAX_PATH_BYTES });
    }
    let mut cursor = Cursor::new(text);
    cursor.expect('$', "A path must start with '$'")?;
    let root = if cursor.eat('$') {
        Root::Context
    } else {
        match cursor.identifier() {
            "" => Root::Input,
            name => Root::Variable(name.into()),
        }
    };
    let segments = segments(&mut cursor, Ending::EndOfText, 0)?;
    let definite = segments.iter().all(Segment::is_definite);
    Ok(Path { text: text.into(), root, segments, definite })
}

/// Where the steps of a path end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// A path of its own.
    EndOfText,
    /// A path inside a filter: also before a space, an operator or a closing parenthesis.
    InFilter,
}

/// The steps after a root.
pub(super) fn segments(
    cursor: &mut Cursor<'_>,
    ending: Ending,
    depth: usize,
) -> Result<Box<[Segment]>, PathError> {
    let mut found = Vec::new();
    loop {
        let start = cursor.offset;
        match cursor.peek() {
            Some('.') => {
                cursor.bump();
                while cursor.eat('.') {
                    if found.last() != Some(&Segment::Scan) {
                        found.push(Segment::Scan);
                    }
                }
                match cursor.peek() {
                    None if found.last() == Some(&Segment::Scan) => break,
                    Some('[') => {}
                    _ => found.push(dotted(cursor, ending)?),
                }
            }
            Some('[') => found.push(bracketed(cursor, depth)?),
            // `$.a[0]b` is `$.a[0].b`, as in the service.
            Some(_) if ending == Ending::EndOfText && !found.is_empty() => {
                found.push(dotted(cursor, ending)?);
            }
            Some(_) if ending == Ending::EndOfText => {
                return Err(cursor.error_at(start, "Expected '.' or '[' after the root"));
            }
            _ => break,
        }
        if found.len() > MAX_SEGMENTS {
            let message = format!("A path must not have more than {MAX_SEGMENTS} steps");
            return Err(PathError { message, offset: start });
        }
    }
    if found.last() == Some(&Segment::Scan) {
        return Err(cursor.error("A path can not end with a scan."));
    }
    let leaf = found.len().saturating_sub(1);
    if let Some(names) = found[..leaf].iter().find(|step| matches!(step, Segment::Names(_))) {
        let message = format!("Multi properties can only be used as path leafs: ${names}");
        return Err(cursor.error(message));
    }
    Ok(found.into())
}

/// `name` or `*`, after the dot.
fn dotted(cursor: &mut Cursor<'_>, ending: Ending) -> Result<Segment, PathError> {
    let start = cursor.offset;
    let mut name = String::new();
    while let Some(next) = cursor.peek() {
        match next {
            '.' | '[' => break,
            ' ' | ')' | '=' | '!' | '<' | '>' | '&' | '|' | ',' | ']' | '~'
                if ending == Ending::InFilter =>
            {
                break;
            }
            ' ' => return Err(cursor.error("Space not allowed in path")),
            '\\' => {
                cursor.bump();
                name.push(cursor.escaped()?);
            }
            _ => {
                cursor.bump();
                name.push(next);
            }
        }
    }
    match name.as_str() {
        "" => Err(cursor.error("Expected a name after '.'")),
        "*" if &cursor.text[start..cursor.offset] == "*" => Ok(Segment::Wildcard),
        _ => Ok(Segment::Name(name.into())),
    }
}

/// `[...]`
fn bracketed(cursor: &mut Cursor<'_>, depth: usize) -> Result<Segment, PathError> {
    let start = cursor.offset;
    cursor.bump();
    cursor.spaces();
    let segment = match cursor.peek() {
        Some('\'' | '"') => names(cursor)?,
        Some('*') => {
            cursor.bump();
            Segment::Wildcard
        }
        Some('?') => filter::filter(cursor, depth)?,
        Some('(') => from_end(cursor, start)?,
        Some('-' | ':' | '0'..='9') => indexes(cursor)?,
        _ => return Err(cursor.component_error(start)),
    };
    cursor.spaces();
    if !cursor.eat(']') {
        return Err(cursor.component_error(start));
    }
    Ok(segment)
}

fn names(cursor: &mut Cursor<'_>) -> Result<Segment, PathError> {
    let mut names = Vec::new();
    loop {
        names.push(cursor.quoted()?.into_boxed_str());
        cursor.spaces();
        if !cursor.eat(',') {
            break;
        }
        cursor.spaces();
    }
    if names.len() > 1 {
        Ok(Segment::Names(names.into()))
    } else {
        Ok(Segment::Name(names.remove(0)))
    }
}

/// `(@.length-1)`
fn from_end(cursor: &mut Cursor<'_>, start: usize) -> Result<Segment, PathError> {
    for word in ["(", "@.length", "-"] {
        cursor.spaces();
        if !cursor.eat_word(word) {
            return Err(cursor.component_error(start));
        }
    }
    cursor.spaces();
    let back = cursor.integer()?;
    cursor.spaces();
    match u32::try_from(back) {
        Ok(back) if back > 0 && cursor.eat(')') => Ok(Segment::FromEnd(back)),
        _ => Err(cursor.component_error(start)),
    }
}

/// `0`, `0,1`, `1:`, `:2`, `1:2`; a third part of a slice is read and, as in the service, ignored.
fn indexes(cursor: &mut Cursor<'_>) -> Result<Segment, PathError> {
    let first = if cursor.peek() == Some(':') { None } else { Some(cursor.integer()?) };
    cursor.spaces();
    if cursor.eat(':') {
        let to = bound(cursor)?;
        if first.is_none() && to.is_none() {
            return Err(cursor.error("A slice needs a start or an end"));
        }
        if cursor.eat(':') {
            bound(cursor)?;
        }
        return Ok(Segment::Slice { from: first, to });
    }
    let mut indexes: Vec<i64> = first.into_iter().collect();
    while cursor.eat(',') {
        cursor.spaces();
        indexes.push(cursor.integer()?);
        cursor.spaces();
    }
    match indexes[..] {
        [index] => Ok(Segment::Index(index)),
        _ => Ok(Segment::Indexes(indexes.into())),
    }
}

fn bound(cursor: &mut Cursor<'_>) -> Result<Option<i64>, PathError> {
    cursor.spaces();
    let bound = match cursor.peek() {
        Some('-' | '0'..='9') => Some(cursor.integer()?),
        _ => None,
    };
    cursor.spaces();
    Ok(bound)
}

/// A place in the text of a path.
pub(super) struct Cursor<'t> {
    pub(super) text: &'t str,
    pub(super) offset: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, offset: 0 }
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.offset..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn bump(&mut self) {
        self.offset += self.peek().map_or(0, char::len_utf8);
    }

    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let here = self.peek() == Some(wanted);
        if here {
            self.bump();
        }
        here
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let here = self.rest().starts_with(word);
        if here {
            self.offset += word.len();
        }
        here
    }

    pub(super) fn expect(&mut self, wanted: char, message: &str) -> Result<(), PathError> {
        if self.eat(wanted) { Ok(()) } else { Err(self.error(message)) }
    }

    pub(super) fn spaces(&mut self) {
        while self.eat(' ') {}
    }

    pub(super) fn error(&self, message: impl Into<String>) -> PathError {
        self.error_at(self.offset, message)
    }

    pub(super) fn error_at(&self, offset: usize, message: impl Into<String>) -> PathError {
        PathError { message: message.into(), offset }
    }

    fn component_error(&self, start: usize) -> PathError {
        let end = self.text[start..].find(']').map_or(self.text.len(), |at| start + at + 1);
        let component = &self.text[start..end];
        self.error_at(start, format!("Could not analyze path component: {component}"))
    }

    /// A variable's name: letters, digits and `_`, not starting with a digit.
    fn identifier(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if rest.starts_with(|c: char| c.is_numeric()) {
            return "";
        }
        self.offset += end;
        &rest[..end]
    }

    pub(super) fn integer(&mut self) -> Result<i64, PathError> {
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let number = &rest[..sign + digits];
        let parsed = number.parse().map_err(|_| self.error("Expected an integer"))?;
        self.offset += number.len();
        Ok(parsed)
    }

    /// A quoted text. A backslash escapes the quote it stands before and is itself elsewhere, as in
    /// the service.
    pub(super) fn quoted(&mut self) -> Result<String, PathError> {
        let start = self.offset;
        let Some(quote @ ('\'' | '"')) = self.peek() else {
            return Err(self.error("Expected a quoted name"));
        };
        self.bump();
        let mut text = String::new();
        while let Some(next) = self.peek() {
            self.bump();
            match next {
                _ if next == quote => return Ok(text),
                '\\' if self.peek() == Some(quote) => {
                    self.bump();
                    text.push(quote);
                }
                _ => text.push(next),
            }
        }
        Err(self.error_at(start, "The quote is not closed"))
    }

    /// What follows a backslash in a dotted name: any character stands for itself, `u` and four
    /// hexadecimal digits for a code point. Source: States Language, "Reference Paths".
    fn escaped(&mut self) -> Result<char, PathError> {
        if let Some(hex) = self.rest().get(1..5).filter(|_| self.peek() == Some('u'))
            && let Some(unit) = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)
        {
            self.offset += 5;
            return Ok(unit);
        }
        let escaped = self.peek().ok_or_else(|| self.error("A path can not end with '\\'"))?;
        self.bump();
        Ok(escaped)
    }
}
