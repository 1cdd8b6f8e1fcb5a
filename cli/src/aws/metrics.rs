//! Numbers out of CloudWatch: one question for all of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use fluxus_schema::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::tool::Aws;

/// A number to ask for.
#[derive(Debug, Clone)]
pub struct Metric<'a> {
    /// `AWS/SQS` and its like.
    pub namespace: &'static str,
    /// The metric's name.
    pub name: &'static str,
    /// What it is of: the dimension and its value.
    pub of: (&'static str, &'a str),
    /// `Sum` or `Maximum`.
    pub statistic: &'static str,
}

/// The newest number of each, over the time until now; those that CloudWatch knows nothing of are
/// absent.
///
/// # Errors
/// Where CloudWatch cannot be asked.
pub async fn ask(
    aws: &Aws,
    metrics: &[Metric<'_>],
    now: Timestamp,
    over: Duration,
) -> anyhow::Result<BTreeMap<usize, f64>> {
    let query = |(at, metric): (usize, &Metric<'_>)| {
        let (dimension, value) = metric.of;
        json!({"Id": format!("m{at}"), "MetricStat": {"Period": over.as_secs(),
            "Stat": metric.statistic, "Metric": {"Namespace": metric.namespace,
            "MetricName": metric.name, "Dimensions": [{"Name": dimension, "Value": value}]}}})
    };
    let queries: Vec<_> = metrics.iter().enumerate().map(query).collect();
    let mut file = tempfile::NamedTempFile::new().context("write a question to CloudWatch")?;
    file.write_all(serde_json::to_string(&queries)?.as_bytes())?;
    let from = format!("file://{}", file.path().display());
    let (start, end) =
        (now.as_millis() - i64::try_from(over.as_millis()).unwrap_or(i64::MAX), now.to_string());
    let start = Timestamp::from_millis(start).to_string();
    let args = ["cloudwatch", "get-metric-data", "--metric-data-queries", &from];
    let times = ["--start-time", &start, "--end-time", &end, "--scan-by", "TimestampDescending"];
    let answer: Answer = aws.ask(&[&args[..], &times].concat()).await?;
    let found = answer.results.into_iter().filter_map(|result| {
        let at = result.id.strip_prefix('m')?.parse().ok()?;
        Some((at, *result.values.first()?))
    });
    Ok(found.collect())
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "MetricDataResults")]
    results: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "Values", default)]
    values: Vec<f64>,
}
