//! Large documents by reference: what is large in a document lies elsewhere, once, under its hash.
//!
//! ```json
//! {"order": 1001, "lines": {"fluxus:payload": "9f86d0…", "bytes": 1572864}}
//! ```
//!
//! A document is taken apart from the inside out: each value that takes more than [`INLINE_BYTES`],
//! once what is large within it is taken out, becomes a payload and leaves a reference. How a value
//! is taken apart does not depend on what is around it. So the same list in a claim's body, in the
//! state of its branches and in its history is one payload, whatever states add beside it. A payload
//! is named by its SHA-256, so putting it twice is harmless.
//!
//! Documents are JSON as `serde_json` writes it, and are given back to the letter. A document that
//! happens to look like a reference is put elsewhere as a whole, so that it is never taken for one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// What a value may take and still stay where it is, in bytes of JSON: what every payload could take
/// before there were references. So rows of claims with such payloads are as they always were, and a
/// version that knows no references can share them. Below it a reference would save little: it costs
/// a statement to write and one to read.
pub const INLINE_BYTES: usize = 256 * 1024;

/// What every reference begins with. Within a JSON text it cannot stand inside of a string, where
/// its quotes would be escaped.
const OPENING: &str = "{\"fluxus:payload\":";

/// Names a payload: the SHA-256 of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadHash([u8; 32]);

impl PayloadHash {
    /// The name of this text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

impl fmt::Display for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PayloadHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is not a SHA-256 in hexadecimal");
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(refused());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(refused()),
            };
            *byte = value(pair[0])? * 16 + value(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// A part of a document that lies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its name.
    pub hash: PayloadHash,
    /// Its JSON text; what is large in it is taken out in turn.
    pub text: String,
    /// Payloads that its text refers to. Where there are none, nothing in it is a reference.
    pub refers_to: Vec<PayloadHash>,
}

/// A reference in a document's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The payload.
    pub hash: PayloadHash,
    /// How many bytes of JSON it stands for, all that is in the payload included.
    pub bytes: usize,
    /// Where it stands.
    from: usize,
    /// Where it ends.
    to: usize,
}

/// Takes apart a document's text, and gives what is left of it with the payloads, inner ones before
/// those around them. None where it can stay as it is, as nearly every document can: that costs a
/// look at its length and a search.
pub fn take_apart(text: &str) -> Option<(String, Vec<Payload>)> {
    if text.len() <= INLINE_BYTES && !text.contains(OPENING) {
        return None;
    }
    let mut cutter = Cutter::new(text);
    cutter.run();
    let Cutter { out, payloads, .. } = cutter;
    (!payloads.is_empty()).then_some((out, payloads))
}

/// A text as one payload, whatever is in it, with the reference to it.
pub fn whole(text: &str) -> (String, Payload) {
    let payload =
        Payload { hash: PayloadHash::of(text), text: text.to_owned(), refers_to: Vec::new() };
    (reference(payload.hash, text.len()), payload)
}

fn reference(hash: PayloadHash, bytes: usize) -> String {
    format!("{OPENING}\"{hash}\",\"bytes\":{bytes}}}")
}

/// Whether a text has references, as far as a look tells.
pub fn may_refer(text: &str) -> bool {
    text.contains(OPENING)
}

/// The references in the text of a document that was taken apart.
pub fn references(text: &str) -> impl Iterator<Item = Reference> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(found) = text.get(from..)?.find(OPENING) {
            let at = from + found;
            from = at + OPENING.len();
            if let Some(reference) = read(text, at) {
                from = reference.to;
                return Some(reference);
            }
        }
        None
    })
}

/// The reference that begins at this place.
fn read(text: &str, from: usize) -> Option<Reference> {
    let rest = text.get(from + OPENING.len()..)?.strip_prefix('"')?;
    let hash = rest.get(..64)?.parse().ok()?;
    let rest = rest.get(64..)?.strip_prefix("\",\"bytes\":")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let bytes = rest.get(..digits)?.parse().ok()?;
    let rest = rest.get(digits..)?.strip_prefix('}')?;
    Some(Reference { hash, bytes, from, to: text.len() - rest.len() })
}

/// Payloads at hand, to put documents together again.
#[derive(Clone, Debug, Default)]
pub struct Payloads(BTreeMap<PayloadHash, (Box<str>, bool)>);

/// A document refers to a payload that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no payload {0}")]
pub struct MissingPayload(pub PayloadHash);

impl Payloads {
    /// Adds a payload. `refers` says whether its text has references.
    pub fn add(&mut self, hash: PayloadHash, text: impl Into<Box<str>>, refers: bool) {
        self.0.insert(hash, (text.into(), refers));
    }

    /// The document, put together again.
    ///
    /// # Errors
    /// [`MissingPayload`] where one that it refers to was not added.
    pub fn restore<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, MissingPayload> {
        let mut references = references(text).peekable();
        let Some(first) = references.peek() else { return Ok(Cow::Borrowed(text)) };
        let mut whole = String::with_capacity(text.len() + first.bytes);
        let mut done = 0;
        for Reference { hash, from, to, .. } in references {
            let (part, refers) = self.0.get(&hash).ok_or(MissingPayload(hash))?;
            whole.push_str(&text[done..from]);
            // As deep as documents are nested, which is bounded.
            whole.push_str(&if *refers { self.restore(part)? } else { Cow::Borrowed(&**part) });
            done = to;
        }
        whole.push_str(&text[done..]);
        Ok(Cow::Owned(whole))
    }
}

/// Goes through a text once. What was read and not copied yet counts as part of `out`.
struct Cutter<'a> {
    text: &'a str,
    at: usize,
    copied: usize,
    out: String,
    payloads: Vec<Payload>,
    /// References that stand in `out`, in their order.
    standing: Vec<PayloadHash>,
    known: BTreeSet<PayloadHash>,
    open: Vec<Open>,
}

/// A value that has begun.
struct Open {
    text_from: usize,
    out_from: usize,
    standing_from: usize,
    is_object: bool,
    /// Whether the next string is a member's name.
    names: bool,
}

impl<'a> Cutter<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            copied: 0,
            out: String::new(),
            payloads: Vec::new(),
            standing: Vec::new(),
            known: BTreeSet::new(),
            open: Vec::new(),
        }
    }

    fn run(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'{' if self.text[self.at..].starts_with(OPENING) => {
                    let value = self.begin(false);
                    self.skip_value();
                    self.end(&value, true);
                }
                b'{' | b'[' => {
                    let value = self.begin(*byte == b'{');
                    self.open.push(value);
                    self.at += 1;
                }
                b'}' | b']' => {
                    self.at += 1;
                    if let Some(value) = self.open.pop() {
                        self.end(&value, false);
                    }
                }
                b'"' => {
                    let is_name = self.open.last().is_some_and(|open| open.names);
                    let value = self.begin(false);
                    self.skip_string();
                    if !is_name {
                        self.end(&value, false);
                    }
                }
                b':' | b',' => {
                    if let Some(open) = self.open.last_mut() {
                        open.names = open.is_object && *byte == b',';
                    }
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
        self.copy();
    }

    fn begin(&self, is_object: bool) -> Open {
        Open {
            text_from: self.at,
            out_from: self.out.len() + self.at - self.copied,
            standing_from: self.standing.len(),
            is_object,
            names: is_object,
        }
    }

    /// Ends a value; one that is large leaves a reference.
    fn end(&mut self, value: &Open, looks_like_one: bool) {
        let length = self.out.len() + self.at - self.copied - value.out_from;
        if length <= INLINE_BYTES && !looks_like_one {
            return;
        }
        self.copy();
        let text = self.out.split_off(value.out_from);
        let mut refers_to = self.standing.split_off(value.standing_from);
        refers_to.sort_unstable();
        refers_to.dedup();
        let hash = PayloadHash::of(&text);
        let bytes = self.at - value.text_from;
        self.out.push_str(&reference(hash, bytes));
        self.standing.push(hash);
        if self.known.insert(hash) {
            self.payloads.push(Payload { hash, text, refers_to });
        }
    }

    fn copy(&mut self) {
        self.out.push_str(&self.text[self.copied..self.at]);
        self.copied = self.at;
    }

    fn skip_string(&mut self) {
        let bytes = self.text.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at) {
            self.at += match byte {
                b'"' => break,
                b'\\' => 2,
                _ => 1,
            };
        }
        // Behind the quote, but never past a text that has none.
        self.at = (self.at + 1).min(bytes.len());
    }

    /// Goes to the end of the object or array that begins here.
    fn skip_value(&mut self) {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn apart(document: &Value) -> (String, Vec<Payload>) {
        take_apart(&document.to_string()).expect("is large")
    }

    fn whole(text: &str, payloads: &[Payload]) -> String {
        let mut at_hand = Payloads::default();
        for Payload { hash, text, refers_to } in payloads {
            assert_eq!(PayloadHash::of(text), *hash);
            at_hand.add(*hash, text.clone(), !refers_to.is_empty());
        }
        at_hand.restore(text).expect("all are there").into_owned()
    }

    #[test]
    fn what_is_small_stays() {
        for document in [json!(null), json!({"a": "x".repeat(INLINE_BYTES - 20)}), json!("]\"[")] {
            assert_eq!(take_apart(&document.to_string()), None);
        }
    }

    #[test]
    fn what_is_large_is_put_together_again_to_the_letter() {
        let list: Vec<_> = (0..10_000).map(|n| json!({"n": n, "text": "\"{}[]\\ü\u{1}"})).collect();
        let long = "\\\"".repeat(INLINE_BYTES);
        let some = json!({"one": list, "two": [list, long], "list": [1, {"x": {"y": long}}]});
        for document in [json!(list), json!(long), some] {
            let (text, payloads) = apart(&document);
            assert!(text.len() < 1000, "{text}");
            assert_eq!(whole(&text, &payloads), document.to_string());
        }
        let (text, _) = apart(&json!({"list": list, "again": list}));
        let bytes = json!(list).to_string().len();
        let found: Vec<_> = references(&text).collect();
        assert!(found.iter().all(|one| one.hash == found[0].hash && one.bytes == bytes), "{text}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_value_is_taken_apart_in_the_same_way_wherever_it_stands() {
        let list: Vec<_> = (0..300).map(|n| format!("{n:01000}")).collect();
        let (_, alone) = apart(&json!(list));
        let (_, within) = apart(&json!({"input": {"list": list, "more": 1}}));
        assert_eq!(alone, within);
    }

    #[test]
    fn what_is_left_of_a_value_may_be_large_itself() {
        let item = |n: usize| format!("{n}").repeat(70_000);
        let document = json!([item(1), item(2), item(3), item(4), "x".repeat(INLINE_BYTES)]);
        let (text, payloads) = apart(&document);
        assert_eq!((payloads.len(), payloads[1].refers_to.len()), (2, 1));
        let first = references(&text).next().expect("a reference");
        assert_eq!((first.hash, first.bytes), (payloads[1].hash, document.to_string().len()));
        assert_eq!(whole(&text, &payloads), document.to_string());
    }

    #[test]
    fn a_document_that_looks_like_a_reference_is_never_taken_for_one() {
        let (reference, _) = apart(&json!("x".repeat(INLINE_BYTES)));
        let like: Value = serde_json::from_str(&reference).expect("JSON");
        for document in [like.clone(), json!({"a": [like], "b": reference})] {
            let (text, payloads) = apart(&document);
            assert_eq!(whole(&text, &payloads), document.to_string());
        }
    }

    #[test]
    fn a_payload_that_is_missing_is_named() {
        let (text, payloads) = apart(&json!("x".repeat(INLINE_BYTES)));
        let missing = Payloads::default().restore(&text).expect_err("is missing");
        assert_eq!(missing, MissingPayload(payloads[0].hash));
    }

    #[test]
    fn no_text_is_too_strange() {
        for text in ["{\"fluxus:payload\":", "{\"fluxus:payload\":\"", "\"\\", "}]", "{\"a"] {
            let padded = format!("{text}{}", " ".repeat(INLINE_BYTES));
            let _ = (take_apart(text), take_apart(&padded), references(text).count());
        }
    }
}
