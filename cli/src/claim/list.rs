//! `fluxus claim list`.

use fluxus_schema::api::ClaimPage;
use fluxus_schema::claim::{Stuck, StuckReason};
use fluxus_schema::limits::{DEFAULT_PAGE, MAX_PAGE};
use fluxus_schema::{ClaimId, ClaimStatus, Timestamp};

use crate::client::{Call, Client};
use crate::exit::{Exit, Usage};
use crate::moment::{self, date_and_time, now, span};
use crate::output::{Printer, note, status};
use crate::paging::{Pages, print_merged};
use crate::table::{Cell, Column, Table};

/// Which claims.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "\
Examples:
  fluxus claim list --status FAILED,TIMED_OUT
  fluxus claim list --type order.placed --received-from 2026-11-23
  fluxus claim list --stuck
  fluxus claim list --attribute region=eu --attribute tier=gold --all --output json

Times are a day (UTC), RFC 3339, or a span back from now: 2026-11-23, 2026-11-23T12:00:00Z, 24h.")]
pub struct Args {
    /// Only claims of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub claim_type: Option<String>,
    /// Only claims that stand so: RECEIVED, REJECTED, RUNNING, SUCCEEDED, FAILED, TIMED_OUT or
    /// ABORTED; one of them, where given several times or separated by commas
    #[arg(long, value_name = "STATUS", value_parser = parse_status, value_delimiter = ',')]
    pub status: Vec<ClaimStatus>,
    /// Only claims about this subject
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Only claims that this recipe fulfils
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// Only executions that this claim's recipe started
    #[arg(long, value_name = "ID")]
    pub parent: Option<ClaimId>,
    /// Only claims received at this time or later
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub received_from: Option<Timestamp>,
    /// Only claims received before this time
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub received_to: Option<Timestamp>,
    /// Only claims with this attribute; all of them, where given several times
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = super::submit::parse_pair)]
    pub attributes: Vec<(String, String)>,
    /// Only claims that wait longer than they should, with what holds them up
    #[arg(long)]
    pub stuck: bool,
    /// With --stuck: count a claim as stuck after this time, such as 30s or 2h, whatever its task waits for
    // By itself 5 minutes for what should have happened, 30 for a task without a timeout.
    #[arg(long, value_name = "SPAN", requires = "stuck", value_parser = moment::parse_seconds)]
    pub stuck_after: Option<u32>,
    /// At most this many claims
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PAGE,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAGE)))]
    pub limit: u32,
    /// Go on where the page with this `next_cursor` ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// All claims, page after page
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

/// Prints the list.
///
/// # Errors
/// Where the server cannot be reached or refuses, or stdout cannot be written.
pub async fn run(args: &Args, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let mut pages = Pages::new(|| page(args, client), args.cursor.clone());
    if !args.all {
        pages = pages.only_one();
    }
    if printer.is_json() {
        print_merged(&mut pages, "claims", printer).await?;
        return Ok(Exit::Ok);
    }
    let mut none = true;
    while let Some(document) = pages.next().await? {
        let page: ClaimPage = document.read()?;
        if page.claims.is_empty() {
            continue;
        }
        none = false;
        let text = match args.stuck {
            true => render_stuck(&page, now(), printer.width),
            false => render(&page, now(), printer.width),
        };
        printer.text(&text)?;
    }
    if none {
        note(if args.stuck { "No claim is stuck." } else { "No such claims." });
    }
    pages.say_where_to_go_on();
    Ok(Exit::Ok)
}

fn page<'a>(args: &Args, client: &'a Client) -> Result<Call<'a>, Usage> {
    let limit = if args.all { MAX_PAGE } else { args.limit };
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let mut call = client
        .get(&["claims"])?
        .query("limit", &limit.to_string())
        .query_opt("type", args.claim_type.as_deref())
        .query_opt("subject", args.subject.as_deref())
        .query_opt("recipe", args.recipe.as_deref())
        .query_opt("parent", args.parent.map(|id| id.to_string()).as_deref())
        .query_opt("received_from", time(args.received_from).as_deref())
        .query_opt("received_to", time(args.received_to).as_deref());
    if args.stuck {
        let after = args.stuck_after.map(|seconds| seconds.to_string());
        call = call.query("stuck", "true").query_opt("stuck_after", after.as_deref());
    }
    for status in &args.status {
        call = call.query("status", status.as_str());
    }
    for (key, value) in &args.attributes {
        call = call.query(&format!("attribute.{key}"), value);
    }
    Ok(call)
}

fn parse_status(text: &str) -> Result<ClaimStatus, String> {
    text.to_ascii_uppercase().replace('-', "_").parse()
}

/// What holds claims up, and what to do about it.
fn render_stuck(page: &ClaimPage, now: Timestamp, width: Option<usize>) -> String {
    let mut table = Table::new(&[
        Column::whole("CLAIM"),
        Column::text("TYPE"),
        Column::number("FOR"),
        Column::text("STATE"),
        Column::text("STUCK BECAUSE"),
    ]);
    for claim in &page.claims {
        let Some(stuck) = &claim.stuck else { continue };
        let branch = stuck.branch.as_ref().filter(|branch| !branch.is_root());
        let state = stuck.state.as_deref().unwrap_or("-");
        let place = branch.map_or_else(|| state.to_owned(), |branch| format!("{branch} {state}"));
        table.row(vec![
            Cell::from(claim.claim_id.to_string()),
            Cell::from(claim.claim_type.as_str()),
            Cell::from(span(now.since(stuck.since))),
            Cell::from(place),
            Cell::from(because(stuck)),
        ]);
    }
    table.render(width)
}

fn because(stuck: &Stuck) -> String {
    let capability = stuck.capability.as_ref().map_or("?", |capability| capability.as_str());
    let detail = stuck.detail.as_deref().unwrap_or_default();
    match stuck.reason {
        StuckReason::DeadLetter => format!("a message is a dead letter: {detail}"),
        StuckReason::NoFluxling => format!("no fluxling offers `{capability}`"),
        StuckReason::NoAnswer if !detail.is_empty() => format!("`{capability}`: {detail}"),
        StuckReason::NoAnswer => format!("no answer from whoever has `{capability}`"),
        StuckReason::NotBegun => "nobody took it up".to_owned(),
        StuckReason::TimerOverdue => "its time is over, and nobody told it".to_owned(),
        StuckReason::NotJoined => "its branches have ended, and nobody told it".to_owned(),
        StuckReason::NotSent => format!("a message for `{detail}` was never sent"),
    }
}

fn render(page: &ClaimPage, now: Timestamp, width: Option<usize>) -> String {
    let mut table = Table::new(&[
        Column::whole("CLAIM"),
        Column::whole("STATUS"),
        Column::text("TYPE"),
        Column::text("SUBJECT"),
        Column::whole("RECEIVED"),
        Column::number("TOOK"),
        Column::text("ERROR"),
    ]);
    for claim in &page.claims {
        let until = claim.ended_at.unwrap_or(now);
        table.row(vec![
            Cell::from(claim.claim_id.to_string()),
            status(claim.status),
            Cell::from(claim.claim_type.as_str()),
            Cell::from(claim.subject.as_deref().unwrap_or("-")),
            Cell::from(date_and_time(claim.received_at)),
            Cell::from(span(until.since(claim.received_at))),
            Cell::from(claim.error.as_deref().unwrap_or("")),
        ]);
    }
    table.render(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_may_be_written_in_lower_case() {
        assert_eq!(parse_status("timed-out"), Ok(ClaimStatus::TimedOut));
        assert!(parse_status("done").is_err_and(|error| error.contains("SUCCEEDED")));
    }
}
