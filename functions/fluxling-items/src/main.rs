//! Runs fluxling-items as a Lambda function; `--manifest` prints what it offers.

use fluxling_items::{ItemsConfig, fluxling};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), fluxling::lambda::Error> {
    ::fluxling::lambda::start(fluxling(ItemsConfig::from_env()?)).await
}
