//! Faults shown as a compiler shows them: the place, the code, what is wrong, and the line itself.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use fluxus_schema::problem::{Fault, Place, Severity};

use crate::exit::Exit;
use crate::table::clean;

/// Columns of a line that are shown where stdout is no terminal, so that a definition in one line
/// does not fill the screen of whoever reads the log.
const DEFAULT_WIDTH: usize = 120;

/// Columns of a line that are shown at least, however narrow the terminal is.
const LEAST_WIDTH: usize = 40;

/// Most faults shown of one document: whoever mends the first hundred asks again.
const MAX_SHOWN: usize = 100;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const GUTTER: Style = AnsiColor::Blue.on_default();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// What is wrong with one document.
#[derive(Debug)]
pub struct Report {
    name: String,
    text: String,
    faults: Vec<Fault>,
}

impl Report {
    /// These faults, each with its place in `text`, in the order of the text.
    pub fn new(name: String, text: String, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.place.map(|place| (place.line, place.column)));
        Self { name, text, faults }
    }

    /// The document's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The faults, in the order of the text.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// How many of the faults are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.faults.iter().filter(|fault| fault.severity == severity).count()
    }

    /// The faults as text for `width` columns.
    pub fn render(&self, width: Option<usize>) -> String {
        let mut text = String::new();
        for fault in self.faults.iter().take(MAX_SHOWN) {
            self.fault(fault, width.unwrap_or(DEFAULT_WIDTH).max(LEAST_WIDTH), &mut text);
        }
        if let Some(more @ 1..) = self.faults.len().checked_sub(MAX_SHOWN) {
            let _ = writeln!(text, "… and {more} more; --output json shows all of them");
        }
        text
    }

    fn fault(&self, fault: &Fault, width: usize, text: &mut String) {
        let (style, severity) = match fault.severity {
            Severity::Error => (ERROR, "error"),
            Severity::Warning => (WARNING, "warning"),
        };
        let name = clean(&self.name);
        let code = fault.code;
        let detail = clean(&fault.detail);
        let _ = match fault.place {
            Some(Place { line, column, .. }) => {
                write!(text, "{BOLD}{name}:{line}:{column}:{BOLD:#}")
            }
            None => write!(text, "{BOLD}{name}:{BOLD:#}"),
        };
        let _ = writeln!(text, " {style}{severity}[{code}]{style:#}: {BOLD}{detail}{BOLD:#}");
        let Some(place) = fault.place else { return };
        let Some(line) = self.text.split('\n').nth(place.line - 1) else { return };
        let gutter = place.line.to_string().len();
        let shown = Excerpt::of(line, place, width.saturating_sub(gutter + 6));
        let (number, blank) = (place.line, "");
        let (code, indent) = (&shown.line, shown.before);
        let carets = "^".repeat(shown.marked);
        let pointer = clean(&fault.pointer);
        let _ = writeln!(text, " {GUTTER}{number} |{GUTTER:#} {code}");
        let _ = write!(
            text,
            " {GUTTER}{blank:gutter$} |{GUTTER:#} {blank:indent$}{style}{carets}{style:#}"
        );
        let _ = match pointer.as_str() {
            "" => writeln!(text),
            pointer => writeln!(text, " {DIM}{pointer}{DIM:#}"),
        };
        if let Some(help) = &fault.help {
            let help = clean(help);
            let _ = writeln!(text, " {GUTTER}{blank:gutter$} ={GUTTER:#} help: {help}");
        }
    }
}

/// The part of a line to show, and the columns to mark in it.
struct Excerpt {
    line: String,
    before: usize,
    marked: usize,
}

impl Excerpt {
    fn of(line: &str, place: Place, width: usize) -> Self {
        let line: Vec<char> =
            clean(line.trim_end_matches('\r').trim_start_matches('\u{feff}')).chars().collect();
        let from = (place.column - 1).min(line.len());
        let to = if place.end_line > place.line { line.len() } else { place.end_column - 1 };
        let to = to.clamp(from, line.len().max(from));
        // A place is shown with some of what leads to it; the line's beginning, if there is room.
        let start = if to <= width { 0 } else { from.saturating_sub(width / 3) };
        let end = line.len().min(start + width);
        let mut shown: String = line[start..end].iter().collect();
        let mut before = from - start;
        if start > 0 {
            shown.insert_str(0, "… ");
            before += 2;
        }
        if end < line.len() {
            shown.push_str(" …");
        }
        let marked = to.min(end).saturating_sub(from).max(1);
        Self { line: shown.trim_end().to_owned(), before, marked }
    }
}

/// How many errors and warnings there are, in words.
pub fn counted(reports: &[Report]) -> String {
    let count = |severity, word: &str| {
        let count: usize = reports.iter().map(|report| report.count(severity)).sum();
        match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            count => Some(format!("{count} {word}s")),
        }
    };
    let counts = [count(Severity::Error, "error"), count(Severity::Warning, "warning")];
    counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Documents that a command cannot work with, and why.
#[derive(Debug)]
pub struct Faulty {
    reports: Vec<Report>,
    exit: Exit,
}

impl Faulty {
    /// Documents that the command line names.
    pub fn new(reports: Vec<Report>) -> Self {
        Self { reports, exit: Exit::Usage }
    }

    /// Documents that a server refused, with the exit code for that.
    pub fn refused(reports: Vec<Report>, exit: Exit) -> Self {
        Self { reports, exit }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The reports as text, and how many faults there are.
    pub fn render(&self, width: Option<usize>) -> String {
        let mut text: String = self.reports.iter().map(|report| report.render(width)).collect();
        let names: Vec<_> = self.reports.iter().map(|report| clean(&report.name)).collect();
        let (names, counts) = (names.join(", "), counted(&self.reports));
        let _ = write!(text, "{ERROR}error:{ERROR:#} {names} cannot be used: {counts}");
        text
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.reports.iter().flat_map(Report::faults).next();
        f.write_str(first.map_or("the document is not valid", |fault| &fault.detail))
    }
}

impl std::error::Error for Faulty {}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use fluxus_machine::source::{Format, Source};
    use fluxus_schema::problem::FaultCode;

    use super::*;

    fn report(text: &str, faults: &[(FaultCode, &str, &str)]) -> Report {
        let source = Source::parse(text, Format::Json).expect("JSON");
        let fault = |(code, pointer, detail): &(FaultCode, &str, &str)| {
            Fault::new(*code, *pointer, *detail)
        };
        let mut faults: Vec<_> = faults.iter().map(fault).collect();
        source.locate(&mut faults);
        Report::new("r.json".to_owned(), text.to_owned(), faults)
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_fault_is_shown_with_its_line() {
        let text = "{\n  \"StartAt\": \"B\",\n\t\"States\": {}\r\n}";
        let faults = [
            (FaultCode::SchemaValidationFailed, "/States", "is empty"),
            (FaultCode::MissingTransitionTarget, "/StartAt", "names no state"),
            (FaultCode::NoDollar, "", "is odd\u{1b}[31m"),
        ];
        let report = report(text, &faults);
        expect![[r#"
            r.json:1:1: warning[NO_DOLLAR]: is odd�[31m
             1 | {
               | ^
            r.json:2:14: error[MISSING_TRANSITION_TARGET]: names no state
             2 |   "StartAt": "B",
               |              ^^^ /StartAt
            r.json:3:2: error[SCHEMA_VALIDATION_FAILED]: is empty
             3 |  "States": {}
               |  ^^^^^^^^ /States
        "#]]
        .assert_eq(&plain(&report.render(None)));
        expect!["2 errors, 1 warning"].assert_eq(&counted(&[report]));
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let long = "x".repeat(100);
        let text = format!(r#"{{"a": "{long}", "b": "here", "c": "{long}", "d": "{long}"}}"#);
        let fault = |pointer| (FaultCode::SchemaValidationFailed, pointer, "is wrong");
        let report = report(&text, &["/a", "/b", "/d"].map(fault));
        expect![[r#"
            r.json:1:7: error[SCHEMA_VALIDATION_FAILED]: is wrong
             1 | {"a": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx …
               |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ /a
            r.json:1:116: error[SCHEMA_VALIDATION_FAILED]: is wrong
             1 | … xxxxxxxxx", "b": "here", "c": "xxxxxxxxxxxxxxxxxxxxxx …
               |                    ^^^^^^ /b
            r.json:1:238: error[SCHEMA_VALIDATION_FAILED]: is wrong
             1 | … xxxxxxxxx", "d": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx …
               |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ /d
        "#]]
        .assert_eq(&plain(&report.render(Some(60))));
    }
}
