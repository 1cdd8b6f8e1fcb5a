//! Messages to the core that nobody could handle, by the claim they are about.
//!
//! The letters stay in the queue that gave them up; these rows say which claims wait for them, so
//! that a claim can be asked about, and its messages sent again, whatever the queues are.

use fluxus_postgres::Transaction;
use fluxus_postgres::types::Type;
use fluxus_schema::{BranchId, ClaimId, Timestamp};

use crate::columns::Columns;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::instant::stored;

/// A row of the table `dead_message`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadMessage {
    /// The claim that it is about.
    pub claim_id: ClaimId,
    /// The letter's id in its queue.
    pub message_id: String,
    /// The branch that it is about; none where it is the claim as a whole.
    pub branch_id: Option<BranchId>,
    /// The message.
    pub body: String,
    /// Why it could not be handled.
    pub reason: String,
    /// How often it was received.
    pub receive_count: u32,
    /// When it was given up.
    pub dead_at: Timestamp,
}

/// Notes messages that are dead letters; those that are known already stay as they are, and those
/// about claims that are gone are passed over.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn note(on: &impl Connection, messages: &[DeadMessage]) -> Result<(), StoreError> {
    const NOTE: &str = "-- note dead messages
        INSERT INTO dead_message (claim_id, message_id, tenant, branch_id, body, reason,
               receive_count, dead_at)
        SELECT new.claim_id, message_id, tenant, branch_id, new.body, reason, receive_count, dead_at
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[],
                      $7::timestamptz[])
               AS new (claim_id, message_id, branch_id, body, reason, receive_count, dead_at)
          JOIN claim ON claim.claim_id = new.claim_id
            ON CONFLICT DO NOTHING";
    if messages.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = messages.iter().map(|one| one.claim_id.0).collect();
    let letters: Vec<_> = messages.iter().map(|one| one.message_id.as_str()).collect();
    let branches: Vec<_> =
        messages.iter().map(|one| one.branch_id.as_ref().map(BranchId::as_str)).collect();
    let bodies: Vec<_> = messages.iter().map(|one| one.body.as_str()).collect();
    let reasons: Vec<_> = messages.iter().map(|one| one.reason.as_str()).collect();
    let counts: Vec<_> =
        messages.iter().map(|one| i32::try_from(one.receive_count).unwrap_or(i32::MAX)).collect();
    let dead: Vec<_> = messages.iter().map(|one| stored(one.dead_at)).collect();
    let params = [
        (&ids as _, Type::UUID_ARRAY),
        (&letters as _, Type::TEXT_ARRAY),
        (&branches as _, Type::TEXT_ARRAY),
        (&bodies as _, Type::TEXT_ARRAY),
        (&reasons as _, Type::TEXT_ARRAY),
        (&counts as _, Type::INT4_ARRAY),
        (&dead as _, Type::TIMESTAMPTZ_ARRAY),
    ];
    on.execute(NOTE, &params).await?;
    Ok(())
}

/// Takes the messages of a claim: send them again in the same transaction.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn take(tx: &Transaction<'_>, claim_id: ClaimId) -> Result<Vec<String>, StoreError> {
    const TAKE: &str = "-- take dead messages
        DELETE FROM dead_message WHERE claim_id = $1 RETURNING body, claim_id";
    let rows = tx.query(TAKE, &[(&claim_id.0, Type::UUID)]).await?;
    rows.iter().map(|row| Columns::new(row, "dead_message", &["claim_id"]).get("body")).collect()
}

/// Forgets letters that were sent again, or that nobody wants any more.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn forget(on: &impl Connection, letters: &[String]) -> Result<(), StoreError> {
    const FORGET: &str = "-- forget dead messages
        DELETE FROM dead_message WHERE message_id = ANY($1)";
    if letters.is_empty() {
        return Ok(());
    }
    on.execute(FORGET, &[(&letters, Type::TEXT_ARRAY)]).await?;
    Ok(())
}

/// Forgets the letters of claims that have ended.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub(crate) async fn forget_ended(on: &impl Connection) -> Result<(), StoreError> {
    const FORGET: &str = "-- forget dead messages of ended claims
        DELETE FROM dead_message
         WHERE NOT EXISTS (SELECT FROM claim WHERE claim.claim_id = dead_message.claim_id
                              AND claim.ended_at IS NULL)";
    on.execute(FORGET, &[]).await?;
    Ok(())
}
