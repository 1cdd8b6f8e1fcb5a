//! Runs fluxling-http as a Lambda function; `--manifest` prints what it offers.

use fluxling_http::{HttpConfig, fluxling};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), fluxling::lambda::Error> {
    ::fluxling::lambda::start(fluxling(HttpConfig::from_env()?)).await
}
