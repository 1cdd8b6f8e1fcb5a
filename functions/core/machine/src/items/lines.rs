//! JSON Lines: one value a line; empty lines count for nothing.

use super::{Page, Unreadable, Window, too_large, without_mark};

/// Reads into the page; whether the source ended.
pub(super) fn read(window: Window<'_>, page: &mut Page) -> Result<bool, Unreadable> {
    let (bytes, mark) = without_mark(window, &page.position);
    let start = page.position.offset + mark as u64;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let line = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => &rest[..=end],
            None if window.is_last => rest,
            None if page.items.is_empty() && at == 0 => return Err(too_large(window)),
            None => return Ok(false),
        };
        let end = start + (at + line.len()) as u64;
        if line.iter().all(u8::is_ascii_whitespace) {
            page.position.offset = end;
        } else {
            if !page.has_room() {
                return Ok(false);
            }
            let item = serde_json::from_slice(line).map_err(|error| {
                let number = page.position.items + 1;
                Unreadable(format!("Item {number} is no JSON in one line: {error}"))
            })?;
            if !page.take(item, end) {
                return Ok(false);
            }
        }
        at += line.len();
    }
    Ok(window.is_last)
}
