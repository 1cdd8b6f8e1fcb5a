//! An orderly end: when Lambda takes an environment down, connections are closed, not left behind.
//!
//! Lambda tells a runtime that it ends, by `SIGTERM` and half a second before it kills it, only
//! where an extension is registered. So the function registers one that wants no events. The
//! runtime's own `spawn_graceful_shutdown_handler` does the same, but panics where nobody knows
//! extensions, as with some of what stands in for Lambda, and leaves by `exit`.
//!
//! Source: AWS Lambda developer guide, "Lambda Extensions API"; <https://github.com/aws-samples/graceful-shutdown-with-aws-lambda>.

use std::future::pending;

use http::{HeaderValue, Method};
use lambda_runtime_api_client::body::Body;
use lambda_runtime_api_client::{BoxError, PooledClient, build_request};
use tokio::signal::unix::{SignalKind, signal};

use crate::metrics;

/// What the extension is called; only its own function sees it.
const EXTENSION: &str = "fluxus-shutdown";

/// Names the extension when it registers.
const NAME_HEADER: &str = "Lambda-Extension-Name";

/// Names it from then on.
const ID_HEADER: &str = "Lambda-Extension-Identifier";

/// Serves invocations until the service takes this environment down; then writes what was counted,
/// and returns, so that the caller closes what it has open.
///
/// # Errors
/// Those of serving, and where the process cannot handle signals.
pub async fn until_shutdown<E: From<std::io::Error>>(
    serving: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    let mut terminate = signal(SignalKind::terminate())?;
    let extension = match Extension::register().await {
        Ok(extension) => Some(extension),
        Err(error) => {
            tracing::debug!(error, "there will be no word before the end");
            None
        }
    };
    let waiting = async {
        match extension {
            Some(extension) => extension.wait().await,
            None => pending().await,
        }
    };
    tokio::select! {
        outcome = serving => outcome,
        () = waiting => Ok(()),
        _ = terminate.recv() => {
            metrics::flush();
            tracing::info!("shut down in order");
            Ok(())
        }
    }
}

/// The extension that wants no events.
struct Extension {
    client: PooledClient,
    id: HeaderValue,
}

impl Extension {
    /// Registers it; before the first invocation is asked for, or it comes too late.
    async fn register() -> Result<Self, BoxError> {
        let client = PooledClient::builder().build();
        let request = build_request()
            .method(Method::POST)
            .uri("/2020-01-01/extension/register")
            .header(NAME_HEADER, EXTENSION)
            .body(Body::from(r#"{"events": []}"#))?;
        let response = client.call(request).await?;
        if !response.status().is_success() {
            return Err(format!("registering an extension: {}", response.status()).into());
        }
        let id = response.headers().get(ID_HEADER).ok_or("the extension has no identifier")?;
        Ok(Self { id: id.clone(), client })
    }

    /// Says that it is ready, and never hears of anything: it asked for no events.
    async fn wait(self) {
        let request = build_request()
            .uri("/2020-01-01/extension/event/next")
            .header(ID_HEADER, self.id)
            .body(Body::empty());
        if let Ok(request) = request {
            // Should it be answered after all, there is nothing to do.
            let _answer = self.client.call(request).await;
        }
        pending::<()>().await;
    }
}
