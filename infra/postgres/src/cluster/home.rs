//! The cluster's folder: who may use it, its lock, its password, its data.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::account::Account;
use super::binaries::Binaries;
use super::error::ClusterError;

/// Where clusters live whose own folder the server's account cannot reach.
const FALLBACK: &str = "/var/lib/fluxus";

/// The database user that owns everything.
pub(super) const USER: &str = "fluxus";

/// The folder, locked for this process.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    /// Unlocked with the process, however that ends.
    lock: File,
}

impl Drop for Home {
    /// Closing the file is not enough: a process that is being started at this moment has it too,
    /// until it becomes another program.
    fn drop(&mut self) {
        let _unlocked_by_closing_it = self.lock.unlock();
    }
}

impl Home {
    /// Creates the folder where missing, gives it to the account, and locks it.
    pub(super) fn open(dir: &Path, account: Option<Account>) -> Result<Self, ClusterError> {
        let path = choose(dir, account)?;
        let failed = ClusterError::folder("protect", &path);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).map_err(failed)?;
        Account::own(account, &path)?;
        let lock = lock(&path)?;
        Ok(Self { path, lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The folder and the major version of the data in it, if there is any.
    pub(super) fn major_version(&self) -> Option<(PathBuf, u32)> {
        let text = std::fs::read_to_string(self.data().join("PG_VERSION")).ok()?;
        Some((self.path.clone(), text.trim().parse().ok()?))
    }

    /// The password of the database user.
    pub(super) fn password(&self) -> Result<String, ClusterError> {
        self.read("password").map(|text| text.trim().to_owned())
    }

    /// Reads one of the small files beside the data.
    pub(super) fn read(&self, name: &str) -> Result<String, ClusterError> {
        let path = self.path.join(name);
        std::fs::read_to_string(&path).map_err(ClusterError::folder("read", path))
    }

    /// Writes one of the small files beside the data, for our eyes only.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), ClusterError> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(ClusterError::folder("write", path))
    }

    /// Creates the data unless it is there: elsewhere first, then under its name, so that an
    /// interrupted attempt is no cluster.
    pub(super) async fn initialise(
        &self,
        binaries: &Binaries,
        account: Option<Account>,
    ) -> Result<(), ClusterError> {
        if self.major_version().is_some() {
            return Ok(());
        }
        self.write("password", &random_password()?)?;
        let password = self.path.join("password");
        Account::own(account, &password)?;
        let fresh = self.path.join("data.new");
        let _absent = std::fs::remove_dir_all(&fresh);
        let mut command = Command::new(binaries.initdb());
        command.args(["--no-sync", "--no-locale", "--encoding=UTF8", "--no-instructions"]);
        command.args(["--auth=scram-sha-256", "--username", USER, "--pwfile"]).arg(&password);
        command.arg("--pgdata").arg(&fresh).current_dir(&self.path);
        // Its workings are its own: whatever PG* the caller has set is meant for other servers.
        command.env_remove("PGDATA").env_remove("PGPORT").env_remove("PGHOST");
        Account::run(account, &mut command);
        let output = command.output().await;
        let output = output
            .map_err(|source| ClusterError::Program { program: binaries.initdb(), source })?;
        if !output.status.success() {
            let output = last_lines(&String::from_utf8_lossy(&output.stderr), 3);
            return Err(ClusterError::Initdb { folder: self.path.clone(), output });
        }
        let _absent = std::fs::remove_dir_all(self.data());
        std::fs::rename(&fresh, self.data()).map_err(ClusterError::folder("create", self.data()))
    }
}

/// The last lines of a text, joined so that an error stays on one.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

/// The folder given, or, where the server's account cannot reach it, one that it can.
fn choose(dir: &Path, account: Option<Account>) -> Result<PathBuf, ClusterError> {
    let is_new = !dir.exists();
    create(dir)?;
    let failed = ClusterError::folder("find", dir);
    let path = dir.canonicalize().map_err(failed)?;
    match account {
        Some(account) if !account.can_reach(&path) => {}
        _ => return only_ours(path),
    }
    if is_new {
        let _kept = std::fs::remove_dir(&path);
    }
    let fallback = fallback(&path);
    create(&fallback)?;
    tracing::info!(
        "the server's account cannot reach `{}`, so the cluster lives in `{}`",
        path.display(),
        fallback.display()
    );
    only_ours(fallback)
}

/// A folder under [`FALLBACK`] that is the same for the same path, and for no other.
fn fallback(path: &Path) -> PathBuf {
    // FNV-1a: stable across releases, unlike the standard library's hash.
    let hash =
        path.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    Path::new(FALLBACK).join(format!("{hash:016x}"))
}

fn create(dir: &Path) -> Result<(), ClusterError> {
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(dir);
    created.map_err(ClusterError::folder("create the folder", dir))
}

/// Refuses a folder that holds other things: it would change hands.
fn only_ours(path: PathBuf) -> Result<PathBuf, ClusterError> {
    let failed = ClusterError::folder("read the folder", &path);
    let mut entries = std::fs::read_dir(&path).map_err(failed)?;
    let is_ours = path.join("lock").exists() || entries.next().is_none();
    if is_ours { Ok(path) } else { Err(ClusterError::NotACluster { folder: path }) }
}

fn lock(folder: &Path) -> Result<File, ClusterError> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    // Not truncated: it says who has the lock.
    options.read(true).write(true).create(true).truncate(false);
    let failed = ClusterError::folder("lock", &path);
    let mut file = match options.open(&path) {
        Ok(file) => file,
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            let _unknown = file.read_to_string(&mut process);
            let process = process.trim().to_owned();
            return Err(ClusterError::InUse { folder: folder.to_owned(), process });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let written = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    written.map_err(failed)?;
    Ok(file)
}

/// 128 random bits, in hexadecimal.
fn random_password() -> Result<String, ClusterError> {
    let source = "/dev/urandom";
    let mut bytes = [0_u8; 16];
    let read = File::open(source).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(ClusterError::folder("read", source))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
