//! The Lambda function that watches over the system, on a schedule.

#[tokio::main]
async fn main() -> Result<(), fluxus_observe::Error> {
    fluxus_lambda::log();
    fluxus_observe::run().await
}
