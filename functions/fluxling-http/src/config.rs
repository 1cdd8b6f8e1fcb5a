//! What fluxling-http is allowed.

use std::str::FromStr;

use crate::address::Network;

/// Names the networks and endpoints to allow, separated by commas.
const ALLOW: &str = "FLUXLING_HTTP_ALLOW";
/// `true` allows all addresses.
const ALLOW_PRIVATE: &str = "FLUXLING_HTTP_ALLOW_PRIVATE";

/// Which addresses beside those of the public internet requests may go to. By default, none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpConfig {
    /// Networks and endpoints that may be reached though they are not public.
    pub allow: Vec<Allowed>,
    /// Whether any address may be reached. For laptops and tests; in a cloud it opens the metadata
    /// service, which gives out credentials.
    pub allow_private: bool,
}

/// A network, `10.1.0.0/16`, or an endpoint by its name in URLs, `orders.internal:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Network(Network),
    Endpoint { host: String, port: u16 },
}

/// The configuration cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Neither a network nor an endpoint.
    #[error("`{0}` is neither a network such as `10.1.0.0/16` nor an endpoint such as `host:8080`")]
    Allowed(String),
    /// Neither `true` nor `false`.
    #[error("{ALLOW_PRIVATE} is `{0}`; it must be `true` or `false`")]
    AllowPrivate(String),
}

impl HttpConfig {
    /// From `FLUXLING_HTTP_ALLOW`, a list separated by commas, and `FLUXLING_HTTP_ALLOW_PRIVATE`,
    /// `true` or `false`.
    ///
    /// # Errors
    /// [`ConfigError`] where one of them cannot be read.
    pub fn from_env() -> Result<Self, ConfigError> {
        let read = |name| std::env::var(name).unwrap_or_default();
        Self::parse(&read(ALLOW), &read(ALLOW_PRIVATE))
    }

    fn parse(allow: &str, allow_private: &str) -> Result<Self, ConfigError> {
        let entries = allow.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let allow = entries.map(str::parse).collect::<Result<_, _>>()?;
        let allow_private = match allow_private.trim() {
            "true" => true,
            "false" | "" => false,
            other => return Err(ConfigError::AllowPrivate(other.to_owned())),
        };
        Ok(Self { allow, allow_private })
    }
}

impl FromStr for Allowed {
    type Err = ConfigError;
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if let Ok(network) = text.parse() {
            return Ok(Self(Kind::Network(network)));
        }
        let endpoint = text.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse().ok()?;
            let host = host.to_ascii_lowercase();
            let plain = !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#']);
            plain.then_some(Kind::Endpoint { host, port })
        });
        endpoint.map(Self).ok_or_else(|| ConfigError::Allowed(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_read_from_text() {
        let config = HttpConfig::parse("10.0.0.0/8, API.internal:80,[::1]:9,::1", "true").unwrap();
        let endpoint = |host: &str, port| Allowed(Kind::Endpoint { host: host.to_owned(), port });
        let network = |text: &str| Allowed(Kind::Network(text.parse().unwrap()));
        let want = [
            network("10.0.0.0/8"),
            endpoint("api.internal", 80),
            endpoint("[::1]", 9),
            network("::1"),
        ];
        assert_eq!((config.allow.as_slice(), config.allow_private), (&want[..], true));
        assert_eq!(HttpConfig::parse("", ""), Ok(HttpConfig::default()));
        for wrong in ["host", "host:", ":80", "host:99999", "http://host:80", "10.0.0.0/40"] {
            let error = HttpConfig::parse(wrong, "").unwrap_err();
            assert_eq!(error, ConfigError::Allowed(wrong.to_owned()));
        }
        assert!(HttpConfig::parse("", "yes").is_err());
    }
}
