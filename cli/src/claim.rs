//! `fluxus claim`: submit claims, find them, follow them, ask why they stand where they stand.

pub mod cancel;
pub mod history;
pub mod list;
pub mod operate;
pub mod show;
pub mod submit;
pub mod watch;

use clap::Subcommand;
use fluxus_schema::ClaimId;
use fluxus_schema::api::Explanation;

use crate::client::Client;
use crate::exit::Exit;
use crate::output::Printer;
use crate::{explain, moment};

/// What to do with claims.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Submit a claim
    Submit(submit::Args),
    /// Show a claim as it stands
    #[command(after_help = "\
Examples:
  fluxus claim show 01890a5d-ac96-774b-bcce-b302099a8057
  fluxus claim show 01890a5d-ac96-774b-bcce-b302099a8057 --output json | jq .output")]
    Show(OneClaim),
    /// List claims, newest first
    List(list::Args),
    /// Follow a claim until it ends, event by event
    Watch(watch::Args),
    /// Print a claim's history
    History(history::Args),
    /// Tell where a claim stands: what it waits for and since when, who has it, and why
    #[command(after_help = "\
Example:
  fluxus claim explain 01890a5d-ac96-774b-bcce-b302099a8057

With --output json all strands and all decisions are there, each with its candidates and scores.")]
    Explain(OneClaim),
    /// Let a claim that failed, was aborted or timed out go on from the states that failed
    Redrive(operate::Redrive),
    /// Have a claim's task tried again, or send again what nobody could handle
    Retry(operate::Retry),
    /// End the task that a claim waits for by hand, with an output
    Skip(operate::Skip),
    /// End a claim now, as ABORTED
    Cancel(cancel::Args),
}

/// Which claim.
#[derive(Debug, Clone, clap::Args)]
pub struct OneClaim {
    /// The claim's id, as `claim submit` printed it
    #[arg(value_name = "ID")]
    pub id: ClaimId,
}

/// Runs one of the commands.
///
/// # Errors
/// Where the server cannot be reached or refuses, or stdout cannot be written.
pub async fn run(command: &Command, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    match command {
        Command::Submit(args) => submit::run(args, client, printer).await,
        Command::Show(args) => show::run(args, client, printer).await,
        Command::List(args) => list::run(args, client, printer).await,
        Command::Watch(args) => watch::run(args, client, printer).await,
        Command::History(args) => history::run(args, client, printer).await,
        Command::Explain(args) => explain_claim(args, client, printer).await,
        Command::Redrive(args) => operate::redrive(args, client, printer).await,
        Command::Retry(args) => operate::retry(args, client, printer).await,
        Command::Skip(args) => operate::skip(args, client, printer).await,
        Command::Cancel(args) => cancel::run(args, client, printer).await,
    }
}

async fn explain_claim(args: &OneClaim, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let id = args.id.to_string();
    let document = client.get(&["claims", &id, "explain"])?.send().await?;
    if printer.is_json() {
        printer.raw(&document.bytes)?;
        return Ok(Exit::Ok);
    }
    let explanation: Explanation = document.read()?;
    let faults = show::faults(&explanation.claim, client).await;
    let workers = explain::Workers::of(client, &id, &explanation.waiting).await;
    printer.text(&explain::sentences(&explanation, &faults, &workers, moment::now()))?;
    Ok(Exit::Ok)
}
