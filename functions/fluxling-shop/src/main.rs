//! Runs fluxling-shop as a Lambda function; `--manifest` prints what it offers.

use fluxling_shop::fluxling;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), fluxling::lambda::Error> {
    ::fluxling::lambda::start(fluxling()).await
}
