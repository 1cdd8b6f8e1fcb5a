//! Runs fluxling-claims as a Lambda function; `--manifest` prints what it offers.

use fluxling_claims::{ClaimsConfig, fluxling};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), fluxling::lambda::Error> {
    ::fluxling::lambda::start(fluxling(ClaimsConfig::default())).await
}
