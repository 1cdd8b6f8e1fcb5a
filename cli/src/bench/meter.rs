//! What the measured system spends.

use std::time::Duration;

use fluxus_local::{System, Usage};
use fluxus_postgres::usage::{TableUsage, cpu_time, family_memory_bytes, memory_bytes};
use serde::Serialize;

/// Reads what a system of our own spends.
pub(super) struct Meter<'a> {
    system: &'a System,
    /// The process of the Postgres server, where it is on this machine.
    server: Option<u32>,
}

/// What was spent so far.
pub(super) struct Reading {
    usage: Usage,
    wal_bytes: u64,
    messages: u64,
    cpu: Option<Cpu>,
}

#[derive(Clone, Copy)]
struct Cpu {
    fluxus: Duration,
    postgres: Option<Duration>,
}

/// What was spent, per piece of work.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Spent {
    pub(super) statements_per_transition: f64,
    pub(super) wal_bytes_per_transition: f64,
    /// Sends, receives, deletions, of however many messages.
    pub(super) queue_requests_per_transition: f64,
    pub(super) messages_per_transition: f64,
    /// This process, its clients included, and Postgres.
    pub(super) cpu_s_per_1000_claims: Option<f64>,
    /// This process, its clients included.
    pub(super) cpu_s_of_fluxus_per_1000_claims: Option<f64>,
    pub(super) cpu_s_of_postgres_per_1000_claims: Option<f64>,
}

/// Memory now, in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Memory {
    /// This process, its clients included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fluxus: Option<u64>,
    /// All of Postgres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) postgres: Option<u64>,
}

/// Looks at memory. It knows no system, so that it can look while others measure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    server: Option<u32>,
}

impl<'a> Meter<'a> {
    pub(super) async fn new(system: &'a System) -> anyhow::Result<Self> {
        let session = system.store().database().session().await?;
        // An account that may not look into `/proc` learns less, and that is all.
        let server = session.server_process().await?;
        Ok(Self { system, server })
    }

    pub(super) async fn read(&self) -> anyhow::Result<Reading> {
        let session = self.system.store().database().session().await?;
        let tables = session.tables().await?;
        let messages = tables.iter().filter(|table| table.name.ends_with(".message"));
        let own = std::process::id();
        let cpu = match self.server {
            // Where the server was started by this process, it is among its children.
            Some(server) => {
                cpu_time(&[own, server]).zip(cpu_time(&[server])).map(|(all, postgres)| Cpu {
                    fluxus: all.saturating_sub(postgres),
                    postgres: Some(postgres),
                })
            }
            None => cpu_time(&[own]).map(|fluxus| Cpu { fluxus, postgres: None }),
        };
        Ok(Reading {
            usage: self.system.usage(),
            wal_bytes: session.wal_bytes().await?,
            messages: messages.map(|table| table.inserted).sum(),
            cpu,
        })
    }

    /// How full the tables are.
    pub(super) async fn tables(&self) -> anyhow::Result<Vec<TableUsage>> {
        Ok(self.system.store().database().session().await?.tables().await?)
    }

    pub(super) fn scale(&self) -> Scale {
        Scale { server: self.server }
    }
}

impl Scale {
    pub(super) fn weigh(self) -> Memory {
        Memory {
            fluxus: memory_bytes(std::process::id()),
            postgres: self.server.and_then(family_memory_bytes),
        }
    }
}

impl Reading {
    pub(super) fn since(&self, before: &Self, claims: u64, transitions: u64) -> Spent {
        let per_transition =
            |now: u64, before: u64| now.saturating_sub(before) as f64 / (transitions.max(1)) as f64;
        let per_1000 = |time: Duration| time.as_secs_f64() * 1e3 / claims.max(1) as f64;
        let both = self.cpu.zip(before.cpu);
        let fluxus = both.map(|(now, before)| now.fluxus.saturating_sub(before.fluxus));
        let postgres = both
            .and_then(|(now, before)| now.postgres.zip(before.postgres))
            .map(|(now, before)| now.saturating_sub(before));
        let (usage, was) = (self.usage, before.usage);
        Spent {
            statements_per_transition: per_transition(usage.statements, was.statements),
            wal_bytes_per_transition: per_transition(self.wal_bytes, before.wal_bytes),
            queue_requests_per_transition: per_transition(usage.queue_requests, was.queue_requests),
            messages_per_transition: per_transition(self.messages, before.messages),
            cpu_s_per_1000_claims: fluxus.zip(postgres).map(|(one, other)| per_1000(one + other)),
            cpu_s_of_fluxus_per_1000_claims: fluxus.map(per_1000),
            cpu_s_of_postgres_per_1000_claims: postgres.map(per_1000),
        }
    }
}
