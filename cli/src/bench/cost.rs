//! What the measured system spends.

use std::time::Duration;

use fluxus_postgres::usage::cpu_time;
use fluxus_store::Store;
use serde::Serialize;

/// Reads what a system of our own has spent.
pub(super) struct Meter {
    pub(super) store: Store,
    /// The process of the Postgres server, where it is our own.
    pub(super) postmaster: Option<u32>,
}

/// What was spent so far.
pub(super) struct Reading {
    statements: u64,
    wal_bytes: u64,
    cpu: Option<Duration>,
}

/// What was spent, per piece of work.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    pub(super) statements_per_transition: f64,
    pub(super) wal_bytes_per_transition: f64,
    /// This process, its clients included, and Postgres.
    pub(super) cpu_s_per_1000_claims: Option<f64>,
}

impl Meter {
    pub(super) async fn read(&self) -> anyhow::Result<Reading> {
        let database = self.store.database();
        let wal_bytes = database.session().await?.wal_bytes().await?;
        let cpu = self.postmaster.and_then(|server| cpu_time(&[std::process::id(), server]));
        Ok(Reading { statements: database.statements_sent(), wal_bytes, cpu })
    }
}

impl Reading {
    pub(super) fn since(&self, before: &Self, claims: u64, transitions: u64) -> Cost {
        let per_transition = |count: u64| count as f64 / transitions as f64;
        let cpu = self.cpu.zip(before.cpu).map(|(after, before)| after.saturating_sub(before));
        Cost {
            statements_per_transition: per_transition(self.statements - before.statements),
            wal_bytes_per_transition: per_transition(self.wal_bytes - before.wal_bytes),
            cpu_s_per_1000_claims: cpu.map(|cpu| cpu.as_secs_f64() * 1e3 / claims as f64),
        }
    }
}
