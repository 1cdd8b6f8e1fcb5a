//! The orchestrator as a process: a Lambda function where `AWS_LAMBDA_RUNTIME_API` is set, a
//! long-lived worker elsewhere.

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
