//! The fuzz targets on their kept corpus, and on small changes to it: `fuzz/` has the same targets
//! for long runs. `FLUXUS_FUZZ_ROUNDS` says how many changes each target tries (2,000);
//! `FLUXUS_FUZZ_SEED` repeats a run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// The machine itself does no I/O and draws no numbers; its test reads files.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod targets;

use std::path::Path;

use fluxus_machine::env::{Entropy as _, Seeded};

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect(name))
}

/// Texts worth putting in: what the languages are made of.
const WORDS: &[&str] = &[
    "\0",
    "$",
    "$$",
    "..",
    "[*]",
    "[?(@.a==1)]",
    "{%",
    "%}",
    "States.Format('{}',",
    "null",
    "true",
    "\"",
    "'",
    "\\",
    "-1",
    "1e308",
    "9007199254740993",
    "[0:2]",
    "$states.input",
    "function($x){$x}",
    "~>",
    "\"Next\":",
    "\"End\":true",
    "\u{1F600}",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
];

fn fuzz(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("no corpus at {folder:?}"));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!corpus.is_empty(), "the corpus of {name} is empty");
    corpus.iter().for_each(|data| target(data));
    let seed = setting("FLUXUS_FUZZ_SEED").unwrap_or(1);
    eprintln!("{name}: {} kept inputs, FLUXUS_FUZZ_SEED={seed}", corpus.len());
    let entropy = Seeded::new(seed);
    let below = |most: usize| usize::try_from(entropy.number() % most.max(1) as u64).unwrap();
    for _ in 0..setting("FLUXUS_FUZZ_ROUNDS").unwrap_or(2_000) {
        let mut data = corpus[below(corpus.len())].clone();
        for _ in 0..=below(3) {
            let at = below(data.len() + 1);
            match below(5) {
                0 if at < data.len() => data[at] = u8::try_from(below(128)).unwrap(),
                1 => drop(data.drain(at..(at + below(9)).min(data.len()))),
                2 => {
                    let other = &corpus[below(corpus.len())];
                    let from = below(other.len());
                    let piece = &other[from..(from + below(40)).min(other.len())];
                    drop(data.splice(at..at, piece.iter().copied()));
                }
                3 => {
                    let piece = data[at..(at + below(30)).min(data.len())].to_vec();
                    drop(data.splice(at..at, piece));
                }
                _ => drop(data.splice(at..at, WORDS[below(WORDS.len())].bytes())),
            }
        }
        target(&data);
    }
}

#[test]
fn definitions() {
    fuzz("definition", targets::definition);
}

#[test]
fn paths() {
    fuzz("jsonpath", targets::jsonpath);
}

#[test]
fn intrinsics() {
    fuzz("intrinsic", targets::intrinsic);
}

#[test]
fn expressions() {
    fuzz("jsonata", targets::jsonata);
}

#[test]
fn steps() {
    fuzz("step", targets::step);
}
