//! Lists of claims, newest first.

use std::collections::BTreeMap;

use fluxus_postgres::types::Type;
use fluxus_schema::id::ClaimType;
use fluxus_schema::{Claim, ClaimId, ClaimStatus, RecipeName, Tenant, Timestamp};

use super::{ClaimRow, claim_columns, uuids};
use crate::columns::{Columns, limit};
use crate::error::StoreError;
use crate::store::Store;

/// Which claims to list. Every field that is set narrows the list; what is empty does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimFilter {
    /// Whose.
    pub tenant: Tenant,
    /// Of this type.
    pub claim_type: Option<ClaimType>,
    /// With one of these.
    pub status: Vec<ClaimStatus>,
    /// About this.
    pub subject: Option<String>,
    /// Fulfilled by this recipe.
    pub recipe: Option<RecipeName>,
    /// Started by the recipe of this claim.
    pub parent: Option<ClaimId>,
    /// Received at this time or later.
    pub received_from: Option<Timestamp>,
    /// Received before this time.
    pub received_to: Option<Timestamp>,
    /// With all of these attributes.
    pub attributes: BTreeMap<String, String>,
    /// One of these; of all, where there are none.
    pub among: Option<Vec<ClaimId>>,
    /// Older than this claim: the last one of the page before.
    pub before: Option<ClaimId>,
    /// At most so many.
    pub limit: usize,
}

impl Store {
    /// A page of claims, newest first. What is large in their documents stays a reference: a page
    /// holds many.
    ///
    /// The time of receipt is taken from the claim id (UUIDv7), by which all lists are ordered.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn list_claims(&self, filter: &ClaimFilter) -> Result<Vec<Claim>, StoreError> {
        let session = self.session().await?;
        let statuses: Vec<_> = filter.status.iter().map(|status| status.as_str()).collect();
        let attributes = serde_json::json!(filter.attributes).to_string();
        let oldest = filter.received_from.map(|from| first_id(from).0);
        let to = filter.received_to.map(first_id);
        let before = to.into_iter().chain(filter.before).min().map(|id| id.0);
        let rows = session
            .query(
                &list_statement(filter),
                &[
                    (&filter.tenant.as_str(), Type::TEXT),
                    (&limit(filter.limit), Type::INT8),
                    (&filter.claim_type.as_ref().map(ClaimType::as_str), Type::TEXT),
                    (&statuses, Type::TEXT_ARRAY),
                    (&filter.subject, Type::TEXT),
                    (&filter.recipe.as_ref().map(RecipeName::as_str), Type::TEXT),
                    (&oldest, Type::UUID),
                    (&before, Type::UUID),
                    (&attributes, Type::TEXT),
                    (&filter.parent.map(|parent| parent.to_string()), Type::TEXT),
                    (&uuids(filter.among.as_deref().unwrap_or_default()), Type::UUID_ARRAY),
                ],
            )
            .await?;
        rows.iter().map(|row| ClaimRow::read(row)?.try_into()).collect()
    }
}

impl Store {
    /// Ids of the tenant's claims that came in at `from` or later and before `to`, in that order and
    /// after `after`; of this type, where one is named.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn claim_ids(
        &self,
        tenant: &Tenant,
        claim_type: Option<&ClaimType>,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        after: Option<ClaimId>,
        at_most: usize,
    ) -> Result<Vec<ClaimId>, StoreError> {
        const IDS: &str = "-- list ids of claims
            SELECT claim_id FROM claim
             WHERE tenant = $1 AND claim_id >= $2 AND claim_id < $3 AND claim_id > $4
             ORDER BY claim_id LIMIT $5";
        const IDS_OF_TYPE: &str = "-- list ids of claims of a type
            SELECT claim_id FROM claim
             WHERE tenant = $1 AND claim_id >= $2 AND claim_id < $3 AND claim_id > $4
               AND claim_type = $6
             ORDER BY claim_id LIMIT $5";
        let from = from.map_or(uuid::Uuid::nil(), |from| first_id(from).0);
        let to = to.map_or(uuid::Uuid::max(), |to| first_id(to).0);
        let after = after.map_or(uuid::Uuid::nil(), |after| after.0);
        let claim_type = claim_type.map(ClaimType::as_str);
        let params = [
            (&tenant.as_str() as _, Type::TEXT),
            (&from as _, Type::UUID),
            (&to as _, Type::UUID),
            (&after as _, Type::UUID),
            (&limit(at_most) as _, Type::INT8),
            (&claim_type as _, Type::TEXT),
        ];
        let session = self.session().await?;
        let rows = match claim_type {
            Some(_) => session.query(IDS_OF_TYPE, &params).await?,
            None => session.query(IDS, &params[..5]).await?,
        };
        rows.iter().map(|row| Columns::new(row, "claim", &[]).claim_id("claim_id")).collect()
    }
}

/// The statement for the fields that are set, and no others, so that each combination gets the
/// plan that suits it. Values are parameters: there are a few hundred texts in all.
pub(super) fn list_statement(filter: &ClaimFilter) -> String {
    let status = &filter.status;
    let only = |holds: fn(ClaimStatus) -> bool| {
        !status.is_empty() && status.iter().all(|status| holds(*status))
    };
    let conditions = [
        (filter.claim_type.is_some(), "claim_type = $3"),
        (!status.is_empty(), "status = ANY($4)"),
        // Said again in the words of the partial indexes.
        (only(|status| !status.has_ended()), "ended_at IS NULL"),
        (only(|status| status.has_ended() && status != ClaimStatus::Succeeded), "unfulfilled"),
        (filter.subject.is_some(), "subject = $5"),
        (filter.recipe.is_some(), "recipe = $6"),
        (filter.received_from.is_some(), "claim_id >= $7"),
        (filter.received_to.is_some() || filter.before.is_some(), "claim_id < $8"),
        (filter.parent.is_some(), "origin ->> 'parent' = $10 AND origin IS NOT NULL"),
        (filter.among.is_some(), "claim_id = ANY($11)"),
        (!filter.attributes.is_empty(), "attributes @> $9::jsonb AND attributes <> '{}'"),
    ];
    let mut sql = String::from(concat!(
        "-- list claims\nSELECT ",
        claim_columns!(),
        " FROM claim WHERE tenant = $1"
    ));
    for (_, condition) in conditions.iter().filter(|(set, _)| *set) {
        sql.push_str(" AND ");
        sql.push_str(condition);
    }
    sql.push_str(" ORDER BY claim_id DESC LIMIT $2");
    sql
}

/// The lowest id that a claim received `at` can have.
fn first_id(at: Timestamp) -> ClaimId {
    ClaimId::new(at, &[0; 10])
}
