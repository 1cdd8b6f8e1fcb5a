//! The command line of Fluxus.
//!
//! `claim`, `task`, `dlq`, `recipe`, `fluxling` and `export` speak REST ([`client`]) and print what the API answers:
//! with `--output json` its document unchanged, else a text made for reading ([`output`]).
//! `deploy`, `destroy`, `status`, `logs` and `invoke` work on AWS ([`aws`]).
//! `recipe validate`, `recipe render FILE`, `simulate` and `completions` need no server; `dev` and
//! `bench` bring their own, and `serve` is one.

pub mod args;
pub mod aws;
pub mod bench;
pub mod claim;
pub mod client;
pub mod completions;
pub mod cost;
pub mod dev;
pub mod dlq;
pub mod exit;
pub mod explain;
pub mod export;
pub mod fluxling;
pub mod migrate;
pub mod moment;
pub mod output;
pub mod paging;
pub mod problem;
pub mod recipe;
pub mod report;
pub mod retention;
pub mod serve;
pub mod simulate;
pub mod source;
pub mod story;
pub mod table;
pub mod task;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Printer, StdoutFailed};

/// Runs the command line of this process and gives its exit code.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = run(&cli).await;
    // What is buffered must be out before the exit code says that all is well.
    let flushed = std::io::stdout().flush().map_err(StdoutFailed);
    match outcome.and_then(|code| Ok(flushed.map(|()| code)?)) {
        Ok(code) => code,
        Err(error) if exit::is_reader_gone(&error) => Exit::Ok.into(),
        Err(error) => {
            output::note(&problem::render(&error));
            Exit::of(&error).into()
        }
    }
}

/// Runs one command.
///
/// # Errors
/// Whatever kept the command from its work; [`Exit::of`] knows the exit code for it.
pub async fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    if !matches!(cli.command, Command::Dev(_) | Command::Serve(_)) {
        log_to_stderr();
    }
    let printer = Printer::stdout(cli.global.output);
    match &cli.command {
        Command::Claim(command) => {
            claim::run(command, &Client::new(&cli.global)?, printer).await.map(ExitCode::from)
        }
        Command::Task(command) => {
            task::run(command, &Client::new(&cli.global)?, printer).await.map(ExitCode::from)
        }
        Command::Dlq(command) => {
            dlq::run(command, &Client::new(&cli.global)?, printer).await.map(ExitCode::from)
        }
        Command::Recipe(command) => {
            recipe::run(command, &cli.global, printer).await.map(ExitCode::from)
        }
        Command::Fluxling(command) => {
            fluxling::run(command, &cli.global, printer).await.map(ExitCode::from)
        }
        Command::Deploy(args) => aws::deploy::run(args, printer).await.map(ExitCode::from),
        Command::Destroy(args) => aws::destroy::run(args, printer).await.map(ExitCode::from),
        Command::Status(args) => aws::status::run(args, printer).await.map(ExitCode::from),
        Command::Logs(args) => aws::logs::run(args, printer).await.map(ExitCode::from),
        Command::Invoke(args) => aws::invoke::run(args, printer).await.map(ExitCode::from),
        Command::Dev(args) => dev::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Bench(args) => bench::run(args, cli.global.api_key.as_deref()).await,
        Command::Cost(args) => cost::run(args).await,
        Command::Export(args) => {
            export::run(args, &Client::new(&cli.global)?).await.map(ExitCode::from)
        }
        Command::Retention(args) => retention::run(args, printer).await.map(ExitCode::from),
        Command::Migrate(args) => migrate::run(args).await.map(ExitCode::from),
        Command::Completions(args) => completions::run(args).map(ExitCode::from),
    }
}

/// Log lines are for whoever asks for them by `RUST_LOG`; `dev` and `serve` set up their own.
fn log_to_stderr() {
    if std::env::var_os("RUST_LOG").is_none() {
        return;
    }
    // An error here means that somebody has set up logging before, such as a test.
    let _already_set = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(std::io::stderr)
        .try_init();
}
