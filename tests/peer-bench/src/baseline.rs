//! What `pgbench` reaches on the same Postgres: inserts of as many rows, of the same sizes, as Fluxus
//! writes for one claim, in one statement and one transaction.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::Plan;
use crate::rows::Written;
use crate::server::Server;

/// Clients of `pgbench`. Where it is at its best differs, so the best of these counts.
const CLIENTS: [u32; 3] = [8, 32, 128];

/// Threads of `pgbench`: it does little itself.
const THREADS: u32 = 2;

/// What a row takes beside its text: header, key and the text's length.
const ROW_OVERHEAD: f64 = 24.0 + 8.0 + 4.0;

/// What `pgbench` reached once, with its best number of clients.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Baseline {
    /// Rows of each insert.
    pub rows: u32,
    pub bytes: u64,
    /// Into a table with nothing to it but rows.
    pub rows_per_s: f64,
    /// Into a table with a primary key.
    pub keyed_rows_per_s: f64,
}

/// Runs `pgbench` on fresh databases.
///
/// # Errors
/// Where there is no `pgbench`, or it fails.
pub async fn run(plan: &Plan, written: &Written, server: &Server) -> anyhow::Result<Baseline> {
    let sizes = sizes(written);
    let seconds = plan.seconds.div_ceil(2).to_string();
    let script = server.scratch("baseline.sql");
    std::fs::write(&script, insert(&sizes)).context("write the script for pgbench")?;
    let mut best = [0.0_f64; 2];
    for clients in CLIENTS {
        for (kind, best) in ["", " PRIMARY KEY"].into_iter().zip(&mut best) {
            let url = server.fresh_database("peer_baseline").await?;
            server.run(&url, &format!(
                "CREATE TABLE baseline (id bigint GENERATED ALWAYS AS IDENTITY{kind}, body text)"
            )).await?;
            let mut command = Command::new(program(server));
            command.args(["--no-vacuum", "--protocol", "prepared", "--time", &seconds]);
            command.args(["--client", &clients.to_string(), "--jobs", &THREADS.to_string()]);
            command.arg("--file").arg(&script).arg(url);
            command.stdin(Stdio::null()).kill_on_drop(true);
            let output = command.output().await.context("run pgbench: install Postgres' client")?;
            if !output.status.success() {
                let error = String::from_utf8_lossy(&output.stderr);
                bail!("pgbench with {clients} clients failed: {error}");
            }
            let text = String::from_utf8_lossy(&output.stdout);
            // Where connecting took all the time, it prints no rate.
            let per_s = transactions_per_s(&text).unwrap_or(0.0);
            *best = best.max(per_s * sizes.len() as f64);
        }
    }
    anyhow::ensure!(best[0] > 0.0, "pgbench wrote nothing: give it longer by --seconds");
    Ok(Baseline {
        rows: u32::try_from(sizes.len())?,
        bytes: sizes.iter().sum(),
        rows_per_s: best[0],
        keyed_rows_per_s: best[1],
    })
}

/// Sizes of the rows that one insert writes: as many of each table's as Fluxus writes for a claim.
fn sizes(written: &Written) -> Vec<u64> {
    let of = |table: &crate::rows::Table| {
        std::iter::repeat_n(table.bytes_per_row.round() as u64, table.rows().round() as usize)
    };
    written.tables.iter().flat_map(of).collect()
}

/// One statement that inserts rows of these sizes.
fn insert(sizes: &[u64]) -> String {
    let mut text = "INSERT INTO baseline (body) VALUES ".to_owned();
    for (at, size) in sizes.iter().enumerate() {
        let body = "x".repeat((*size as f64 - ROW_OVERHEAD).max(1.0) as usize);
        let comma = if at == 0 { "" } else { ", " };
        let _infallible = write!(text, "{comma}('{body}')");
    }
    text + ";\n"
}

/// Beside the server's own program, else on `PATH`.
fn program(server: &Server) -> PathBuf {
    let server = std::fs::read_link(format!("/proc/{}/exe", server.postmaster_pid()));
    let beside = server.ok().map(|server| server.with_file_name("pgbench"));
    beside.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from("pgbench"))
}

fn transactions_per_s(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Table;

    #[test]
    fn an_insert_has_a_row_for_each_that_fluxus_writes() {
        let table = |rows, bytes_per_row| Table {
            name: String::new(),
            inserted: rows,
            updated: 0.0,
            bytes_per_row,
        };
        let written = Written {
            rows_per_claim: 3.1,
            bytes_per_claim: 0.0,
            tables: vec![table(2.1, 40.0), table(1.0, 38.4)],
        };
        let sizes = sizes(&written);
        assert_eq!(sizes, [40, 40, 38]);
        let statement = "INSERT INTO baseline (body) VALUES ('xxxx'), ('xxxx'), ('xx');\n";
        assert_eq!(insert(&sizes), statement);
    }

    #[test]
    fn the_rate_is_read_from_what_pgbench_prints() {
        let text = "latency average = 1.2 ms\ntps = 834.5 (without initial connection time)\n";
        assert_eq!(transactions_per_s(text), Some(834.5));
        assert_eq!(transactions_per_s("FATAL"), None);
    }
}
