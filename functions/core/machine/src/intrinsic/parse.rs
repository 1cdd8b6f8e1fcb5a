//! Parsing a call.

use serde_json::{Number, Value};

use super::{Argument, Call, Function, IntrinsicError, MAX_ARGUMENTS, MAX_CALL_BYTES, MAX_NESTING};
use crate::jsonpath::Path;

pub(super) fn call(text: &str) -> Result<Call, IntrinsicError> {
    let mut parser = Parser { text, offset: 0, arguments: 0 };
    if text.len() > MAX_CALL_BYTES {
        return Err(parser.error(format!("A call must not be longer than {MAX_CALL_BYTES} bytes")));
    }
    parser.spaces();
    let call = parser.call(1)?;
    parser.spaces();
    if parser.rest().is_empty() {
        Ok(call)
    } else {
        Err(parser.error("Expected nothing after the call".to_owned()))
    }
}

struct Parser<'t> {
    text: &'t str,
    offset: usize,
    arguments: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.offset..]
    }

    fn error(&self, message: impl Into<String>) -> IntrinsicError {
        IntrinsicError { message: message.into(), offset: self.offset }
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.offset += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, wanted: char) -> bool {
        let here = self.rest().starts_with(wanted);
        if here {
            self.offset += wanted.len_utf8();
        }
        here
    }

    fn call(&mut self, depth: usize) -> Result<Call, IntrinsicError> {
        if depth > MAX_NESTING {
            return Err(self.error(format!("Calls must not nest more than {MAX_NESTING} deep")));
        }
        let Some(name) = self.rest().strip_prefix("States.") else {
            return Err(self.error("Expected an intrinsic function: States.X(...)"));
        };
        let length = name.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let Some(function) = Function::named(&name[..length]) else {
            let message = format!("There is no intrinsic function States.{}", &name[..length]);
            return Err(self.error(message));
        };
        self.offset += "States.".len() + length;
        self.spaces();
        if !self.eat('(') {
            return Err(self.error("Expected '('"));
        }
        let mut arguments = Vec::new();
        self.spaces();
        if !self.eat(')') {
            loop {
                self.spaces();
                arguments.push(self.argument(depth)?);
                self.spaces();
                if self.eat(')') {
                    break;
                }
                if !self.eat(',') {
                    return Err(self.error("Expected ',' or ')'"));
                }
            }
        }
        Ok(Call { function, arguments: arguments.into() })
    }

    fn argument(&mut self, depth: usize) -> Result<Argument, IntrinsicError> {
        self.arguments += 1;
        if self.arguments > MAX_ARGUMENTS {
            let message = format!("A call must not have more than {MAX_ARGUMENTS} arguments");
            return Err(self.error(message));
        }
        match self.rest().chars().next() {
            Some('\'') => self.text(),
            Some('$') => self.path(),
            Some('S') => self.call(depth + 1).map(Argument::Call),
            _ => self.literal(),
        }
    }

    /// A text in single quotes. A backslash stands before `'`, `{`, `}` or another backslash, and
    /// nowhere else. Source: States Language, "Intrinsic Functions".
    fn text(&mut self) -> Result<Argument, IntrinsicError> {
        let open = self.offset;
        let mut value = String::new();
        let mut characters = self.text[open + 1..].char_indices();
        while let Some((at, next)) = characters.next() {
            match next {
                '\'' => {
                    let written = self.text[open + 1..open + 1 + at].into();
                    self.offset = open + 1 + at + 1;
                    return Ok(Argument::Text { value: Value::String(value), written });
                }
                '\\' => match characters.next() {
                    Some((_, escaped @ ('\'' | '{' | '}' | '\\'))) => value.push(escaped),
                    _ => {
                        self.offset = open + 1 + at;
                        return Err(self.error("A backslash here must escape ', {, } or \\"));
                    }
                },
                other => value.push(other),
            }
        }
        Err(self.error("The quote is not closed"))
    }

    /// A path: up to the next comma or closing parenthesis that is not inside its own brackets,
    /// parentheses or quotes.
    fn path(&mut self) -> Result<Argument, IntrinsicError> {
        let mut nesting = 0_usize;
        let mut quote = None;
        let mut escaped = false;
        let mut end = self.rest().len();
        for (at, next) in self.rest().char_indices() {
            match next {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if quote == Some(next) => quote = None,
                _ if quote.is_some() => {}
                '\'' | '"' if nesting > 0 => quote = Some(next),
                '[' | '(' => nesting += 1,
                ']' | ')' if nesting > 0 => nesting -= 1,
                ',' | ')' if nesting == 0 => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let path = Path::parse(self.rest()[..end].trim_end()).map_err(|error| IntrinsicError {
            message: error.message,
            offset: self.offset + error.offset,
        })?;
        self.offset += end;
        Ok(Argument::Path(path))
    }

    /// A number, `true`, `false` or `null`.
    fn literal(&mut self) -> Result<Argument, IntrinsicError> {
        let rest = self.rest();
        let end = rest.find([',', ')']).unwrap_or(rest.len());
        let word = rest[..end].trim_end();
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => Value::Number(
                word.parse::<Number>().map_err(|_| self.error("Expected an argument"))?,
            ),
        };
        self.offset += word.len();
        Ok(Argument::Literal(value))
    }
}
