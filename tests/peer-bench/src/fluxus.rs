//! The side of Fluxus: `fluxus bench`, which runs the embedded system on the database given.

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use crate::Plan;
use crate::process;
use crate::report::Measured;

/// Runs `fluxus bench` once.
pub async fn run(plan: &Plan, clients: usize, url: &str) -> anyhow::Result<Measured> {
    let mut command = Command::new(&plan.fluxus);
    command.arg("bench").args(["--output", "json", "--database-url", url]);
    command.args(["--seconds", &plan.seconds.to_string()]);
    command.args(["--concurrency", &clients.to_string()]);
    let document = process::json(command).await?;
    let number = |name: &str| {
        let value = document.get(name).and_then(Value::as_f64);
        value.with_context(|| format!("`fluxus bench` printed no number `{name}`: {document}"))
    };
    Ok(Measured {
        engine: "fluxus".to_owned(),
        clients,
        per_second: number("claims_per_s")?,
        p50_ms: number("p50_ms")?,
        p99_ms: number("p99_ms")?,
    })
}
