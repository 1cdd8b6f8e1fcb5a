//! The orchestrator as a long-lived worker against `DATABASE_URL`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match fluxus_core::environment::run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fluxus-core: {error:#}");
            ExitCode::FAILURE
        }
    }
}
