//! Keeps the workspace as `ARCHITECTURE.md` describes it.
//!
//! Each test holds one rule over all files, and names every line that breaks it. New files count
//! before they are committed; ignored ones never do.

// Helpers of tests may fail loudly, wherever they stand.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Who may depend on whom, among our own crates. A crate that is missing here breaks the rule too:
/// whoever adds one decides where it belongs.
const ARROWS: [(&str, &[&str]); 20] = [
    ("fluxus-schema", &[]),
    ("fluxus-machine", &["fluxus-schema"]),
    ("fluxus-lambda", &[]),
    ("fluxus-postgres", &["fluxus-lambda"]),
    ("fluxus-queue", &["fluxus-postgres", "fluxus-schema"]),
    ("fluxus-store", &["fluxus-postgres", "fluxus-queue", "fluxus-schema"]),
    // A fluxling never meets Postgres: thousands of concurrent workers would drown it.
    ("fluxling", &["fluxus-lambda", "fluxus-queue", "fluxus-schema"]),
    ("fluxling-claims", &["fluxling", "fluxus-schema"]),
    ("fluxling-http", &["fluxling", "fluxus-schema"]),
    ("fluxling-lambda", &["fluxling"]),
    ("fluxling-items", &["fluxling", "fluxling-http", "fluxus-machine", "fluxus-schema"]),
    ("fluxling-recipes", &["fluxling", "fluxus-machine", "fluxus-schema"]),
    ("fluxling-shop", &["fluxling"]),
    ("fluxus-core", BOTH_SIDES),
    ("fluxus-api", BOTH_SIDES),
    ("fluxus-observe", BOTH_SIDES),
    ("fluxus-local", EVERYTHING),
    ("fluxus-cli", EVERYTHING),
    ("fluxus-tests", EVERYTHING),
    ("fluxus-test-support", &["fluxus-postgres"]),
];

/// What a fluxling may depend on that has no entry of its own: a new one needs none.
const FLUXLING: &[&str] = &["fluxling", "fluxus-schema"];

/// What the functions stand on that take claims in, step them and watch over them.
const BOTH_SIDES: &[&str] = &[
    "fluxus-lambda",
    "fluxus-machine",
    "fluxus-postgres",
    "fluxus-queue",
    "fluxus-schema",
    "fluxus-store",
];

/// Stands for every crate but the support of tests.
const EVERYTHING: &[&str] = &["*"];

/// What tests may depend on beside what their crate may.
const TEST_SUPPORT: &str = "fluxus-test-support";

/// What only these crates may depend on: the ways to Postgres.
const POSTGRES_DRIVERS: [&str; 3] = ["tokio-postgres", "deadpool-postgres", "refinery"];
const POSTGRES_CRATES: [&str; 3] = ["fluxus-postgres", "fluxus-queue", "fluxus-store"];

/// Crates whose answers follow from their arguments alone.
const PURE: [(&str, &str); 2] =
    [("fluxus-machine", "functions/core/machine/src/"), ("fluxus-schema", "schema/src/")];

/// What a pure crate has no use for.
const IMPURE_CRATES: [&str; 8] =
    ["chrono", "getrandom", "rand", "reqwest", "time", "tokio", "tokio-util", "tracing"];
const IMPURE_WORDS: [&str; 12] = [
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "thread::",
    "tokio",
    "now_v7",
    "new_v4",
];

/// A file that is longer has more than one subject.
const MAX_LINES: usize = 700;

/// This file names what it forbids.
const SELF: &str = "tests/tests/tidy.rs";

#[test]
fn dependencies_point_inward() {
    let mut findings = Findings::new("dependencies point inward (see `ARROWS`)");
    for package in packages() {
        let listed = ARROWS.iter().find(|(name, _)| *name == package.name);
        let allowed = match listed {
            Some((_, allowed)) => Some(allowed),
            None => package.name.starts_with("fluxling-").then_some(&FLUXLING),
        };
        let Some(allowed) = allowed else {
            let what = format!("`{}` has no entry in `ARROWS` of {SELF}", package.name);
            findings.add(&package.manifest, 1, &what);
            continue;
        };
        for dependency in package.dependencies {
            let Dependency { name, is_ours, is_dev, .. } = &dependency;
            let is_support = name == TEST_SUPPORT;
            let fits = if *is_ours {
                let listed = allowed.contains(&name.as_str());
                let any = *allowed == EVERYTHING && !is_support && name != "fluxus-tests";
                listed || any || (*is_dev && is_support)
            } else {
                !POSTGRES_DRIVERS.contains(&name.as_str())
                    || POSTGRES_CRATES.contains(&package.name.as_str())
            };
            let what = if !fits {
                format!("`{}` must not depend on `{name}`", package.name)
            } else if dependency.with_postgres && package.name.starts_with("fluxling") {
                format!("`{}` must take `{name}` without its feature `postgres`", package.name)
            } else {
                continue;
            };
            findings.add(&package.manifest, line_of(&package.manifest, name), &what);
        }
    }
    findings.assert_none();
}

#[test]
fn the_machine_and_the_schema_are_pure() {
    let mut findings = Findings::new("pure crates see no clock, no randomness, no environment");
    for package in packages() {
        if !PURE.iter().any(|(name, _)| *name == package.name) {
            continue;
        }
        for Dependency { name, .. } in package.dependencies.iter().filter(|one| !one.is_dev) {
            if IMPURE_CRATES.contains(&name.as_str()) {
                let line = line_of(&package.manifest, name);
                findings.add(&package.manifest, line, &format!("depends on `{name}`"));
            }
        }
    }
    for file in rust_files() {
        if !PURE.iter().any(|(_, folder)| file.path.starts_with(folder)) {
            continue;
        }
        for (number, line) in file.code().filter(|(number, _)| !file.is_test(*number)) {
            for word in IMPURE_WORDS.iter().filter(|word| has_word(line, word)) {
                findings.add(&file.path, number, &format!("`{word}`"));
            }
        }
    }
    findings.assert_none();
}

#[test]
fn the_machine_has_its_own_clippy_rules_and_the_common_ones() {
    let mut findings =
        Findings::new("a nested clippy.toml takes the place of the root's, so it repeats it");
    let root = read("clippy.toml");
    let nested = "functions/core/machine/clippy.toml";
    let text = read(nested);
    for setting in root.lines().filter(|line| line.contains('=') && !line.starts_with('#')) {
        if !text.lines().any(|line| line == setting) {
            findings.add(nested, 1, &format!("lacks `{setting}`"));
        }
    }
    if !text.contains("disallowed-methods") {
        findings.add(nested, 1, "lacks `disallowed-methods`");
    }
    findings.assert_none();
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut findings = Findings::new("a Rust file begins with `//!`: what it is for");
    for file in rust_files().iter().filter(|file| !file.text.starts_with("//!")) {
        findings.add(&file.path, 1, "no module documentation");
    }
    findings.assert_none();
}

#[test]
fn files_are_short() {
    let mut findings = Findings::new("a Rust file has 700 lines at most: look for a seam");
    for file in rust_files() {
        let count = file.text.lines().count();
        if count > MAX_LINES {
            findings.add(&file.path, count, &format!("{count} lines"));
        }
    }
    findings.assert_none();
}

#[test]
fn nothing_is_left_undone() {
    let mut findings = Findings::new("nothing is left undone, skipped or printed for debugging");
    for file in rust_files() {
        for (number, line) in file.code() {
            for word in ["todo!(", "unimplemented!(", "dbg!(", "#[ignore"] {
                if line.contains(word) {
                    findings.add(&file.path, number, &format!("`{word}`"));
                }
            }
        }
    }
    for file in text_files() {
        for (number, line) in file.lines() {
            for word in ["TODO", "FIXME"] {
                if has_word(line, word) {
                    findings.add(&file.path, number, &format!("`{word}`"));
                }
            }
        }
    }
    findings.assert_none();
}

#[test]
fn tests_do_not_sleep() {
    let mut findings = Findings::new("a test waits for what it expects, not for time to pass");
    for file in rust_files() {
        // On a paused clock a sleep takes no time: it is how such a test lets time pass.
        let mut tests = file.text.lines().filter(|line| line.contains("#[tokio::test")).peekable();
        let is_paused =
            tests.peek().is_some() && tests.all(|line| line.contains("start_paused = true"));
        for (number, line) in file.code().filter(|(number, _)| file.is_test(*number)) {
            if has_word(line, "thread::sleep") || (has_word(line, "sleep(") && !is_paused) {
                findings.add(&file.path, number, &format!("`{}`", line.trim()));
            }
        }
    }
    findings.assert_none();
}

#[test]
fn manifests_take_everything_from_the_workspace() {
    let mut findings = Findings::new("versions, lints and the MSRV are set once, in the root");
    let root: Vec<_> = packages().into_iter().filter(|one| one.rust_version.is_none()).collect();
    for package in &root {
        findings.add(&package.manifest, 1, "no `rust-version`");
    }
    for package in packages() {
        let path = &package.manifest;
        let text = read(path);
        let mut table = "";
        let mut inherits_lints = false;
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if let Some(name) = line.strip_prefix('[') {
                table = name.trim_end_matches(']');
            } else if table == "lints" && line == "workspace = true" {
                inherits_lints = true;
            } else if table.ends_with("dependencies")
                && !line.is_empty()
                && !line.starts_with('#')
                && !line.contains("workspace = true")
            {
                findings.add(path, number, &format!("`{line}`"));
            }
            let inherited = ["version", "edition", "rust-version", "license", "publish"];
            let key = line.split(['=', '.', ' ']).next().unwrap_or_default();
            if table == "package" && inherited.contains(&key) && !line.contains(".workspace") {
                findings.add(path, number, &format!("`{line}`"));
            }
        }
        if !inherits_lints {
            findings.add(path, 1, "no `[lints] workspace = true`");
        }
    }
    findings.assert_none();
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut findings = Findings::new("no paths of somebody's machine");
    for file in text_files() {
        for (number, line) in file.lines() {
            for folder in ["work", "root", "home"].map(|name| format!("/{name}/")) {
                // Part of a longer path, or of an address, it is another folder's name.
                let is_absolute = |(at, _): (usize, &str)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "./_-$}~".contains(c))
                };
                if line.match_indices(&*folder).any(is_absolute) {
                    findings.add(&file.path, number, &format!("`{folder}`"));
                }
            }
        }
    }
    findings.assert_none();
}

#[test]
fn sql_lives_with_the_store_and_the_queue() {
    let mut findings = Findings::new("SQL stands under infra/ alone");
    for file in rust_files().iter().filter(|file| !file.path.starts_with("infra/")) {
        for (number, line) in file.code().filter(|(number, _)| !file.is_test(*number)) {
            for word in ["SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE "] {
                if has_word(line, word) {
                    findings.add(&file.path, number, &format!("`{}`", word.trim_end()));
                }
            }
        }
    }
    findings.assert_none();
}

#[test]
fn http_codes_live_at_the_edges() {
    let mut findings =
        Findings::new("HTTP codes live in functions/api, fluxling-http and the CLI's client");
    let edges = ["functions/api/", "functions/fluxling-http/", "cli/src/client.rs"];
    for file in rust_files() {
        if edges.iter().any(|edge| file.path.starts_with(edge)) {
            continue;
        }
        for (number, line) in file.code().filter(|(number, _)| !file.is_test(*number)) {
            // In quotes it is a member of somebody's document.
            if has_word(&line.replace("\"StatusCode\"", ""), "StatusCode") {
                findings.add(&file.path, number, "`StatusCode`");
            }
        }
    }
    findings.assert_none();
}

/// The lines that break one rule.
struct Findings {
    rule: &'static str,
    lines: BTreeSet<String>,
}

impl Findings {
    fn new(rule: &'static str) -> Self {
        Self { rule, lines: BTreeSet::new() }
    }

    fn add(&mut self, path: &str, line: usize, what: &str) {
        self.lines.insert(format!("{path}:{line}: {what}"));
    }

    #[track_caller]
    fn assert_none(&self) {
        let mut text = String::new();
        for line in &self.lines {
            let _infallible = write!(text, "\n{line}: {}", self.rule);
        }
        assert!(text.is_empty(), "{text}\n");
    }
}

/// A member of the workspace.
struct Package {
    name: String,
    /// Path of its manifest from the root.
    manifest: String,
    rust_version: Option<String>,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// Whether it is a crate of this workspace.
    is_ours: bool,
    is_dev: bool,
    /// Whether it is the queues together with their Postgres adapter.
    with_postgres: bool,
}

fn packages() -> Vec<Package> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let output = command.current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let root = metadata["workspace_root"].as_str().expect("the root");
    let packages = metadata["packages"].as_array().expect("packages");
    packages.iter().map(|package| Package::read(package, Path::new(root))).collect()
}

impl Package {
    fn read(package: &Value, root: &Path) -> Self {
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        let manifest = manifest.strip_prefix(root).expect("in the workspace");
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let dependency = |dependency: &Value| Dependency {
            name: dependency["name"].as_str().expect("a name").to_owned(),
            is_ours: dependency["path"].is_string(),
            is_dev: dependency["kind"] == "dev",
            with_postgres: dependency["name"] == "fluxus-queue"
                && (dependency["uses_default_features"] == true
                    || dependency["features"]
                        .as_array()
                        .is_some_and(|all| all.iter().any(|feature| feature == "postgres"))),
        };
        Self {
            name: package["name"].as_str().expect("a name").to_owned(),
            manifest: manifest.to_str().expect("UTF-8").to_owned(),
            rust_version: package["rust_version"].as_str().map(str::to_owned),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }
}

/// A text file of the repository.
struct File {
    /// From the root, with `/`.
    path: String,
    text: String,
    /// From this line on, counted from 1, it is a test.
    tests_from: usize,
}

impl File {
    /// The lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// The lines that are not comments as a whole.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn is_test(&self, line: usize) -> bool {
        line >= self.tests_from
    }
}

fn rust_files() -> Vec<File> {
    let mut files: Vec<File> =
        text_files().into_iter().filter(|file| file.path.ends_with(".rs")).collect();
    let mut test_files = BTreeSet::new();
    for file in &mut files {
        let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
        for (at, pair) in lines.windows(2).enumerate() {
            let ["#[cfg(test)]", module] = *pair else { continue };
            let name = module.trim_start_matches("pub(crate) ").trim_start_matches("mod ");
            if let Some(name) = name.strip_suffix(';') {
                test_files.extend(module_files(&file.path, name));
            } else if module.starts_with("mod ") {
                file.tests_from = file.tests_from.min(at + 1);
            }
        }
    }
    for file in &mut files {
        if file.path.starts_with("tests/")
            || file.path.contains("/tests/")
            || test_files.contains(&file.path)
        {
            file.tests_from = 1;
        }
    }
    files
}

/// Where `mod name;` in the file at `path` may lead.
fn module_files(path: &str, name: &str) -> [String; 2] {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let (folder, file) = stem.rsplit_once('/').unwrap_or(("", stem));
    let folder = if ["lib", "main", "mod"].contains(&file) { folder } else { stem };
    [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]
}

/// All text files but the licence, the lock file and this file.
fn text_files() -> Vec<File> {
    let others = ["LICENSE", "Cargo.lock", "tests/peer-bench/Cargo.lock", SELF];
    let paths = listed().unwrap_or_else(|| walked(&root()));
    let known = paths.into_iter().filter(|path| !others.contains(&path.as_str()));
    let files: Vec<File> = known
        .filter_map(|path| {
            // Not text, or deleted and not committed yet.
            let text = std::fs::read_to_string(root().join(&path)).ok()?;
            Some(File { path, text, tests_from: usize::MAX })
        })
        .collect();
    assert!(files.iter().any(|file| file.path == "Cargo.toml"), "no files in {:?}", root());
    files
}

/// What git has or would have; nothing where there is no git.
fn listed() -> Option<Vec<String>> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = command.current_dir(root()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let paths: BTreeSet<String> =
        text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    let is_whole = output.status.success() && !paths.is_empty();
    is_whole.then(|| paths.into_iter().collect())
}

/// Every file in the folder, but for what is built or hidden.
fn walked(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name == "target" || (name.starts_with('.') && name != ".ci") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Some(path) = path.strip_prefix(root()).ok().and_then(Path::to_str) {
                paths.push(path.to_owned());
            }
        }
    }
    paths
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The line of a manifest that names the dependency.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let named = |line: &str| line.split(['.', '=', ' ']).next() == Some(dependency);
    read(manifest).lines().position(named).map_or(1, |at| at + 1)
}

/// Whether the word is there and not only as a part of another.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let ends_open = !is_part(word.chars().next_back());
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !is_part(before) && (ends_open || !is_part(after))
    })
}

#[test]
fn the_rules_see_what_they_look_for() {
    assert!(has_word("use tokio::time;", "tokio") && !has_word("my_tokio", "tokio"));
    assert!(has_word("thread::spawn(work)", "thread::") && !has_word("subthread::", "thread::"));
    assert_eq!(module_files("a/src/lib.rs", "x")[0], "a/src/x.rs");
    assert_eq!(module_files("a/src/b.rs", "x")[0], "a/src/b/x.rs");
    let names: BTreeMap<_, _> = ARROWS.into_iter().collect();
    assert_eq!(names.len(), ARROWS.len(), "a crate is named twice");
    let files = rust_files();
    let lines = |path: &str| files.iter().find(|file| file.path == path).expect("the file");
    assert!(!lines("schema/src/time.rs").is_test(1), "code");
    assert!(lines("schema/src/time.rs").is_test(usize::MAX - 1), "its tests");
    assert!(lines("infra/queue/tests/conformance.rs").is_test(1), "a test program");
}
