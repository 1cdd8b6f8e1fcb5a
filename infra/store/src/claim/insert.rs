//! Taking claims in.

use std::collections::{HashMap, HashSet};

use fluxus_postgres::types::Type;
use fluxus_postgres::{Statement, Transaction};
use fluxus_schema::{ClaimId, ClaimStatus, NewClaim, Tenant, Timestamp};

use super::{ClaimRow, Origin};
use crate::changes::{Start, agreeing};
use crate::columns::Columns;
use crate::error::StoreError;
use crate::instant::stored;
use crate::payload::{self, PayloadRow};

/// Sorted, so that batches which share keys wait for each other instead of locking up.
macro_rules! insert {
    () => {
        "INSERT INTO claim (claim_id, tenant, claim_type, status, subject, body, idempotency_key,
               priority, deadline, attributes, traceparent, seed, received_at, origin, recipe,
               recipe_version, started_at)
        SELECT claim_id, tenant, claim_type,
               CASE WHEN started_at IS NULL THEN 'RECEIVED' ELSE 'RUNNING' END, subject, body::json,
               idempotency_key, priority, deadline, attributes::jsonb, traceparent, seed,
               received_at, origin::json, recipe, recipe_version, started_at
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                      $7::smallint[], $8::timestamptz[], $9::text[], $10::text[], $11::bytea[],
                      $12::timestamptz[], $13::text[], $14::text[], $15::integer[],
                      $16::timestamptz[]) WITH ORDINALITY
               AS given (claim_id, tenant, claim_type, subject, body, idempotency_key, priority,
                         deadline, attributes, traceparent, seed, received_at, origin, recipe,
                         recipe_version, started_at, number)
         ORDER BY tenant, idempotency_key, number
            ON CONFLICT DO NOTHING"
    };
}

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

impl Intake {
    /// The claim as it is before it begins.
    pub fn row(&self) -> ClaimRow {
        let Self { claim_id, tenant, claim, seed, traceparent, origin, received_at } = self.clone();
        ClaimRow {
            claim_id,
            tenant,
            claim_type: claim.claim_type,
            status: ClaimStatus::Received,
            subject: claim.subject,
            body: claim.body.to_string().into(),
            output: None,
            error: None,
            cause: None,
            recipe: None,
            recipe_version: None,
            idempotency_key: claim.idempotency_key,
            priority: u8::try_from(claim.priority).unwrap_or_default(),
            deadline: claim.deadline,
            attributes: claim.attributes,
            traceparent,
            origin,
            seed,
            received_at,
            started_at: None,
            ended_at: None,
            redrive_count: 0,
            redriven_at: None,
        }
    }
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

impl Inserted {
    /// Of a claim that is new.
    pub fn new(intake: &Intake) -> Self {
        Self { claim_id: intake.claim_id, status: ClaimStatus::Received, duplicate: false }
    }
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
    const INSERT: &str = concat!("-- insert claims\n", insert!(), " RETURNING claim_id");
    let mut payloads = Vec::new();
    let bodies = apart(intakes, &mut payloads)?;
    let statement = columns(INSERT, intakes, &bodies, std::iter::empty())?;
    let rows = tx.run(&[statement]).await?.pop().unwrap_or_default();
    let mut fresh = HashSet::with_capacity(rows.len());
    for row in &rows {
        fresh.insert(Columns::new(row, "claim", &["claim_id"]).claim_id("claim_id")?);
    }
    payloads.retain(|row: &PayloadRow| fresh.contains(&row.claim_id));
    payload::put(tx, &payloads).await?;
    let known =
        if fresh.len() == intakes.len() { Known::default() } else { known(tx, intakes).await? };
    let answer = |intake| {
        let answer = known.answer(intake, &mut fresh);
        answer.ok_or_else(|| StoreError::Conflict {
            table: "claim",
            key: intake.claim_id.to_string(),
        })
    };
    intakes.iter().map(answer).collect()
}

/// Those of the claims that are known already, by their ids or keys; none for those that are new. One
/// statement, and none where no claim has a key: ids are made for their claims.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn find_known(
    tx: &Transaction<'_>,
    intakes: &[Intake],
) -> Result<Vec<Option<Inserted>>, StoreError> {
    if intakes.iter().all(|intake| intake.claim.idempotency_key.is_none()) {
        return Ok(vec![None; intakes.len()]);
    }
    let known = known(tx, intakes).await?;
    Ok(intakes.iter().map(|intake| known.answer(intake, &mut HashSet::new())).collect())
}

/// Claims that come in with the step that begins them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accepted {
    intakes: Vec<Intake>,
    /// Their bodies, with references to payloads.
    bodies: Vec<String>,
}

impl Accepted {
    /// Claims that nobody knows; adds what is large in their bodies to `payloads`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where one cannot be written as JSON.
    pub fn new(intakes: Vec<Intake>, payloads: &mut Vec<PayloadRow>) -> Result<Self, StoreError> {
        let bodies = apart(&intakes, payloads)?;
        Ok(Self { intakes, bodies })
    }

    /// The claims.
    pub fn intakes(&self) -> &[Intake] {
        &self.intakes
    }

    /// What writes them, those that start as started. It fails where one is known: who claims first,
    /// by whatever means, is the one.
    pub(crate) fn inserting<'a>(
        &'a self,
        starts: impl Iterator<Item = &'a Start>,
    ) -> Option<Statement<'a>> {
        const ACCEPT: &str = concat!(
            "-- accept claims\nWITH inserted AS (",
            insert!(),
            " RETURNING 1) SELECT fluxus_agree(count(*), $17, 'claim', $18) FROM inserted"
        );
        let first = self.intakes.first()?;
        // What cannot be written was refused by `new`.
        let statement = columns(ACCEPT, &self.intakes, &self.bodies, starts).ok()?;
        Some(agreeing(statement, self.intakes.len(), &first.claim_id))
    }

    /// Their ids.
    pub(crate) fn ids(&self) -> HashSet<ClaimId> {
        self.intakes.iter().map(|intake| intake.claim_id).collect()
    }
}

fn apart(intakes: &[Intake], payloads: &mut Vec<PayloadRow>) -> Result<Vec<String>, StoreError> {
    let apart = |intake: &Intake| {
        let body = json(serde_json::to_string(&intake.claim.body))?;
        Ok(payload::take_apart(intake.claim_id, &intake.tenant, body, payloads))
    };
    intakes.iter().map(apart).collect()
}

fn json(text: serde_json::Result<String>) -> Result<String, StoreError> {
    text.map_err(|error| unwritable(&error))
}

/// A statement with the claims as its columns, each with how it starts, if it does.
fn columns<'a>(
    sql: &'static str,
    intakes: &'a [Intake],
    bodies: &'a [String],
    starts: impl Iterator<Item = &'a Start>,
) -> Result<Statement<'a>, StoreError> {
    let starts: HashMap<ClaimId, &'a Start> = starts.map(|start| (start.claim_id, start)).collect();
    let column = |of: fn(&'a Intake) -> &'a str| -> Vec<&str> { intakes.iter().map(of).collect() };
    let option = |of: fn(&'a Intake) -> Option<&'a str>| -> Vec<Option<&str>> {
        intakes.iter().map(of).collect()
    };
    let ids: Vec<_> = intakes.iter().map(|intake| intake.claim_id.0).collect();
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
    let started = || intakes.iter().map(|intake| starts.get(&intake.claim_id).copied());
    let recipes: Vec<_> = started().map(|start| Some(start?.recipe.as_str())).collect();
    let versions: Vec<_> = started().map(|start| Some(start?.recipe_version)).collect();
    let started: Vec<_> = started().map(|start| Some(stored(start?.started_at))).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    Ok(Statement::new(sql)
        .with(ids, Type::UUID_ARRAY)
        .with(column(|intake| intake.tenant.as_str()), Type::TEXT_ARRAY)
        .with(column(|intake| intake.claim.claim_type.as_str()), Type::TEXT_ARRAY)
        .with(option(|intake| intake.claim.subject.as_deref()), Type::TEXT_ARRAY)
        .with(bodies, Type::TEXT_ARRAY)
        .with(option(|intake| intake.claim.idempotency_key.as_deref()), Type::TEXT_ARRAY)
        .with(priorities, Type::INT2_ARRAY)
        .with(deadlines, Type::TIMESTAMPTZ_ARRAY)
        .with(attributes, Type::TEXT_ARRAY)
        .with(option(|intake| intake.traceparent.as_deref()), Type::TEXT_ARRAY)
        .with(seeds, Type::BYTEA_ARRAY)
        .with(received, Type::TIMESTAMPTZ_ARRAY)
        .with(origins, Type::TEXT_ARRAY)
        .with(recipes, Type::TEXT_ARRAY)
        .with(versions, Type::INT4_ARRAY)
        .with(started, Type::TIMESTAMPTZ_ARRAY))
}

/// The claims that the intakes name, by both their names.
#[derive(Default)]
struct Known {
    by_key: HashMap<(String, String), (ClaimId, ClaimStatus)>,
    by_id: HashMap<ClaimId, (Tenant, ClaimStatus)>,
}

impl Known {
    /// A claim answers as new once, at the first of the intakes that could have made it. None where
    /// it is neither new nor known.
    fn answer(&self, intake: &Intake, fresh: &mut HashSet<ClaimId>) -> Option<Inserted> {
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
            return Some(Inserted::new(intake));
        }
        let (claim_id, status) = with_key.or_else(with_id)?;
        Some(Inserted { claim_id, status, duplicate: true })
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
