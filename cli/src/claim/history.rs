//! `fluxus claim history`.

use fluxus_schema::api::HistoryPage;
use fluxus_schema::limits::MAX_HISTORY_PAGE;

use super::OneClaim;
use crate::client::{Call, Client};
use crate::exit::{Exit, Usage};
use crate::moment::clock;
use crate::output::Printer;
use crate::paging::{Pages, print_merged};
use crate::table::{Cell, Column, Table};

/// Whose history, and how much of it.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Prints the whole history, oldest event first; --limit prints a part. The events are those of the
Step Functions service, and Fluxus's own: ClaimEvaluated, TaskDelegated and RetryDelayed.

Examples:
  fluxus claim history 01890a5d-ac96-774b-bcce-b302099a8057
  fluxus claim history 01890a5d-ac96-774b-bcce-b302099a8057 --output json | jq '.events[].type'")]
pub struct Args {
    /// Which claim
    #[command(flatten)]
    pub claim: OneClaim,
    /// Only events that the Step Functions service has too
    #[arg(long)]
    pub service_events_only: bool,
    /// At most this many events; all, where not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_HISTORY_PAGE)))]
    pub limit: Option<u32>,
    /// Go on where the page with this `next_cursor` ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

/// Prints the history.
///
/// # Errors
/// Where the server cannot be reached or refuses, or stdout cannot be written.
pub async fn run(args: &Args, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let id = args.claim.id.to_string();
    let limit = args.limit.unwrap_or(MAX_HISTORY_PAGE);
    let call = || page(client, &id, limit, args.service_events_only);
    let mut pages = Pages::new(call, args.cursor.clone());
    if args.limit.is_some() {
        pages = pages.only_one();
    }
    if printer.is_json() {
        print_merged(&mut pages, "events", printer).await?;
        return Ok(Exit::Ok);
    }
    while let Some(document) = pages.next().await? {
        printer.text(&render(&document.read()?, printer.width))?;
    }
    pages.say_where_to_go_on();
    Ok(Exit::Ok)
}

/// The call for a page of a claim's history.
///
/// # Errors
/// [`Usage`] for an id that no URL can carry.
pub fn page<'a>(
    client: &'a Client,
    id: &str,
    limit: u32,
    service_events_only: bool,
) -> Result<Call<'a>, Usage> {
    let call = client.get(&["claims", id, "history"])?.query("limit", &limit.to_string());
    Ok(if service_events_only { call.query("service_events_only", "true") } else { call })
}

fn render(page: &HistoryPage, width: Option<usize>) -> String {
    let mut table = Table::new(&[
        Column::number("ID"),
        Column::number("BY"),
        Column::whole("TIME"),
        Column::text("BRANCH"),
        Column::whole("EVENT"),
        Column::text("DETAILS"),
    ]);
    for event in &page.events {
        let details = event.details.get(event.kind.details_field());
        table.row(vec![
            Cell::from(event.id.to_string()),
            Cell::from(event.previous_event_id.to_string()),
            Cell::from(clock(event.timestamp)),
            Cell::from(event.branch.as_str()),
            Cell::from(event.kind.as_str()),
            Cell::from(details.map(ToString::to_string).unwrap_or_default()),
        ]);
    }
    table.render(width)
}
