//! Cases recorded from the service, where they are present: `FLUXUS_CONFORMANCE_DIR`, by default
//! `../shared/asl-conformance` beside the repository. Its `judge.py` compares; the counts here are
//! floors that must not fall. `FLUXUS_CONFORMANCE_SHOW=20` prints the first differences.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// The machine itself does no I/O; its test reads files and runs the judge.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fluxus_machine::source::{Format, Source};
use fluxus_machine::{Definition, run_case};
use serde_json::Value;

/// The judged counts of one file: outcome, trace and strict history.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    outcome: u64,
    trace: u64,
    strict: u64,
}

fn cases(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("FLUXUS_CONFORMANCE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/asl-conformance"),
        PathBuf::from,
    );
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: no recorded cases at {}; set FLUXUS_CONFORMANCE_DIR", path.display());
    None
}

/// Runs every line of `file` and has the results judged; nothing where cases or Python are absent.
fn judge(file: &str, run: impl Fn(&str) -> Value) -> Option<Counts> {
    let cases = cases(file)?;
    let mut results = tempfile::NamedTempFile::new().unwrap();
    for line in std::fs::read_to_string(&cases).unwrap().lines() {
        writeln!(results, "{}", run(line)).unwrap();
    }
    results.flush().unwrap();
    let judge = cases.with_file_name("judge.py");
    let mut python = Command::new("python3");
    let Ok(judged) = python.arg(judge).arg(&cases).arg(results.path()).arg("--json").output()
    else {
        eprintln!("SKIPPED: the judge needs python3, which is not there");
        return None;
    };
    let stderr = String::from_utf8_lossy(&judged.stderr);
    let judged: Value = serde_json::from_slice(&judged.stdout).expect(&stderr);
    let show = std::env::var("FLUXUS_CONFORMANCE_SHOW").ok().and_then(|show| show.parse().ok());
    for failure in judged["failures"].as_array().unwrap().iter().take(show.unwrap_or(0)) {
        eprintln!("{}\n    {}", failure[0].as_str().unwrap(), failure[1]);
    }
    eprintln!("{file}: {}", judged["total"]);
    let count = |name: &str| judged["total"][name].as_u64().unwrap_or_default();
    Some(Counts { outcome: count("outcome"), trace: count("trace"), strict: count("strict") })
}

#[track_caller]
fn at_least(counts: Option<Counts>, floor: &Counts) {
    let Some(counts) = counts else { return };
    let held = counts.outcome >= floor.outcome
        && counts.trace >= floor.trace
        && counts.strict >= floor.strict;
    assert!(held, "{counts:?} fell below {floor:?}");
}

/// What ran on the service is valid here.
#[test]
fn definitions_that_ran_are_valid() {
    let Some(path) = cases("executions.jsonl") else { return };
    let (mut valid, mut refused) = (0, Vec::new());
    for line in std::fs::read_to_string(&path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = case["definition"].as_str().unwrap();
        let faults = match Source::parse(text, Format::Json) {
            Err(faults) => faults,
            Ok(source) => match Definition::parse(source.value()) {
                Ok(_) => Vec::new(),
                Err(faults) => faults,
            },
        };
        match faults.iter().find(|fault| fault.is_error()) {
            None => valid += 1,
            Some(fault) => {
                refused.push(format!("{}\n    {} {}", case["id"], fault.pointer, fault.detail));
            }
        }
    }
    let show = std::env::var("FLUXUS_CONFORMANCE_SHOW").ok().and_then(|show| show.parse().ok());
    refused.iter().take(show.unwrap_or(0)).for_each(|refused| eprintln!("{refused}"));
    eprintln!("{valid} definitions are valid, {} are refused", refused.len());
    assert!(valid >= 740, "{valid} valid definitions are too few");
}

#[test]
fn definitions_are_refused_as_on_the_service() {
    let counts = judge("validation.jsonl", |line| run_case(line).expect("a case is read"));
    at_least(counts, &Counts { outcome: 29, trace: 0, strict: 0 });
}

#[test]
fn executions_go_as_they_went_on_the_service() {
    let counts = judge("executions.jsonl", |line| run_case(line).expect("a case is read"));
    at_least(counts, &Counts { outcome: 761, trace: 414, strict: 413 });
}

#[test]
fn single_states_are_tested_as_on_the_service() {
    let counts = judge("test_state.jsonl", |line| run_case(line).expect("a case is read"));
    at_least(counts, &Counts { outcome: 141, trace: 0, strict: 0 });
}
