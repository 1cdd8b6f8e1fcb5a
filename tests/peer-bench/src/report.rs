//! What was measured, and what it comes to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::server::Settings;

/// One run of one engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    pub engine: String,
    /// Workflows that ended, per second.
    pub per_second: f64,
    /// Latency from the submission to the durable result.
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// All runs with their medians.
#[derive(Debug, Serialize)]
pub struct Report {
    postgres: Settings,
    concurrency: usize,
    runs: Vec<Measured>,
    medians: Vec<Measured>,
    /// Workflows per second of Fluxus over those of DBOS, by their medians.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

impl Report {
    pub fn new(postgres: Settings, concurrency: usize, runs: Vec<Measured>) -> Self {
        let medians: Vec<Measured> =
            ["fluxus", "dbos"].into_iter().filter_map(|engine| median_of(engine, &runs)).collect();
        let ratio = match medians.as_slice() {
            [fluxus, dbos] => Some(fluxus.per_second / dbos.per_second),
            _ => None,
        };
        Self { postgres, concurrency, runs, medians, ratio }
    }
}

/// The medians of an engine's runs, each number by itself.
fn median_of(engine: &str, runs: &[Measured]) -> Option<Measured> {
    let runs: Vec<&Measured> = runs.iter().filter(|run| run.engine == engine).collect();
    let middle =
        |number: fn(&Measured) -> f64| median(runs.iter().map(|run| number(run)).collect());
    Some(Measured {
        engine: engine.to_owned(),
        per_second: middle(|run| run.per_second)?,
        p50_ms: middle(|run| run.p50_ms)?,
        p99_ms: middle(|run| run.p99_ms)?,
    })
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
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
        let Self { engine, per_second, p50_ms, p99_ms } = self;
        write!(f, "{engine}: {per_second:.0}/s, p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { server_version, fsync, synchronous_commit, full_page_writes } =
            &self.postgres;
        writeln!(
            f,
            "Postgres {server_version}, fsync {fsync}, synchronous_commit {synchronous_commit}, \
             full_page_writes {full_page_writes}; {} clients\n",
            self.concurrency
        )?;
        writeln!(f, "| engine | workflows/s | p50 ms | p99 ms | runs, workflows/s |")?;
        writeln!(f, "| --- | ---: | ---: | ---: | --- |")?;
        for Measured { engine, per_second, p50_ms, p99_ms } in &self.medians {
            let runs = self.runs.iter().filter(|run| run.engine == *engine);
            let runs: Vec<String> = runs.map(|run| format!("{:.0}", run.per_second)).collect();
            let runs = runs.join(", ");
            writeln!(f, "| {engine} | {per_second:.0} | {p50_ms:.1} | {p99_ms:.1} | {runs} |")?;
        }
        match self.ratio {
            Some(ratio) => writeln!(f, "\nFluxus over DBOS, by medians: {ratio:.1}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
