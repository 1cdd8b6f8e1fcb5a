//! Payloads: what is large in the documents of a claim, stored once for each claim.
//!
//! Rows are written with references in place of what is large ([`fluxus_schema::payload`]); reads
//! of the store put the documents together again. Only lists of claims, and histories, leave the
//! references in: their readers decide how much they can hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fluxus_postgres::Statement;
use fluxus_postgres::types::Type;
use fluxus_schema::payload::{Payload, PayloadHash, Payloads, may_refer, references};
use fluxus_schema::{ClaimId, Tenant};

use crate::claim::uuids;
use crate::columns::Columns;
use crate::connection::Connection;
use crate::error::StoreError;

/// A row of the table `payload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadRow {
    /// The claim that it is part of.
    pub claim_id: ClaimId,
    /// Whose claim it is; the claim's own row counts where it is there.
    pub tenant: Tenant,
    /// What it is.
    pub payload: Payload,
}

/// Puts payloads there; those that are there already stay. One statement; none where there is
/// nothing to put. They are to be in the transaction of the rows that refer to them.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn put(on: &impl Connection, rows: &[PayloadRow]) -> Result<(), StoreError> {
    let Some(statement) = putting(rows) else { return Ok(()) };
    on.run(&statement).await?;
    Ok(())
}

/// What [`put`] runs, for whoever sends more along.
pub(crate) fn putting(rows: &[PayloadRow]) -> Option<Statement<'_>> {
    // In the order of their keys: batches that put the same ones wait for each other in one
    // direction.
    const PUT: &str = "-- put payloads
        INSERT INTO payload (claim_id, sha256, tenant, body, refers_to)
        SELECT claim_id, sha256,
               coalesce((SELECT tenant FROM claim WHERE claim.claim_id = new.claim_id), tenant),
               body, string_to_array(refers_to, ' ')
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
               AS new (claim_id, sha256, tenant, body, refers_to)
         ORDER BY claim_id, sha256
            ON CONFLICT DO NOTHING";
    if rows.is_empty() {
        return None;
    }
    let ids: Vec<_> = rows.iter().map(|row| row.claim_id.0).collect();
    let hashes: Vec<_> = rows.iter().map(|row| row.payload.hash.to_string()).collect();
    let tenants: Vec<_> = rows.iter().map(|row| row.tenant.as_str()).collect();
    let bodies: Vec<_> = rows.iter().map(|row| row.payload.text.as_str()).collect();
    let refers_to: Vec<_> = rows.iter().map(|row| joined(&row.payload.refers_to)).collect();
    Some(
        Statement::new(PUT)
            .with(ids, Type::UUID_ARRAY)
            .with(hashes, Type::TEXT_ARRAY)
            .with(tenants, Type::TEXT_ARRAY)
            .with(bodies, Type::TEXT_ARRAY)
            .with(refers_to, Type::TEXT_ARRAY),
    )
}

/// Takes a document of a claim apart: gives what stays of it, and adds its payloads to `rows`.
pub fn take_apart(
    claim_id: ClaimId,
    tenant: &Tenant,
    text: String,
    rows: &mut Vec<PayloadRow>,
) -> String {
    let Some((left, payloads)) = fluxus_schema::payload::take_apart(&text) else { return text };
    let row = |payload| PayloadRow { claim_id, tenant: tenant.clone(), payload };
    rows.extend(payloads.into_iter().map(row));
    left
}

fn joined(hashes: &[PayloadHash]) -> Option<String> {
    let words: Vec<_> = hashes.iter().map(ToString::to_string).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// What was asked of [`load`], by claim.
pub type Loaded = BTreeMap<ClaimId, Payloads>;

/// The payloads with these names, and those that they refer to. One statement; none where nothing
/// is asked for.
///
/// # Errors
/// [`StoreError`]; safe to try again. One that is not there is no error, it is just not in the
/// answer.
pub async fn load(
    on: &impl Connection,
    wanted: &BTreeSet<(ClaimId, PayloadHash)>,
) -> Result<Loaded, StoreError> {
    const LOAD: &str = "-- load payloads
        WITH RECURSIVE needed (claim_id, sha256) AS (
            SELECT claim_id, sha256 FROM unnest($1::uuid[], $2::text[]) AS given (claim_id, sha256)
             UNION
            SELECT payload.claim_id, unnest(payload.refers_to)
              FROM needed JOIN payload ON payload.claim_id = needed.claim_id
               AND payload.sha256 = needed.sha256
        )
        SELECT payload.claim_id, payload.sha256, body, refers_to IS NOT NULL AS refers
          FROM needed JOIN payload ON payload.claim_id = needed.claim_id
           AND payload.sha256 = needed.sha256";
    let mut loaded = Loaded::new();
    if wanted.is_empty() {
        return Ok(loaded);
    }
    let (ids, hashes): (Vec<_>, Vec<_>) =
        wanted.iter().map(|(claim_id, hash)| (*claim_id, hash.to_string())).unzip();
    let params = [(&uuids(&ids) as _, Type::UUID_ARRAY), (&hashes as _, Type::TEXT_ARRAY)];
    for row in on.query(LOAD, &params).await? {
        let row = Columns::new(&row, "payload", &["claim_id", "sha256"]);
        let at_hand = loaded.entry(row.claim_id("claim_id")?).or_default();
        at_hand.add(row.parse("sha256")?, row.get::<&str>("body")?, row.get("refers")?);
    }
    Ok(loaded)
}

/// A text of a row that was read.
pub(crate) enum Slot<'a> {
    Own(&'a mut String),
    Shared(&'a mut Arc<str>),
}

impl Slot<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Own(text) => text,
            Self::Shared(text) => text,
        }
    }

    fn set(self, whole: String) {
        match self {
            Self::Own(text) => *text = whole,
            Self::Shared(text) => *text = whole.into(),
        }
    }
}

/// Puts documents of claims together again. One statement where any of them has a reference, none
/// otherwise.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub(crate) async fn restore(
    on: &impl Connection,
    mut slots: Vec<(ClaimId, Slot<'_>)>,
) -> Result<(), StoreError> {
    slots.retain(|(_, slot)| may_refer(slot.text()));
    let wanted = wanted(&slots);
    if wanted.is_empty() {
        return Ok(());
    }
    let loaded = load(on, &wanted).await?;
    put_together(slots, &loaded)
}

/// Puts documents of claims together again that are not in the store's own tables. One statement
/// where any of them has a reference, none otherwise.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn restore_texts(
    on: &impl Connection,
    texts: Vec<(ClaimId, &mut String)>,
) -> Result<(), StoreError> {
    let slots = texts.into_iter().map(|(claim_id, text)| (claim_id, Slot::Own(text)));
    restore(on, slots.collect()).await
}

fn wanted(slots: &[(ClaimId, Slot<'_>)]) -> BTreeSet<(ClaimId, PayloadHash)> {
    let mut wanted = BTreeSet::new();
    for (claim_id, slot) in slots {
        wanted.extend(references(slot.text()).map(|one| (*claim_id, one.hash)));
    }
    wanted
}

fn put_together(slots: Vec<(ClaimId, Slot<'_>)>, loaded: &Loaded) -> Result<(), StoreError> {
    let none = Payloads::default();
    for (claim_id, slot) in slots {
        let at_hand = loaded.get(&claim_id).unwrap_or(&none);
        let whole = at_hand.restore(slot.text()).map_err(|missing| StoreError::Corrupt {
            table: "payload",
            key: format!("{claim_id} {}", missing.0),
            column: "body",
            source: missing.into(),
        })?;
        let whole = whole.into_owned();
        slot.set(whole);
    }
    Ok(())
}
