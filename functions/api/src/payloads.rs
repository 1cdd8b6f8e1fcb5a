//! Documents of events, put together again as far as an answer can hold them.

use std::collections::BTreeSet;

use fluxus_schema::ClaimId;
use fluxus_schema::history::HistoryEvent;
use fluxus_schema::payload::{PayloadHash, Payloads, may_refer, references};
use serde_json::Value;

use crate::App;
use crate::problem::Refusal;

/// Puts the documents of a claim's events together again, of so many as an answer can hold; one at
/// least. Gives back the others as they are.
pub(crate) async fn restore(
    app: &App,
    claim_id: ClaimId,
    events: &mut Vec<HistoryEvent>,
) -> Result<Vec<HistoryEvent>, Refusal> {
    let most = app.limits().max_page_bytes;
    let mut wanted = BTreeSet::new();
    let (mut bytes, mut fit) = (0_usize, 0);
    for event in &*events {
        let mut own = BTreeSet::new();
        let documents = event.details.values().map(|detail| measure(detail, &mut own)).sum();
        bytes = bytes.saturating_add(documents);
        if fit > 0 && bytes > most {
            break;
        }
        fit += 1;
        wanted.extend(own.into_iter().map(|hash| (claim_id, hash)));
    }
    let rest = events.split_off(fit);
    if wanted.is_empty() {
        return Ok(rest);
    }
    let session = app.store().session().await?;
    let mut loaded = fluxus_store::payload::load(&session, &wanted).await?;
    drop(session);
    let at_hand = loaded.remove(&claim_id).unwrap_or_default();
    for event in events {
        event.details.values_mut().for_each(|detail| put_together(detail, &at_hand));
    }
    Ok(rest)
}

/// The length of the texts in a detail, with what they refer to.
fn measure(detail: &Value, wanted: &mut BTreeSet<PayloadHash>) -> usize {
    match detail {
        Value::String(text) => {
            let more = references(text).map(|one| {
                wanted.insert(one.hash);
                one.bytes
            });
            text.len() + more.sum::<usize>()
        }
        Value::Array(items) => items.iter().map(|item| measure(item, wanted)).sum(),
        Value::Object(fields) => fields.values().map(|field| measure(field, wanted)).sum(),
        _ => 0,
    }
}

/// A text that only looks as if it referred to something stays as it is.
fn put_together(detail: &mut Value, at_hand: &Payloads) {
    match detail {
        Value::String(text) if may_refer(text) => {
            if let Ok(whole) = at_hand.restore(text) {
                *text = whole.into_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put_together(item, at_hand)),
        Value::Object(fields) => fields.values_mut().for_each(|one| put_together(one, at_hand)),
        _ => {}
    }
}
