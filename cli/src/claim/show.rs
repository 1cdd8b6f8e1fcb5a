//! `fluxus claim show`, and how a claim looks.

use fluxus_schema::api::HistoryPage;
use fluxus_schema::claim::RedriveStatus;
use fluxus_schema::history::{EventKind, HistoryEvent};
use fluxus_schema::problem::Fault;
use fluxus_schema::{Claim, ClaimStatus, Timestamp};
use serde::Deserialize as _;
use serde_json::Value;

use super::{OneClaim, history};
use crate::client::{Client, Document};
use crate::exit::Exit;
use crate::moment::{absolute_and_relative, now, span};
use crate::output::{Printer, indented, status};
use crate::problem::fault_line;
use crate::table::{Cell, clean, facts};

/// How many events are looked at for the verdict on a claim that was rejected: it is the first, and
/// hardly anything comes after it.
const EVENTS_TO_VERDICT: u32 = 10;

/// Shows one claim.
///
/// # Errors
/// Where the server cannot be reached or refuses, or stdout cannot be written.
pub async fn run(args: &OneClaim, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let document = client.get(&["claims", &args.id.to_string()])?.send().await?;
    print(&document, client, printer).await?;
    Ok(Exit::Ok)
}

/// Prints a claim; of one that was rejected, also what is wrong with it.
///
/// # Errors
/// Where the document is no claim, or stdout cannot be written.
pub async fn print(document: &Document, client: &Client, printer: Printer) -> anyhow::Result<()> {
    if printer.is_json() {
        return printer.raw(&document.bytes);
    }
    let claim: Claim = document.read()?;
    let faults = faults(&claim, client).await;
    printer.text(&render(&claim, &faults, now(), printer.width))
}

/// Why the claim was rejected, place by place: the history has it. It is a courtesy: where it fails,
/// there are none.
pub async fn faults(claim: &Claim, client: &Client) -> Vec<Fault> {
    if claim.status != ClaimStatus::Rejected {
        return Vec::new();
    }
    let id = claim.claim_id.to_string();
    let Ok(call) = history::page(client, &id, EVENTS_TO_VERDICT, false) else { return Vec::new() };
    let Ok(document) = call.send().await else { return Vec::new() };
    let Ok(page) = document.read::<HistoryPage>() else { return Vec::new() };
    page.events.iter().flat_map(faults_of).collect()
}

/// The faults that an event names; none, where it is of another kind.
pub fn faults_of(event: &HistoryEvent) -> Vec<Fault> {
    let details = event.details.get(EventKind::ClaimEvaluated.details_field());
    let faults = details.and_then(|details| details.get("faults"));
    faults.and_then(|faults| Vec::deserialize(faults).ok()).unwrap_or_default()
}

/// Faults, one a line, under a claim.
pub fn fault_lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("  {}\n", fault_line(fault))).collect()
}

/// A claim as text: its facts, then what is wrong with it, its body and its output.
pub fn render(claim: &Claim, faults: &[Fault], now: Timestamp, width: Option<usize>) -> String {
    let text = |value: &Option<String>| value.as_ref().map(Cell::from);
    let time = |at: Option<Timestamp>| at.map(|at| Cell::from(absolute_and_relative(at, now)));
    let recipe = claim.recipe.as_ref().map(|recipe| match claim.recipe_version {
        Some(version) => Cell::from(format!("{recipe} version {version}")),
        None => Cell::from(recipe.as_str()),
    });
    let took = claim.ended_at.map(|ended| Cell::from(span(ended.since(claim.received_at))));
    let redriven = claim.redrive_date.map(|at| {
        let times = if claim.redrive_count == 1 { "once" } else { "last" };
        let all = (claim.redrive_count > 1).then(|| format!(", {} times", claim.redrive_count));
        let at = absolute_and_relative(at, now);
        Cell::from(format!("{times}, {at}{}", all.unwrap_or_default()))
    });
    let redrive = claim.redrive_status.map(|status| match status {
        RedriveStatus::Redrivable => Cell::from("possible: `fluxus claim redrive`"),
        RedriveStatus::NotRedrivable => {
            let reason = claim.redrive_status_reason.as_deref().unwrap_or("unknown");
            Cell::from(format!("not possible: {reason}"))
        }
    });
    let mut all = vec![
        ("Claim", Some(Cell::from(claim.claim_id.to_string()))),
        ("Type", Some(Cell::from(claim.claim_type.as_str()))),
        ("Status", Some(status(claim.status))),
        ("Subject", text(&claim.subject)),
        ("Recipe", recipe),
        ("Started by", claim.parent.map(|parent| Cell::from(parent.to_string()))),
        ("Received", time(Some(claim.received_at))),
        ("Started", time(claim.started_at)),
        ("Ended", time(claim.ended_at)),
        ("Took", took),
        ("Deadline", time(claim.deadline)),
        ("Priority", (claim.priority != 0).then(|| Cell::from(claim.priority.to_string()))),
        ("Idempotency key", text(&claim.idempotency_key)),
        ("Error", text(&claim.error)),
        ("Redriven", redriven),
        ("Redrive", redrive),
    ];
    for (key, value) in &claim.attributes {
        all.push(("Attribute", Some(Cell::from(format!("{key} = {value}")))));
    }
    let mut shown = facts(&all, width);
    if let Some(cause) = &claim.cause {
        // Not in the table: causes are long, and their end is often what matters.
        shown.push_str(&format!("{}{}", title("Cause"), said(cause)));
    }
    if !faults.is_empty() {
        shown.push_str(&format!("{}{}", title("Faults"), fault_lines(faults)));
    }
    shown.push_str(&part("Body", &claim.body));
    if let Some(output) = &claim.output {
        shown.push_str(&part("Output", output));
    }
    shown
}

fn part(name: &str, value: &Value) -> String {
    format!("{}{}", title(name), indented(value))
}

fn title(name: &str) -> String {
    let bold = anstyle::Style::new().bold();
    format!("{bold}{name}{bold:#}\n")
}

/// A cause for reading: JSON as JSON, as fluxlings on Lambda give it, anything else as its words.
fn said(cause: &str) -> String {
    match serde_json::from_str(cause) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => indented(&value),
        _ => lines(&unquoted(cause)),
    }
}

/// A cause without the quotes of a JSON string, where it is one.
pub fn unquoted(cause: &str) -> String {
    match serde_json::from_str(cause) {
        Ok(Value::String(text)) => text,
        _ => cause.to_owned(),
    }
}

fn lines(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", clean(line))).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_shown_with_its_body_and_output() {
        let claim: Claim = serde_json::from_value(json!({
            "claim_id": "01890a5d-ac96-774b-bcce-b302099a8057", "tenant": "default",
            "type": "order.placed", "status": "SUCCEEDED", "subject": "customer-42",
            "body": {"order": "1001", "items": [1]}, "output": {"shipped": true},
            "recipe": "order-saga", "recipe_version": 3, "priority": 5,
            "attributes": {"region": "eu"}, "cause": "\"a \\u001b[2J\"",
            "received_at": "2026-11-23T12:03:04.500Z", "started_at": "2026-11-23T12:03:04.512Z",
            "ended_at": "2026-11-23T12:03:07.000Z",
        }))
        .expect("a claim");
        let now = Timestamp::parse("2026-11-23T12:05:00Z").expect("a time");
        let faults = [Fault::of_document("/card", "is required")];
        expect![[r#"
            Claim      01890a5d-ac96-774b-bcce-b302099a8057
            Type       order.placed
            Status     SUCCEEDED
            Subject    customer-42
            Recipe     order-saga version 3
            Received   2026-11-23 12:03:04Z (1 min 55 s ago)
            Started    2026-11-23 12:03:04Z (1 min 55 s ago)
            Ended      2026-11-23 12:03:07Z (1 min 53 s ago)
            Took       2.5 s
            Priority   5
            Attribute  region = eu
            Cause
              a �[2J
            Faults
              /card: is required
            Body
              {
                "order": "1001",
                "items": [
                  1
                ]
              }
            Output
              {
                "shipped": true
              }
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&render(&claim, &faults, now, None)).to_string());
    }
}
