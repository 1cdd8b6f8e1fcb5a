//! Runs fluxling-recipes as a Lambda function; `--manifest` prints what it offers.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), fluxling::lambda::Error> {
    fluxling::lambda::start(fluxling_recipes::fluxling()).await
}
