//! What a server spends: for benchmarks.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use crate::{DatabaseError, Row, Session};

/// Clock ticks in a second, as Linux counts them in `/proc/PID/stat` on every architecture.
const TICKS_PER_SECOND: u64 = 100;

/// How many bytes `/proc/PID/status` means by its unit.
const KIBIBYTE: u64 = 1024;

/// How full a table is, and what was done to it since its statistics were reset.
#[derive(Debug, Clone, PartialEq)]
pub struct TableUsage {
    /// With its schema.
    pub name: String,
    /// Rows, as the server estimates them.
    pub live: u64,
    /// Old versions of rows that nobody sees any more and no vacuum has removed yet, likewise.
    pub dead: u64,
    /// On disk, with its indexes and what is kept out of line.
    pub bytes: u64,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// Of these, updates that touched no index.
    pub hot_updated: u64,
    /// How often autovacuum has been there.
    pub autovacuums: u64,
}

impl Session {
    /// How full the tables of this database are, those first that hold most dead rows. The server
    /// updates the numbers about once a second.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`].
    pub async fn tables(&self) -> Result<Vec<TableUsage>, DatabaseError> {
        const TABLES: &str = "-- look at the tables' statistics
            SELECT schemaname || '.' || relname AS name, n_live_tup, n_dead_tup,
                   pg_total_relation_size(relid) AS bytes,
                   n_tup_ins, n_tup_upd, n_tup_hot_upd, autovacuum_count
              FROM pg_stat_user_tables
             ORDER BY n_dead_tup DESC, relname";
        let count = |row: &Row, column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        let table = |row: Row| TableUsage {
            name: row.get("name"),
            live: count(&row, "n_live_tup"),
            dead: count(&row, "n_dead_tup"),
            bytes: count(&row, "bytes"),
            inserted: count(&row, "n_tup_ins"),
            updated: count(&row, "n_tup_upd"),
            hot_updated: count(&row, "n_tup_hot_upd"),
            autovacuums: count(&row, "autovacuum_count"),
        };
        Ok(self.query(TABLES, &[]).await?.into_iter().map(table).collect())
    }

    /// The process id of the server, where it runs on this machine and `/proc` shows it.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`].
    pub async fn server_process(&self) -> Result<Option<u32>, DatabaseError> {
        const BACKEND: &str = "-- ask which process this is
            SELECT pg_backend_pid(),
                   coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true)";
        let rows = self.query(BACKEND, &[]).await?;
        let backend = rows.first().filter(|row| row.get(1)).map(|row| row.get::<_, i32>(0));
        let backend = backend.and_then(|pid| u32::try_from(pid).ok());
        // Its parent is the server. Behind a container's wall the number means another process.
        Ok(backend
            .filter(|pid| name(*pid).is_some_and(|name| name.starts_with("postgres")))
            .and_then(|pid| stat(pid).map(|(parent, _)| parent)))
    }

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
    let ticks: u64 = family(pids)?.into_iter().map(|(_, ticks)| ticks).sum();
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Memory of a process alone, in bytes: what of it is in memory now. None where the operating
/// system does not tell.
pub fn memory_bytes(pid: u32) -> Option<u64> {
    kibibytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// Memory of a process and all below it, in bytes; what they share is counted once. None where the
/// operating system does not tell, or not this account.
pub fn family_memory_bytes(pid: u32) -> Option<u64> {
    let share = |pid: u32| {
        kibibytes(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
    };
    let all = family(&[pid])?.into_iter().map(|(pid, _)| share(pid));
    // One that has ended meanwhile has none.
    all.reduce(|sum, one| Some(sum? + one.unwrap_or(0)))?
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * KIBIBYTE)
}

/// These processes and all below them, each once, with the ticks it used, in the order of `pids`
/// first; none where one of `pids` is gone.
fn family(pids: &[u32]) -> Option<Vec<(u32, u64)>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc").ok()? {
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
    let below = all.iter().filter(|(pid, _)| is_below(**pid));
    let mut family: Vec<_> = below.map(|(pid, (_, ticks))| (*pid, *ticks)).collect();
    family.sort_by_key(|(pid, _)| (!pids.contains(pid), *pid));
    Some(family)
}

/// The name of a process's program.
fn name(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok()
}

/// Parent, and ticks in user and system mode, its own and those of children it has waited for.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
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

    #[test]
    fn a_process_has_memory_and_its_family_no_less() {
        let own = super::memory_bytes(std::process::id()).expect("memory");
        assert!(own > 100_000, "{own}");
        assert!(super::family_memory_bytes(std::process::id()).is_some());
        assert!(super::memory_bytes(u32::MAX).is_none());
    }
}
