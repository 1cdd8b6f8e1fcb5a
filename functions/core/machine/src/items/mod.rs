//! The items in a source of text: JSON, JSON Lines or CSV, page by page.
//!
//! Whoever reads a source gives a window of its bytes, from the position where the page begins, and
//! gets the items in it and the position after them. So a source of any size is read with little
//! memory, and nothing is read twice. Source: AWS Step Functions, "ItemReader (Map)".

mod csv;
mod json;
mod lines;

use fluxus_schema::items::{InputType, ItemsPage, ReaderConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of a source, from the position on.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Whether the source ends with them.
    pub is_last: bool,
}

/// Where a page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Bytes before it.
    pub offset: u64,
    /// Items before it.
    pub items: u64,
    /// The names of the columns, once a CSV source's first row was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<String>>,
    /// Whether the opening bracket of a JSON array was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_inside: bool,
}

/// What a page may hold at most.
#[derive(Debug, Clone, Copy)]
pub struct PageBounds {
    /// Bytes of JSON; the first item may be larger.
    pub bytes: usize,
    /// Items of all pages together; none is no bound.
    pub max_items: Option<u64>,
}

/// Why a source cannot be read: `States.ItemReaderFailed` with this cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// The items of one page.
///
/// # Errors
/// [`Unreadable`] where the bytes are not in the format, or an item does not fit in the window.
pub fn page(
    config: &ReaderConfig,
    window: Window<'_>,
    position: &Position,
    bounds: PageBounds,
) -> Result<ItemsPage, Unreadable> {
    let mut page = Page { position: position.clone(), bounds, items: Vec::new(), bytes: 0 };
    let ended = match config.input_type {
        InputType::Json => json::read(config, window, &mut page)?,
        InputType::Jsonl => lines::read(window, &mut page)?,
        InputType::Csv => csv::read(config, window, &mut page)?,
        other @ (InputType::Manifest | InputType::Parquet) => {
            let name = serde_json::to_string(&other).unwrap_or_default();
            let cause = format!("InputType {name} cannot be read; use JSON, JSONL or CSV");
            return Err(Unreadable(cause));
        }
    };
    let next = (!ended && !page.has_all()).then(|| serde_json::json!(page.position));
    Ok(ItemsPage { items: page.items, next })
}

/// All items of a source that is at hand as a whole.
///
/// # Errors
/// As [`page`].
pub fn all(
    config: &ReaderConfig,
    text: &str,
    max_items: Option<u64>,
) -> Result<Vec<Value>, Unreadable> {
    let window = Window { bytes: text.as_bytes(), is_last: true };
    let bounds = PageBounds { bytes: usize::MAX, max_items };
    page(config, window, &Position::default(), bounds).map(|page| page.items)
}

/// A page while it is read.
struct Page {
    position: Position,
    bounds: PageBounds,
    items: Vec<Value>,
    bytes: usize,
}

impl Page {
    fn has_all(&self) -> bool {
        self.bounds.max_items.is_some_and(|most| self.position.items >= most)
    }

    /// Whether there is room for one item more.
    fn has_room(&self) -> bool {
        !self.has_all() && (self.items.is_empty() || self.bytes < self.bounds.bytes)
    }

    /// Takes an item, unless it would make the page too large; whether it did. `end` is the
    /// position behind it.
    fn take(&mut self, item: Value, end: u64) -> bool {
        let bytes = item.to_string().len();
        if !self.items.is_empty() && self.bytes.saturating_add(bytes) > self.bounds.bytes {
            return false;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.items.push(item);
        self.position.items += 1;
        self.position.offset = end;
        true
    }
}

/// The failure where one item is larger than the window that was read.
fn too_large(window: Window<'_>) -> Unreadable {
    Unreadable(format!("An item is larger than {} bytes", window.bytes.len()))
}

/// The bytes without a byte order mark, and how many it had.
fn without_mark<'a>(window: Window<'a>, position: &Position) -> (&'a [u8], usize) {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    match window.bytes.strip_prefix(MARK) {
        Some(rest) if position.offset == 0 => (rest, MARK.len()),
        _ => (window.bytes, 0),
    }
}

#[cfg(test)]
mod tests;
