//! Calls HTTP endpoints: `http.request`.
//!
//! ```json
//! {"method": "POST", "url": "https://api.example.com/orders", "query": {"dry": true}, "body": {"id": 7}}
//! ```
//! to `{"status": 201, "headers": {…}, "body": …, "encoding": "json"}`; see [`Input`] and [`Output`].
//!
//! Recipes and claims name the URLs, so a request may not reach what only this process can reach:
//! private and other special addresses are refused unless [`HttpConfig`] allows them, and judged on
//! the address that is connected to, after name resolution and on every redirect.
//!
//! | error name | when |
//! | --- | --- |
//! | `Http.InvalidRequest` | the request cannot be made as it is |
//! | `Http.AddressRefused` | it leads to an address that is not allowed |
//! | `Http.Connect` | no connection: name, network or TLS |
//! | `Http.Timeout` | no whole response in time |
//! | `Http.Broken` | the connection broke, or what came is not HTTP |
//! | `Http.ResponseTooLarge` | the response is past `max_response_bytes` |
//! | `Http.TooManyRedirects` | redirects did not come to an end |
//! | `Http.StatusCode.503` | the response has this status, 400 or more, and `fail_on_status` |

mod address;
mod config;
mod document;
mod exchange;
mod guard;
mod request;
mod response;

use std::sync::Arc;
use std::time::Duration;

use ::fluxling::{Fluxling, Task, TaskError};

pub use config::{Allowed, ConfigError, HttpConfig};
pub use document::{Documents, Part};
pub use request::{Input, Method};
pub use response::{Encoding, Output};

use exchange::Clients;

/// Requests at a time: they mostly wait.
const CONCURRENCY: u32 = 64;

/// The longest time for one task: that of a slow endpoint, with room for the SDK's own.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Names of the errors that tasks fail with.
pub mod error_name {
    /// The request cannot be made as it is.
    pub const INVALID_REQUEST: &str = "Http.InvalidRequest";
    /// It leads to an address that is not allowed.
    pub const ADDRESS_REFUSED: &str = "Http.AddressRefused";
    /// No connection: name, network or TLS.
    pub const CONNECT: &str = "Http.Connect";
    /// No whole response in time.
    pub const TIMEOUT: &str = "Http.Timeout";
    /// The connection broke, or what came is not HTTP.
    pub const BROKEN: &str = "Http.Broken";
    /// The response is past `max_response_bytes`.
    pub const RESPONSE_TOO_LARGE: &str = "Http.ResponseTooLarge";
    /// Redirects did not come to an end.
    pub const TOO_MANY_REDIRECTS: &str = "Http.TooManyRedirects";
    /// What precedes the status in the name for a response with an error status.
    pub const STATUS_CODE_PREFIX: &str = "Http.StatusCode.";
}

/// The fluxling.
pub fn fluxling(config: HttpConfig) -> Fluxling {
    // Fails where the machine's TLS roots cannot be loaded; each task then says so.
    let clients = Arc::new(Clients::new(config));
    let request = move |task: Task<Input>| {
        let clients = Arc::clone(&clients);
        async move {
            let clients = clients.as_ref().as_ref();
            let clients = clients.map_err(|error| TaskError::fatal(error_name::CONNECT, error))?;
            clients.exchange(&task).await
        }
    };
    Fluxling::new("http")
        .version(env!("CARGO_PKG_VERSION"))
        .description("Calls HTTP endpoints.")
        .capability("http.request", request)
        .concurrency(CONCURRENCY)
        .timeout(TIMEOUT)
}
