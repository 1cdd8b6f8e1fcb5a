//! Printing: data to stdout, as the API's JSON unchanged or as a text made for reading.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use fluxus_schema::ClaimStatus;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::Document;
use crate::table::{self, Cell};

/// Most lines of one document in a text made for reading: more than a screen buries the rest.
const MAX_LINES: usize = 60;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables and sentences
    Text,
    /// The API's document, unchanged
    Json,
}

/// Prints to stdout in the format that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    /// The format.
    pub format: Format,
    /// Columns of the terminal; none where stdout is not one, so that nothing is cut in a pipe.
    pub width: Option<usize>,
}

impl Printer {
    /// The printer for this process's stdout.
    pub fn stdout(format: Format) -> Self {
        let terminal = io::stdout().is_terminal();
        let size = terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
        // A terminal that does not know its size says 0.
        let width = size.map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0);
        Self { format, width }
    }

    /// Whether JSON was asked for.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints a document: unchanged, or as the text that `render` makes of it.
    ///
    /// # Errors
    /// Where the document is not a `T`, or stdout cannot be written.
    pub fn document<T: DeserializeOwned>(
        self,
        document: &Document,
        render: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        if self.is_json() {
            return self.raw(&document.bytes);
        }
        self.text(&render(&document.read()?))
    }

    /// Prints JSON as it came, and a newline where it has none.
    ///
    /// # Errors
    /// Where stdout cannot be written.
    pub fn raw(self, json: &[u8]) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(json).map_err(StdoutFailed)?;
        if !json.ends_with(b"\n") {
            out.write_all(b"\n").map_err(StdoutFailed)?;
        }
        Ok(out.flush().map_err(StdoutFailed)?)
    }

    /// Prints text that ends with a newline of its own; colours go to terminals only.
    ///
    /// # Errors
    /// Where stdout cannot be written.
    pub fn text(self, text: &str) -> anyhow::Result<()> {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).map_err(StdoutFailed)?;
        Ok(out.flush().map_err(StdoutFailed)?)
    }
}

/// That our own stdout cannot be written. Its own type, so that a connection that breaks is never
/// taken for a reader that has gone.
#[derive(Debug, thiserror::Error)]
#[error("write stdout: {0}")]
pub struct StdoutFailed(pub io::Error);

impl StdoutFailed {
    /// Whether the reader has gone, as after `| head`: no failure of ours.
    pub fn is_reader_gone(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// JSON for reading, each line indented by two blanks.
pub fn indented(value: &Value) -> String {
    // A `Value` has only text keys, so writing it cannot fail.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let more = text.lines().count().saturating_sub(MAX_LINES);
    let shown = text.lines().take(MAX_LINES);
    let mut shown: String = shown.map(|line| format!("  {}\n", table::clean(line))).collect();
    if more > 0 {
        shown.push_str(&format!("  … {more} more lines; --output json shows all of them\n"));
    }
    shown
}

/// So many of something, in words: `1 claim`, `3 claims`.
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A status in its colour.
pub fn status(status: ClaimStatus) -> Cell {
    Cell::styled(status.as_str(), status_style(status))
}

/// The colour of a status.
pub const fn status_style(status: ClaimStatus) -> Style {
    match status {
        ClaimStatus::Received | ClaimStatus::Running => AnsiColor::Cyan.on_default(),
        ClaimStatus::Succeeded => AnsiColor::Green.on_default(),
        ClaimStatus::Aborted => AnsiColor::Yellow.on_default(),
        ClaimStatus::Rejected | ClaimStatus::Failed | ClaimStatus::TimedOut => {
            AnsiColor::Red.on_default()
        }
    }
}

/// Says something that is not data, on stderr. Where stderr is closed nobody wants to hear it.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_document_is_cut_visibly() {
        let text = indented(&serde_json::json!((0..100).collect::<Vec<_>>()));
        assert_eq!(text.lines().count(), MAX_LINES + 1);
        assert!(text.ends_with("  … 42 more lines; --output json shows all of them\n"), "{text}");
    }
}
