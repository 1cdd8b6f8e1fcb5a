//! `fluxus logs`: what the functions on AWS say.

use std::collections::HashSet;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use fluxus_schema::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::functions::{self, Deployed};
use super::settings::{Settings, Whereto};
use super::stack;
use super::tool::Aws;
use crate::exit::Exit;
use crate::moment::{self, date_and_time};
use crate::output::{Printer, note};
use crate::table::clean;

/// How long between two looks with `--follow`.
const POLL: Duration = Duration::from_secs(2);

/// Events come into CloudWatch late and out of order; with `--follow` this much is read again.
const LATE_MS: i64 = 30_000;

/// Functions that are asked at a time: each is a process of its own.
const AT_A_TIME: usize = 4;

/// Which functions, and since when.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Without FUNCTION, all functions in the order of time. Start and end of every call, and metrics, are
left out; --all shows them. With --output json, each event is a line.

Examples:
  fluxus logs
  fluxus logs core --since 15m
  fluxus logs fluxling-http --follow --filter ERROR")]
pub struct Args {
    /// The function: core, api, fluxling-http, or its name in the template or in AWS
    function: Option<String>,
    /// Go on as new lines come, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// From when on: RFC 3339, or a span back from now such as 90s, 15m, 24h or 7d
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = moment::parse)]
    since: Timestamp,
    /// Only what matches this pattern of CloudWatch Logs
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// Everything, also what Lambda says of each call, and metrics
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    whereto: Whereto,
}

/// Prints the log.
///
/// # Errors
/// Where there is no such stack or function, or AWS cannot be asked.
pub async fn run(args: &Args, printer: Printer) -> anyhow::Result<Exit> {
    let settings = Settings::load(&args.whereto)?;
    let aws = Aws::new(&settings);
    let stack = stack::get(&aws, &settings.stack).await?;
    let resources = stack::resources(&aws, &stack.stack_id).await?;
    let mut functions = functions::of(&aws, &resources).await?;
    if let Some(name) = &args.function {
        functions = vec![functions::named(&functions, name)?.clone()];
    }
    let filter = args.filter.as_deref();
    let mut seen = HashSet::new();
    let mut since = args.since.as_millis();
    let mut printed = 0;
    loop {
        let events = read(&aws, &functions, since, filter).await?;
        let newest = events.last().map(|event| event.timestamp);
        for event in events {
            if args.follow && !seen.insert(event.key()) {
                continue;
            }
            let line = if printer.is_json() {
                Some(event.json().to_string())
            } else {
                event.line(args.all, functions.len() > 1)
            };
            if let Some(line) = line {
                printer.text(&format!("{line}\n"))?;
                printed += 1;
            }
        }
        if !args.follow {
            break;
        }
        since = since.max(newest.map_or(since, |newest| newest - LATE_MS));
        tokio::time::sleep(POLL).await;
    }
    if printed == 0 {
        note(&format!("Nothing since {}.", date_and_time(args.since)));
    }
    Ok(Exit::Ok)
}

/// One thing that was said.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    timestamp: i64,
    message: String,
    #[serde(default)]
    log_stream_name: String,
    #[serde(skip)]
    function: String,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
}

/// What the functions said since then, in the order of time.
async fn read(
    aws: &Aws,
    functions: &[Deployed],
    since_ms: i64,
    filter: Option<&str>,
) -> anyhow::Result<Vec<Event>> {
    let mut rest = functions.iter();
    let mut asked = JoinSet::new();
    let mut events = Vec::new();
    loop {
        while asked.len() < AT_A_TIME
            && let Some(function) = rest.next()
        {
            let (aws, function) = (aws.clone(), function.clone());
            let filter = filter.map(str::to_owned);
            asked.spawn(async move { of(&aws, &function, since_ms, filter.as_deref()).await });
        }
        let Some(answer) = asked.join_next().await else { break };
        events.extend(answer.context("wait for a log")??);
    }
    events.sort_by_key(|event| event.timestamp);
    Ok(events)
}

async fn of(
    aws: &Aws,
    function: &Deployed,
    since_ms: i64,
    filter: Option<&str>,
) -> anyhow::Result<Vec<Event>> {
    let since = since_ms.to_string();
    let mut args = vec!["logs", "filter-log-events", "--log-group-name", &function.log_group];
    args.extend(["--start-time", &since]);
    args.extend(filter.into_iter().flat_map(|pattern| ["--filter-pattern", pattern]));
    let mut events = match aws.ask::<Events>(&args).await {
        Ok(answer) => answer.events,
        // A function that was never called has no log.
        Err(error) if error.is("ResourceNotFoundException") => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for event in &mut events {
        event.function.clone_from(&function.short);
    }
    Ok(events)
}

impl Event {
    fn key(&self) -> (i64, String, String) {
        (self.timestamp, self.log_stream_name.clone(), self.message.clone())
    }

    fn json(&self) -> Value {
        let said = serde_json::from_str(&self.message);
        let said = said.unwrap_or_else(|_| Value::String(self.message.trim_end().to_owned()));
        json!({"timestamp": Timestamp::from_millis(self.timestamp).to_string(),
            "function": self.function, "message": said})
    }

    /// The line for reading; none where it is what Lambda says of each call, or metrics.
    fn line(&self, all: bool, with_function: bool) -> Option<String> {
        let message = self.message.trim_end();
        let document = serde_json::from_str::<Value>(message).ok().filter(Value::is_object);
        if !all && is_noise(message, document.as_ref()) {
            return None;
        }
        let at = Timestamp::from_millis(self.timestamp).to_string();
        let dim = Style::new().dimmed();
        let mut line = format!("{dim}{at}{dim:#}");
        if with_function {
            line.push_str(&format!(" {:16}", self.function));
        }
        let Some(document) = document else { return Some(format!("{line} {}", clean(message))) };
        let level = document["level"].as_str().unwrap_or("");
        let style = match level {
            "ERROR" => AnsiColor::Red.on_default().bold(),
            "WARN" => AnsiColor::Yellow.on_default(),
            _ => Style::new(),
        };
        Some(format!("{line} {style}{level:5}{style:#} {}", clean(&said(&document, message))))
    }
}

/// What Lambda says of each call, and metrics.
fn is_noise(message: &str, document: Option<&Value>) -> bool {
    let is_call = ["START RequestId", "END RequestId", "REPORT RequestId", "INIT_START", "XRAY "];
    match document {
        None => is_call.iter().any(|start| message.starts_with(start)),
        Some(document) => {
            let kind = document["type"].as_str().unwrap_or_default();
            kind.starts_with("platform.") || document.get("_aws").is_some()
        }
    }
}

/// A structured line as a sentence: the message, then its fields.
fn said(document: &Value, whole: &str) -> String {
    let fields = document.get("fields").unwrap_or(document);
    let Some(message) = fields["message"].as_str() else { return whole.to_owned() };
    let known = ["message", "level", "timestamp", "target", "span", "spans", "filename"];
    let mut text = message.to_owned();
    for (name, value) in fields.as_object().into_iter().flatten() {
        if known.contains(&name.as_str()) {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&format!(" {name}={value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str, all: bool) -> Option<String> {
        let event = Event {
            timestamp: 1_763_899_384_512,
            message: message.to_owned(),
            log_stream_name: String::new(),
            function: "core".into(),
        };
        Some(anstream::adapter::strip_str(&event.line(all, true)?).to_string())
    }

    #[test]
    fn a_structured_line_reads_as_a_sentence() {
        let text = r#"{"timestamp": "2026", "level": "WARN", "target": "fluxus_core",
            "fields": {"message": "cannot handle it", "message.id": "m1", "tries": 3}}"#;
        assert_eq!(
            line(text, false).as_deref(),
            Some(
                "2025-11-23T12:03:04.512Z core             WARN  cannot handle it message.id=m1 tries=3"
            )
        );
        let text = line("panicked at\u{1b}[31m here\n", false).expect("a line");
        assert!(text.ends_with(" panicked at\u{fffd}[31m here"), "{text}");
    }

    #[test]
    fn what_lambda_says_of_each_call_and_metrics_are_left_out() {
        for noise in [
            "START RequestId: 1 Version: $LATEST\n",
            "REPORT RequestId: 1\tDuration: 2 ms",
            r#"{"time": "2026", "type": "platform.report", "record": {}}"#,
            r#"{"_aws": {"Timestamp": 1}, "Claims": 2}"#,
        ] {
            assert_eq!(line(noise, false), None, "{noise}");
            assert!(line(noise, true).is_some(), "{noise}");
        }
    }
}
