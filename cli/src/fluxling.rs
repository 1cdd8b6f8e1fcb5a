//! `fluxus fluxling`: which fluxlings there are and how they fare, and a new one.

pub mod new;

use anstyle::{AnsiColor, Style};
use clap::Subcommand;
use fluxus_schema::Timestamp;
use fluxus_schema::api::FluxlingList;
use fluxus_schema::fluxling::{Fluxling, Load};

use crate::args::Global;
use crate::client::Client;
use crate::exit::Exit;
use crate::moment::{absolute_and_relative, now, relative};
use crate::output::{Printer, note};
use crate::table::{Cell, Column, Table, facts};

/// What to do with fluxlings.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List all fluxlings with their load
    #[command(after_help = "\
IN FLIGHT is how many tasks a fluxling has, of how many it takes at a time. LATENCY and ERRORS are
moving averages over its answered tasks.

Example:
  fluxus fluxling list --output json | jq '.fluxlings[] | select(.load.error_rate > 0.1)'")]
    List,
    /// Show a fluxling: what it can do and how it fares
    Show {
        /// The fluxling's name
        name: String,
    },
    /// Write a new fluxling into a checkout of Fluxus: crate, test, template entry, sample event
    New(new::Args),
}

/// Runs one of the commands.
///
/// # Errors
/// Where the server cannot be reached or refuses, a fluxling cannot be written, or stdout cannot.
pub async fn run(command: &Command, global: &Global, printer: Printer) -> anyhow::Result<Exit> {
    match command {
        Command::List => {
            let document = Client::new(global)?.get(&["fluxlings"])?.send().await?;
            printer.document(&document, |list| render_list(list, now(), printer.width))?;
        }
        Command::New(args) => return new::run(args).await,
        Command::Show { name } => {
            let document = Client::new(global)?.get(&["fluxlings", name])?.send().await?;
            printer.document(&document, |fluxling| render(fluxling, now(), printer.width))?;
        }
    }
    Ok(Exit::Ok)
}

/// Whether it takes tasks, in a word or a few.
fn health(fluxling: &Fluxling, now: Timestamp) -> Cell {
    let bad = AnsiColor::Red.on_default();
    match fluxling.load.circuit_open_until {
        _ if !fluxling.enabled => Cell::styled("disabled", AnsiColor::Yellow.on_default()),
        Some(until) if until > now => {
            Cell::styled(&format!("failing; tried again {}", relative(until, now)), bad)
        }
        _ if fluxling.manifest.weight == 0 => Cell::styled("takes none", Style::new().dimmed()),
        _ => Cell::styled("ready", AnsiColor::Green.on_default()),
    }
}

/// Latency and error rate are zero until the first answer; showing that as fast would be false.
fn averages(load: &Load) -> (String, String) {
    if load.answered == 0 {
        return ("-".into(), "-".into());
    }
    (format!("{:.0} ms", load.latency_ms), format!("{:.1} %", load.error_rate * 100.0))
}

fn render_list(list: &FluxlingList, now: Timestamp, width: Option<usize>) -> String {
    if list.fluxlings.is_empty() {
        note("No fluxlings have registered.");
        return String::new();
    }
    let mut table = Table::new(&[
        Column::whole("FLUXLING"),
        Column::text("HEALTH"),
        Column::number("IN FLIGHT"),
        Column::number("LATENCY"),
        Column::number("ERRORS"),
        Column::number("ANSWERED"),
        Column::text("CAPABILITIES"),
    ]);
    for fluxling in &list.fluxlings {
        let Fluxling { manifest, load, .. } = fluxling;
        let able: Vec<_> = manifest.capabilities.iter().map(|one| one.name.as_str()).collect();
        let (latency, errors) = averages(load);
        table.row(vec![
            Cell::from(manifest.name.as_str()),
            health(fluxling, now),
            Cell::from(format!("{}/{}", load.in_flight, manifest.concurrency)),
            Cell::from(latency),
            Cell::from(errors),
            Cell::from(load.answered.to_string()),
            Cell::from(able.join(", ")),
        ]);
    }
    table.render(width)
}

fn render(fluxling: &Fluxling, now: Timestamp, width: Option<usize>) -> String {
    let Fluxling { manifest, load, registered_at, .. } = fluxling;
    let some = |text: &str| (!text.is_empty()).then(|| Cell::from(text));
    let (latency, errors) = averages(load);
    let tasks = format!("{} of at most {} in flight", load.in_flight, manifest.concurrency);
    let once = if manifest.idempotent { "yes" } else { "no; finished tasks are remembered" };
    let mut all = vec![
        ("Fluxling", Some(Cell::from(manifest.name.as_str()))),
        ("About", some(&manifest.description)),
        ("Version", some(&manifest.version)),
        ("Health", Some(health(fluxling, now))),
        ("Tasks", Some(Cell::from(tasks))),
        ("Answered", Some(Cell::from(load.answered.to_string()))),
        ("Latency", Some(Cell::from(latency))),
        ("Errors", Some(Cell::from(errors))),
        ("Queue", Some(Cell::from(&manifest.queue))),
        ("Timeout", Some(Cell::from(format!("{} ms", manifest.timeout_ms)))),
        ("Idempotent", Some(Cell::from(once))),
        ("Weight", Some(Cell::from(manifest.weight.to_string()))),
        ("Cost", Some(Cell::from(manifest.cost.to_string()))),
        ("Registered", Some(Cell::from(absolute_and_relative(*registered_at, now)))),
    ];
    for (key, value) in &manifest.labels {
        all.push(("Label", Some(Cell::from(format!("{key} = {value}")))));
    }
    for capability in &manifest.capabilities {
        all.push(("Capability", Some(Cell::from(capability.name.as_str()))));
    }
    facts(&all, width)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_shows_load_and_health() {
        let fluxling = |name: &str, enabled: bool, load: serde_json::Value| {
            json!({"manifest": {"name": name, "queue": "q", "concurrency": 8, "timeout_ms": 30000,
                    "capabilities": [{"name": "shop.charge"}, {"name": "shop.refund"}]},
                "enabled": enabled, "registered_at": "2026-11-23T12:00:00Z", "load": load})
        };
        let list: FluxlingList = serde_json::from_value(json!({"fluxlings": [
            fluxling("payments-eu", true, json!({"in_flight": 2, "latency_ms": 80.4,
                "error_rate": 0.0123, "answered": 1204})),
            fluxling("payments-us", true, json!({"in_flight": 0, "latency_ms": 0.0,
                "error_rate": 0.0, "answered": 0,
                "circuit_open_until": "2026-11-23T12:05:30Z"})),
            fluxling("payments-old", false, json!({"in_flight": 0, "latency_ms": 0.0,
                "error_rate": 0.0, "answered": 0})),
        ]}))
        .expect("a list");
        let now = Timestamp::parse("2026-11-23T12:05:00Z").expect("a time");
        expect![[r#"
            FLUXLING      HEALTH                        IN FLIGHT  LATENCY  ERRORS  ANSWERED  CAPABILITIES
            payments-eu   ready                               2/8    80 ms   1.2 %      1204  shop.charge, shop.refund
            payments-us   failing; tried again in 30 s        0/8        -       -         0  shop.charge, shop.refund
            payments-old  disabled                            0/8        -       -         0  shop.charge, shop.refund
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&render_list(&list, now, None)).to_string());
    }
}
