//! Runs fluxling-lambda as a Lambda function; `--manifest` prints what it offers.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), fluxling::lambda::Error> {
    ::fluxling::lambda::start(fluxling_lambda::fluxling(fluxling_lambda::invoker().await?)).await
}
