//! `fluxus task`: answers for a task by its token.

use clap::Subcommand;
use fluxus_schema::api::{TaskFailure, TaskOutput};
use serde_json::Value;

use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Printer, note};
use crate::source;

/// The answer.
#[derive(Debug, Subcommand)]
pub enum Command {
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
        Command::Succeed { token, result } => {
            let output = TaskOutput { output: source::argument(result)? };
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
