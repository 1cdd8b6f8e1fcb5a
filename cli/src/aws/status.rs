//! `fluxus status`: how the system on AWS stands.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use fluxus_schema::Timestamp;
use serde_json::{Value, json};

use super::functions::{self, Deployed};
use super::metrics::{self, Metric};
use super::queues::{self, Depth};
use super::settings::{Settings, Whereto};
use super::stack::{self, Stack};
use super::tool::Aws;
use crate::exit::Exit;
use crate::moment::{absolute_and_relative, now, span};
use crate::output::{Printer, note};
use crate::table::{Cell, Column, Table, facts};

/// How far back calls and errors are counted.
const OVER: Duration = Duration::from_secs(60 * 60);

/// CloudWatch has the age of the oldest message once a minute, and some minutes late.
const AGE_OVER: Duration = Duration::from_secs(5 * 60);

/// Which stack.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
CALLS and ERRORS are those of the last hour. DEAD are messages that nobody could handle: look at
them before they expire. A dash stands for what CloudWatch does not know.

Examples:
  fluxus status --env prod
  fluxus status --output json | jq '.queues[] | select(.dead > 0)'")]
pub struct Args {
    #[command(flatten)]
    whereto: Whereto,
}

/// Prints how the stack, its functions and its queues stand.
///
/// # Errors
/// Where there is no such stack, or AWS cannot be asked.
pub async fn run(args: &Args, printer: Printer) -> anyhow::Result<Exit> {
    let settings = Settings::load(&args.whereto)?;
    let aws = Aws::new(&settings);
    let stack = stack::get(&aws, &settings.stack).await?;
    let parts = stack::parts(&aws, &stack.stack_id).await?;
    let resources: Vec<_> = parts.into_iter().flat_map(|part| part.resources).collect();
    let (functions, queues) =
        tokio::try_join!(functions::of(&aws, &resources), queues::of(&aws, &resources))?;
    let now = now();
    let mut status = Status { name: settings.stack, stack, functions, queues, calls: Vec::new() };
    if let Err(error) = status.count(&aws, now).await {
        note(&format!("CloudWatch says nothing: {error:#}"));
    }
    if printer.is_json() {
        printer.raw(status.json().to_string().as_bytes())?;
    } else {
        printer.text(&status.render(now, printer.width))?;
    }
    Ok(Exit::Ok)
}

/// Everything there is to show.
struct Status {
    name: String,
    stack: Stack,
    functions: Vec<Deployed>,
    queues: Vec<Depth>,
    /// Calls and errors of each function.
    calls: Vec<(Option<u64>, Option<u64>)>,
}

impl Status {
    /// Adds what CloudWatch knows.
    async fn count(&mut self, aws: &Aws, now: Timestamp) -> anyhow::Result<()> {
        let of_functions: Vec<_> = self
            .functions
            .iter()
            .flat_map(|function| {
                let of = ("FunctionName", function.name.as_str());
                ["Invocations", "Errors"].map(|name| Metric {
                    namespace: "AWS/Lambda",
                    name,
                    of,
                    statistic: "Sum",
                })
            })
            .collect();
        let of_queues: Vec<_> = self
            .queues
            .iter()
            .map(|queue| Metric {
                namespace: "AWS/SQS",
                name: "ApproximateAgeOfOldestMessage",
                of: ("QueueName", &queue.queue),
                statistic: "Maximum",
            })
            .collect();
        let (counts, ages) = tokio::try_join!(
            metrics::ask(aws, &of_functions, now, OVER),
            metrics::ask(aws, &of_queues, now, AGE_OVER)
        )?;
        // Counts and seconds are whole and small.
        let whole = |value: &f64| value.max(0.0) as u64;
        let count = |at: usize| counts.get(&at).map(whole);
        self.calls =
            (0..self.functions.len()).map(|at| (count(2 * at), count(2 * at + 1))).collect();
        for (at, queue) in self.queues.iter_mut().enumerate() {
            queue.oldest_s = ages.get(&at).map(whole);
        }
        Ok(())
    }

    fn calls(&self, at: usize) -> (Option<u64>, Option<u64>) {
        self.calls.get(at).copied().unwrap_or_default()
    }

    fn json(&self) -> Value {
        let function = |(at, one): (usize, &Deployed)| {
            let (calls, errors) = self.calls(at);
            json!({"function": one.short, "id": one.id, "name": one.name,
                "memory_mib": one.memory_mib, "timeout_s": one.timeout_s, "changed": one.changed,
                "calls": calls, "errors": errors})
        };
        json!({
            "stack": self.name,
            "status": self.stack.stack_status,
            "reason": self.stack.stack_status_reason,
            "changed": self.stack.last_updated_time.as_ref().or(self.stack.creation_time.as_ref()),
            "release": self.stack.parameters().get("Release"),
            "outputs": self.stack.outputs(),
            "functions": self.functions.iter().enumerate().map(function).collect::<Vec<_>>(),
            "queues": self.queues,
        })
    }

    fn render(&self, now: Timestamp, width: Option<usize>) -> String {
        let stack = &self.stack;
        let changed = stack.last_updated_time.as_ref().or(stack.creation_time.as_ref());
        let moment = |text: &String| match Timestamp::parse(text) {
            Ok(at) => Cell::from(absolute_and_relative(at, now)),
            Err(_) => Cell::from(text),
        };
        let style = if stack.is_well() {
            AnsiColor::Green.on_default()
        } else if stack.is_busy() {
            AnsiColor::Cyan.on_default()
        } else {
            AnsiColor::Red.on_default()
        };
        let reason = stack.stack_status_reason.as_ref();
        let reason = reason.filter(|reason| !stack.is_well() && !reason.is_empty());
        let release = stack.parameters().get("Release").map(Cell::from);
        let stack = facts(
            &[
                ("Stack", Some(Cell::from(&self.name))),
                ("Status", Some(Cell::styled(&stack.stack_status, style))),
                ("Why", reason.map(Cell::from)),
                ("Changed", changed.map(moment)),
                ("Release", release),
                ("Address", stack.output("ApiUrl").map(Cell::from)),
                ("Ingest", stack.output("IngestQueueUrl").map(Cell::from)),
            ],
            width,
        );
        format!("{stack}\n{}\n{}", self.function_table(now, width), self.queue_table(width))
    }

    fn function_table(&self, now: Timestamp, width: Option<usize>) -> String {
        let mut table = Table::new(&[
            Column::whole("FUNCTION"),
            Column::number("MEMORY"),
            Column::number("TIMEOUT"),
            Column::number("CALLS"),
            Column::number("ERRORS"),
            Column::text("CHANGED"),
        ]);
        for (at, one) in self.functions.iter().enumerate() {
            let (calls, errors) = self.calls(at);
            let changed = moment_of_lambda(&one.changed)
                .map_or_else(|| one.changed.clone(), |at| absolute_and_relative(at, now));
            table.row(vec![
                Cell::from(&one.short),
                Cell::from(format!("{} MiB", one.memory_mib)),
                Cell::from(format!("{} s", one.timeout_s)),
                Cell::from(number(calls)),
                bad(errors),
                Cell::from(changed),
            ]);
        }
        table.render(width)
    }

    fn queue_table(&self, width: Option<usize>) -> String {
        let mut table = Table::new(&[
            Column::whole("QUEUE"),
            Column::number("WAITING"),
            Column::number("IN FLIGHT"),
            Column::number("DELAYED"),
            Column::number("OLDEST"),
            Column::number("DEAD"),
        ]);
        let prefix = format!("{}-", self.name);
        for one in &self.queues {
            let oldest = one.oldest_s.map(|age| span(Duration::from_secs(age)));
            table.row(vec![
                Cell::from(one.queue.strip_prefix(&prefix).unwrap_or(&one.queue)),
                Cell::from(one.waiting.to_string()),
                Cell::from(one.in_flight.to_string()),
                Cell::from(one.delayed.to_string()),
                Cell::from(oldest.unwrap_or_else(|| "-".to_owned())),
                bad(one.dead),
            ]);
        }
        table.render(width)
    }
}

fn number(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

/// A count that should be none.
fn bad(count: Option<u64>) -> Cell {
    let is_bad = count.is_some_and(|count| count > 0);
    let style = if is_bad { AnsiColor::Red.on_default() } else { Style::new() };
    Cell::styled(&number(count), style)
}

/// Lambda writes `2026-11-25T15:33:53.584+0000`, without the colon that RFC 3339 asks for.
fn moment_of_lambda(text: &str) -> Option<Timestamp> {
    Timestamp::parse(&text.replace("+0000", "Z")).ok()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_system_is_shown_with_its_functions_and_queues() {
        let stack = serde_json::from_value(json!({
            "StackId": "1", "StackStatus": "UPDATE_COMPLETE",
            "LastUpdatedTime": "2026-11-23T12:00:00.000Z",
            "Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://here"}],
            "Parameters": [{"ParameterKey": "Release", "ParameterValue": "ab12"}],
        }));
        let queue = |name: &str, waiting, oldest_s, dead| Depth {
            queue: name.into(),
            waiting,
            in_flight: 1,
            delayed: 0,
            oldest_s,
            dead,
        };
        let status = Status {
            name: "fluxus".into(),
            stack: stack.expect("a stack"),
            functions: vec![Deployed {
                short: "core".into(),
                id: "CoreFunction".into(),
                name: "fluxus-core-1".into(),
                log_group: String::new(),
                memory_mib: 512,
                timeout_s: 60,
                changed: "2026-11-23T12:00:00.000+0000".into(),
            }],
            queues: vec![
                queue("fluxus-core", 12, Some(90), Some(2)),
                queue("fluxus-ingest", 0, None, None),
            ],
            calls: vec![(Some(120), Some(3))],
        };
        let now = Timestamp::parse("2026-11-23T12:05:00Z").expect("a time");
        expect![[r#"
            Stack    fluxus
            Status   UPDATE_COMPLETE
            Changed  2026-11-23 12:00:00Z (5 min ago)
            Release  ab12
            Address  https://here

            FUNCTION   MEMORY  TIMEOUT  CALLS  ERRORS  CHANGED
            core      512 MiB     60 s    120       3  2026-11-23 12:00:00Z (5 min ago)

            QUEUE   WAITING  IN FLIGHT  DELAYED      OLDEST  DEAD
            core         12          1        0  1 min 30 s     2
            ingest        0          1        0           -     -
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&status.render(now, None)).to_string());
        assert_eq!(status.json()["queues"][0]["dead"], 2);
    }
}
