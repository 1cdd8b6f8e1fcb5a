//! Runs fluxling-items as a Lambda function; `--manifest` prints what it offers.

use fluxling_items::{ItemsConfig, buckets, fluxling};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), fluxling::lambda::Error> {
    let config = ItemsConfig { objects: buckets().await, ..ItemsConfig::from_env()? };
    ::fluxling::lambda::start(fluxling(config)).await
}
