//! `fluxus recipe validate`.

use std::path::PathBuf;

use fluxus_schema::problem::Fault;
use serde_json::json;

use super::definition;
use crate::exit::Exit;
use crate::output::Printer;
use crate::problem::fault_line;
use crate::source;
use crate::table::clean;

/// Which file.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Needs no server. Every fault is printed as FILE:LINE: POINTER: what is wrong, so that editors find
the place; the exit code is then 1.

Example:
  fluxus recipe validate examples/order-saga/recipe.json")]
pub struct Args {
    /// File with the recipe, in Amazon States Language
    pub file: PathBuf,
}

/// Checks the file and prints what is wrong with it.
///
/// # Errors
/// Where the file cannot be read or is not JSON, or stdout cannot be written.
pub fn run(args: &Args, printer: Printer) -> anyhow::Result<Exit> {
    let (value, text) = source::file(&args.file)?;
    let faults = definition::faults(&value);
    let name = args.file.display().to_string();
    if printer.is_json() {
        printer.raw(as_json(&faults, &text).to_string().as_bytes())?;
    } else {
        printer.text(&as_text(&faults, &text, &name))?;
    }
    Ok(if faults.is_empty() { Exit::Ok } else { Exit::Failed })
}

fn as_json(faults: &[Fault], text: &str) -> serde_json::Value {
    let faults: Vec<_> = faults
        .iter()
        .map(|fault| {
            let line = source::line_of(text, &fault.pointer);
            json!({"pointer": fault.pointer, "line": line, "detail": fault.detail})
        })
        .collect();
    json!({"valid": faults.is_empty(), "faults": faults})
}

fn as_text(faults: &[Fault], text: &str, name: &str) -> String {
    let name = clean(name);
    if faults.is_empty() {
        return format!("{name} is valid.\n");
    }
    let line = |fault: &Fault| {
        let line = source::line_of(text, &fault.pointer);
        format!("{name}:{line}: {}\n", fault_line(fault))
    };
    faults.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use fluxus_schema::problem::FaultCode;

    use super::*;

    #[test]
    fn a_fault_is_printed_with_its_line() {
        let text = "{\n  \"StartAt\": \"B\",\n  \"States\": {}\n}";
        let fault = |pointer: &str, detail: &str| {
            Fault::new(FaultCode::SchemaValidationFailed, pointer, detail)
        };
        let faults = [fault("/StartAt", "names no state"), fault("/States", "is empty")];
        expect![[r#"
            r.json:2: /StartAt: names no state
            r.json:3: /States: is empty
        "#]]
        .assert_eq(&as_text(&faults, text, "r.json"));
        expect![[r#"{"valid":false,"faults":[{"pointer":"/StartAt","line":2,"detail":"names no state"},{"pointer":"/States","line":3,"detail":"is empty"}]}"#]]
        .assert_eq(&as_json(&faults, text).to_string());
        expect!["r.json is valid.\n"].assert_eq(&as_text(&[], text, "r.json"));
    }
}
