//! Fault injection: the system as processes on one Postgres, under load, while everything fails
//! that can, and an auditor who proves afterwards that nothing was lost.
//!
//! ```text
//! clients ─┬─► api ────┐
//! workers ─┤   core ───┤           proxy: slow, silent, cut
//!          └─► whole ──┼────────────► Postgres: killed, read-only, full, out of connections
//!          fluxlings ──┤                 ▲
//!              rogue ──┘                 └── a receiver that duplicates, delays, reorders, drops
//! ```
//!
//! Every process is killed and started again, with a clock that is off by minutes. A round is a
//! kill, mostly with another fault beside it; a lap is some rounds, and ends when everything that
//! was accepted has come to its end and the tables are audited.
//!
//! This program is also the processes: it runs the command line `fluxus` where it is told to.
//!
//! | variable | what it says |
//! | --- | --- |
//! | `FLUXUS_FAULT_ROUNDS` | rounds at least (5) |
//! | `FLUXUS_FAULT_MINUTES` | minutes at least (0) |
//! | `FLUXUS_FAULT_SEED` | repeats the faults and the claims of a run |
//! | `FLUXUS_FAULT_ONLY` | one kind of fault beside the kills, by its name |
//! | `FLUXUS_FAULT_OLD` | a commit, or a program `fluxus`, to run beside this version |
//! | `FLUXUS_FAULT_KEEP` | a folder to work in that stays, with all logs |

// Helpers of tests may fail loudly, wherever they stand.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod auditor;
mod client;
mod draws;
mod faults;
mod fluxlings;
mod house;
mod load;
mod old;
mod postgres;
mod preload;
mod process;
mod proxy;
mod receiver;
mod recipes;
mod rogue;
mod rounds;
mod workers;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((role, args)) = process::role(&args) {
        return process::run(&role, &args);
    }
    // What a test program is asked by those who run it.
    if args.iter().any(|arg| arg == "--list") {
        println!("faults: test");
        return ExitCode::SUCCESS;
    }
    if !is_meant(&args) {
        return ExitCode::SUCCESS;
    }
    if let Some(code) = preload::run_again_with_it() {
        return code;
    }
    process::runtime().block_on(rounds::run())
}

/// Whether these arguments of a test program ask for this test: by name, or for all.
fn is_meant(args: &[String]) -> bool {
    /// Those that the next argument belongs to.
    const WITH_VALUE: [&str; 6] =
        ["--skip", "--test-threads", "--format", "--color", "--logfile", "-Z"];
    let mut named = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let is_skipped =
            arg == "--skip" && args.clone().next().is_some_and(|name| name == "faults");
        if is_skipped || arg == "--skip=faults" {
            return false;
        }
        if WITH_VALUE.contains(&arg.as_str()) {
            args.next();
        } else if !arg.starts_with('-') {
            named.push(arg);
        }
    }
    named.is_empty() || named.iter().any(|name| "faults".contains(name.as_str()))
}
