//! Taking claims in.

use std::collections::HashMap;

use fluxus_postgres::Transaction;
use fluxus_postgres::types::Type;
use fluxus_schema::{ClaimId, ClaimStatus, NewClaim, Tenant, Timestamp};

use super::Origin;
use crate::columns::Columns;
use crate::error::StoreError;
use crate::instant::stored;
use crate::payload::{self, PayloadRow};

/// A claim that comes in.
#[derive(Clone, Debug, PartialEq)]
pub struct Intake {
    /// The id it gets.
    pub claim_id: ClaimId,
    /// Whose it is.
    pub tenant: Tenant,
    /// What the client submits. It must be free of [`faults`](NewClaim::faults).
    pub claim: NewClaim,
    /// Random bytes, the source of all randomness of the execution.
    pub seed: [u8; 16],
    /// W3C trace context it came with.
    pub traceparent: Option<String>,
    /// How it comes to be, where a recipe starts it.
    pub origin: Option<Origin>,
    /// Now.
    pub received_at: Timestamp,
}

/// What became of an [`Intake`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The claim's id: the given one, or that of the claim which has the key already.
    pub claim_id: ClaimId,
    /// `RECEIVED`, or where the known claim stands.
    pub status: ClaimStatus,
    /// Whether the claim was known: by its idempotency key, or by its id.
    pub duplicate: bool,
}

/// Writes claims that are new, and finds those that are known; answers in the order given.
///
/// A claim is known if the tenant has one with its idempotency key or with its id, in the table
/// or earlier in `intakes`. One statement; a second one if some were known, and one more if a body is
/// so large that it becomes a payload.
///
/// # Errors
/// [`StoreError::Conflict`] if a known claim vanished in between; safe to try again.
pub async fn insert(tx: &Transaction<'_>, intakes: &[Intake]) -> Result<Vec<Inserted>, StoreError> {
    // Sorted, so that batches which share keys wait for each other instead of locking up.
    const INSERT: &str = "-- insert claims
        INSERT INTO claim (claim_id, tenant, claim_type, status, subject, body, idempotency_key,
               priority, deadline, attributes, traceparent, seed, received_at, origin)
        SELECT claim_id, tenant, claim_type, 'RECEIVED', subject, body::json, idempotency_key,
               priority, deadline, attributes::jsonb, traceparent, seed, received_at,
               origin::json
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                      $7::smallint[], $8::timestamptz[], $9::text[], $10::text[], $11::bytea[],
                      $12::timestamptz[], $13::text[]) WITH ORDINALITY
               AS given (claim_id, tenant, claim_type, subject, body, idempotency_key, priority,
                         deadline, attributes, traceparent, seed, received_at, origin, number)
         ORDER BY tenant, idempotency_key, number
            ON CONFLICT DO NOTHING
        RETURNING claim_id";
    let column = |of: fn(&Intake) -> &str| -> Vec<&str> { intakes.iter().map(of).collect() };
    let option =
        |of: fn(&Intake) -> Option<&str>| -> Vec<Option<&str>> { intakes.iter().map(of).collect() };
    let ids: Vec<_> = intakes.iter().map(|intake| intake.claim_id.0).collect();
    let json =
        |text: Result<String, _>| text.map_err(|error: serde_json::Error| unwritable(&error));
    let mut payloads = Vec::new();
    let mut bodies: Vec<String> = Vec::with_capacity(intakes.len());
    for intake in intakes {
        let body = json(serde_json::to_string(&intake.claim.body))?;
        bodies.push(payload::take_apart(intake.claim_id, &intake.tenant, body, &mut payloads));
    }
    let attributes: Vec<String> = intakes
        .iter()
        .map(|intake| json(serde_json::to_string(&intake.claim.attributes)))
        .collect::<Result<_, _>>()?;
    let priorities: Vec<_> = intakes.iter().map(|intake| intake.claim.priority).collect();
    let deadlines: Vec<_> =
        intakes.iter().map(|intake| intake.claim.deadline.map(stored)).collect();
    let seeds: Vec<&[u8]> = intakes.iter().map(|intake| intake.seed.as_slice()).collect();
    let received: Vec<_> = intakes.iter().map(|intake| stored(intake.received_at)).collect();
    let origin = |intake: &Intake| {
        intake.origin.as_ref().map(|origin| json(serde_json::to_string(origin))).transpose()
    };
    let origins: Vec<Option<String>> = intakes.iter().map(origin).collect::<Result<_, _>>()?;
    let rows = tx
        .query(
            INSERT,
            &[
                (&ids, Type::UUID_ARRAY),
                (&column(|intake| intake.tenant.as_str()), Type::TEXT_ARRAY),
                (&column(|intake| intake.claim.claim_type.as_str()), Type::TEXT_ARRAY),
                (&option(|intake| intake.claim.subject.as_deref()), Type::TEXT_ARRAY),
                (&bodies, Type::TEXT_ARRAY),
                (&option(|intake| intake.claim.idempotency_key.as_deref()), Type::TEXT_ARRAY),
                (&priorities, Type::INT2_ARRAY),
                (&deadlines, Type::TIMESTAMPTZ_ARRAY),
                (&attributes, Type::TEXT_ARRAY),
                (&option(|intake| intake.traceparent.as_deref()), Type::TEXT_ARRAY),
                (&seeds, Type::BYTEA_ARRAY),
                (&received, Type::TIMESTAMPTZ_ARRAY),
                (&origins, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    let mut fresh = std::collections::HashSet::with_capacity(rows.len());
    for row in &rows {
        fresh.insert(Columns::new(row, "claim", &["claim_id"]).claim_id("claim_id")?);
    }
    payloads.retain(|row: &PayloadRow| fresh.contains(&row.claim_id));
    payload::put(tx, &payloads).await?;
    let known =
        if fresh.len() == intakes.len() { Known::default() } else { known(tx, intakes).await? };
    intakes.iter().map(|intake| known.answer(intake, &mut fresh)).collect()
}

/// The claims that the intakes name, by both their names.
#[derive(Default)]
struct Known {
    by_key: HashMap<(String, String), (ClaimId, ClaimStatus)>,
    by_id: HashMap<ClaimId, (Tenant, ClaimStatus)>,
}

impl Known {
    /// A claim answers as new once, at the first of the intakes that could have made it.
    fn answer(
        &self,
        intake: &Intake,
        fresh: &mut std::collections::HashSet<ClaimId>,
    ) -> Result<Inserted, StoreError> {
        let Intake { claim_id, tenant, claim, .. } = intake;
        let with_key = claim
            .idempotency_key
            .as_ref()
            .and_then(|key| self.by_key.get(&(tenant.as_str().to_owned(), key.clone())).copied());
        let with_id = || {
            let (owner, status) = self.by_id.get(claim_id)?;
            (owner == tenant).then_some((*claim_id, *status))
        };
        if with_key.is_none_or(|(known, _)| known == *claim_id) && fresh.remove(claim_id) {
            let status = ClaimStatus::Received;
            return Ok(Inserted { claim_id: *claim_id, status, duplicate: false });
        }
        let (claim_id, status) = with_key
            .or_else(with_id)
            .ok_or_else(|| StoreError::Conflict { table: "claim", key: claim_id.to_string() })?;
        Ok(Inserted { claim_id, status, duplicate: true })
    }
}

/// A statement of its own, after the insert: one that committed meanwhile is seen only now.
async fn known(tx: &Transaction<'_>, intakes: &[Intake]) -> Result<Known, StoreError> {
    const KNOWN: &str = "-- find known claims
        SELECT claim.claim_id, claim.tenant, claim.idempotency_key, claim.status
          FROM unnest($1::text[], $2::text[]) AS given (tenant, idempotency_key)
          JOIN claim ON claim.tenant = given.tenant
           AND claim.idempotency_key = given.idempotency_key
         UNION
        SELECT claim_id, tenant, idempotency_key, status FROM claim WHERE claim_id = ANY($3)";
    let keyed = intakes.iter().filter_map(|intake| {
        Some((intake.tenant.as_str(), intake.claim.idempotency_key.as_deref()?))
    });
    let (tenants, keys): (Vec<_>, Vec<_>) = keyed.unzip();
    let ids: Vec<_> = intakes.iter().map(|intake| intake.claim_id.0).collect();
    let rows = tx
        .query(
            KNOWN,
            &[(&tenants, Type::TEXT_ARRAY), (&keys, Type::TEXT_ARRAY), (&ids, Type::UUID_ARRAY)],
        )
        .await?;
    let mut known = Known::default();
    for row in &rows {
        let row = Columns::new(row, "claim", &["claim_id"]);
        let (id, status) = (row.claim_id("claim_id")?, row.parse("status")?);
        let tenant: Tenant = row.parse("tenant")?;
        if let Some(key) = row.get("idempotency_key")? {
            known.by_key.insert((tenant.as_str().to_owned(), key), (id, status));
        }
        known.by_id.insert(id, (tenant, status));
    }
    Ok(known)
}

/// JSON values always write; this is for the signature of the writer.
fn unwritable(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt {
        table: "claim",
        key: "new".to_owned(),
        column: "body",
        source: error.to_string().into(),
    }
}
