//! The account that the server runs as when Fluxus runs as root.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::process::Command;

use super::error::ClusterError;

/// An unprivileged account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// Whom to become for Postgres: nobody else unless we are root.
    pub(super) fn to_run_as() -> Result<Option<Self>, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = ["postgres", "_postgres", "nobody"].iter().find_map(|name| find(&known, name));
        found.map(Some).ok_or(ClusterError::NoAccount)
    }

    /// Has a program run as this account.
    pub(super) fn run(account: Option<Self>, command: &mut Command) {
        if let Some(account) = account {
            command.uid(account.uid).gid(account.gid);
        }
    }

    /// Gives a file or folder to this account.
    pub(super) fn own(account: Option<Self>, path: &Path) -> Result<(), ClusterError> {
        let Some(Self { uid, gid }) = account else { return Ok(()) };
        let owned = std::os::unix::fs::chown(path, Some(uid), Some(gid));
        owned.map_err(ClusterError::folder("change the owner of", path))
    }

    /// Whether the account may pass through every folder above this one.
    pub(super) fn can_reach(self, path: &Path) -> bool {
        path.ancestors().skip(1).all(|folder| {
            std::fs::metadata(folder).is_ok_and(|folder| {
                let bit = match (folder.uid() == self.uid, folder.gid() == self.gid) {
                    (true, _) => 0o100,
                    (false, true) => 0o010,
                    (false, false) => 0o001,
                };
                folder.mode() & bit != 0
            })
        })
    }
}

/// Looks an account up in the text of `/etc/passwd`. Source: passwd(5).
fn find(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Account { uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgresql:x:1:2::/:/x\npostgres:x:101:104::/:/x";
        assert_eq!(find(passwd, "postgres"), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(find(passwd, "nobody"), None);
    }
}
