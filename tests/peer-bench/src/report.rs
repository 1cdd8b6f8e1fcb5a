//! What was measured, and what it comes to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::engine::{Engine, Engines};
use crate::rows::Written;
use crate::server::Settings;

/// One run of one engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    pub engine: String,
    pub clients: usize,
    /// Workflows that ended, per second.
    pub per_second: f64,
    /// Latency from the submission to the durable result.
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Everything that was measured, run by run.
#[derive(Debug, Default)]
pub struct Runs {
    pub measured: Vec<Measured>,
    pub written: Option<Written>,
    pub baselines: Vec<Baseline>,
}

/// All runs with their medians.
#[derive(Debug, Serialize)]
pub struct Report {
    postgres: Settings,
    seconds: u64,
    engines: Vec<About>,
    missing: Vec<String>,
    medians: Vec<Median>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Rows>,
    runs: Vec<Measured>,
    baselines: Vec<Baseline>,
}

/// What is measured of an engine.
#[derive(Debug, Serialize)]
struct About {
    engine: &'static str,
    about: &'static str,
}

/// The medians of an engine's runs with so many clients, each number by itself.
#[derive(Debug, Serialize)]
struct Median {
    #[serde(flatten)]
    median: Measured,
    /// Fluxus' workflows per second over this engine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    fluxus_times_per_second: Option<f64>,
    /// Fluxus' p50 over this engine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    fluxus_times_p50: Option<f64>,
    /// Workflows per second of each run.
    per_second_of_runs: Vec<f64>,
}

/// Rows per second of Fluxus beside what `pgbench` reaches with the same rows.
#[derive(Debug, Serialize)]
struct Rows {
    #[serde(flatten)]
    written: Written,
    baseline: Baseline,
    /// With the number of clients at which it writes most.
    fluxus_rows_per_s: f64,
    share: f64,
    share_of_keyed: f64,
}

impl Report {
    pub fn new(postgres: Settings, engines: &Engines, seconds: u64, runs: Runs) -> Self {
        let Runs { measured, written, baselines } = runs;
        let medians = medians(&measured);
        let rows = written.and_then(|written| rows(written, &baselines, &medians));
        let about = |engine: &Engine| About { engine: engine.name(), about: engine.about() };
        Self {
            postgres,
            seconds,
            engines: engines.ready.iter().map(about).collect(),
            missing: engines.missing.clone(),
            medians,
            rows,
            runs: measured,
            baselines,
        }
    }
}

fn medians(runs: &[Measured]) -> Vec<Median> {
    let mut keys: Vec<(usize, &str)> = Vec::new();
    for run in runs {
        let key = (run.clients, run.engine.as_str());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    // Stable: engines stay in the order of the first round.
    keys.sort_by_key(|(clients, _)| *clients);
    let fluxus = |clients| median_of(Engine::Fluxus.name(), clients, runs);
    let median = |(clients, engine): (usize, &str)| {
        let median = median_of(engine, clients, runs)?;
        let other = fluxus(clients).filter(|_| engine != Engine::Fluxus.name());
        Some(Median {
            fluxus_times_per_second: other.as_ref().map(|of| of.per_second / median.per_second),
            fluxus_times_p50: other.as_ref().map(|of| of.p50_ms / median.p50_ms),
            per_second_of_runs: of(engine, clients, runs).map(|run| run.per_second).collect(),
            median,
        })
    };
    keys.into_iter().filter_map(median).collect()
}

fn of<'a>(
    engine: &'a str,
    clients: usize,
    runs: &'a [Measured],
) -> impl Iterator<Item = &'a Measured> {
    runs.iter().filter(move |run| run.engine == engine && run.clients == clients)
}

fn median_of(engine: &str, clients: usize, runs: &[Measured]) -> Option<Measured> {
    let middle = |number: fn(&Measured) -> f64| median(of(engine, clients, runs).map(number));
    Some(Measured {
        engine: engine.to_owned(),
        clients,
        per_second: middle(|run| run.per_second)?,
        p50_ms: middle(|run| run.p50_ms)?,
        p99_ms: middle(|run| run.p99_ms)?,
    })
}

fn rows(written: Written, baselines: &[Baseline], medians: &[Median]) -> Option<Rows> {
    let fluxus = medians.iter().filter(|one| one.median.engine == Engine::Fluxus.name());
    let claims_per_s = fluxus.map(|one| one.median.per_second).fold(0.0, f64::max);
    let baseline = Baseline {
        rows_per_s: median(baselines.iter().map(|one| one.rows_per_s))?,
        keyed_rows_per_s: median(baselines.iter().map(|one| one.keyed_rows_per_s))?,
        ..baselines.first()?.clone()
    };
    let fluxus_rows_per_s = claims_per_s * written.rows_per_claim;
    Some(Rows {
        share: fluxus_rows_per_s / baseline.rows_per_s,
        share_of_keyed: fluxus_rows_per_s / baseline.keyed_rows_per_s,
        fluxus_rows_per_s,
        baseline,
        written,
    })
}

fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let upper = *numbers.get(numbers.len() / 2)?;
    if numbers.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *numbers.get(numbers.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, clients, per_second, p50_ms, p99_ms } = self;
        write!(f, "{engine}, {clients} clients: {per_second:.0}/s, ")?;
        write!(f, "p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { server_version, fsync, synchronous_commit, full_page_writes } =
            &self.postgres;
        writeln!(
            f,
            "Postgres {server_version}, fsync {fsync}, synchronous_commit {synchronous_commit}, \
             full_page_writes {full_page_writes}; {} s a run\n",
            self.seconds
        )?;
        for About { engine, about } in &self.engines {
            writeln!(f, "- {engine}: {about}")?;
        }
        for missing in &self.missing {
            writeln!(f, "- left out: {missing}")?;
        }
        writeln!(
            f,
            "\n| clients | engine | workflows/s | p50 ms | p99 ms | Fluxus' rate | Fluxus' p50 | \
             runs, workflows/s |"
        )?;
        writeln!(f, "| ---: | --- | ---: | ---: | ---: | ---: | ---: | --- |")?;
        for one in &self.medians {
            let Measured { engine, clients, per_second, p50_ms, p99_ms } = &one.median;
            let times = |ratio: Option<f64>| ratio.map_or(String::new(), |it| format!("{it:.2} x"));
            let [rate, p50] = [times(one.fluxus_times_per_second), times(one.fluxus_times_p50)];
            let runs: Vec<String> = one
                .per_second_of_runs
                .iter()
                .map(|per_second| format!("{per_second:.0}"))
                .collect();
            let runs = runs.join(", ");
            writeln!(
                f,
                "| {clients} | {engine} | {per_second:.0} | {p50_ms:.1} | {p99_ms:.1} | {rate} | \
                 {p50} | {runs} |"
            )?;
        }
        self.rows.as_ref().map_or(Ok(()), |rows| write!(f, "\n{rows}"))
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { rows_per_claim, bytes_per_claim, tables } = &self.written;
        write!(f, "For one claim Fluxus writes {rows_per_claim:.1} rows, ")?;
        writeln!(f, "{bytes_per_claim:.0} bytes:\n")?;
        writeln!(f, "| table | inserted | updated | bytes each |")?;
        writeln!(f, "| --- | ---: | ---: | ---: |")?;
        for table in tables {
            let crate::rows::Table { name, inserted, updated, bytes_per_row } = table;
            writeln!(f, "| {name} | {inserted:.2} | {updated:.2} | {bytes_per_row:.0} |")?;
        }
        let Baseline { rows, bytes, rows_per_s, keyed_rows_per_s } = &self.baseline;
        writeln!(f, "\nInserts of {rows} rows with {bytes} bytes by pgbench, each a transaction:")?;
        writeln!(f, "\n| | rows/s | share that Fluxus reaches |")?;
        writeln!(f, "| --- | ---: | ---: |")?;
        writeln!(f, "| Fluxus | {:.0} | |", self.fluxus_rows_per_s)?;
        writeln!(f, "| pgbench, no index | {rows_per_s:.0} | {:.0}% |", self.share * 100.0)?;
        let keyed = self.share_of_keyed * 100.0;
        writeln!(f, "| pgbench, primary key | {keyed_rows_per_s:.0} | {keyed:.0}% |")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn each_number_of_clients_has_ratios_of_its_own() {
        let run = |engine: &str, clients, per_second| Measured {
            engine: engine.to_owned(),
            clients,
            per_second,
            p50_ms: 1e3 / per_second,
            p99_ms: 0.0,
        };
        let runs = [
            run("fluxus", 32, 30.0),
            run("dbos", 32, 10.0),
            run("fluxus", 1, 5.0),
            run("dbos", 1, 10.0),
        ];
        let medians = medians(&runs);
        let ratio = |at: usize| medians[at].fluxus_times_per_second;
        assert_eq!(medians[0].median.clients, 1);
        assert_eq!([ratio(0), ratio(1), ratio(2), ratio(3)], [None, Some(0.5), None, Some(3.0)]);
        assert_eq!(medians[1].fluxus_times_p50, Some(2.0));
    }
}
