//! `fluxus claim cancel`.

use fluxus_schema::api::Cancel;
use serde_json::Value;

use super::OneClaim;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Printer, note};

/// Which claim, and why.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Example:
  fluxus claim cancel 01890a5d-ac96-774b-bcce-b302099a8057 --cause 'the customer changed her mind'")]
pub struct Args {
    /// Which claim
    #[command(flatten)]
    pub claim: OneClaim,
    /// Error name to record
    #[arg(long, value_name = "NAME")]
    pub error: Option<String>,
    /// The reason, in words
    #[arg(long, value_name = "TEXT")]
    pub cause: Option<String>,
}

/// Cancels the claim.
///
/// # Errors
/// Where the server cannot be reached or refuses, as for a claim that has ended.
pub async fn run(args: &Args, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let id = args.claim.id.to_string();
    let cancel = Cancel { error: args.error.clone(), cause: args.cause.clone() };
    let document = client.post(&["claims", &id, "cancel"])?.body(&cancel)?.send().await?;
    if printer.is_json() && !document.bytes.is_empty() {
        printer.document(&document, |_: &Value| String::new())?;
    }
    note(&format!("Claim {id} is being cancelled."));
    Ok(Exit::Ok)
}
