//! The command line of Fluxus: everything is in the library, where tests reach it.

use std::process::ExitCode;

/// Steps are made of small pieces of JSON: with the allocator of the C library, a fifth of this
/// program's time under load went into it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    fluxus_cli::main().await
}
