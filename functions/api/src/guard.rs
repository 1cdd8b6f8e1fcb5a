//! Keeps web pages away from an open API on this machine.
//!
//! A page from anywhere may make its visitor's browser send requests to `127.0.0.1` (cross-site
//! request forgery), or point a name of its own there and read the answers (DNS rebinding). The
//! browser gives both away: the first carries a foreign `Origin`, the second a foreign `Host`.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, ORIGIN};
use http::uri::Authority;

use crate::App;
use crate::auth::Auth;
use crate::problem::{Kind, Refusal};

/// Refuses what a web page of another origin may have sent, where no key protects the API.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if matches!(app.auth(), Auth::Open)
        && let Err(refusal) = check(&request)
    {
        return refusal.into_response();
    }
    next.run(request).await
}

fn check(request: &Request) -> Result<(), Refusal> {
    let refuse = |detail: &'static str| Refusal::new(Kind::Forbidden, detail);
    let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default());
    // Every browser sends a host, so a request without one needs no protection.
    let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
    if host.is_some_and(|host| !is_loopback(host)) {
        return Err(refuse(
            "without API keys only requests to `localhost` or a loopback address are answered: \
             correct the `Host` header or configure API keys",
        ));
    }
    let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    if own.is_none() || own != host {
        return Err(refuse("without API keys requests of other web origins are not answered"));
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let name = name.to_ascii_lowercase();
    match name.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn allowed(host: Option<&str>, origin: Option<&str>) -> bool {
        let mut request = Request::new(Body::empty());
        let headers = request.headers_mut();
        for (name, value) in [(HOST, host), (ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().expect("a header"));
            }
        }
        check(&request).is_ok()
    }

    #[test]
    fn only_names_of_this_machine_pass() {
        for host in ["localhost", "localhost:7400", "127.0.0.1:1", "[::1]:7", "a.localhost:1"] {
            assert!(allowed(Some(host), None), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""] {
            assert!(!allowed(Some(host), None), "{host}");
        }
        assert!(allowed(None, None));
    }

    #[test]
    fn only_the_own_origin_passes() {
        let host = Some("localhost:7400");
        assert!(allowed(host, Some("http://localhost:7400")));
        for origin in ["https://evil.example", "null", "http://localhost:3000", "localhost:7400"] {
            assert!(!allowed(host, Some(origin)), "{origin}");
        }
    }
}
