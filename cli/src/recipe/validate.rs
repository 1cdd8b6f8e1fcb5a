//! `fluxus recipe validate`.

use std::path::PathBuf;

use fluxus_schema::problem::{Fault, Severity};
use serde_json::{Value, json};

use super::definition;
use crate::exit::Exit;
use crate::output::{Printer, note};
use crate::report::{Report, counted};
use crate::source;
use crate::table::clean;

/// Which files.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Needs no server. Reads JSON, JSON with comments (.jsonc) and YAML (.yaml, .yml). Every fault is
printed as FILE:LINE:COLUMN: error[CODE]: what is wrong, with the line itself; the exit code is then
1. Warnings leave it at 0. With --output json it is an array of objects, for editors.

Examples:
  fluxus recipe validate examples/order-saga/recipe.json
  fluxus recipe validate recipes/*.yaml
  jq .definition export.json | fluxus recipe validate -")]
pub struct Args {
    /// Files with recipes, in Amazon States Language; `-` reads stdin
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Checks the files and prints what is wrong with them.
///
/// # Errors
/// Where a file cannot be read, or stdout cannot be written.
pub fn run(args: &Args, printer: Printer) -> anyhow::Result<Exit> {
    let texts = args.files.iter().map(|path| source::text(path)).collect::<Result<Vec<_>, _>>()?;
    let reports: Vec<_> = texts.into_iter().map(|(name, text)| check(name, text)).collect();
    if printer.is_json() {
        let faults: Value = reports.iter().flat_map(as_json).collect();
        printer.raw(faults.to_string().as_bytes())?;
    } else {
        printer.text(
            &reports.iter().map(|report| as_text(report, printer.width)).collect::<String>(),
        )?;
        let counts = counted(&reports);
        if !counts.is_empty() {
            note(&format!("{counts}."));
        }
    }
    let errors = reports.iter().any(|report| report.count(Severity::Error) > 0);
    Ok(if errors { Exit::Failed } else { Exit::Ok })
}

fn check(name: String, text: String) -> Report {
    let faults = match source::read(&text, &name) {
        Err(faults) => faults,
        Ok(source) => {
            let mut faults = definition::faults(source.value());
            source.locate(&mut faults);
            faults
        }
    };
    Report::new(name, text, faults)
}

fn as_json(report: &Report) -> Vec<Value> {
    let fault = |fault: &Fault| {
        let mut shown = json!({
            "file": report.name(),
            "code": fault.code,
            "severity": fault.severity,
            "message": fault.detail,
            "pointer": fault.pointer,
        });
        if let Some(help) = &fault.help {
            shown["help"] = json!(help);
        }
        if let Some(place) = fault.place {
            shown["line"] = json!(place.line);
            shown["column"] = json!(place.column);
            shown["end"] = json!({"line": place.end_line, "column": place.end_column});
        }
        shown
    };
    report.faults().iter().map(fault).collect()
}

fn as_text(report: &Report, width: Option<usize>) -> String {
    if report.faults().is_empty() {
        return format!("{} is valid.\n", clean(report.name()));
    }
    report.render(width)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_recipe_is_checked_in_any_format() {
        let json = check("r.json".into(), "{\"StartAt\": \"A\",\n \"States\": {}}".into());
        assert_ne!(json.count(Severity::Error), 0);
        let yaml = check("r.yml".into(), "StartAt: A\nStates:\n  A: {Type: Succeed}\n".into());
        expect!["r.yml is valid.\n"].assert_eq(&as_text(&yaml, None));
        let broken = check("stdin".into(), "{\"StartAt\": \"A\",\n \"States\" {}}".into());
        let shown: Value = as_json(&broken).into();
        expect![[r#"[{"file":"stdin","code":"INVALID_JSON_DESCRIPTION","severity":"ERROR","message":"Unexpected character ('{' (code 123)): was expecting a colon to separate field name and value","pointer":"","line":2,"column":11,"end":{"line":2,"column":12}}]"#]].assert_eq(&shown.to_string());
    }
}
