//! The tools for AWS without AWS: those on `PATH`, else those of a virtual environment of our own,
//! which is made when it is first needed.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// What is installed: the server, what it needs to deploy templates with, and AWS's command line.
const PACKAGES: [&str; 4] = ["ministack==1.5.33", "aws-sam-translator", "cryptography", "awscli"];

/// What has the runtime interface emulator. In an environment of its own: it pins what it needs.
const EMULATOR_PACKAGES: [&str; 1] = ["aws-sam-cli==1.167.0"];

/// The folder for the tools; in the user's cache where it is not set.
const FOLDER: &str = "FLUXUS_AWS_TOOLS";

/// Where the tools are.
#[derive(Debug, Clone)]
pub struct Tools {
    ministack: PathBuf,
    folder: PathBuf,
}

impl Tools {
    /// The server of AWS's interfaces.
    pub fn ministack(&self) -> &Path {
        &self.ministack
    }

    /// AWS's runtime interface emulator, which runs one function as Lambda does. Installs it, up to
    /// a minute, the first time.
    ///
    /// # Errors
    /// As [`tools`].
    pub fn emulator(&self) -> anyhow::Result<PathBuf> {
        let venv = installed(&self.folder, "sam", &EMULATOR_PACKAGES)?;
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
        let inside = format!("site-packages/samcli/local/rapid/aws-lambda-rie-{arch}");
        let pythons = fs::read_dir(venv.join("lib")).context("look into the tools")?;
        let mut places = pythons.flatten().map(|python| python.path().join(&inside));
        places.find(|place| place.is_file()).context("aws-sam-cli brings no emulator")
    }

    /// A folder for what the tools leave behind: logs and locks.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Finds the tools or installs them. Takes up to a minute the first time.
///
/// # Errors
/// Where there is no Python, or the packages cannot be installed.
pub fn tools() -> anyhow::Result<Tools> {
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("create `{}`", folder.display()))?;
    let ministack = match (on_path("ministack"), on_path("aws")) {
        (Some(found), Some(_)) => found,
        _ => installed(&folder, "venv", &PACKAGES)?.join("bin").join("ministack"),
    };
    Ok(Tools { ministack, folder })
}

fn folder() -> anyhow::Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set(FOLDER) {
        return Ok(folder);
    }
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = cache.with_context(|| format!("neither HOME nor {FOLDER} is set"))?;
    Ok(cache.join("fluxus").join("aws-tools"))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A virtual environment of ours with these packages, which says by a file of their names that it
/// is whole. One process at a time: tests run in many.
fn installed(folder: &Path, name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let venv = folder.join(name);
    let whole = venv.join("fluxus-packages");
    let names = packages.join("\n");
    let is_whole = || fs::read_to_string(&whole).is_ok_and(|text| text == names);
    let lock = File::create(folder.join(format!("{name}.lock"))).context("create a lock")?;
    lock.lock().context("lock the tools")?;
    if is_whole() {
        return Ok(venv);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin").join("python"));
    run(pip
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages))?;
    fs::write(&whole, names).context("note what is installed")?;
    Ok(venv)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
