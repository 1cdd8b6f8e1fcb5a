//! How many rows Fluxus writes for one claim, and how large they are.
//!
//! Rows are counted by Postgres: each insert and each update writes a whole row. Their sizes are
//! averages of samples taken while claims run, since many rows are gone by the end. Index entries
//! and large values stored out of line are not counted, neither here nor for the baseline.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use fluxus_postgres::{Database, Options};
use serde::Serialize;
use tokio::time::interval;

use crate::server::Server;
use crate::{Plan, fluxus};

/// How often rows are looked at while claims run.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Rows of a table that one look reads.
const SAMPLE: u32 = 200;

/// Clients while rows are counted: as many as make full batches.
const CLIENTS: usize = 128;

/// What is written for one claim.
#[derive(Debug, Clone, Serialize)]
pub struct Written {
    pub rows_per_claim: f64,
    pub bytes_per_claim: f64,
    pub tables: Vec<Table>,
}

/// What is written to one table for one claim.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    pub name: String,
    pub inserted: f64,
    pub updated: f64,
    /// Header included.
    pub bytes_per_row: f64,
}

impl Table {
    pub fn rows(&self) -> f64 {
        self.inserted + self.updated
    }
}

/// Has Fluxus fulfil claims, and counts.
pub async fn count(plan: &Plan, server: &Server) -> anyhow::Result<Written> {
    let url = server.fresh_database("peer_rows").await?;
    let options = Options { max_connections: 1, ..Options::default() };
    let database = Database::connect(&url, options).await?;
    let mut samples = Samples::default();
    let mut looks = interval(LOOK_EVERY);
    let run = fluxus::run(plan, CLIENTS, &url);
    let mut run = std::pin::pin!(run);
    loop {
        tokio::select! {
            ended = &mut run => {
                ended?;
                break;
            }
            _ = looks.tick() => samples.look(&database).await?,
        }
    }
    let written = samples.written(&database).await;
    database.close().await;
    written
}

/// Rows seen in a table: how many, and their bytes.
#[derive(Default)]
struct Samples(BTreeMap<String, (f64, f64)>);

impl Samples {
    async fn look(&mut self, database: &Database) -> anyhow::Result<()> {
        const TABLES: &str = "SELECT format('%I.%I', schemaname, relname)
            FROM pg_stat_user_tables WHERE n_tup_ins > 0 OR n_tup_upd > 0";
        let session = database.session().await?;
        for row in session.query(TABLES, &[]).await? {
            let table: String = row.try_get(0)?;
            // The newest rows are at the end of a table that only grows; of others, any will do.
            let sample = format!(
                "SELECT count(*)::float8, coalesce(sum(pg_column_size(sampled.*)), 0)::float8
                   FROM (SELECT * FROM {table} LIMIT {SAMPLE}) AS sampled"
            );
            let row = session.query(&sample, &[]).await?;
            let row = row.first().context("a count has a row")?;
            let (rows, bytes) = self.0.entry(table).or_default();
            *rows += row.try_get::<_, f64>(0)?;
            *bytes += row.try_get::<_, f64>(1)?;
        }
        Ok(())
    }

    async fn written(&self, database: &Database) -> anyhow::Result<Written> {
        const COUNTS: &str = "SELECT format('%I.%I', schemaname, relname), relname::text,
                   n_tup_ins::float8, n_tup_upd::float8
            FROM pg_stat_user_tables ORDER BY n_tup_ins + n_tup_upd DESC, relname";
        let counts = database.session().await?.query(COUNTS, &[]).await?;
        let claims = counts.iter().find(|row| row.get::<_, String>(1) == "claim");
        let claims: f64 = claims.context("Fluxus has no table `claim`")?.try_get(2)?;
        anyhow::ensure!(claims > 0.0, "Fluxus wrote no claim");
        let mut tables = Vec::new();
        for row in counts {
            let name: String = row.try_get(0)?;
            let (rows, bytes) = self.0.get(&name).copied().unwrap_or_default();
            let table = Table {
                name,
                inserted: row.try_get::<_, f64>(2)? / claims,
                updated: row.try_get::<_, f64>(3)? / claims,
                bytes_per_row: if rows > 0.0 { bytes / rows } else { 0.0 },
            };
            // What is written once, or once in a batch.
            if table.rows() >= 0.005 {
                tables.push(table);
            }
        }
        let rows_per_claim = tables.iter().map(Table::rows).sum();
        let bytes_per_claim = tables.iter().map(|one| one.rows() * one.bytes_per_row).sum();
        Ok(Written { rows_per_claim, bytes_per_claim, tables })
    }
}
