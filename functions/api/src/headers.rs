//! Request headers with a meaning of their own: preferences, idempotency keys, trace contexts.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::problem::{Kind, Refusal};

/// The client's own name for the request.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What the client would like (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Which of its wishes were met.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How long the client would like to wait for the end: `Prefer: wait=SECONDS`, cut at `most`.
/// A preference that cannot be read is ignored, as RFC 7240 asks.
pub(crate) fn wait(headers: &HeaderMap, most: Duration) -> Option<Duration> {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut named = preferences.flat_map(|value| value.split(',')).filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("wait").then(|| value.parse::<u32>().ok()).flatten()
    });
    // Of several the first counts.
    let wait = Duration::from_secs(named.next()?.into()).min(most);
    (!wait.is_zero()).then_some(wait)
}

/// The `Preference-Applied` header for a wait that was granted.
pub(crate) fn applied(wait: Duration) -> [(HeaderName, HeaderValue); 1] {
    // Digits and letters are always a header value.
    let value = HeaderValue::from_str(&format!("wait={}", wait.as_secs()));
    [(PREFERENCE_APPLIED, value.unwrap_or(HeaderValue::from_static("wait")))]
}

/// The idempotency key of header and body, which must agree where both are given. The quotes that
/// the IETF draft puts around it are not part of it.
///
/// # Errors
/// [`Kind::InvalidHeader`].
pub(crate) fn idempotency_key(
    headers: &HeaderMap,
    in_body: Option<String>,
) -> Result<Option<String>, Refusal> {
    let refuse = |detail: &'static str| Refusal::new(Kind::InvalidHeader, detail);
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(in_body) };
    if values.next().is_some() {
        return Err(refuse("`Idempotency-Key` is given more than once"));
    }
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| refuse("`Idempotency-Key` is not UTF-8"))?;
    let unquoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let key = unquoted.unwrap_or(text);
    match in_body {
        Some(other) if other != key => {
            Err(refuse("`Idempotency-Key` and the body's `idempotency_key` differ: send one"))
        }
        _ => Ok(Some(key.to_owned())),
    }
}

/// The trace context, if it is a valid one; an invalid one is ignored, as W3C asks.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = text.split('-');
    let mut hex = |chars: usize| {
        let part = parts.next()?;
        let valid = part.len() == chars
            && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        valid.then_some(part)
    };
    let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    // Version 00 has four parts; later ones may have more, which we would not understand.
    let whole = parts.next().is_none() && version != "ff";
    (whole && !zero(trace) && !zero(parent)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"))
        });
        values.collect()
    }

    #[test]
    fn a_wait_is_found_among_preferences_and_cut() {
        let wait = |values: &[&str]| {
            wait(&headers("prefer", values), Duration::from_secs(30)).map(|wait| wait.as_secs())
        };
        assert_eq!(wait(&["wait=5"]), Some(5));
        assert_eq!(wait(&["respond-async, Wait=\"7\""]), Some(7));
        assert_eq!(wait(&["respond-async", "wait=8; x=y"]), Some(8));
        assert_eq!(wait(&["wait=3600"]), Some(30));
        for none in ["wait=0", "wait", "wait=-1", "wait=soon", "await=5", ""] {
            assert_eq!(wait(&[none]), None, "{none}");
        }
    }

    #[test]
    fn header_and_body_agree_on_the_key() {
        let key = |header: &[&str], body: Option<&str>| {
            idempotency_key(&headers("idempotency-key", header), body.map(str::to_owned))
                .map_err(|refusal| refusal.kind())
        };
        assert_eq!(key(&[], Some("a")), Ok(Some("a".to_owned())));
        assert_eq!(key(&["a"], None), Ok(Some("a".to_owned())));
        assert_eq!(key(&["\"a\""], Some("a")), Ok(Some("a".to_owned())));
        assert_eq!(key(&["a"], Some("b")), Err(Kind::InvalidHeader));
        assert_eq!(key(&["a", "a"], None), Err(Kind::InvalidHeader));
    }

    #[test]
    fn only_a_valid_trace_context_is_taken_over() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(&headers("traceparent", &[valid])).as_deref(), Some(valid));
        for wrong in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "",
        ] {
            assert_eq!(traceparent(&headers("traceparent", &[wrong])), None, "{wrong}");
        }
    }
}
