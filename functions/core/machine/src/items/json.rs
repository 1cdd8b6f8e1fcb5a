//! One JSON array, at the top or where a pointer leads.

use fluxus_schema::items::ReaderConfig;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Page, Unreadable, Window, too_large, without_mark};

/// Reads into the page; whether the array ended.
pub(super) fn read(
    config: &ReaderConfig,
    window: Window<'_>,
    page: &mut Page,
) -> Result<bool, Unreadable> {
    let (bytes, mark) = without_mark(window, &page.position);
    let start = page.position.offset + mark as u64;
    let mut cursor = Cursor { bytes, at: 0, window };
    if !page.position.is_inside {
        let pointer = config.items_pointer.as_deref().unwrap_or_default();
        for step in pointer.split('/').skip(1) {
            cursor.descend(&step.replace("~1", "/").replace("~0", "~"), pointer)?;
        }
        if cursor.next()? != b'[' {
            return Err(Unreadable("Attempting to map over non-iterable node.".to_owned()));
        }
        cursor.at += 1;
        page.position.is_inside = true;
        page.position.offset = start + cursor.at as u64;
    }
    let mut is_first = page.position.items == 0;
    while page.has_room() {
        let before = cursor.at;
        match cursor.peek() {
            Some(b']') => return Ok(true),
            Some(b',') if !is_first => cursor.at += 1,
            Some(_) if is_first => {}
            Some(_) => return Err(cursor.broken("a comma or the array's end")),
            None => return cursor.behind(page, before),
        }
        match cursor.value() {
            Ok(Some(item)) => {
                // A number that goes up to the window's end may go on behind it.
                if cursor.at == bytes.len() && !window.is_last {
                    return cursor.behind(page, before);
                }
                if !page.take(item, start + cursor.at as u64) {
                    return Ok(false);
                }
            }
            Ok(None) => return cursor.behind(page, before),
            Err(error) => return Err(error),
        }
        is_first = false;
    }
    Ok(cursor.peek() == Some(b']'))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    window: Window<'a>,
}

impl Cursor<'_> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.bytes.get(self.at..)?;
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Unreadable> {
        self.peek().ok_or_else(|| self.broken("a value"))
    }

    /// The value here, and the cursor goes behind it; nothing if the window ends before it does.
    fn value<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, Unreadable> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(Some(value))
            }
            Some(Err(error)) if error.is_eof() && !self.window.is_last => Ok(None),
            Some(Err(error)) => Err(Unreadable(format!("The source is no JSON: {error}"))),
            None => Ok(None),
        }
    }

    /// Goes to the member `name` of the object here.
    fn descend(&mut self, name: &str, pointer: &str) -> Result<(), Unreadable> {
        let missing = || Unreadable(format!("ItemsPointer {pointer} leads to nothing"));
        if self.next()? != b'{' {
            return Err(missing());
        }
        self.at += 1;
        loop {
            match self.next()? {
                b'}' => return Err(missing()),
                b',' => self.at += 1,
                _ => {}
            }
            self.next()?;
            let key: String = self.value()?.ok_or_else(|| too_large(self.window))?;
            if self.next()? != b':' {
                return Err(self.broken("a colon"));
            }
            self.at += 1;
            self.next()?;
            if key == name {
                return Ok(());
            }
            self.value::<IgnoredAny>()?.ok_or_else(|| too_large(self.window))?;
        }
    }

    /// The window ended within the item that begins behind `before`.
    fn behind(&self, page: &Page, before: usize) -> Result<bool, Unreadable> {
        if self.window.is_last {
            return Err(self.broken("the array's end"));
        }
        let begins_here = page.items.is_empty() && before == 0;
        if begins_here { Err(too_large(self.window)) } else { Ok(false) }
    }

    fn broken(&self, expected: &str) -> Unreadable {
        Unreadable(format!("The source is no JSON: expected {expected} at byte {}", self.at))
    }
}
