//! What comes from npm: Restate's server, and a queue for bare jobs.
//!
//! Installed once into a folder of the user's cache, with the versions that `jobs/package.json`
//! names, and without running any of their install scripts.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// What is installed, and the program for the queue of bare jobs.
const MANIFEST: &str = include_str!("../jobs/package.json");
const JOBS: &str = include_str!("../jobs/jobs.mjs");

/// Where the packages are.
pub struct Packages {
    folder: PathBuf,
}

impl Packages {
    /// Installs what is not there yet.
    ///
    /// # Errors
    /// Where there is no npm, or it cannot install: the text says what to do.
    pub async fn install(folder: Option<&Path>) -> anyhow::Result<Self> {
        let folder = folder.map_or_else(default_folder, |folder| Ok(folder.to_owned()))?;
        let packages = Self { folder };
        let manifest = packages.folder.join("package.json");
        let is_there = std::fs::read_to_string(&manifest).is_ok_and(|text| text == MANIFEST)
            && packages.restate_server().is_ok()
            && packages.folder.join("node_modules/graphile-worker").exists();
        if !is_there {
            packages.fetch(&manifest).await?;
        }
        std::fs::write(packages.jobs(), JOBS).context("write the program for bare jobs")?;
        Ok(packages)
    }

    async fn fetch(&self, manifest: &Path) -> anyhow::Result<()> {
        let folder = self.folder.display();
        eprintln!("installing packages from npm into `{folder}`");
        std::fs::create_dir_all(&self.folder).with_context(|| format!("create `{folder}`"))?;
        std::fs::write(manifest, MANIFEST).with_context(|| format!("write into `{folder}`"))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        npm.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        let status = npm.status().await.context("run npm: install Node.js 20 or later")?;
        if !status.success() {
            // The next run tries again.
            std::fs::remove_file(manifest)?;
            bail!("npm could not install what `{folder}` needs ({status}): is its registry there?");
        }
        Ok(())
    }

    /// Restate's server, for this machine.
    ///
    /// # Errors
    /// Where Restate has none for this kind of machine.
    pub fn restate_server(&self) -> anyhow::Result<PathBuf> {
        let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
        let package = format!("@restatedev/restate-server-{system}-{processor}");
        let program = self.folder.join(format!("node_modules/{package}/bin/restate-server"));
        anyhow::ensure!(program.exists(), "npm has no `{package}`, or it holds no program");
        Ok(program)
    }

    /// The program for bare jobs, for `node`.
    pub fn jobs(&self) -> PathBuf {
        self.folder.join("jobs.mjs")
    }
}

fn default_folder() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = cache.or_else(home).context("there is no HOME: name a folder by --npm-folder")?;
    Ok(cache.join("fluxus/peer-bench"))
}
