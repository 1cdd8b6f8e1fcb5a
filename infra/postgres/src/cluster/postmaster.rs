//! The server's process: ours, or one that a killed process left behind.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::Child;
use tokio::time::Instant;

use super::DEADLINE;
use super::error::ClusterError;

/// How often to look whether a process that is not our child has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running server.
#[derive(Debug)]
pub(super) enum Postmaster {
    /// Started by this process.
    Child { child: Child, pid: u32 },
    /// Started by another process that is gone.
    Adopted { pid: u32 },
}

impl Postmaster {
    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Child { pid, .. } | Self::Adopted { pid } => *pid,
        }
    }

    /// Whether the process has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        match self {
            Self::Child { child, .. } => !matches!(child.try_wait(), Ok(None)),
            Self::Adopted { pid } => !is_alive(*pid),
        }
    }

    /// Asks for a fast shutdown. Source: PostgreSQL manual, "Shutting Down the Server".
    pub(super) fn ask_to_stop(&self) {
        signal(self.pid(), Signal::INT);
    }

    /// Shuts down and waits for the end: fast, and, when that takes too long, immediately, which
    /// the next start recovers from.
    pub(super) async fn stop(mut self) -> Result<(), ClusterError> {
        for how in [Signal::INT, Signal::QUIT] {
            signal(self.pid(), how);
            if self.ends_within(DEADLINE).await {
                return Ok(());
            }
        }
        Err(ClusterError::StillRunning { pid: self.pid() })
    }

    async fn ends_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            if self.has_ended() {
                return true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        false
    }
}

/// What `postmaster.pid` says. Source: PostgreSQL's `miscadmin.h`, `LOCK_FILE_LINE_*`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: u32,
    pub(super) port: u16,
}

impl PidFile {
    /// Reads the file of a data folder; none if there is none or it is not complete.
    pub(super) fn read(data: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        // Then data folder and start time; the port is the fourth line.
        let port = lines.nth(2)?.trim().parse().ok()?;
        Some(Self { pid, port })
    }

    /// Whether the process it names lives and serves this data folder. After a restart of the
    /// machine or in a container the number may be another program's.
    pub(super) fn is_of(&self, data: &Path) -> bool {
        is_alive(self.pid) && command_line(self.pid).contains(&*data.to_string_lossy())
    }
}

fn is_alive(pid: u32) -> bool {
    // A process of another user's is alive too, hence the comparison.
    as_pid(pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
        && !is_zombie(pid)
}

/// A killed child of a parent that does not wait for it, as in containers without an init.
fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

fn command_line(pid: u32) -> String {
    if let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        return String::from_utf8_lossy(&line).replace('\0', " ");
    }
    // Elsewhere than on Linux.
    let mut ps = std::process::Command::new("ps");
    let output = ps.args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = as_pid(pid) {
        // It may just have ended; whoever waits finds out.
        let _gone = kill_process(pid, signal);
    }
}

fn as_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_names_process_and_port() {
        let text = "4711\n/data\n1700000000\n54321\n\n127.0.0.1\n  123 4\nready\n";
        assert_eq!(PidFile::parse(text), Some(PidFile { pid: 4711, port: 54321 }));
        assert_eq!(PidFile::parse("4711\n/data\n"), None);
    }

    #[test]
    fn another_process_is_not_taken_for_the_server() {
        let file = PidFile { pid: std::process::id(), port: 1 };
        assert!(is_alive(file.pid));
        assert!(!file.is_of(Path::new("/no/such/data")));
    }
}
