//! Why a private cluster does not run, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::database::DatabaseError;

/// A failure to start or to stop a private cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// There is no Postgres on this machine, and none could be installed.
    #[error(
        "no PostgreSQL {oldest} or later here and none could be installed ({problem}): {remedy}, or give the URL of a database"
    )]
    NoPostgres {
        /// The oldest major version that will do.
        oldest: u32,
        /// Why the Python package was no help.
        problem: String,
        /// The command that installs it on this platform.
        remedy: &'static str,
    },

    /// The folder holds data of a major version of which there are no programs.
    #[error(
        "the data in `{folder}` is of PostgreSQL {needed}, which is not here: {remedy} in that version, or move the folder away to begin anew"
    )]
    OtherVersion {
        /// The cluster's folder.
        folder: PathBuf,
        /// The major version of the data.
        needed: u32,
        /// The command that installs Postgres on this platform.
        remedy: &'static str,
    },

    /// Another process has the folder's cluster.
    #[error(
        "`{folder}` is in use by another Fluxus (process {process}): stop that one, or use another folder"
    )]
    InUse {
        /// The cluster's folder.
        folder: PathBuf,
        /// Its process id, as far as known.
        process: String,
    },

    /// A file or folder cannot be read or written.
    #[error("cannot {action} `{path}`: check that it is writable, or use another folder")]
    Folder {
        /// What was attempted.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },

    /// The folder has other things in it.
    #[error("`{folder}` holds other files and no cluster: use a folder of its own")]
    NotACluster {
        /// The folder given.
        folder: PathBuf,
    },

    /// Postgres refuses to run as root, and there is no account to run it as.
    #[error(
        "PostgreSQL does not run as root and there is no account `postgres` or `nobody`: run as another user, or give the URL of a database"
    )]
    NoAccount,

    /// A program of Postgres cannot be run at all.
    #[error("cannot run `{program}`")]
    Program {
        /// Its path.
        program: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },

    /// `initdb` failed.
    #[error("initdb cannot create a cluster in `{folder}`: {output}")]
    Initdb {
        /// The cluster's folder.
        folder: PathBuf,
        /// What it printed last.
        output: String,
    },

    /// The server ended while starting.
    #[error("the server in `{folder}` ended while starting: {log}")]
    Exited {
        /// The cluster's folder; its file `log` says more.
        folder: PathBuf,
        /// The end of its log.
        log: String,
    },

    /// The server does not answer in time.
    #[error("the server in `{folder}` does not answer after {seconds} s: {log}")]
    NotReady {
        /// The cluster's folder; its file `log` says more.
        folder: PathBuf,
        /// How long it was waited for.
        seconds: u64,
        /// The end of its log.
        log: String,
    },

    /// The server does not end in time.
    #[error("the server (process {pid}) does not end")]
    StillRunning {
        /// Its process id.
        pid: u32,
    },

    /// The server is there, but a statement failed.
    #[error("cannot prepare the cluster")]
    Database {
        /// Why.
        #[from]
        source: DatabaseError,
    },
}

impl ClusterError {
    pub(super) fn folder(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Folder { action, path, source }
    }
}

/// How to install Postgres on this platform.
pub(super) fn remedy() -> &'static str {
    if cfg!(target_os = "macos") {
        return "run `brew install postgresql@17`";
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let is = |name: &str| {
        let ids =
            release.lines().filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="));
        ids.flat_map(|line| line.split(['=', '"', ' '])).any(|word| word == name)
    };
    if is("debian") || is("ubuntu") {
        "run `apt-get install postgresql`"
    } else if is("fedora") || is("rhel") {
        "run `dnf install postgresql-server`"
    } else if is("alpine") {
        "run `apk add postgresql`"
    } else {
        "install PostgreSQL with your package manager"
    }
}
