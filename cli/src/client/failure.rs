//! Why there is no answer, or none of Fluxus's, in words.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use super::{CONNECT_TIMEOUT, ClientError};

/// A body that a server takes in whole before it looks at it, or that waits in the sockets' buffers:
/// where a larger one cannot be sent to its end, its size may be why.
const LARGE_BODY_BYTES: usize = 256 * 1024;

/// Most characters of an answer that is no problem document, shown with the error.
const MAX_SHOWN_CHARS: usize = 200;

/// What became of a request to `url` with so many bytes of body, in words.
pub(crate) fn explain(
    url: &str,
    error: &reqwest::Error,
    timeout: Duration,
    sent: usize,
) -> ClientError {
    let url = url.to_owned();
    if error.is_timeout() && !error.is_connect() {
        return ClientError::Silent { url, seconds: timeout.as_secs() };
    }
    if !(error.is_connect() || error.is_builder() || error.is_redirect()) {
        return match sent > LARGE_BODY_BYTES {
            true => ClientError::CutOff { url, bytes: sent },
            false => ClientError::BrokeOff { url },
        };
    }
    let mut cause = error.source();
    let mut reason = error.to_string();
    let mut refused = false;
    while let Some(error) = cause {
        // The last cause is the one that says it: the outer ones only say "error".
        reason = error.to_string();
        if let Some(error) = error.downcast_ref::<io::Error>() {
            refused |= error.kind() == io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    if refused {
        reason = "connection refused".to_owned();
    } else if error.is_timeout() {
        reason = format!("no connection within {} s", CONNECT_TIMEOUT.as_secs());
    }
    ClientError::Unreachable { url, reason, refused }
}

/// The beginning of an answer, on one line.
pub(super) fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return "nothing".to_owned();
    }
    crate::table::cut(&crate::table::clean(&line), MAX_SHOWN_CHARS)
}
