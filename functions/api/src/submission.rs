//! A claim that comes in, over HTTP or on the ingest queue: the same checks for both.

use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use fluxus_schema::problem::Fault;
use fluxus_schema::{Claim, ClaimStatus, NewClaim, Tenant};
use fluxus_store::Intake;

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
            "the claim's body has {measured} bytes of JSON; the bound is {MAX_PAYLOAD_BYTES}"
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
