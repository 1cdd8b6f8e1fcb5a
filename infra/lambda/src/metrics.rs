//! Metrics for CloudWatch, written to the log in its embedded metric format.
//!
//! [`start`] turns them on, where this process is a Lambda function; elsewhere all of this does
//! nothing and costs nothing. Every metric is in the namespace [`NAMESPACE`] and has the dimension
//! `Stack`, from `FLUXUS_STACK`; further dimensions stand in the table.
//!
//! | metric | dimensions | unit | from |
//! | --- | --- | --- | --- |
//! | `ColdStarts` | `Function` | count | every function |
//! | `ClaimsReceived` | | count | api, ingest |
//! | `ClaimsEnded` | `Outcome` | count | core |
//! | `Transitions` | | count | core |
//! | `TaskLatency` | `Capability` | milliseconds | core: from delegation to answer |
//! | `TaskDuration`, `Tasks` | `Capability`, `Outcome` | milliseconds, count | fluxlings |
//! | `MessageAge` | `Queue` | milliseconds | whoever takes the message |
//! | `MessagesFailed` | `Queue` | count | likewise: messages that come again |
//! | `ClaimsRejected` | | count | ingest: those that went to the dead letters |
//! | `ClaimsOpen` | `Status` | count | observe, as all below |
//! | `OldestReceivedAge`, `TimerLag`, `OutboxAge` | | seconds | |
//! | `TimersDue`, `OutboxMessages`, `StuckClaims` | | count | |
//! | `TasksUnserved` | `Capability` | count | |
//! | `QueueMessages` | `Queue`, `State` | count | |
//! | `QueueAge` | `Queue` | seconds | |

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_cloudwatch_embedded::{Builder, Collector};

/// The namespace of all metrics in CloudWatch.
pub const NAMESPACE: &str = "Fluxus";

/// Names the stack that a function belongs to.
pub const STACK_VARIABLE: &str = "FLUXUS_STACK";

/// What a stack is called that has no name: a function that runs outside of one.
const NO_STACK: &str = "none";

/// Most samples of one metric between two flushes: what a document can hold. A batch has fewer; of
/// one that has more, the first are as good as any.
const MAX_SAMPLES: usize = 100;

static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();
static SAMPLES: AtomicUsize = AtomicUsize::new(0);

/// Turns metrics on where this process is a Lambda function, and counts a cold start of it. Call
/// it once, and [`flush`] at the end of each invocation.
pub fn start(function: &str) {
    if crate::is_lambda() {
        let stack = std::env::var(STACK_VARIABLE).unwrap_or_else(|_| NO_STACK.to_owned());
        turn_on(function, &stack);
    }
}

fn turn_on(function: &str, stack: &str) {
    let builder =
        Builder::new().cloudwatch_namespace(NAMESPACE).with_dimension("Stack", stack.to_owned());
    match builder.init() {
        Ok(collector) => {
            let _first = COLLECTOR.set(collector);
            describe();
            counter!("ColdStarts", "Function" => function.to_owned()).increment(1);
        }
        Err(error) => tracing::warn!(error, "there will be no metrics"),
    }
}

fn describe() {
    for name in ["ColdStarts", "ClaimsReceived", "ClaimsEnded", "ClaimsRejected", "Transitions"] {
        describe_counter!(name, Unit::Count, "");
    }
    for name in ["Tasks", "MessagesFailed"] {
        describe_counter!(name, Unit::Count, "");
    }
    for name in ["TaskLatency", "TaskDuration", "MessageAge"] {
        describe_histogram!(name, Unit::Milliseconds, "");
    }
    for name in ["ClaimsOpen", "TimersDue", "OutboxMessages", "StuckClaims", "TasksUnserved"] {
        describe_gauge!(name, Unit::Count, "");
    }
    describe_gauge!("QueueMessages", Unit::Count, "");
    for name in ["OldestReceivedAge", "TimerLag", "OutboxAge", "QueueAge"] {
        describe_gauge!(name, Unit::Seconds, "");
    }
}

/// Whether metrics are on: for callers that would have to compute what they report.
pub fn is_on() -> bool {
    COLLECTOR.get().is_some()
}

/// Writes what was counted since the last time. After each invocation: the process may be frozen
/// then, for good.
pub fn flush() {
    flush_to(std::io::stdout().lock());
}

/// Runs an invocation and [`flush`]es after it.
pub async fn flushed<T>(invocation: impl Future<Output = T>) -> T {
    let answer = invocation.await;
    flush();
    answer
}

fn flush_to(writer: impl Write) {
    let Some(collector) = COLLECTOR.get() else { return };
    SAMPLES.store(0, Ordering::Relaxed);
    if let Err(error) = collector.flush(writer) {
        tracing::warn!(%error, "cannot write metrics");
    }
}

/// Adds to a counter.
pub fn count(name: &'static str, labels: &[(&'static str, &str)], by: u64) {
    if is_on() && by > 0 {
        counter!(name, &owned(labels)).increment(by);
    }
}

/// Says how much there is of something now.
pub fn level(name: &'static str, labels: &[(&'static str, &str)], value: f64) {
    if is_on() {
        gauge!(name, &owned(labels)).set(value);
    }
}

/// Notes how long something took, or how old it is.
pub fn took(name: &'static str, labels: &[(&'static str, &str)], time: Duration) {
    if is_on() && SAMPLES.fetch_add(1, Ordering::Relaxed) < MAX_SAMPLES {
        histogram!(name, &owned(labels)).record(time.as_secs_f64() * 1000.0);
    }
}

fn owned(labels: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// What a fluxling did with a task.
pub fn task(capability: &str, outcome: &str, time: Duration) {
    count("Tasks", &[("Capability", capability), ("Outcome", outcome)], 1);
    took("TaskDuration", &[("Capability", capability)], time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_documents_with_the_stack_as_their_dimension() {
        count("Transitions", &[], 7);
        flush(); // Nothing is on yet, so nothing comes of it.

        turn_on("fluxus-core", "fluxus-test");
        count("ClaimsEnded", &[("Outcome", "SUCCEEDED")], 2);
        count("ClaimsEnded", &[("Outcome", "FAILED")], 0);
        (0..=MAX_SAMPLES)
            .for_each(|_| took("MessageAge", &[("Queue", "core")], Duration::from_millis(5)));
        level("TimersDue", &[], 3.0);
        task("http.request", "succeeded", Duration::from_millis(12));
        let mut written = Vec::new();
        flush_to(&mut written);
        let text = String::from_utf8(written).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        let line = |what: &str| *lines.iter().find(|line| line.contains(what)).expect(what);
        for line in &lines {
            assert!(line.contains(r#""Namespace":"Fluxus""#), "{line}");
            assert!(line.contains(r#""Stack":"fluxus-test""#), "{line}");
        }
        assert!(line("ColdStarts").contains(r#""Function":"fluxus-core""#));
        assert!(line("ClaimsEnded").contains(r#""ClaimsEnded":2"#));
        assert!(!text.contains("FAILED"), "{text}");
        assert!(line("MessageAge").contains(r#""Unit":"Milliseconds""#));
        assert_eq!(line("MessageAge").matches("5.0").count(), MAX_SAMPLES);
        assert!(line("TimersDue").contains(r#""TimersDue":3"#));

        let mut again = Vec::new();
        flush_to(&mut again);
        assert!(!String::from_utf8_lossy(&again).contains("ClaimsEnded"), "counted once");
    }
}
