//! The command line of Fluxus: everything is in the library, where tests reach it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    fluxus_cli::main().await
}
