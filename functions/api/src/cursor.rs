//! Cursors: where the next page begins, in a form that clients hand back unread.
//!
//! A cursor names the last entry of its page by key, not by number, so entries that come in
//! meanwhile neither repeat nor hide others.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A key as a cursor.
pub(crate) fn seal(list: &str, key: impl Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{key}"))
}

/// The key in a cursor of this list.
pub(crate) fn open<T: FromStr>(list: &str, cursor: &str) -> Result<T, String> {
    let wrong = "is not a `next_cursor` of this list; ask again without it";
    key(list, cursor).ok_or_else(|| wrong.to_owned())
}

/// The same, where it is not a list's: each says in its own words what is no cursor.
pub(crate) fn key<T: FromStr>(list: &str, cursor: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let key = text.as_deref().and_then(|text| text.strip_prefix(list)?.strip_prefix(':'));
    key.and_then(|key| key.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_in_its_own_list_only() {
        let cursor = seal("claims", 42);
        assert_eq!(open::<u64>("claims", &cursor), Ok(42));
        assert!(open::<u64>("history", &cursor).is_err());
        for wrong in ["", "42", "%%%", "Y2xhaW1zOng"] {
            assert!(open::<u64>("claims", wrong).is_err(), "{wrong}");
        }
    }
}
