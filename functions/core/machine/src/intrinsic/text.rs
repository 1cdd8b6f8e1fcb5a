//! Functions on texts.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use serde_json::Value;
use sha2::Digest as _;

use super::{Failed, MAX_TEXT_CHARS};
use crate::env::Entropy;
use crate::jsonpath::java;

/// `template` with each `{}` replaced by the next value; `\{`, `\}`, `\'` and `\\` stand for the
/// character after the backslash.
pub(super) fn format(template: &str, values: &[Cow<'_, Value>]) -> Result<String, Failed> {
    let mut formatted = String::with_capacity(template.len());
    let mut values = values.iter();
    let mut rest = template.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '\\' => match rest.next_if(|escaped| matches!(escaped, '{' | '}' | '\'' | '\\')) {
                Some(escaped) => formatted.push(escaped),
                None => formatted.push('\\'),
            },
            '{' if rest.next_if_eq(&'}').is_some() => {
                let value = values.next().ok_or(Failed::Placeholders)?;
                formatted.push_str(&java::to_string(value));
            }
            '{' => return Err(Failed::Template { missing: '}', found: '{' }),
            '}' => return Err(Failed::Template { missing: '{', found: '}' }),
            other => formatted.push(other),
        }
    }
    if values.next().is_some() { Err(Failed::Placeholders) } else { Ok(formatted) }
}

fn within_bound(text: &str) -> bool {
    text.len() <= MAX_TEXT_CHARS || text.chars().count() <= MAX_TEXT_CHARS
}

pub(super) fn base64_encode(text: &str) -> Option<String> {
    within_bound(text).then(|| BASE64.encode(text))
}

/// Like the service, lenient: what is no Base64 is skipped, and padding ends the text.
pub(super) fn base64_decode(text: &str) -> Option<String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    /// One letter alone holds too few bits for a byte.
    const LETTERS_A_GROUP: usize = 4;
    if !within_bound(text) {
        return None;
    }
    let mut letters: Vec<u8> = text
        .bytes()
        .take_while(|letter| *letter != b'=')
        .filter_map(|letter| match letter {
            b'-' => Some(b'+'),
            b'_' => Some(b'/'),
            b'+' | b'/' => Some(letter),
            _ => letter.is_ascii_alphanumeric().then_some(letter),
        })
        .collect();
    if letters.len() % LETTERS_A_GROUP == 1 {
        letters.pop();
    }
    let bytes = LENIENT.decode(letters).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn hash(text: &str, algorithm: &str) -> Option<String> {
    if !within_bound(text) {
        return None;
    }
    Some(match algorithm {
        "MD5" => hexadecimal(&md5::Md5::digest(text)),
        "SHA-1" => hexadecimal(&sha1::Sha1::digest(text)),
        "SHA-256" => hexadecimal(&sha2::Sha256::digest(text)),
        "SHA-384" => hexadecimal(&sha2::Sha384::digest(text)),
        "SHA-512" => hexadecimal(&sha2::Sha512::digest(text)),
        _ => return None,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The parts between any of the delimiting characters; empty parts are left out.
pub(super) fn split(text: &str, delimiters: &str) -> Value {
    let parts = text.split(|c| delimiters.contains(c)).filter(|part| !part.is_empty());
    Value::Array(parts.map(Value::from).collect())
}

/// A blank text is `null`, and `-0` is the integer, as in the service.
pub(super) fn to_json(text: &str) -> Option<Value> {
    match text.trim() {
        "" => Some(Value::Null),
        "-0" => Some(Value::from(0)),
        text => serde_json::from_str(text).ok(),
    }
}

/// A random UUID (version 4).
pub(crate) fn uuid(entropy: &dyn Entropy) -> String {
    const VERSION: u128 = 4 << 76;
    const VARIANT: u128 = 2 << 62;
    const FREE: u128 = !((0xF << 76) | (0x3 << 62));
    let random = (u128::from(entropy.number()) << 64) | u128::from(entropy.number());
    let hex = format!("{:032x}", (random & FREE) | VERSION | VARIANT);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
