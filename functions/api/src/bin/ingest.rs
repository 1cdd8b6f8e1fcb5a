//! The Lambda function that takes claims in from the ingest queue.

#[tokio::main]
async fn main() -> Result<(), fluxus_api::lambda::Error> {
    fluxus_lambda::log();
    fluxus_api::lambda::run_ingest().await
}
