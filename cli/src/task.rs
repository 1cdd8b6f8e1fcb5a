//! `fluxus task`: polls for tasks of activities, and answers for a task by its token.

use std::time::Duration;

use clap::Subcommand;
use fluxus_schema::api::{ActivityTask, Poll, TaskFailure, TaskOutput};
use fluxus_schema::limits::MAX_WAIT;
use serde_json::Value;

use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Printer, indented, note};
use crate::source;
use crate::table::{Cell, facts};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take a task of an activity, as a worker; prints it with its token and input
    #[command(after_help = "\
A recipe names the activity in a task's Resource: arn:aws:states:REGION:ACCOUNT:activity:NAME.
Prints nothing, and exits with 0, where there is no task in the time.

Example:
  fluxus task poll approve-order --worker ines --wait 30")]
    Poll {
        /// The activity's name: the last part of its ARN
        activity: String,
        /// What the history shall call the worker
        #[arg(long, value_name = "NAME")]
        worker: Option<String>,
        /// Seconds to wait for a task
        #[arg(long, value_name = "SECONDS", default_value_t = 0,
            value_parser = clap::value_parser!(u32).range(0..=MAX_WAIT.as_secs() as i64))]
        wait: u32,
    },
    /// The task is done; its state goes on with the result
    #[command(after_help = "\
Example:
  fluxus task succeed AY... --result '{\"approved\": true, \"by\": \"ines\"}'")]
    Succeed {
        /// The task's token, from the task's input or `claim explain`
        token: String,
        /// What came of it: JSON, a file with JSON, or - for stdin
        #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}", allow_hyphen_values = true)]
        result: String,
    },
    /// The task failed; its state retries, catches, or fails
    #[command(after_help = "\
Example:
  fluxus task fail AY... --error Approval.Refused --cause 'over the budget'")]
    Fail {
        /// The task's token, from the task's input or `claim explain`
        token: String,
        /// Error name, as Retry and Catch match it
        #[arg(long, value_name = "NAME", default_value = "")]
        error: String,
        /// What happened, in words
        #[arg(long, value_name = "TEXT", default_value = "")]
        cause: String,
    },
    /// The task is still being worked on; its HeartbeatSeconds start anew
    Heartbeat {
        /// The task's token, from the task's input or `claim explain`
        token: String,
    },
}

/// Sends the answer.
///
/// # Errors
/// Where the server cannot be reached, or does not take the answer: the token is none, the task
/// has timed out, or it was answered before.
pub async fn run(command: &Command, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let (call, done) = match command {
        Command::Poll { activity, worker, wait } => {
            let poll = Poll { worker: worker.clone() };
            let call = client.post(&["activities", activity, "poll"])?.body(&poll)?;
            let document = call.wait(Duration::from_secs(u64::from(*wait))).send().await?;
            if document.bytes.is_empty() {
                note("There is no task.");
            } else {
                printer.document(&document, shown)?;
            }
            return Ok(Exit::Ok);
        }
        Command::Succeed { token, result } => {
            let output = TaskOutput { output: source::result(result)? };
            let call = client.post(&["tasks", token, "succeed"])?.body(&output)?;
            (call, "The task is done.")
        }
        Command::Fail { token, error, cause } => {
            let failure = TaskFailure { error: error.clone(), cause: cause.clone() };
            let call = client.post(&["tasks", token, "fail"])?.body(&failure)?;
            (call, "The task has failed.")
        }
        Command::Heartbeat { token } => {
            (client.post(&["tasks", token, "heartbeat"])?, "The task's time starts anew.")
        }
    };
    let document = call.send().await?;
    if printer.is_json() && !document.bytes.is_empty() {
        printer.document(&document, |_: &Value| String::new())?;
    }
    note(done);
    Ok(Exit::Ok)
}

/// A task for reading: what to answer with, what it is about, and the input.
fn shown(task: &ActivityTask) -> String {
    let plain = |text: String| Cell::from(text.as_str());
    let heartbeat = task.heartbeat_s.map(|seconds| plain(format!("every {seconds} s")));
    let rows = [
        ("token", Some(plain(task.token.to_string()))),
        ("claim", Some(plain(task.claim_id.to_string()))),
        ("state", Some(plain(task.state.to_string()))),
        ("attempt", (task.attempt > 0).then(|| plain((task.attempt + 1).to_string()))),
        ("deadline", task.deadline.map(|deadline| plain(deadline.to_string()))),
        ("heartbeat", heartbeat),
    ];
    format!("{}input\n{}", facts(&rows, None), indented(&task.input))
}
