//! What `fluxus bench` can be told.

use std::path::PathBuf;
use std::time::Duration;

use fluxus_schema::limits::MAX_PAYLOAD_BYTES;

use super::recipes::{KIB, Recipe};
use crate::exit::Usage;
use crate::output::Format;

/// Largest size of a body: a payload's, less the member around the text.
const MAX_KIB: i64 = (MAX_PAYLOAD_BYTES / KIB) as i64 - 1;

/// What `fluxus bench` can be told. Without a scenario it is `closed`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Without a scenario it is `closed`. Every scenario has options of its own: fluxus bench steady --help.
Ctrl-C ends the measuring and prints what was measured so far."
)]
pub struct Args {
    #[command(subcommand)]
    chosen: Option<Scenario>,
    #[command(flatten)]
    closed: Closed,
}

impl Args {
    /// The scenario.
    pub fn scenario(&self) -> Scenario {
        self.chosen.clone().unwrap_or_else(|| Scenario::Closed(self.closed.clone()))
    }
}

/// What the load is.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Scenario {
    /// Clients that submit a claim, wait for its end, and submit the next
    Closed(Closed),
    /// So many claims a second, however long they take: the latency that clients see
    Steady(Steady),
    /// More and more claims a second, step by step: where it stops keeping up
    Ramp(Ramp),
    /// Several recipes at a time: tasks in a row, a Parallel, a Map, choices
    Mixed(Mixed),
    /// One claim with a Map of many tasks, beside as many claims of one task
    FanOut(FanOut),
    /// Claims with large bodies
    Payload(Payload),
    /// One tenant with a backlog, another with single claims: how long does it delay these?
    Tenants(Tenants),
    /// Many claims, in windows, with what they leave in the tables: does it stay as fast?
    Long(Long),
}

impl Scenario {
    /// What is measured, and how the numbers come out.
    pub fn target(&self) -> &Target {
        match self {
            Self::Closed(Closed { target, .. })
            | Self::Steady(Steady { target, .. })
            | Self::Ramp(Ramp { target, .. })
            | Self::Mixed(Mixed { target, .. })
            | Self::FanOut(FanOut { target, .. })
            | Self::Payload(Payload { target, .. })
            | Self::Tenants(Tenants { target, .. })
            | Self::Long(Long { target, .. }) => target,
        }
    }

    /// What can be found wrong before anything is started.
    ///
    /// # Errors
    /// [`Usage`], with what to say instead.
    pub(super) fn check(&self) -> Result<(), Usage> {
        let wrong = |text: &str| Err(Usage(text.to_owned()));
        match self {
            Self::Ramp(Ramp { from, to, .. }) if from > to => Err(Usage(format!(
                "--from {from} is more than --to {to}: a ramp goes up; say --from {to} --to {from}"
            ))),
            Self::Mixed(args) if args.recipes.iter().all(|(_, share)| *share == 0) => {
                wrong("no recipe has a share: say --recipes tasks=1")
            }
            Self::Tenants(Tenants { keys: None, target: Target { url: Some(_), .. }, .. }) => {
                wrong(
                    "two tenants are measured: with --url, say their keys, the one with the backlog \
                 first: --keys KEY KEY",
                )
            }
            Self::Tenants(Tenants { keys: Some(keys), .. })
                if keys.windows(2).any(|two| two[0] == two[1]) =>
            {
                wrong("--keys are of two tenants, and these are the same key")
            }
            _ => Ok(()),
        }
    }

    /// Whether there are two tenants, each with a key.
    pub(super) fn tenants(&self) -> bool {
        matches!(self, Self::Tenants(_))
    }
}

/// What is measured, and how the numbers come out.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// The system to measure; without one, an embedded system is started (`FLUXUS_URL` is not read)
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Start the embedded system on this database without claims instead of a private Postgres
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    pub database_url: Option<String>,
    /// Batches that the embedded core works on at a time
    #[arg(long, value_name = "N", conflicts_with = "url")]
    pub core_workers: Option<usize>,
    /// Draw throughput, latency and memory over time into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub output: Format,
}

/// A closed loop.
#[derive(Debug, Clone, clap::Args)]
pub struct Closed {
    /// How many claims to submit
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub claims: u64,
    /// Submit for so many seconds, after three of warm-up, instead of a number of claims
    #[arg(long, value_name = "SECONDS", conflicts_with = "claims", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,
    /// How many claims are under way at a time
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: u32,
    /// What is measured.
    #[command(flatten)]
    pub target: Target,
}

/// An open loop.
#[derive(Debug, Clone, clap::Args)]
pub struct Steady {
    /// Claims a second
    #[arg(long, value_name = "N", default_value_t = 500.0, value_parser = rate)]
    pub rate: f64,
    /// For how long they are counted
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// For how long the same load runs before
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub warm_up: u64,
    /// What open loops share.
    #[command(flatten)]
    pub open: Open,
    /// What is measured.
    #[command(flatten)]
    pub target: Target,
}

/// An open loop that becomes faster.
#[derive(Debug, Clone, clap::Args)]
pub struct Ramp {
    /// Claims a second at the beginning
    #[arg(long, value_name = "N", default_value_t = 100.0, value_parser = rate)]
    pub from: f64,
    /// Claims a second at the end
    #[arg(long, value_name = "N", default_value_t = 2_000.0, value_parser = rate)]
    pub to: f64,
    /// In how many steps, the first and the last counted
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub steps: u32,
    /// How long each takes
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// The p99 up to which it keeps up
    #[arg(long, value_name = "MS", default_value_t = 250.0)]
    pub bound_ms: f64,
    /// What open loops share.
    #[command(flatten)]
    pub open: Open,
    /// What is measured.
    #[command(flatten)]
    pub target: Target,
}

/// What open loops share.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Open {
    /// Most claims under way at a time; further ones wait, and the wait counts as latency
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub in_flight: u32,
}

/// Several recipes in one closed loop.
#[derive(Debug, Clone, clap::Args)]
pub struct Mixed {
    /// Recipes and their shares: of `tasks`, `parallel`, `map`, `choice`
    #[arg(long, value_name = "NAME=N", value_delimiter = ',', value_parser = share, default_value = "tasks=6,parallel=2,map=1,choice=3")]
    pub recipes: Vec<(String, u32)>,
    /// How many claims to submit
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub claims: u64,
    /// How many claims are under way at a time
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: u32,
    /// What is measured.
    #[command(flatten)]
    pub target: Target,
}

/// A Map beside claims.
#[derive(Debug, Clone, clap::Args)]
pub struct FanOut {
    /// Items of the Map, and claims beside it
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub items: u64,
    /// How often both are measured, in turn; medians count
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How many of the claims are under way at a time
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: u32,
    /// What is measured.
    #[command(flatten)]
    pub target: Target,
}

/// Large bodies.
#[derive(Debug, Clone, clap::Args)]
pub struct Payload {
    /// Sizes of the bodies, in KiB: each is carried through three tasks
    #[arg(long, value_name = "KIB", value_delimiter = ',', default_value = "1,16,64,200",
        value_parser = clap::value_parser!(u32).range(1..=MAX_KIB))]
    pub sizes: Vec<u32>,
    /// How many claims to submit of each size
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    pub claims: u64,
    /// How many claims are under way at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: u32,
    /// What is measured.
    #[command(flatten)]
    pub target: Target,
}

/// Two tenants.
#[derive(Debug, Clone, clap::Args)]
pub struct Tenants {
    /// Claims that the one submits at once
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub backlog: u64,
    /// Claims of the other, one after another, before the backlog and while it lasts
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub singles: u64,
    /// Keys of both tenants, where a running system is measured: the one with the backlog first
    #[arg(long, value_name = "KEY", num_args = 2, requires = "url", hide_env_values = true)]
    pub keys: Option<Vec<String>>,
    /// What is measured.
    #[command(flatten)]
    pub target: Target,
}

/// Many claims.
#[derive(Debug, Clone, clap::Args)]
pub struct Long {
    /// How many claims to submit
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub claims: u64,
    /// How many of them make a window
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub window: u64,
    /// How many claims are under way at a time
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: u32,
    /// What is measured.
    #[command(flatten)]
    pub target: Target,
}

impl Steady {
    pub(super) fn times(&self) -> (Duration, Duration) {
        (Duration::from_secs(self.warm_up), Duration::from_secs(self.seconds))
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let bounds = 0.01..=1e6;
    if bounds.contains(&rate) { Ok(rate) } else { Err("not between 0.01 and 1,000,000".to_owned()) }
}

fn share(text: &str) -> Result<(String, u32), String> {
    let (name, share) = text.split_once('=').ok_or("not NAME=N")?;
    let share = share.parse().map_err(|_| format!("`{share}` is not a whole number"))?;
    Recipe::mixed(name).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), share))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &[&str]) -> Result<Scenario, clap::Error> {
        let command = <Args as clap::Args>::augment_args(clap::Command::new("bench"));
        let matches = command.try_get_matches_from(["bench"].iter().chain(given))?;
        Ok(<Args as clap::FromArgMatches>::from_arg_matches(&matches)?.scenario())
    }

    #[test]
    fn what_is_said_wrongly_is_found_before_anything_starts() {
        for given in [
            &["ramp", "--from", "150", "--to", "50"][..],
            &["mixed", "--recipes", "tasks=0,map=0"],
            &["tenants", "--url", "http://x"],
            &["tenants", "--url", "http://x", "--keys", "a", "a"],
        ] {
            assert!(parse(given).expect("parses").check().is_err(), "{given:?}");
        }
        for given in [&["mixed", "--recipes", "nope=1"][..], &["payload", "--sizes", "7000"]] {
            assert!(parse(given).is_err(), "{given:?}");
        }
        for given in [&[][..], &["ramp"], &["tenants"], &["mixed"], &["payload"]] {
            assert!(parse(given).expect("parses").check().is_ok(), "{given:?}");
        }
    }

    #[test]
    fn defaults_are_lists() {
        let Ok(Scenario::Mixed(mixed)) = parse(&["mixed"]) else { panic!("no mix") };
        assert_eq!(mixed.recipes.len(), 4);
        let Ok(Scenario::Payload(payload)) = parse(&["payload"]) else { panic!("no payload") };
        assert_eq!(payload.sizes, [1, 16, 64, 200]);
    }
}
