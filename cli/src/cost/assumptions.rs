//! What a run cannot count: how long things take on AWS, and how the system is used.

use serde::Serialize;

/// What is assumed. Each can be said otherwise.
#[derive(Debug, Clone, Copy, Serialize, clap::Args)]
#[command(next_help_heading = "Assumptions")]
pub struct Assumptions {
    /// Claims a second: how many functions work side by side, and look after the queues
    #[arg(long, value_name = "N", default_value_t = 100.0, value_parser = positive)]
    pub claims_per_s: f64,
    /// Time of a statement, from the function to Postgres and back
    #[arg(long, value_name = "MS", default_value_t = 1.0, value_parser = not_negative)]
    pub statement_ms: f64,
    /// Time of a request to SQS
    #[arg(long, value_name = "MS", default_value_t = 6.0, value_parser = not_negative)]
    pub sqs_ms: f64,
    /// Time of a write to DynamoDB
    #[arg(long, value_name = "MS", default_value_t = 5.0, value_parser = not_negative)]
    pub dynamodb_ms: f64,
    /// Time of the work of one task itself, as the fluxling waits for it
    #[arg(long, value_name = "MS", default_value_t = 5.0, value_parser = not_negative)]
    pub task_ms: f64,
    /// Time of an invocation apart from all this: to take the event, to write its metrics
    #[arg(long, value_name = "MS", default_value_t = 2.0, value_parser = not_negative)]
    pub overhead_ms: f64,
    /// Memory of core, API and ingest
    #[arg(long, value_name = "MB", default_value_t = 512.0, value_parser = positive)]
    pub core_mb: f64,
    /// Memory of fluxlings
    #[arg(long, value_name = "MB", default_value_t = 256.0, value_parser = positive)]
    pub fluxling_mb: f64,
    /// What an invocation writes to its log: the service's lines and the metrics
    #[arg(long, value_name = "BYTES", default_value_t = 1_000.0, value_parser = not_negative)]
    pub log_bytes: f64,
    /// How long claims and their history are kept
    #[arg(long, value_name = "DAYS", default_value_t = 30.0, value_parser = not_negative)]
    pub keep_days: f64,
    /// How busy the database is on average, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 40.0, value_parser = percent)]
    pub database_percent: f64,
}

/// Memory that comes with one whole processor.
const MB_OF_A_CPU: f64 = 1769.0;

impl Assumptions {
    /// How long CPU time takes in a function with so much memory.
    pub(super) fn stretched_ms(cpu_ms: f64, mb: f64) -> f64 {
        cpu_ms * (MB_OF_A_CPU / mb).max(1.0)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match not_negative(text)? {
        number if number > 0.0 => Ok(number),
        _ => Err("it must be more than 0".to_owned()),
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number.is_finite() && number >= 0.0 {
        Ok(number)
    } else {
        Err("it must be 0 or more".to_owned())
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match positive(text)? {
        number if number <= 100.0 => Ok(number),
        _ => Err("it must be 100 at most".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_bounds() {
        assert_eq!(percent("100"), Ok(100.0));
        assert!(percent("200").is_err() && percent("0").is_err() && positive("x").is_err());
        assert!(not_negative("0").is_ok() && not_negative("-1").is_err());
    }
}
