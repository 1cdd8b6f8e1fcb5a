//! A claim's history told as it happens: one readable line for each event that says something new.

use std::collections::HashMap;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use fluxus_schema::delegation::Delegation;
use fluxus_schema::history::{EventKind, HistoryEvent};
use fluxus_schema::{BranchId, Timestamp};
use serde_json::{Map, Value};

use crate::moment::{clock, span};
use crate::table::{clean, cut};

/// Room for the name of a state, at first.
const NAME_WIDTH: usize = 16;

/// A longer name makes the room wider for all lines after it, up to this.
const MAX_NAME_WIDTH: usize = 32;

/// Most characters of an input or output within a line.
const MAX_DATA_CHARS: usize = 120;

const DIM: Style = Style::new().dimmed();
const PLAIN: Style = Style::new();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const UNSURE: Style = AnsiColor::Yellow.on_default();

/// Tells the events of one claim, in their order.
///
/// An event alone says little: that a task failed, but not in which state or on which attempt. A
/// story remembers what came before. Use one for each claim.
#[derive(Debug, Clone, Default)]
pub struct Story {
    width: Option<usize>,
    name_width: usize,
    started: Option<Timestamp>,
    strands: HashMap<BranchId, Strand>,
}

/// Where one branch is.
#[derive(Debug, Clone)]
struct Strand {
    state: String,
    entered: Timestamp,
    asked: Timestamp,
    failures: u32,
}

impl Story {
    /// A story whose lines are cut to `width` columns; none leaves them as long as they are.
    pub fn new(width: Option<usize>) -> Self {
        Self { width, ..Self::default() }
    }

    /// The line for the next event, coloured (print it through `anstream`); none for an event that
    /// only repeats what the ones around it say, such as `TaskStateExited` after `TaskSucceeded`.
    pub fn tell(&mut self, event: &HistoryEvent) -> Option<String> {
        self.remember(event);
        let (style, text) = self.text(event)?;
        let name = self.name(event);
        Some(self.line(event.timestamp, &name, style, &text))
    }

    fn line(&mut self, at: Timestamp, name: &str, style: Style, text: &str) -> String {
        let name = cut(&clean(name), MAX_NAME_WIDTH);
        let name_width = self.name_width.max(NAME_WIDTH).max(name.chars().count());
        self.name_width = name_width;
        let name = format!("{name:name_width$}");
        let time = clock(at);
        let taken = time.len() + name.chars().count() + 4;
        let room = self.width.map_or(usize::MAX, |width| width.saturating_sub(taken).max(20));
        let text = cut(&clean(text), room);
        format!("{DIM}{time}{DIM:#}  {name}  {style}{text}{style:#}")
    }

    fn remember(&mut self, event: &HistoryEvent) {
        let at = event.timestamp;
        if event.kind == EventKind::ExecutionStarted {
            self.started = Some(at);
        }
        if event.kind.details_field() == "stateEnteredEventDetails" {
            let state = text(event, "name").unwrap_or_default().to_owned();
            let strand = Strand { state, entered: at, asked: at, failures: 0 };
            self.strands.insert(event.branch.clone(), strand);
        } else if let Some(strand) = self.strands.get_mut(&event.branch) {
            match event.kind {
                EventKind::TaskScheduled
                | EventKind::LambdaFunctionScheduled
                | EventKind::ActivityScheduled => strand.asked = at,
                kind if is_failed_attempt(kind) => strand.failures += 1,
                _ => {}
            }
        }
    }

    /// Whom a line is about: the state, with its branch where it is not the root.
    fn name(&self, event: &HistoryEvent) -> String {
        if event.kind.ends_execution()
            || matches!(event.kind, EventKind::ExecutionStarted | EventKind::ClaimEvaluated)
        {
            return "claim".to_owned();
        }
        if event.kind.details_field().starts_with("mapIteration") && !event.branch.is_root() {
            return event.branch.to_string();
        }
        let state = self.strands.get(&event.branch).map_or("", |strand| strand.state.as_str());
        if event.branch.is_root() { state.to_owned() } else { format!("{} {state}", event.branch) }
    }

    fn text(&self, event: &HistoryEvent) -> Option<(Style, String)> {
        use EventKind as Kind;
        let strand = self.strands.get(&event.branch);
        let took = |since: Option<Timestamp>| match since {
            Some(since) => format!(" after {}", span(event.timestamp.since(since))),
            None => String::new(),
        };
        let asked = took(strand.map(|strand| strand.asked));
        let lasted = took(self.started);
        Some(match event.kind {
            Kind::ClaimEvaluated => (PLAIN, evaluated(event)),
            Kind::TaskDelegated => delegated(event, strand.map_or(0, |strand| strand.failures)),
            Kind::RetryDelayed => {
                let details = event.details.get("retryDelayedEventDetails");
                let ms = details.and_then(|details| details["delay_ms"].as_u64()).unwrap_or(0);
                let more = span(Duration::from_millis(ms));
                (UNSURE, format!("retry waits {more} longer: too many tasks fail at once"))
            }

            Kind::ExecutionStarted => (PLAIN, format!("started{}", data(event, "input", " with "))),
            Kind::ExecutionSucceeded => {
                (GOOD, format!("SUCCEEDED{lasted}{}", data(event, "output", ": ")))
            }
            Kind::ExecutionFailed => (BAD, format!("FAILED{lasted}{}", failure(event))),
            Kind::ExecutionTimedOut => (BAD, format!("TIMED_OUT{lasted}{}", failure(event))),
            Kind::ExecutionAborted => (UNSURE, format!("ABORTED{lasted}{}", failure(event))),
            Kind::ExecutionRedriven => (PLAIN, "goes on: redriven".into()),
            Kind::TaskRetried => (UNSURE, format!("tried again by hand{}", by_hand(event))),
            Kind::TaskSkipped => (UNSURE, format!("ended by hand{}", by_hand(event))),

            Kind::PassStateEntered => (DIM, "passed through".into()),
            Kind::ChoiceStateEntered => (DIM, "decides what comes next".into()),
            Kind::WaitStateEntered => (PLAIN, "waits".into()),
            Kind::WaitStateExited => {
                let entered = strand.map_or(event.timestamp, |strand| strand.entered);
                (DIM, format!("has waited {}", span(event.timestamp.since(entered))))
            }
            Kind::SucceedStateEntered => (GOOD, "ends well".into()),
            Kind::FailStateEntered => (BAD, "ends the claim as failed".into()),

            Kind::ActivityScheduled => {
                (PLAIN, format!("offered to outside workers of {}", resource(event)))
            }
            Kind::TaskScheduled if resource(event).starts_with("startExecution") => {
                (PLAIN, "starts a child claim".into())
            }
            Kind::TaskSubmitted if resource(event).contains("waitForTaskToken") => {
                (PLAIN, "handed over; waits for the callback".into())
            }
            Kind::ActivitySucceeded | Kind::LambdaFunctionSucceeded | Kind::TaskSucceeded => {
                (GOOD, format!("done{asked}{}", data(event, "output", ": ")))
            }
            Kind::ActivityTimedOut | Kind::LambdaFunctionTimedOut | Kind::TaskTimedOut => {
                (BAD, format!("timed out{asked}{}", failure(event)))
            }
            kind if is_failed_attempt(kind) => (BAD, format!("failed{asked}{}", failure(event))),
            Kind::TaskStateAborted | Kind::WaitStateAborted => (UNSURE, "stopped".into()),
            Kind::EvaluationFailed => (BAD, format!("cannot be evaluated{}", failure(event))),

            Kind::ParallelStateStarted => (PLAIN, "starts its branches".into()),
            Kind::ParallelStateSucceeded => (GOOD, "all branches are done".into()),
            Kind::ParallelStateFailed => (BAD, "a branch failed".into()),
            Kind::MapStateStarted | Kind::MapRunStarted => {
                let length = details(event).get("length").and_then(Value::as_u64);
                let items = length.map_or("its items".into(), |items| match items {
                    1 => "1 item".to_owned(),
                    items => format!("{items} items"),
                });
                (PLAIN, format!("starts {items}"))
            }
            Kind::MapIterationSucceeded => (GOOD, format!("item {} is done", index(event))),
            Kind::MapIterationFailed => (BAD, format!("item {} failed", index(event))),
            Kind::MapIterationAborted => (UNSURE, format!("item {} was stopped", index(event))),
            Kind::MapStateSucceeded | Kind::MapRunSucceeded => (GOOD, "all items are done".into()),
            Kind::MapStateFailed | Kind::MapRunFailed => (BAD, "failed with its items".into()),
            Kind::ParallelStateAborted | Kind::MapStateAborted | Kind::MapRunAborted => {
                (UNSURE, "stopped with its branches".into())
            }
            _ => return None,
        })
    }
}

fn is_failed_attempt(kind: EventKind) -> bool {
    use EventKind as Kind;
    matches!(
        kind,
        Kind::TaskFailed
            | Kind::TaskTimedOut
            | Kind::TaskStartFailed
            | Kind::TaskSubmitFailed
            | Kind::LambdaFunctionFailed
            | Kind::LambdaFunctionTimedOut
            | Kind::LambdaFunctionScheduleFailed
            | Kind::LambdaFunctionStartFailed
            | Kind::ActivityFailed
            | Kind::ActivityTimedOut
            | Kind::ActivityScheduleFailed
    )
}

fn details(event: &HistoryEvent) -> &Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    event.details.get(event.kind.details_field()).and_then(Value::as_object).unwrap_or(&NONE)
}

fn text<'a>(event: &'a HistoryEvent, name: &str) -> Option<&'a str> {
    details(event).get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn resource(event: &HistoryEvent) -> &str {
    text(event, "resource").unwrap_or_default()
}

fn index(event: &HistoryEvent) -> String {
    details(event).get("index").map(Value::to_string).unwrap_or_default()
}

/// An input or output: JSON text, or in events of ours JSON.
fn data(event: &HistoryEvent, name: &str, before: &str) -> String {
    let shown = match details(event).get(name) {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => cut(text, MAX_DATA_CHARS),
        Some(value) => cut(&value.to_string(), MAX_DATA_CHARS),
    };
    format!("{before}{shown}")
}

/// `: Error: cause`, as far as they are known.
fn failure(event: &HistoryEvent) -> String {
    ["error", "cause"].iter().filter_map(|name| text(event, name)).fold(
        String::new(),
        |mut told, part| {
            told.push_str(": ");
            told.push_str(part);
            told
        },
    )
}

fn evaluated(event: &HistoryEvent) -> String {
    let told = details(event);
    let version = ["recipeVersion", "recipe_version", "version"]
        .iter()
        .find_map(|name| told.get(*name))
        .map(|version| format!(" version {version}"))
        .unwrap_or_default();
    match (text(event, "recipe"), text(event, "reason")) {
        (Some(recipe), _) => format!("goes to recipe {recipe}{version}"),
        (None, Some(reason)) => format!("evaluated: {reason}"),
        (None, None) => format!("evaluated{}", failure(event)),
    }
}

/// Who did it, and why.
fn by_hand(event: &HistoryEvent) -> String {
    let details = event.details.get(event.kind.details_field());
    let said = |name: &str| details.and_then(|details| details[name].as_str());
    let by = said("by").map(|by| format!(", by {by}")).unwrap_or_default();
    let reason = said("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{by}{reason}")
}

fn delegated(event: &HistoryEvent, failures: u32) -> (Style, String) {
    let told = Value::Object(details(event).clone());
    let Ok(told) = serde_json::from_value::<Delegation>(told) else {
        return (PLAIN, "delegated".into());
    };
    let attempt = if failures == 0 { String::new() } else { format!(", attempt {}", failures + 1) };
    let reason = told.reason.trim_end_matches('.');
    match told.fluxling {
        Some(fluxling) => (PLAIN, format!("given to {fluxling}{attempt} ({reason})")),
        None => (UNSURE, format!("nobody can take {} yet ({reason})", told.capability)),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(width: Option<usize>, events: &Value, expected: &Expect) {
        let events: Vec<HistoryEvent> = events
            .as_array()
            .expect("events")
            .iter()
            .zip(0i64..)
            .map(|(event, n)| {
                let mut event = event.clone();
                event["id"] = json!(n + 1);
                event["previousEventId"] = json!(n);
                event["timestamp"] =
                    json!(Timestamp::from_millis(1_763_899_384_000 + n * 750).to_string());
                if event["branch"].is_null() {
                    event["branch"] = json!("/");
                }
                serde_json::from_value(event).expect("an event")
            })
            .collect();
        let mut story = Story::new(width);
        let lines: Vec<_> = events.iter().filter_map(|event| story.tell(event)).collect();
        let text = anstream::adapter::strip_str(&lines.join("\n")).to_string();
        let lines: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        expected.assert_eq(&lines);
    }

    fn order() -> Value {
        json!([
            {"type": "ClaimEvaluated", "claimEvaluatedEventDetails":
                {"recipe": "order-saga", "recipeVersion": 3}},
            {"type": "ExecutionStarted", "executionStartedEventDetails":
                {"input": "{\"order\":\"1001\"}"}},
            {"type": "TaskStateEntered", "stateEnteredEventDetails":
                {"name": "Charge", "input": "{}"}},
            {"type": "TaskScheduled", "taskScheduledEventDetails":
                {"resource": "shop.charge", "resourceType": "fluxling"}},
            {"type": "TaskDelegated", "taskDelegatedEventDetails":
                {"capability": "shop.charge", "fluxling": "payments-eu",
                 "reason": "Lowest expected wait of 2.", "candidates": []}},
            {"type": "TaskFailed", "taskFailedEventDetails":
                {"error": "Shop.Busy", "cause": "try again\nlater"}},
            {"type": "TaskScheduled", "taskScheduledEventDetails": {"resource": "shop.charge"}},
            {"type": "TaskDelegated", "taskDelegatedEventDetails":
                {"capability": "shop.charge", "reason": "both circuits are open",
                 "candidates": []}},
            {"type": "TaskDelegated", "taskDelegatedEventDetails":
                {"capability": "shop.charge", "fluxling": "payments-us",
                 "reason": "the only candidate", "candidates": []}},
            {"type": "TaskSucceeded", "taskSucceededEventDetails":
                {"output": "{\"charge\":\"ch_1\"}"}},
            {"type": "TaskStateExited", "stateExitedEventDetails": {"name": "Charge"}},
            {"type": "ExecutionSucceeded", "executionSucceededEventDetails":
                {"output": "{\"ok\":true}"}},
        ])
    }

    #[test]
    fn a_task_is_told_with_its_attempts() {
        check(
            None,
            &order(),
            &expect![[r#"
                12:03:04.000  claim             goes to recipe order-saga version 3
                12:03:04.750  claim             started with {"order":"1001"}
                12:03:07.000  Charge            given to payments-eu (Lowest expected wait of 2)
                12:03:07.750  Charge            failed after 1.5 s: Shop.Busy: try again later
                12:03:09.250  Charge            nobody can take shop.charge yet (both circuits are open)
                12:03:10.000  Charge            given to payments-us, attempt 2 (the only candidate)
                12:03:10.750  Charge            done after 2.2 s: {"charge":"ch_1"}
                12:03:12.250  claim             SUCCEEDED after 7.5 s: {"ok":true}
            "#]],
        );
    }

    #[test]
    fn a_line_fits_the_terminal() {
        check(
            Some(60),
            &order(),
            &expect![[r#"
                12:03:04.000  claim             goes to recipe order-saga v…
                12:03:04.750  claim             started with {"order":"1001…
                12:03:07.000  Charge            given to payments-eu (Lowes…
                12:03:07.750  Charge            failed after 1.5 s: Shop.Bu…
                12:03:09.250  Charge            nobody can take shop.charge…
                12:03:10.000  Charge            given to payments-us, attem…
                12:03:10.750  Charge            done after 2.2 s: {"charge"…
                12:03:12.250  claim             SUCCEEDED after 7.5 s: {"ok…
            "#]],
        );
    }

    #[test]
    fn a_long_name_makes_room_for_the_lines_after_it() {
        let entered = |name: &str| {
            let details = json!({"name": name});
            json!({"type": "PassStateEntered", "stateEnteredEventDetails": details})
        };
        check(
            None,
            &json!([
                entered("A"),
                entered("Tell the warehouse"),
                entered(&"n".repeat(60)),
                entered("B")
            ]),
            &expect![[r#"
                12:03:04.000  A                 passed through
                12:03:04.750  Tell the warehouse  passed through
                12:03:05.500  nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…  passed through
                12:03:06.250  B                                 passed through
            "#]],
        );
    }

    #[test]
    fn children_show_their_branch() {
        check(
            None,
            &json!([
                {"type": "MapStateEntered", "stateEnteredEventDetails": {"name": "Each"}},
                {"type": "MapStateStarted", "mapStateStartedEventDetails": {"length": 2}},
                {"type": "MapIterationStarted", "mapIterationStartedEventDetails":
                    {"name": "Each", "index": 0}, "branch": "/1.0"},
                {"type": "ChoiceStateEntered", "stateEnteredEventDetails": {"name": "Big?"},
                 "branch": "/1.0"},
                {"type": "WaitStateEntered", "stateEnteredEventDetails": {"name": "Rest"},
                 "branch": "/1.1"},
                {"type": "WaitStateExited", "stateExitedEventDetails": {"name": "Rest"},
                 "branch": "/1.1"},
                {"type": "MapIterationSucceeded", "mapIterationSucceededEventDetails":
                    {"name": "Each", "index": 1}, "branch": "/"},
                {"type": "MapIterationSucceeded", "mapIterationSucceededEventDetails":
                    {"name": "Each", "index": 1}, "branch": "/1.1"},
                {"type": "MapStateAborted"},
                {"type": "ExecutionFailed", "executionFailedEventDetails":
                    {"error": "OrderCancelled"}},
            ]),
            &expect![[r#"
                12:03:04.750  Each              starts 2 items
                12:03:06.250  /1.0 Big?         decides what comes next
                12:03:07.000  /1.1 Rest         waits
                12:03:07.750  /1.1 Rest         has waited 750 ms
                12:03:08.500  Each              item 1 is done
                12:03:09.250  /1.1              item 1 is done
                12:03:10.000  Each              stopped with its branches
                12:03:10.750  claim             FAILED: OrderCancelled
            "#]],
        );
    }
}
