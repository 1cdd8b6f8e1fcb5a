//! Running one measurement in a process of its own, which prints one JSON document.

use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::Command;

/// Runs the command and returns the last line of its output that is a JSON object, or its whole
/// output where that is one.
pub async fn json(mut command: Command) -> anyhow::Result<serde_json::Value> {
    let program = command.as_std().get_program().to_owned();
    let program = program.display();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let child = command.spawn().with_context(|| format!("start `{program}`"))?;
    let output = child.wait_with_output().await?;
    anyhow::ensure!(output.status.success(), "`{program}` failed: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    if let Ok(document) = serde_json::from_str(&text) {
        return Ok(document);
    }
    let mut lines = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
    lines.next().with_context(|| format!("`{program}` printed no JSON document"))
}
