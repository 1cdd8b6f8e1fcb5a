//! What a server spends: for benchmarks.

use std::collections::HashMap;
use std::time::Duration;

use crate::{DatabaseError, Session};

/// Clock ticks in a second, as Linux counts them in `/proc/PID/stat` on every architecture.
const TICKS_PER_SECOND: u64 = 100;

impl Session {
    /// Bytes of write-ahead log that the server has written since its cluster was made.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`].
    pub async fn wal_bytes(&self) -> Result<u64, DatabaseError> {
        const WAL: &str = "-- read the position in the write-ahead log
            SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
        let rows = self.query(WAL, &[]).await?;
        let bytes: i64 = rows.first().map_or(0, |row| row.get(0));
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

/// CPU time that these processes and all below them have used, each counted once, with that of
/// children that ended and were waited for. None where the operating system does not tell (anywhere
/// but on Linux) or one of the processes is gone.
pub fn cpu_time(pids: &[u32]) -> Option<Duration> {
    let mut all = HashMap::new();
    for entry in std::fs::read_dir("/proc").ok()? {
        let pid = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        if let Some(pid) = pid
            && let Some(found) = stat(pid)
        {
            all.insert(pid, found);
        }
    }
    if !pids.iter().all(|pid| all.contains_key(pid)) {
        return None;
    }
    let is_below = |mut pid: u32| loop {
        if pids.contains(&pid) {
            return true;
        }
        match all.get(&pid) {
            Some((parent, _)) if *parent != pid => pid = *parent,
            _ => return false,
        }
    };
    let ticks: u64 =
        all.iter().filter(|(pid, _)| is_below(**pid)).map(|(_, (_, ticks))| ticks).sum();
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Parent, and ticks in user and system mode, its own and those of children it has waited for.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold spaces.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some((parent, ticks))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_process_has_used_time_and_one_that_is_not_there_has_none() {
        assert!(super::cpu_time(&[std::process::id()]).is_some());
        assert!(super::cpu_time(&[u32::MAX]).is_none());
    }
}
