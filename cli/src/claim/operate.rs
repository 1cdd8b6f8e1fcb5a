//! `fluxus claim redrive`, `retry` and `skip`: what an operator does about a claim.

use fluxus_schema::BranchId;
use fluxus_schema::api::{self, Redriven, SeenTo};

use super::OneClaim;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Printer, note};
use crate::source;

/// Which claim.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
States that succeeded are not run again; branches of a Parallel or Map that succeeded keep their
results; retries start anew. The claim keeps its id and the recipe's version. It can be redriven for
14 days after its end; `claim show` says whether it can.

Example:
  fluxus claim redrive 01890a5d-ac96-774b-bcce-b302099a8057")]
pub struct Redrive {
    /// Which claim
    #[command(flatten)]
    pub claim: OneClaim,
}

/// Which claim, and whose doing it is.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
A message about the claim that became a dead letter is sent again. Where there is none, the task that
waits gets another attempt; what the first attempt answers comes too late then.

Example:
  fluxus claim retry 01890a5d-ac96-774b-bcce-b302099a8057 --reason 'the printer has paper again'")]
pub struct Retry {
    /// Which claim
    #[command(flatten)]
    pub claim: OneClaim,
    /// The strand whose task it is, where several wait; `claim explain` names them
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<BranchId>,
    /// Whom and what the history names
    #[command(flatten)]
    pub words: Words,
}

/// Which claim, and what counts as come of its task.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
The claim goes on as if the task had been done with that output. Whoever is at work on it is not
stopped. The history says who did it.

Example:
  fluxus claim skip 01890a5d-ac96-774b-bcce-b302099a8057 --result '{\"paid\": true}' \\
    --reason 'paid by hand'")]
pub struct Skip {
    /// Which claim
    #[command(flatten)]
    pub claim: OneClaim,
    /// What counts as come of the task: JSON, a file with JSON, or - for stdin
    // Not `--output`, which says how to print.
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    pub result: String,
    /// The strand whose task it is, where several wait; `claim explain` names them
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<BranchId>,
    /// Whom and what the history names
    #[command(flatten)]
    pub words: Words,
}

/// What the history says of whose doing it is.
#[derive(Debug, Clone, clap::Args)]
pub struct Words {
    /// Who does it
    #[arg(long, value_name = "NAME", env = "USER")]
    pub by: Option<String>,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Lets the claim go on.
///
/// # Errors
/// Where the server cannot be reached or refuses, as for a claim that cannot be redriven.
pub async fn redrive(args: &Redrive, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let id = args.claim.id.to_string();
    let document = client.post(&["claims", &id, "redrive"])?.send().await?;
    if printer.is_json() {
        printer.raw(&document.bytes)?;
    }
    let Redriven { redrive_count, .. } = document.read()?;
    note(&format!("Claim {id} goes on, redriven for the {} time.", nth(redrive_count)));
    Ok(Exit::Ok)
}

/// Has the task tried again.
///
/// # Errors
/// Where the server cannot be reached or refuses, as for a claim none of whose tasks waits.
pub async fn retry(args: &Retry, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let id = args.claim.id.to_string();
    let Words { by, reason } = args.words.clone();
    let body = api::Retry { branch: args.branch.clone(), by, reason };
    let document = client.post(&["claims", &id, "retry"])?.body(&body)?.send().await?;
    if printer.is_json() {
        printer.raw(&document.bytes)?;
    }
    let SeenTo { branches, messages, .. } = document.read()?;
    note(&match (messages, branches.as_slice()) {
        (0, [branch]) if branch.is_root() => format!("Claim {id} is tried again."),
        (0, branches) => format!("Claim {id} is tried again in {}.", names(branches)),
        (1, _) => format!("1 message about claim {id} is sent again."),
        (count, _) => format!("{count} messages about claim {id} are sent again."),
    });
    Ok(Exit::Ok)
}

/// Ends the task by hand.
///
/// # Errors
/// Where the server cannot be reached or refuses, or the result is no JSON.
pub async fn skip(args: &Skip, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let id = args.claim.id.to_string();
    let Words { by, reason } = args.words.clone();
    let output = source::result(&args.result)?;
    let body = api::Skip { branch: args.branch.clone(), output, by, reason };
    let document = client.post(&["claims", &id, "skip"])?.body(&body)?.send().await?;
    if printer.is_json() {
        printer.raw(&document.bytes)?;
    }
    note(&format!("The task of claim {id} ends with that result."));
    Ok(Exit::Ok)
}

fn names(branches: &[BranchId]) -> String {
    branches.iter().map(BranchId::as_str).collect::<Vec<_>>().join(", ")
}

fn nth(count: u32) -> String {
    let ending = match (count % 10, count % 100) {
        (1, hundred) if hundred != 11 => "st",
        (2, hundred) if hundred != 12 => "nd",
        (3, hundred) if hundred != 13 => "rd",
        _ => "th",
    };
    format!("{count}{ending}")
}
