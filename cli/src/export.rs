//! `fluxus export`: claims with their histories, as JSON Lines.

use std::io::Write as _;
use std::time::Duration;

use fluxus_schema::id::ClaimType;
use fluxus_schema::{ClaimId, Timestamp};
use serde::Deserialize;

use crate::client::{Call, Client, ClientError};
use crate::exit::{Exit, Usage};
use crate::moment;
use crate::output::{StdoutFailed, note};

/// How often in a row an export that breaks off goes on without having got anything: after that the
/// server is away, not the connection.
const MAX_BREAKS: u32 = 5;

/// Pause before it goes on, once for each break in a row.
const PAUSE: Duration = Duration::from_secs(1);

/// Which claims, and which of their events.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Prints JSON Lines: a claim, then its events in order, numbered from 1; then the next claim, in the
order in which they came in. What is large is printed whole. An export that breaks off goes on by
itself; one that was stopped goes on with --cursor and the cursor of its last line. The lines are
described in schema/json/ExportLine.json. Times are a day (UTC), RFC 3339, or a span back from now:
2026-11-23, 2026-11-23T12:00:00Z, 24h.

Examples:
  fluxus export 01890a5d-ac96-774b-bcce-b302099a8057 > claim.jsonl
  fluxus export --from 2026-11-01 --to 2026-12-01 > november.jsonl
  fluxus export --type order.placed | jq -c 'select(.kind == \"claim\") | .claim.status'")]
pub struct Args {
    /// Only this claim
    #[arg(value_name = "CLAIM_ID", conflicts_with_all = ["from", "to", "claim_type"])]
    pub id: Option<ClaimId>,
    /// Claims that came in at this time or later
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub from: Option<Timestamp>,
    /// Claims that came in before this time
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub to: Option<Timestamp>,
    /// Claims of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub claim_type: Option<ClaimType>,
    /// Only events that the Step Functions service has too
    #[arg(long)]
    pub service_events_only: bool,
    /// Go on behind the line with this `cursor`
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

/// What of a line says how the export goes on.
#[derive(Deserialize)]
struct Line {
    kind: String,
    #[serde(default)]
    cursor: Option<String>,
}

/// Prints the lines.
///
/// # Errors
/// Where the server cannot be reached or refuses, or stdout cannot be written.
pub async fn run(args: &Args, client: &Client) -> anyhow::Result<Exit> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        let wrong = format!("--from {from} is later than --to {to}: nothing lies between");
        return Err(Usage(wrong).into());
    }
    let mut cursor = args.cursor.clone();
    let mut breaks = 0;
    loop {
        let before = cursor.clone();
        match part(args, client, &mut cursor).await {
            Ok(Part::End) => return Ok(Exit::Ok),
            Ok(Part::Continue) => breaks = 0,
            Err(error) => {
                breaks = if cursor == before { breaks + 1 } else { 1 };
                let passing = error.downcast_ref().is_some_and(ClientError::is_passing);
                if !passing || breaks > MAX_BREAKS {
                    if let Some(cursor) = cursor.filter(|_| passing) {
                        note(&format!("Go on with: --cursor {cursor}"));
                    }
                    return Err(error);
                }
                note("The export broke off; it goes on.");
                tokio::time::sleep(PAUSE * breaks).await;
            }
        }
    }
}

/// How an answer ended.
enum Part {
    End,
    Continue,
}

/// Prints the lines of one answer, each once it is whole.
async fn part(args: &Args, client: &Client, cursor: &mut Option<String>) -> anyhow::Result<Part> {
    let mut answer = call(args, client, cursor.as_deref())?.stream().await?;
    let mut out = std::io::stdout().lock();
    let mut pending: Vec<u8> = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let mut rest = &chunk[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            pending.extend_from_slice(&rest[..=end]);
            rest = &rest[end + 1..];
            let line: Line = answer.read(&pending)?;
            match line.kind.as_str() {
                "end" => {
                    out.write_all(&pending).map_err(StdoutFailed)?;
                    out.flush().map_err(StdoutFailed)?;
                    return Ok(Part::End);
                }
                // Only an answer's, not the export's.
                "continue" => {}
                _ => out.write_all(&pending).map_err(StdoutFailed)?,
            }
            *cursor = line.cursor.or(cursor.take());
            if line.kind == "continue" {
                return Ok(Part::Continue);
            }
            pending.clear();
        }
        pending.extend_from_slice(rest);
    }
    Err(answer.broke_off().into())
}

fn call<'a>(args: &Args, client: &'a Client, cursor: Option<&str>) -> Result<Call<'a>, Usage> {
    let text = |value: Option<String>| value;
    let mut call = client
        .get(&["export"])?
        .query_opt("claim_id", text(args.id.map(|id| id.to_string())).as_deref())
        .query_opt("from", text(args.from.map(|at| at.to_string())).as_deref())
        .query_opt("to", text(args.to.map(|at| at.to_string())).as_deref())
        .query_opt("type", args.claim_type.as_ref().map(ClaimType::as_str))
        .query_opt("cursor", cursor);
    if args.service_events_only {
        call = call.query("service_events_only", "true");
    }
    Ok(call)
}
