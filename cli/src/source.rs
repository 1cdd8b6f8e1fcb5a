//! Documents that the command line names: files, stdin, or the argument itself.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use fluxus_machine::source::{Format, Source};
use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use fluxus_schema::problem::Fault;
use serde_json::Value;

use crate::exit::Usage;
use crate::report::{Faulty, Report};

/// A document, and the text that it was read from.
#[derive(Debug)]
pub struct Document {
    /// The file's name, `stdin` for `-`.
    pub name: String,
    /// What it holds.
    pub text: String,
    /// The same, read.
    pub source: Source,
}

impl Document {
    /// These faults of the document, with their places.
    pub fn report(&self, mut faults: Vec<Fault>) -> Report {
        self.source.locate(&mut faults);
        Report::new(self.name.clone(), self.text.clone(), faults)
    }
}

/// The JSON of an option: `-` reads stdin, `@FILE` a file, anything else is the JSON itself.
///
/// # Errors
/// [`Usage`] where the file cannot be read or the text is not JSON.
pub fn argument(option: &str, text: &str) -> anyhow::Result<Value> {
    if text == "-" {
        return file(Path::new(text)).map(|document| document.source.into_value());
    }
    if let Some(path) = text.strip_prefix('@') {
        return file(Path::new(path)).map(|document| document.source.into_value());
    }
    let source = Source::parse(text, Format::Jsonc).map_err(|faults| {
        let why: Vec<_> = faults.into_iter().map(|fault| located(&fault)).collect();
        let why = why.join("; ");
        let hint = if Path::new(text).is_file() {
            format!(". There is a file of that name: {option} @{text}")
        } else if text.trim_start().starts_with(['{', '[', '"']) {
            String::new()
        } else {
            ". Text goes in quotes: '\"text\"'".to_owned()
        };
        Usage(format!("{option} is not JSON: {why}{hint}"))
    })?;
    Ok(source.into_value())
}

/// A fault with its line and column.
fn located(fault: &Fault) -> String {
    let detail = fault.detail.trim_end_matches('.');
    match fault.place {
        Some(place) => format!("line {}, column {}: {detail}", place.line, place.column),
        None => detail.to_owned(),
    }
}

/// The JSON of an option that may also be a file's name without the `@`.
///
/// # Errors
/// As for [`argument`].
pub fn argument_or_file(option: &str, text: &str) -> anyhow::Result<Value> {
    let path = Path::new(text);
    if path.is_file() {
        return file(path).map(|document| document.source.into_value());
    }
    let looks_like_json = text == "-" || text.starts_with(['{', '[', '"', '@']);
    argument(option, text).map_err(|error| match looks_like_json {
        true => error,
        false => Usage(format!("{option} is neither JSON nor a file: {text}")).into(),
    })
}

/// The option, with the file that it names.
pub fn named(option: &str, text: &str) -> String {
    if text.starts_with('@') { format!("{option} {text}") } else { option.to_owned() }
}

/// That a payload is no larger than the server takes. A larger one is not sent: a server that refuses
/// it hangs up, and its words are lost.
///
/// # Errors
/// [`Usage`], in the server's words.
pub fn bounded(from: &str, what: &str, payload: &Value) -> Result<(), Usage> {
    let bytes = payload.to_string().len();
    if bytes <= MAX_PAYLOAD_BYTES {
        return Ok(());
    }
    let bound = format!("the bound is {MAX_PAYLOAD_BYTES}");
    Err(Usage(format!("{from}: {what} has {bytes} bytes of JSON; {bound}")))
}

/// The JSON of `--result`, what comes of a task, within its bound.
///
/// # Errors
/// As for [`argument`], and [`Usage`] where it is too large.
pub fn result(text: &str) -> anyhow::Result<Value> {
    const OPTION: &str = "--result";
    let output = argument(OPTION, text)?;
    bounded(&named(OPTION, text), "the output", &output)?;
    Ok(output)
}

/// The document in a file, or in stdin for `-`: JSON, JSON with comments or YAML, by the ending of
/// the file's name, else by its look.
///
/// # Errors
/// [`Usage`] where the file cannot be read, [`Faulty`] where its text is not of its format.
pub fn file(path: &Path) -> anyhow::Result<Document> {
    let (name, text) = text(path)?;
    match read(&text, &name) {
        Ok(source) => Ok(Document { name, text, source }),
        Err(faults) => Err(Faulty::new(vec![Report::new(name, text, faults)]).into()),
    }
}

/// Reads a text by the format that its name says, or that it looks like.
///
/// # Errors
/// Why it is not of that format, and where.
pub fn read(text: &str, name: &str) -> Result<Source, Vec<Fault>> {
    let format = Format::of_name(name).unwrap_or_else(|| Format::of_text(text));
    Source::parse(text, format)
}

/// The name to show for a file, and its text; stdin for `-`.
///
/// # Errors
/// [`Usage`] where it cannot be read.
pub fn text(path: &Path) -> anyhow::Result<(String, String)> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read stdin")?;
        return Ok(("stdin".to_owned(), text));
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Usage(format!("cannot read `{name}`: {error}")))?;
    Ok((name, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_json_or_names_a_file() {
        assert_eq!(argument("--body", "{\"a\": 1}").expect("JSON"), serde_json::json!({"a": 1}));
        let error = argument("--body", "hello").expect_err("not JSON").to_string();
        assert!(
            error.starts_with("--body is not JSON: line 1, column 1: Unrecognized token 'hello'"),
            "{error}"
        );
        let error = argument("--body", "@/no/such").expect_err("no file").to_string();
        assert!(error.starts_with("cannot read `/no/such`"), "{error}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("body.json");
        std::fs::write(&path, "{\"a\": 1}").expect("writes");
        let name = path.to_str().expect("text");
        let error = argument("--body", name).expect_err("no JSON").to_string();
        assert!(error.contains(&format!("--body @{name}")), "{error}");
        for text in [name, &format!("@{name}")] {
            assert_eq!(
                argument_or_file("--input", text).expect("JSON"),
                serde_json::json!({"a": 1})
            );
        }
    }
}
