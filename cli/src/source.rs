//! Documents that the command line names, and places in them.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::exit::Usage;

/// The JSON of an argument: `-` reads stdin, `@FILE` a file, anything else is the JSON itself.
///
/// # Errors
/// [`Usage`] where the file cannot be read or the text is not JSON.
pub fn argument(text: &str) -> anyhow::Result<Value> {
    match text {
        "-" => {
            let mut input = String::new();
            std::io::stdin().read_to_string(&mut input).context("read stdin")?;
            parse(&input, "stdin")
        }
        _ => match text.strip_prefix('@') {
            Some(path) => file(Path::new(path)).map(|(value, _)| value),
            None => parse(text, "the argument"),
        },
    }
}

/// The JSON of a file, and its text.
///
/// # Errors
/// [`Usage`] where the file cannot be read or is not JSON.
pub fn file(path: &Path) -> anyhow::Result<(Value, String)> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Usage(format!("cannot read `{}`: {error}", path.display())))?;
    let value = parse(&text, &path.display().to_string())?;
    Ok((value, text))
}

fn parse(text: &str, name: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(text).map_err(|error| {
        Usage(format!("{name} is not JSON: {error}. Text goes in quotes: '\"text\"'"))
    })?)
}

/// The line, from 1, on which the value that `pointer` names begins; where there is no such value,
/// that of the nearest one around it. `text` must be valid JSON.
pub fn line_of(text: &str, pointer: &str) -> usize {
    let mut skimmer = Skimmer { bytes: text.as_bytes(), at: 0 };
    skimmer.blanks();
    let mut found = skimmer.at;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        match skimmer.enter(&part) {
            Some(at) => found = at,
            None => break,
        }
    }
    1 + text.as_bytes()[..found.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

/// Walks over JSON that is known to be valid, looking only at where things begin and end.
struct Skimmer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Skimmer<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Goes to the value under `key` of the array or object here. Gives the place to show for it:
    /// that of the value in an array, that of the key in an object.
    fn enter(&mut self, key: &str) -> Option<usize> {
        let open = self.peek()?;
        if !matches!(open, b'{' | b'[') {
            return None;
        }
        self.at += 1;
        for index in 0usize.. {
            self.blanks();
            let mut place = self.at;
            if matches!(self.peek()?, b'}' | b']') {
                return None;
            }
            let found = if open == b'{' {
                let from = self.at;
                self.value();
                let name = serde_json::from_slice::<String>(&self.bytes[from..self.at]).ok()?;
                self.blanks();
                self.at += 1; // The colon.
                self.blanks();
                name == key
            } else {
                place = self.at;
                key.parse() == Ok(index)
            };
            if found {
                return Some(place);
            }
            self.value();
            self.blanks();
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        None
    }

    /// Goes past the value here: brackets are counted, strings are skipped as a whole.
    fn value(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    if depth == 0 {
                        return; // The end of what is around: a number or word stood here.
                    }
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' if depth == 0 => return,
                byte if byte.is_ascii_whitespace() && depth == 0 => return,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = r#"{
  "StartAt": "A \"quoted\" {",
  "States": {
    "A": {"Type": "Pass", "Next": "B"},
    "B": {
      "Type": "Choice",
      "Choices": [
        {"Variable": "$.x", "IsNull": true, "Next": "A"},
        17,
        {
          "Next": "C"
        }
      ]
    },
    "a/b~c": {
      "Type": "Nope"
    }
  }
}"#;

    #[test]
    fn a_pointer_finds_its_line() {
        let cases = [
            ("", 1),
            ("/StartAt", 2),
            ("/States", 3),
            ("/States/A/Next", 4),
            ("/States/B", 5),
            ("/States/B/Choices/0/Next", 8),
            ("/States/B/Choices/1", 9),
            ("/States/B/Choices/2", 10),
            ("/States/B/Choices/2/Next", 11),
            ("/States/a~1b~0c/Type", 16),
            // No such value: the nearest one around it.
            ("/States/B/Default", 5),
            ("/States/B/Choices/9", 7),
            ("/States/Z/Type", 3),
            ("/TimeoutSeconds", 1),
        ];
        for (pointer, line) in cases {
            assert_eq!(line_of(RECIPE, pointer), line, "{pointer}");
        }
    }

    #[test]
    fn an_argument_is_json_or_names_a_file() {
        assert_eq!(argument("{\"a\": 1}").expect("JSON"), serde_json::json!({"a": 1}));
        let error = argument("hello").expect_err("not JSON").to_string();
        assert!(error.starts_with("the argument is not JSON: expected value"), "{error}");
        let error = argument("@/no/such").expect_err("no file").to_string();
        assert!(error.starts_with("cannot read `/no/such`"), "{error}");
    }
}
