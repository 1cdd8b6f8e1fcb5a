//! Builds the functions with cargo-lambda.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::process::Command;

use super::template::Function;
use crate::exit::Usage;

/// The profile of the root `Cargo.toml` that makes small binaries. It is not called `lambda`: cargo puts
/// what it builds where cargo-lambda puts its own, and one of them would find the other's in its way.
const PROFILE: &str = "function";

/// The feature that has the adapters for AWS.
const FEATURE: &str = "aws";

/// What links the binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compiler {
    /// zig, which links for any architecture and an old enough glibc
    CargoZigbuild,
    /// cargo alone: for the architecture and the glibc of this machine
    Cargo,
}

/// The processor that functions run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Graviton.
    Arm64,
    /// Intel and AMD.
    X86_64,
}

impl Architecture {
    /// The architecture of this name in the template's parameter.
    ///
    /// # Errors
    /// [`Usage`] for any other.
    pub fn named(name: &str) -> Result<Self, Usage> {
        match name {
            "arm64" => Ok(Self::Arm64),
            "x86_64" => Ok(Self::X86_64),
            _ => Err(Usage(format!("the architecture is arm64 or x86_64, not `{name}`"))),
        }
    }

    /// Whether this machine is one.
    pub fn is_here(self) -> bool {
        std::env::consts::ARCH == if self == Self::Arm64 { "aarch64" } else { "x86_64" }
    }

    fn option(self) -> &'static str {
        match self {
            Self::Arm64 => "--arm64",
            Self::X86_64 => "--x86-64",
        }
    }
}

/// The workspace, as cargo sees it.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The folder that cargo builds to; also where there is no cargo, for what was built elsewhere.
pub async fn target_folder(folder: &Path) -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").filter(|named| !named.is_empty());
    match (metadata(folder).await, named) {
        (Ok(metadata), _) => metadata.target_directory,
        (Err(_), Some(named)) => named.into(),
        (Err(_), None) => folder.join("target"),
    }
}

/// Checks that everything is here that a build needs.
///
/// # Errors
/// [`Usage`] with what to install.
pub async fn check(compiler: Compiler, architecture: Architecture) -> anyhow::Result<()> {
    if compiler == Compiler::Cargo && !architecture.is_here() {
        let what = "--compiler cargo builds for this machine's own architecture; leave it away, or \
                    give the other architecture: --parameter Architecture=arm64 or x86_64";
        return Err(Usage(what.to_owned()).into());
    }
    let found = run_quietly("cargo", &["lambda", "--version"]).await;
    anyhow::ensure!(
        found,
        "cargo-lambda is not here; `pip install cargo-lambda` or `cargo install cargo-lambda \
         --locked` brings it, --skip-build takes what was built before"
    );
    if compiler == Compiler::CargoZigbuild {
        let zig = run_quietly("zig", &["version"]).await
            || run_quietly("python3", &["-m", "ziglang", "version"]).await;
        anyhow::ensure!(
            zig,
            "zig is not here, which links for Lambda; `pip install ziglang` brings it, \
             --compiler cargo does without where this machine's architecture is the function's"
        );
    }
    Ok(())
}

/// Whether the program is here and does this.
async fn run_quietly(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// Builds the code of these functions; cargo's own words go to stderr.
///
/// # Errors
/// Where a binary belongs to no package, or does not build.
pub async fn build(
    folder: &Path,
    functions: &[Function],
    compiler: Compiler,
    architecture: Architecture,
) -> anyhow::Result<()> {
    let wanted: BTreeSet<_> = functions.iter().map(|function| function.binary.as_str()).collect();
    let metadata = metadata(folder).await?;
    let mut command = Command::new("cargo");
    command.args(arguments(&metadata, &wanted, compiler, architecture)?).current_dir(folder);
    // Stdout is for the address alone.
    command.stdin(Stdio::null()).stdout(stderr()).stderr(Stdio::inherit());
    let status = command.status().await.context("run cargo lambda")?;
    anyhow::ensure!(status.success(), "the functions do not build; see above");
    Ok(())
}

/// Our stderr, as the stdout of a program that we start.
pub fn stderr() -> Stdio {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned();
    stderr.map_or_else(|_| Stdio::null(), Stdio::from)
}

fn arguments(
    metadata: &Metadata,
    wanted: &BTreeSet<&str>,
    compiler: Compiler,
    architecture: Architecture,
) -> Result<Vec<String>, Usage> {
    let mut packages = BTreeMap::new();
    for package in &metadata.packages {
        for target in package.targets.iter().filter(|target| target.kind.iter().any(|k| k == "bin"))
        {
            packages.insert(target.name.as_str(), package.name.as_str());
        }
    }
    let mut args: Vec<_> =
        ["lambda", "build", "--profile", PROFILE, "--features", FEATURE].map(str::to_owned).into();
    args.push(architecture.option().to_owned());
    if compiler == Compiler::Cargo {
        args.extend(["--compiler", "cargo"].map(str::to_owned));
    }
    let mut of = BTreeSet::new();
    for binary in wanted {
        let Some(package) = packages.get(binary) else {
            let what = format!(
                "no package of the workspace has a binary `{binary}`, which the \
                                template names by its CodeUri"
            );
            return Err(Usage(what));
        };
        of.insert(*package);
        args.extend(["--bin".to_owned(), (*binary).to_owned()]);
    }
    args.extend(of.into_iter().flat_map(|package| ["-p".to_owned(), package.to_owned()]));
    Ok(args)
}

async fn metadata(folder: &Path) -> anyhow::Result<Metadata> {
    let mut command = Command::new("cargo");
    command.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(folder);
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.context("run cargo; https://rustup.rs installs it")?;
    let why = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "cargo cannot read the workspace: {}", why.trim());
    serde_json::from_slice(&output.stdout).context("read what cargo says of the workspace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binaries_of_the_template_are_built_and_nothing_else() {
        let target = |name: &str, kind: &str| Target { name: name.into(), kind: vec![kind.into()] };
        let metadata = Metadata {
            target_directory: "target".into(),
            packages: vec![
                Package {
                    name: "fluxus-api".into(),
                    targets: vec![
                        target("fluxus-api", "bin"),
                        target("fluxus-ingest", "bin"),
                        target("fluxus_api", "lib"),
                    ],
                },
                Package { name: "fluxus-cli".into(), targets: vec![target("fluxus", "bin")] },
            ],
        };
        let args = |wanted: &[&str]| {
            let wanted = wanted.iter().copied().collect();
            arguments(&metadata, &wanted, Compiler::Cargo, Architecture::X86_64)
                .map(|args| args.join(" "))
        };
        assert_eq!(
            args(&["fluxus-api", "fluxus-ingest"]).expect("arguments"),
            "lambda build --profile function --features aws --x86-64 --compiler cargo \
             --bin fluxus-api --bin fluxus-ingest -p fluxus-api"
        );
        assert!(args(&["nobody"]).is_err_and(|usage| usage.0.contains("`nobody`")));
    }

    #[test]
    fn an_architecture_has_one_of_two_names() {
        assert!(Architecture::named("arm64").is_ok() && Architecture::named("mips").is_err());
        assert_ne!(Architecture::Arm64.is_here(), Architecture::X86_64.is_here());
    }
}
