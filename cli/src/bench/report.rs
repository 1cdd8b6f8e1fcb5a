//! What was measured, and how it reads.

use std::fmt;
use std::time::{Duration, Instant};

use fluxus_postgres::usage::TableUsage;
use serde::Serialize;

use super::meter::{Memory, Reading, Spent};
use super::recorder::{Counted, Percentiles, Recorder, Sample, Sampling};
use super::target::Bench;
use crate::output::counted;
use crate::table::{Column, Table, facts};

/// Bytes in a MiB, in which people think of memory and tables.
const MIB: f64 = 1024.0 * 1024.0;

/// Most reasons for failures in a text: the first ones say what is wrong.
const MAX_REASONS: usize = 5;

/// The report of one scenario.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) scenario: &'static str,
    pub(super) title: String,
    pub(super) claims: u64,
    pub(super) failed: u64,
    /// Why, the most frequent reason first.
    pub(super) failures: Vec<Failures>,
    pub(super) seconds: f64,
    pub(super) claims_per_s: f64,
    pub(super) transitions_per_s: f64,
    #[serde(flatten)]
    pub(super) latency: Percentiles,
    /// Whether it was stopped before its end.
    pub(super) interrupted: bool,
    /// What the scenario is about, beyond throughput and latency.
    pub(super) figures: Vec<Figure>,
    /// Only where the system is our own.
    #[serde(flatten)]
    pub(super) spent: Option<Spent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Course>,
    pub(super) parts: Vec<Part>,
    pub(super) samples: Vec<Sample>,
}

/// Claims that failed for one reason.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Failures {
    pub(super) reason: String,
    pub(super) count: u64,
}

impl From<(String, u64)> for Failures {
    fn from((reason, count): (String, u64)) -> Self {
        Self { reason, count }
    }
}

/// A number with its name and its unit.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
}

impl Figure {
    pub(super) fn new(name: &str, value: f64, unit: &'static str) -> Self {
        Self { name: name.to_owned(), value, unit }
    }
}

/// What a scenario tells apart: steps, recipes, sizes, tenants, windows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) claims: u64,
    pub(super) failed: u64,
    pub(super) claims_per_s: f64,
    #[serde(flatten)]
    pub(super) latency: Percentiles,
    /// How the tables stood at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tables: Option<Tables>,
}

impl Part {
    pub(super) fn new(name: String, counted: &Counted, took: Duration) -> Self {
        Self {
            name,
            claims: counted.ended() + counted.failed,
            failed: counted.failed,
            claims_per_s: per_second(counted.ended(), took),
            latency: Percentiles::of(&counted.latency),
            tables: None,
        }
    }
}

/// How full the tables are.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Tables {
    pub(super) bytes: u64,
    pub(super) dead_rows: u64,
    pub(super) autovacuums: u64,
    /// Of the updates so far, those that touched no index.
    pub(super) hot_share: f64,
    /// Those with most dead rows.
    pub(super) worst: Vec<TableState>,
}

/// How full one table is.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TableState {
    pub(super) name: String,
    pub(super) live_rows: u64,
    pub(super) dead_rows: u64,
    pub(super) bytes: u64,
}

impl Tables {
    /// How many tables are named.
    const WORST: usize = 5;

    pub(super) fn of(all: &[TableUsage]) -> Self {
        let sum = |number: fn(&TableUsage) -> u64| all.iter().map(number).sum::<u64>();
        let worst = all.iter().take(Self::WORST).map(|table| TableState {
            name: table.name.clone(),
            live_rows: table.live,
            dead_rows: table.dead,
            bytes: table.bytes,
        });
        Self {
            bytes: sum(|table| table.bytes),
            dead_rows: sum(|table| table.dead),
            autovacuums: sum(|table| table.autovacuums),
            hot_share: sum(|table| table.hot_updated) as f64
                / sum(|table| table.updated).max(1) as f64,
            worst: worst.collect(),
        }
    }
}

/// How memory went: whether it grows.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Course {
    /// When the first quarter was over: pools and caches are full by then.
    pub(super) quarter: Memory,
    pub(super) end: Memory,
}

impl Course {
    fn of(samples: &[Sample]) -> Option<Self> {
        let (quarter, end) = (samples.get(samples.len() / 4)?.memory, samples.last()?.memory);
        end.fluxus.is_some().then_some(Self { quarter, end })
    }
}

/// A measurement that goes on.
pub(super) struct Measuring<'a> {
    bench: &'a Bench<'a>,
    before: Option<Reading>,
    sampling: Sampling,
    began: Instant,
}

/// A measurement that is over.
pub(super) struct Run {
    pub(super) took: Duration,
    pub(super) parts: Vec<Counted>,
    /// Of a claim of each part.
    pub(super) transitions: Vec<u64>,
    reasons: Vec<(String, u64)>,
    samples: Vec<Sample>,
    spent: Option<Spent>,
}

impl Run {
    pub(super) async fn begin<'a>(
        bench: &'a Bench<'a>,
        recorder: &Recorder,
    ) -> anyhow::Result<Measuring<'a>> {
        let before = match &bench.meter {
            Some(meter) => Some(meter.read().await?),
            None => None,
        };
        let sampling = recorder.sample(bench.meter.as_ref().map(|meter| meter.scale()));
        Ok(Measuring { bench, before, sampling, began: Instant::now() })
    }

    /// The report, with these parts.
    pub(super) fn report(
        self,
        scenario: &'static str,
        title: String,
        parts: Vec<Part>,
    ) -> anyhow::Result<Report> {
        let sum = Counted::sum(&self.parts)?;
        let transitions = transitions(&self.parts, &self.transitions);
        Ok(Report {
            scenario,
            title,
            claims: sum.ended() + sum.failed,
            failed: sum.failed,
            failures: self.reasons.into_iter().map(Failures::from).collect(),
            seconds: self.took.as_secs_f64(),
            claims_per_s: per_second(sum.ended(), self.took),
            transitions_per_s: per_second(transitions, self.took),
            latency: Percentiles::of(&sum.latency),
            interrupted: false,
            figures: Vec::new(),
            spent: self.spent,
            memory: Course::of(&self.samples),
            parts,
            samples: self.samples,
        })
    }
}

impl Measuring<'_> {
    /// Ends it. `transitions` are those of a claim of each part.
    pub(super) async fn end(
        self,
        recorder: &Recorder,
        transitions: Vec<u64>,
    ) -> anyhow::Result<Run> {
        let took = self.began.elapsed();
        let samples = self.sampling.stop();
        let parts = recorder.parts();
        let ended = parts.iter().map(Counted::ended).sum();
        let spent = match (&self.bench.meter, self.before) {
            // Of nothing there is no share.
            (Some(meter), Some(before)) if ended > 0 => {
                let all = self::transitions(&parts, &transitions);
                Some(meter.read().await?.since(&before, ended, all))
            }
            _ => None,
        };
        let reasons = recorder.reasons();
        Ok(Run { took, reasons, parts, transitions, samples, spent })
    }
}

fn transitions(parts: &[Counted], of_each: &[u64]) -> u64 {
    parts.iter().zip(of_each).map(|(part, transitions)| part.ended() * transitions).sum()
}

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(f64::EPSILON)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, claims, seconds, .. } = self;
        let cut = if self.interrupted { ", interrupted" } else { "" };
        writeln!(f, "{title}: {claims} claims in {seconds:.1} s{cut}\n")?;
        let mut lines = vec![
            ("claims per second", format!("{:.1}", self.claims_per_s)),
            ("transitions per second", format!("{:.1}", self.transitions_per_s)),
            ("latency", of_latency(&self.latency)),
        ];
        if self.failed > 0 {
            lines.push(("failed", self.failed.to_string()));
            for Failures { reason, count } in self.failures.iter().take(MAX_REASONS) {
                lines.push(("", format!("{}: {reason}", counted(*count, "time"))));
            }
            if let Some(more @ 1..) = self.failures.len().checked_sub(MAX_REASONS) {
                lines.push(("", format!("{more} more reasons; --output json has them")));
            }
        }
        if let Some(spent) = &self.spent {
            lines.extend(of_spent(spent));
        }
        if let Some(Course { quarter, end }) = &self.memory {
            let course = |of: fn(&Memory) -> Option<u64>| {
                let (quarter, end) = of(quarter).zip(of(end))?;
                let change = (end as f64 / quarter as f64 - 1.0) * 100.0;
                Some(format!(
                    "{} after a quarter, {} at the end ({change:+.0}%)",
                    mib(quarter),
                    mib(end)
                ))
            };
            let fluxus = course(|memory| memory.fluxus);
            lines.extend(fluxus.map(|text| ("memory of Fluxus", text)));
            let postgres = course(|memory| memory.postgres);
            lines.extend(postgres.map(|text| ("memory of Postgres", text)));
        }
        for Figure { name, value, unit } in &self.figures {
            lines.push((name, format!("{value:.2} {unit}").trim_end().to_owned()));
        }
        let lines: Vec<_> =
            lines.into_iter().map(|(name, value)| (name, Some(value.into()))).collect();
        f.write_str(&facts(&lines, None))?;
        if self.parts.is_empty() {
            return Ok(());
        }
        write!(f, "\n{}", table(&self.parts))
    }
}

fn of_latency(latency: &Percentiles) -> String {
    let Percentiles { p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms } = latency;
    format!(
        "p50 {p50_ms:.1} ms, p90 {p90_ms:.1}, p99 {p99_ms:.1}, p99.9 {p99_9_ms:.1}, max {max_ms:.1}"
    )
}

fn of_spent(spent: &Spent) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("statements per transition", format!("{:.2}", spent.statements_per_transition)),
        ("log bytes per transition", format!("{:.0}", spent.wal_bytes_per_transition)),
        ("queue requests per transition", format!("{:.3}", spent.queue_requests_per_transition)),
        ("messages per transition", format!("{:.2}", spent.messages_per_transition)),
    ];
    let cpu = match (spent.cpu_s_of_fluxus_per_1000_claims, spent.cpu_s_of_postgres_per_1000_claims)
    {
        (Some(fluxus), Some(postgres)) => Some(format!(
            "{:.3} s: Fluxus and its clients {fluxus:.3}, Postgres {postgres:.3}",
            fluxus + postgres
        )),
        (Some(fluxus), None) => Some(format!("{fluxus:.3} s of Fluxus and its clients")),
        _ => None,
    };
    lines.extend(cpu.map(|text| ("CPU per 1,000 claims", text)));
    lines
}

fn table(parts: &[Part]) -> String {
    let mut columns = vec![
        Column::text("PART"),
        Column::number("CLAIMS"),
        Column::number("FAILED"),
        Column::number("CLAIMS/S"),
        Column::number("P50 MS"),
        Column::number("P99 MS"),
        Column::number("MAX MS"),
    ];
    let with_tables = parts.iter().any(|part| part.tables.is_some());
    if with_tables {
        columns.extend(["DEAD ROWS", "TABLES", "AUTOVACUUMS", "HOT"].map(Column::number));
    }
    let mut table = Table::new(&columns);
    for part in parts {
        let Percentiles { p50_ms, p99_ms, max_ms, .. } = part.latency;
        let mut cells = vec![
            part.name.clone(),
            part.claims.to_string(),
            part.failed.to_string(),
            format!("{:.1}", part.claims_per_s),
            format!("{p50_ms:.1}"),
            format!("{p99_ms:.1}"),
            format!("{max_ms:.1}"),
        ];
        if let Some(tables) = &part.tables {
            let hot = format!("{:.0}%", tables.hot_share * 100.0);
            let (dead, vacuums) = (tables.dead_rows.to_string(), tables.autovacuums.to_string());
            cells.extend([dead, mib(tables.bytes), vacuums, hot]);
        }
        table.row(cells.into_iter().map(Into::into).collect());
    }
    table.render(None)
}

fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / MIB)
}
