//! Who may ask: API keys, each of a tenant; or everybody on this machine.

use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fluxus_schema::Tenant;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use crate::App;
use crate::gateway::Gateway;
use crate::limits::MIN_KEY_CHARS;
use crate::problem::{Kind, Refusal};

/// The variable that holds the keys: `key:tenant`, separated by commas.
pub const KEYS_VARIABLE: &str = "FLUXUS_API_KEYS";

/// Where a key may be instead of `Authorization: Bearer`.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Paths that need no key: whether it works, and how to ask.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/openapi.json"];

/// Who may ask.
#[derive(Clone)]
pub enum Auth {
    /// Everybody who reaches the socket, as the default tenant. Only on a loopback address, and
    /// there not from web pages: see [`crate::guard`].
    Open,
    /// Whoever has a key.
    Keys(ApiKeys),
    /// Whoever API Gateway lets through. Only as a Lambda function: nowhere else does a gateway
    /// stand in front.
    Gateway(Gateway),
}

/// API keys, kept as SHA-256 hashes. A key is random and long, so it needs no slow hash.
#[derive(Clone)]
pub struct ApiKeys(Arc<[(Hash, Tenant)]>);

type Hash = [u8; 32];

/// Why keys, or an address to listen on, cannot be used. Correct the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// An entry is not `key:tenant`. It is named by its place, because it may hold a key.
    #[error("entry {place} of {KEYS_VARIABLE} is not `key:tenant`")]
    NotAnEntry {
        /// Counted from 1.
        place: usize,
    },
    /// A key that could be guessed.
    #[error(
        "the key in entry {place} of {KEYS_VARIABLE} is shorter than {MIN_KEY_CHARS} characters"
    )]
    ShortKey {
        /// Counted from 1.
        place: usize,
    },
    /// No entry at all.
    #[error("{KEYS_VARIABLE} holds no key; set it to `key:tenant`, or several separated by commas")]
    NoKeys,
    /// On a socket no gateway has asked anybody anything.
    #[error(
        "will not listen on {addr} for an API Gateway to check who asks: that is for a Lambda \
         function; set {KEYS_VARIABLE} instead"
    )]
    NoGateway {
        /// The address.
        addr: SocketAddr,
    },
    /// Without keys everybody in the network could ask.
    #[error(
        "will not listen on {addr} without API keys: set {KEYS_VARIABLE} to `key:tenant`, or \
         listen on 127.0.0.1"
    )]
    OpenToTheNetwork {
        /// The address.
        addr: SocketAddr,
    },
}

impl ApiKeys {
    /// Reads `key:tenant` entries separated by commas.
    ///
    /// # Errors
    /// [`AuthError`], which names no key.
    pub fn parse(text: &str) -> Result<Self, AuthError> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let keys = (1..).zip(entries).map(|(place, entry)| {
            let (key, tenant) = entry.split_once(':').ok_or(AuthError::NotAnEntry { place })?;
            let tenant = tenant.parse().map_err(|_| AuthError::NotAnEntry { place })?;
            if key.chars().count() < MIN_KEY_CHARS {
                return Err(AuthError::ShortKey { place });
            }
            Ok((hash(key.as_bytes()), tenant))
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(AuthError::NoKeys) } else { Ok(Self(keys.into())) }
    }

    /// Whose key this is. Takes as long for a wrong key as for a right one.
    pub fn tenant(&self, key: &[u8]) -> Option<&Tenant> {
        let given = hash(key);
        let mut found = None;
        for (known, tenant) in self.0.iter() {
            if equal(known, &given) {
                found = Some(tenant);
            }
        }
        found
    }
}

impl fmt::Debug for ApiKeys {
    /// Shows how many there are, not the hashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Keys(keys) => keys.fmt(f),
            Self::Gateway(gateway) => gateway.fmt(f),
        }
    }
}

/// Checks that an address may be listened on: without keys only a loopback one.
///
/// # Errors
/// [`AuthError::OpenToTheNetwork`], which says what to do.
pub fn check_listen(addr: SocketAddr, auth: &Auth) -> Result<(), AuthError> {
    match auth {
        Auth::Open if !addr.ip().to_canonical().is_loopback() => {
            Err(AuthError::OpenToTheNetwork { addr })
        }
        Auth::Gateway(_) => Err(AuthError::NoGateway { addr }),
        Auth::Open | Auth::Keys(_) => Ok(()),
    }
}

/// Lets a request pass with its tenant, or refuses it.
pub(crate) async fn authenticate(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    const NO_KEY: &str = "send a key as `Authorization: Bearer KEY` or `X-Api-Key: KEY`";
    let tenant = match app.auth() {
        Auth::Open => Ok(Tenant::default()),
        Auth::Keys(keys) => {
            let key = presented(request.headers());
            key.and_then(|key| keys.tenant(key)).cloned().ok_or_else(|| NO_KEY.into())
        }
        Auth::Gateway(gateway) => gateway.tenant(request.extensions()),
    };
    match tenant {
        Ok(tenant) => drop(request.extensions_mut().insert(tenant)),
        Err(_) if OPEN_PATHS.contains(&request.uri().path()) => {}
        Err(detail) => return Refusal::new(Kind::Unauthenticated, detail).into_response(),
    }
    next.run(request).await
}

fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        return scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii());
    }
    headers.get(X_API_KEY).map(|value| value.as_bytes())
}

fn hash(key: &[u8]) -> Hash {
    Sha256::digest(key).into()
}

/// Compares without stopping at the first difference.
fn equal(a: &Hash, b: &Hash) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| black_box(difference | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef";

    #[test]
    fn a_key_gives_its_tenant() {
        let keys = ApiKeys::parse(&format!("{KEY}:acme, other-key-0123456:globex")).expect("keys");
        let tenant = |key: &str| keys.tenant(key.as_bytes()).map(Tenant::as_str);
        assert_eq!(tenant(KEY), Some("acme"));
        assert_eq!(tenant("other-key-0123456"), Some("globex"));
        assert_eq!(tenant("0123456789abcdeg"), None);
        assert_eq!(tenant(""), None);
        assert!(!format!("{:?}", Auth::Keys(keys)).contains(KEY));
    }

    #[test]
    fn a_wrong_entry_is_named_without_its_key() {
        let error = |text: &str| ApiKeys::parse(text).expect_err("refused");
        assert_eq!(error(" , "), AuthError::NoKeys);
        assert_eq!(error("short:acme"), AuthError::ShortKey { place: 1 });
        assert_eq!(error(&format!("{KEY}:a,{KEY}")), AuthError::NotAnEntry { place: 2 });
        assert_eq!(error(&format!("{KEY}:a b")), AuthError::NotAnEntry { place: 1 });
    }

    #[test]
    fn without_keys_only_loopback_is_listened_on() {
        let keys = Auth::Keys(ApiKeys::parse(&format!("{KEY}:acme")).expect("keys"));
        let gateway = Auth::Gateway(Gateway::Iam);
        for (addr, open) in [
            ("127.0.0.1:80", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", false),
            ("[::]:80", false),
            ("10.0.0.7:80", false),
        ] {
            let addr = addr.parse().expect("an address");
            assert_eq!(check_listen(addr, &Auth::Open).is_ok(), open, "{addr}");
            assert!(check_listen(addr, &keys).is_ok());
            assert_eq!(check_listen(addr, &gateway), Err(AuthError::NoGateway { addr }));
        }
        let error = check_listen("0.0.0.0:80".parse().expect("an address"), &Auth::Open);
        assert!(error.expect_err("refused").to_string().contains(KEYS_VARIABLE));
    }
}
