//! Keeps requests away from addresses that are not allowed.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::is_public;
use crate::config::{HttpConfig, Kind};

/// A request led to an address that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{host}` is at {address}, which is not a public address and not allowed here")]
pub(crate) struct Refused {
    host: String,
    address: IpAddr,
}

/// How to reach a URL's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To whatever address it has: the configuration names it.
    Open,
    /// Only to addresses that pass.
    Guarded,
}

/// The rules. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guard(Arc<HttpConfig>);

impl Guard {
    pub(crate) fn new(config: HttpConfig) -> Self {
        Self(Arc::new(config))
    }

    /// How a URL may be reached. An address that stands in the URL itself is judged here, since no
    /// name is resolved then.
    pub(crate) fn way(&self, url: &Url) -> Result<Way, Refused> {
        let host = url.host_str().unwrap_or_default();
        let named = |kind: &Kind| {
            matches!(kind, Kind::Endpoint { host: allowed, port }
            if allowed == host && url.port_or_known_default() == Some(*port))
        };
        if self.0.allow_private || self.0.allow.iter().any(|allowed| named(&allowed.0)) {
            return Ok(Way::Open);
        }
        match host.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) if !self.allows(address) => Err(Refused { host: host.to_owned(), address }),
            Ok(_) | Err(_) => Ok(Way::Guarded),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        let in_network = |kind: &Kind| matches!(kind, Kind::Network(net) if net.holds(address));
        is_public(address) || self.0.allow.iter().any(|allowed| in_network(&allowed.0))
    }

    /// The addresses that are allowed; an error if there are only others.
    fn filter(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
        let (allowed, refused): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| self.allows(address.ip()));
        match refused.first() {
            Some(first) if allowed.is_empty() => {
                Err(Refused { host: host.to_owned(), address: first.ip() })
            }
            _ => Ok(allowed),
        }
    }
}

/// Resolves names as the system does, and connections are made to nothing but what this returns: a
/// name cannot resolve to one address when judged and to another when used.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Addrs = Box::new(guard.filter(name.as_str(), found)?.into_iter());
            Ok(allowed)
        })
    }
}

/// The refusal that an error stems from, if it does.
pub(crate) fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref() {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str]) -> Guard {
        let allow = allow.iter().map(|entry| entry.parse().unwrap()).collect();
        Guard::new(HttpConfig { allow, allow_private: false })
    }

    fn way(guard: &Guard, url: &str) -> Option<Way> {
        guard.way(&Url::parse(url).unwrap()).ok()
    }

    #[test]
    fn addresses_in_urls_are_judged_however_they_are_written() {
        let guard = guard(&[]);
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::]/",
            "http://0/",
            "https://169.254.169.254/latest/meta-data",
        ] {
            assert_eq!(way(&guard, url), None, "{url}");
        }
        assert_eq!(way(&guard, "http://1.1.1.1/"), Some(Way::Guarded));
        assert_eq!(way(&guard, "http://localhost/"), Some(Way::Guarded), "judged when resolved");
    }

    #[test]
    fn networks_and_endpoints_are_allowed() {
        let guard = guard(&["10.0.0.0/8", "orders:8080", "[::1]:443"]);
        assert_eq!(way(&guard, "http://10.1.1.1/"), Some(Way::Guarded));
        assert_eq!(way(&guard, "http://11.1.1.1:8080/"), Some(Way::Guarded));
        assert_eq!(way(&guard, "http://192.168.0.1/"), None);
        assert_eq!(way(&guard, "http://ORDERS:8080/"), Some(Way::Open));
        assert_eq!(way(&guard, "http://orders/"), Some(Way::Guarded));
        assert_eq!(way(&guard, "https://[::1]/"), Some(Way::Open));
        assert_eq!(way(&guard, "http://[::1]/"), None);
    }

    #[test]
    fn resolved_addresses_are_filtered() {
        let guard = guard(&[]);
        let found = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect::<Vec<_>>();
        let mixed = guard.filter("a", found(&["10.0.0.1:0", "1.1.1.1:0"]));
        assert_eq!(mixed, Ok(found(&["1.1.1.1:0"])));
        let refused = guard.filter("a", found(&["[::1]:0", "127.0.0.1:0"])).unwrap_err();
        let want = "`a` is at ::1, which is not a public address and not allowed here";
        assert_eq!(refused.to_string(), want);
        assert_eq!(guard.filter("a", vec![]), Ok(vec![]));
    }
}
