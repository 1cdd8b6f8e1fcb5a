//! Aligned text: tables of rows, and blocks of names with their values.

use std::fmt::Write as _;

use anstyle::Style;

/// Blanks between two columns.
const GAP: usize = 2;

/// A column is not made narrower than this: less would say nothing.
const MIN_COLUMN: usize = 8;

/// How a cell is shown.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell with a style of its own.
    pub fn styled(text: &str, style: Style) -> Self {
        Self { text: clean(text), style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: clean(text.as_ref()), style: Style::new() }
    }
}

/// A column's title and how it behaves where room is short.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    whole: bool,
    right: bool,
}

impl Column {
    /// A column whose values are cut where room is short.
    pub const fn text(title: &'static str) -> Self {
        Self { title, whole: false, right: false }
    }

    /// A column whose values are of no use when cut, such as ids.
    pub const fn whole(title: &'static str) -> Self {
        Self { title, whole: true, right: false }
    }

    /// A column of numbers, aligned at the right.
    pub const fn number(title: &'static str) -> Self {
        Self { title, whole: true, right: true }
    }
}

/// Rows under titles.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as text, every line ending with a newline, none wider than `width`.
    pub fn render(&self, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let bold = Style::new().bold();
        let titles: Vec<_> =
            self.columns.iter().map(|column| Cell::styled(column.title, bold)).collect();
        let mut text = String::new();
        for row in std::iter::once(&titles).chain(&self.rows) {
            // Nothing after the last text: blanks at line ends are noise in a diff.
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
            for (i, ((cell, column), width)) in
                row.iter().zip(&self.columns).zip(&widths).enumerate().take(last + 1)
            {
                let shown = cut(&cell.text, *width);
                let blank = " ".repeat(width.saturating_sub(shown.chars().count()));
                let style = cell.style;
                if column.right {
                    let _ = write!(text, "{blank}{style}{shown}{style:#}");
                } else {
                    let blank = if i == last { "" } else { &blank };
                    let _ = write!(text, "{style}{shown}{style:#}{blank}");
                }
                if i < last {
                    text.push_str(&" ".repeat(GAP));
                }
            }
            text.push('\n');
        }
        text
    }

    /// Each column's width: what its values need, the widest made narrower until all fit.
    fn widths(&self, most: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|c| c.title.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let Some(most) = most else { return widths };
        let gaps = GAP * widths.len().saturating_sub(1);
        loop {
            let total = widths.iter().sum::<usize>() + gaps;
            let widest = (0..widths.len())
                .filter(|&i| !self.columns[i].whole && widths[i] > MIN_COLUMN)
                .max_by_key(|&i| widths[i]);
            match widest {
                Some(widest) if total > most => widths[widest] -= 1,
                _ => return widths,
            }
        }
    }
}

/// Names and their values, one a line; a value that is absent leaves its line out.
pub fn facts(facts: &[(&str, Option<Cell>)], width: Option<usize>) -> String {
    let present = || facts.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let longest = present().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    let bold = Style::new().bold();
    for (name, Cell { text: value, style }) in present() {
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(longest + GAP));
        let value = cut(value, room.max(MIN_COLUMN));
        let blank = " ".repeat(longest - name.chars().count() + GAP);
        let _ = writeln!(text, "{bold}{name}{bold:#}{blank}{style}{value}{style:#}");
    }
    text
}

/// The text in at most `width` characters; an ellipsis says that some were cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The text without characters that would move the cursor or change colours: what a claim holds
/// comes from outside and must not reach into the reader's terminal.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn sample() -> Table {
        let mut table =
            Table::new(&[Column::whole("ID"), Column::text("SUBJECT"), Column::number("TASKS")]);
        table.row(vec!["01890a5d".into(), "customer 42, the one in Oslo".into(), "7".into()]);
        table.row(vec!["01890a5e".into(), "line\nbreak".into(), "12".into()]);
        table
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_line_up() {
        expect![[r#"
            ID        SUBJECT                       TASKS
            01890a5d  customer 42, the one in Oslo      7
            01890a5e  line break                       12
        "#]]
        .assert_eq(&plain(&sample().render(None)));
    }

    #[test]
    fn a_narrow_terminal_cuts_text_but_no_ids() {
        expect![[r#"
            ID        SUBJECT       TASKS
            01890a5d  customer 42…      7
            01890a5e  line break       12
        "#]]
        .assert_eq(&plain(&sample().render(Some(29))));
    }

    #[test]
    fn facts_leave_out_what_is_absent() {
        let text = facts(
            &[("Type", Some("a".into())), ("Subject", None), ("Status", Some("b\u{7}".into()))],
            None,
        );
        expect![[r#"
            Type    a
            Status  b�
        "#]]
        .assert_eq(&plain(&text));
    }
}
