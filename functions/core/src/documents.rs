//! How the documents of a batch are written: what is large in them becomes a payload of its claim,
//! once, and leaves a reference.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fluxus_schema::history::Event;
use fluxus_schema::payload::{PayloadHash, may_refer, take_apart};
use fluxus_schema::{ClaimId, Json, Tenant};
use fluxus_store::PayloadRow;

use crate::error::CoreError;

/// Writes documents, and keeps the payloads that they refer to.
#[derive(Default)]
pub(crate) struct Documents {
    payloads: BTreeMap<(ClaimId, PayloadHash), PayloadRow>,
    /// Large documents that events share with each other, by where they lie, with what was written
    /// for them. They are kept, so that nothing else comes to lie there.
    known: HashMap<(ClaimId, usize), (Json, String)>,
}

impl Documents {
    /// Everything that was taken out.
    pub(crate) fn payloads(self) -> Vec<PayloadRow> {
        self.payloads.into_values().collect()
    }

    /// A document's text, as it goes into a row of the claim.
    pub(crate) fn text(&mut self, claim_id: ClaimId, tenant: &Tenant, text: String) -> String {
        let Some((left, payloads)) = take_apart(&text) else { return text };
        for payload in payloads {
            let row = PayloadRow { claim_id, tenant: tenant.clone(), payload };
            self.payloads.entry((claim_id, row.payload.hash)).or_insert(row);
        }
        left
    }

    /// The events of a step, as they go into a row of the claim. However often they show a large
    /// document, it is written once.
    pub(crate) fn events(
        &mut self,
        claim_id: ClaimId,
        tenant: &Tenant,
        events: &[Event],
    ) -> Result<String, CoreError> {
        let mut written = vec![b'['];
        let mut failed = None;
        for (position, event) in events.iter().enumerate() {
            if position > 0 {
                written.push(b',');
            }
            event.write(&mut written, &mut |json, to| {
                if let Err(error) = self.document(claim_id, tenant, json, to) {
                    failed = Some(error);
                }
            });
        }
        written.push(b']');
        match failed {
            Some(error) => Err(error),
            None => text(written),
        }
    }

    fn document(
        &mut self,
        claim_id: ClaimId,
        tenant: &Tenant,
        json: &Json,
        to: &mut Vec<u8>,
    ) -> Result<(), CoreError> {
        let key = (claim_id, Arc::as_ptr(json) as usize);
        // Nearly always there is none.
        if !self.known.is_empty()
            && let Some((_, left)) = self.known.get(&key)
        {
            to.extend_from_slice(left.as_bytes());
            return Ok(());
        }
        let mut own = Vec::new();
        serde_json::to_writer(&mut own, json)?;
        let own = text(own)?;
        let length = own.len();
        let left = self.text(claim_id, tenant, own);
        to.extend_from_slice(left.as_bytes());
        if left.len() != length && may_refer(&left) {
            self.known.insert(key, (json.clone(), left));
        }
        Ok(())
    }
}

/// What `serde_json` wrote.
fn text(written: Vec<u8>) -> Result<String, CoreError> {
    String::from_utf8(written).map_err(|error| CoreError::Unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use fluxus_schema::Timestamp;
    use fluxus_schema::history::{Details, EventKind};
    use serde_json::json;

    use super::*;

    #[test]
    fn events_that_share_a_large_document_write_it_once() {
        let large: Json = Json::new(json!({ "list": "x".repeat(1_000_000) }));
        let event = |document: &Json| Event {
            kind: EventKind::PassStateEntered,
            previous: None,
            details: Details::new().with("input", document.clone()),
        };
        let small: Json = Json::new(json!({ "a": 1 }));
        let events: Vec<_> = [&large, &large, &small, &large].map(event).into();
        let claim_id = ClaimId::new(Timestamp::from_millis(0), &[0; 10]);
        let mut documents = Documents::default();
        let text = documents.events(claim_id, &Tenant::default(), &events).expect("writes");
        assert!(text.len() < 2_000, "{}", text.len());
        assert!(text.contains(r#"{"a":1}"#));
        assert_eq!(documents.known.len(), 1);
        let payloads = documents.payloads();
        assert_eq!(payloads.len(), 1);
        assert_eq!(payloads[0].payload.text.len(), 1_000_002);
    }
}
