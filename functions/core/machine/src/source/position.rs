//! From byte offsets to lines and columns.

use fluxus_schema::problem::Place;

use super::node::Span;

/// A text by lines.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    text: Box<str>,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text: text.into(), starts: std::iter::once(0).chain(after).collect() }
    }

    pub(super) fn place(&self, span: Span) -> Place {
        let (line, column) = self.position(span.start);
        let (end_line, end_column) = self.position(span.end);
        Place { line, column, end_line, end_column }
    }

    /// Line and column, from 1, of a byte offset on a boundary between characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line - 1];
        let before = self.text.get(start..offset).unwrap_or_default();
        // A mark at the beginning says how the bytes are ordered; no editor counts it.
        (line, 1 + before.trim_start_matches('\u{feff}').chars().count())
    }
}
