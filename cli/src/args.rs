//! The command line's shape: what there is to say, and the help on it.

use clap::{Parser, Subcommand};

use crate::aws::{deploy, destroy, invoke, logs, status};
use crate::output::Format;
use crate::{
    bench, claim, completions, cost, dev, dlq, exit, export, fluxling, migrate, recipe, retention,
    serve, simulate, task,
};

/// Where the server is if nobody says otherwise: where `fluxus dev` listens.
pub const DEFAULT_URL: &str = "http://127.0.0.1:7400";

/// The variable that names the server.
pub const URL_VARIABLE: &str = "FLUXUS_URL";

/// Durable orchestration that you own: submit claims, watch them being fulfilled, ask why
#[derive(Debug, Parser)]
#[command(
    name = "fluxus",
    version,
    propagate_version = false,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = exit::HELP,
    after_long_help = LONG_HELP.get_or_init(long_help).as_str(),
)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

static LONG_HELP: std::sync::OnceLock<String> = std::sync::OnceLock::new();

fn long_help() -> String {
    format!(
        "\
Examples:
  Run everything on this machine, then submit a claim and follow it:
    fluxus dev
    fluxus recipe put order-saga examples/order-saga/recipe.json --claim-type order.placed
    fluxus claim submit order.placed --body '{{\"order\": \"1001\"}}' --wait
    fluxus claim watch 01890a5d-ac96-774b-bcce-b302099a8057

  Ask why a claim is where it is:
    fluxus claim explain 01890a5d-ac96-774b-bcce-b302099a8057

  All failed claims of a customer, for a script:
    fluxus --output json claim list --status FAILED --attribute customer=42 --all

Data goes to stdout, everything else to stderr. With --output json, stdout carries the API's
document, unchanged. Colour is used on terminals only, and not where NO_COLOR is set.

{}",
        exit::HELP
    )
}

/// What every command understands.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// Where the server is [env: FLUXUS_URL] [default: http://127.0.0.1:7400]
    // Read from the environment by `server_url`, not by clap: `bench` must not take it from there.
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub url: Option<String>,
    /// The key that the server knows you by
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "FLUXUS_API_KEY",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub api_key: Option<String>,
    /// How to print: text for reading, or the API's JSON
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t = Format::Text,
        help_heading = "Global options"
    )]
    pub output: Format,
}

impl Global {
    /// The server to talk to: the argument, else the variable, else the default.
    pub fn server_url(&self) -> String {
        let variable = || std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty());
        self.url.clone().or_else(variable).unwrap_or_else(|| DEFAULT_URL.to_owned())
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // There is one of these in the whole process.
pub enum Command {
    /// Submit claims, find them, follow them, ask why they stand where they stand
    #[command(subcommand, visible_alias = "claims")]
    Claim(claim::Command),
    /// Answer for a task by its token: callbacks and outside workers
    #[command(subcommand)]
    Task(task::Command),
    /// See to dead letters: messages that nobody could handle
    #[command(subcommand, visible_alias = "dead-letters")]
    Dlq(dlq::Command),
    /// Put recipes, check them, draw them
    #[command(subcommand, visible_alias = "recipes")]
    Recipe(recipe::Command),
    /// See which fluxlings there are and how they fare, write a new one
    #[command(subcommand, visible_alias = "fluxlings")]
    Fluxling(fluxling::Command),
    /// Run the whole system on this machine: Postgres, queues, all functions
    Dev(dev::Args),
    /// Run the system, or a part of it, on a Postgres of yours
    Serve(serve::Args),
    /// Put the system on AWS, or show what that would change
    Deploy(deploy::Args),
    /// Show how the system on AWS stands: stack, functions, queues, dead letters
    Status(status::Args),
    /// Show what the functions on AWS say
    Logs(logs::Args),
    /// Send an event to one function, on this machine or on AWS
    Invoke(invoke::Args),
    /// Take the system off AWS
    Destroy(destroy::Args),
    /// Run a recipe without a server, against mocked tasks
    Simulate(simulate::Args),
    /// Measure throughput and latency, and what they cost
    Bench(bench::Args),
    /// Tell what a million transitions of a recipe cost on AWS, beside Step Functions
    Cost(cost::Args),
    /// Print claims with their histories as JSON Lines
    Export(export::Args),
    /// Delete what ended long ago, or show what would go
    Retention(retention::Args),
    /// Bring the database's tables up to this version
    Migrate(migrate::Args),
    /// Print the completion script for a shell
    Completions(completions::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_global_option_is_understood_after_the_command() {
        let cli = Cli::try_parse_from([
            "fluxus",
            "claim",
            "list",
            "--output",
            "json",
            "--url",
            "http://there",
        ])
        .expect("parses");
        assert_eq!(cli.global.output, Format::Json);
        assert_eq!(cli.global.server_url(), "http://there");
    }

    #[test]
    fn bench_takes_the_global_options_as_its_own() {
        let scenario = |args: &[&str]| match Cli::try_parse_from(args).expect("parses").command {
            Command::Bench(args) => args.scenario(),
            other => panic!("{other:?}"),
        };
        assert_eq!(scenario(&["fluxus", "bench"]).target().url, None);
        let given = ["fluxus", "--output", "json", "--url", "http://x", "bench"];
        let closed = scenario(&given);
        let target = closed.target();
        assert_eq!((target.url.as_deref(), target.output), (Some("http://x"), Format::Json));
        let long = scenario(&["fluxus", "bench", "long", "--output", "json", "--claims", "5"]);
        assert!(matches!(&long, bench::Scenario::Long(args) if args.claims == 5));
        assert_eq!(long.target().output, Format::Json);
    }

    #[test]
    fn every_command_explains_itself() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
            for sub in command.get_subcommands() {
                check(sub);
            }
        }
        check(&Cli::command());
    }
}
