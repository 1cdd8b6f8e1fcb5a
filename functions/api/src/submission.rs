//! A claim that comes in, over HTTP or on the ingest queue: the same checks for both.

use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use fluxus_schema::problem::Fault;
use fluxus_schema::{Claim, ClaimId, ClaimStatus, NewClaim, Tenant};
use fluxus_store::{Intake, Store};
use serde_json::Value;

use crate::entropy;
use crate::problem::{Kind, Refusal};

/// Checks the bounds of a claim, and what the search index cannot hold.
///
/// # Errors
/// [`Kind::InvalidClaim`], with every fault; [`Kind::BodyTooLarge`] where that is one. `bytes` is
/// the length of the text that the claim was read from.
pub(crate) fn check(claim: &NewClaim, bytes: usize) -> Result<(), Refusal> {
    // It cannot be larger than the text it was in.
    let measured = if bytes > MAX_PAYLOAD_BYTES { claim.body.to_string().len() } else { 0 };
    if measured > MAX_PAYLOAD_BYTES {
        let detail = format!(
            "the claim's body has {measured} bytes of JSON; the bound is {MAX_PAYLOAD_BYTES} for a \
             claim's body"
        );
        return Err(Refusal::new(Kind::BodyTooLarge, detail));
    }
    let mut faults = claim.faults();
    let zero = |(key, value): &(&String, &String)| key.contains('\0') || value.contains('\0');
    if claim.attributes.iter().any(|entry| zero(&entry)) {
        let detail = "holds the character U+0000, which Postgres cannot store";
        faults.push(Fault::of_document("/attributes", detail));
    }
    if faults.is_empty() { Ok(()) } else { Err(Refusal::faulty(Kind::InvalidClaim, faults)) }
}

/// Checks that a claim is the one that is known by its idempotency key.
///
/// # Errors
/// [`Kind::IdempotencyKeyReused`] where it is another.
pub(crate) async fn check_known(
    store: &Store,
    given: &Intake,
    known: ClaimId,
) -> Result<(), Refusal> {
    // What is gone by now cannot be compared.
    let Some(known) = store.claim(&given.tenant, known).await? else { return Ok(()) };
    let Some(part) = difference(&given.claim, &known) else { return Ok(()) };
    let detail = format!(
        "the idempotency key `{}` is that of claim {}, whose {part} is another; give each claim a \
         key of its own",
        given.claim.idempotency_key.as_deref().unwrap_or_default(),
        known.claim_id,
    );
    Err(Refusal::new(Kind::IdempotencyKeyReused, detail))
}

/// The first part that makes a claim another one.
fn difference(given: &NewClaim, known: &Claim) -> Option<&'static str> {
    let parts = [
        ("type", given.claim_type == known.claim_type),
        ("subject", given.subject == known.subject),
        ("body", is_same(&given.body, &known.body)),
    ];
    parts.into_iter().find(|(_, same)| !same).map(|(part, _)| part)
}

/// Whether two documents are the same value: the order of keys and the way a number is written do
/// not count. Not deeper than a body may be nested.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| is_same(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        // Of two integers each digit counts; `1.0` is 1.
        (Value::Number(a), Value::Number(b)) if a.is_f64() != b.is_f64() => {
            a.as_f64() == b.as_f64()
        }
        _ => a == b,
    }
}

/// The claim as it is written, with an id and a seed of its own.
pub(crate) fn intake(tenant: Tenant, claim: NewClaim, traceparent: Option<String>) -> Intake {
    let received_at = entropy::now();
    Intake {
        claim_id: entropy::claim_id(received_at),
        tenant,
        claim,
        seed: entropy::seed(),
        traceparent,
        origin: None,
        received_at,
    }
}

/// The claim as it is before it begins.
pub(crate) fn submitted(intake: &Intake) -> Claim {
    let NewClaim { claim_type, subject, body, idempotency_key, priority, deadline, attributes } =
        intake.claim.clone();
    Claim {
        claim_id: intake.claim_id,
        tenant: intake.tenant.clone(),
        claim_type,
        status: ClaimStatus::Received,
        subject,
        body,
        output: None,
        error: None,
        cause: None,
        recipe: None,
        recipe_version: None,
        idempotency_key,
        parent: None,
        priority,
        deadline,
        attributes,
        received_at: intake.received_at,
        started_at: None,
        ended_at: None,
        redrive_count: 0,
        redrive_date: None,
        redrive_status: None,
        redrive_status_reason: None,
        stuck: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_the_same_as_values() {
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let same = |a: &str, b: &str| is_same(&read(a), &read(b));
        assert!(same(r#"{"a": 1, "b": [1e2, "\u0041"]}"#, r#"{"b":[100,"A"],"a":1.0}"#));
        for (a, b) in [
            ("9007199254740993", "9007199254740992"),
            ("[1, 2]", "[2, 1]"),
            (r#"{"a": null}"#, "{}"),
            (r#"{"a": {"b": 1}}"#, r#"{"a": {"b": 2}}"#),
            ("1", r#""1""#),
        ] {
            assert!(!same(a, b) && !same(b, a), "{a} {b}");
        }
    }
}
