//! How many claims wait to be evaluated.

use fluxus_postgres::types::Type;
use fluxus_schema::Tenant;

use crate::columns::{Columns, limit};
use crate::error::StoreError;
use crate::store::Store;

impl Store {
    /// How many claims of each of these tenants wait to be evaluated. The newest `at_most` of its
    /// open claims are looked at: those are the ones that wait, where many do, however many older
    /// ones run.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn unevaluated(
        &self,
        tenants: &[Tenant],
        at_most: usize,
    ) -> Result<Vec<(Tenant, u64)>, StoreError> {
        const COUNT: &str = "-- count claims that wait to be evaluated
            SELECT given.tenant, newest.waiting
              FROM unnest($1::text[]) AS given (tenant)
             CROSS JOIN LATERAL (
                   SELECT count(*) FILTER (WHERE status = 'RECEIVED') AS waiting
                     FROM (SELECT status FROM claim
                            WHERE claim.tenant = given.tenant AND ended_at IS NULL
                            ORDER BY claim_id DESC LIMIT $2) AS open) AS newest";
        let names: Vec<_> = tenants.iter().map(Tenant::as_str).collect();
        let params = [(&names as _, Type::TEXT_ARRAY), (&limit(at_most) as _, Type::INT8)];
        let rows = self.session().await?.query(COUNT, &params).await?;
        let read = |row| {
            let row = Columns::new(row, "claim", &["tenant"]);
            Ok((row.parse("tenant")?, row.count("waiting")?))
        };
        rows.iter().map(read).collect()
    }

    /// Whether the tenant has a claim with this idempotency key.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn is_known(&self, tenant: &Tenant, key: &str) -> Result<bool, StoreError> {
        const KNOWN: &str = "-- look for an idempotency key
            SELECT FROM claim WHERE tenant = $1 AND idempotency_key = $2";
        let params = [(&tenant.as_str() as _, Type::TEXT), (&key as _, Type::TEXT)];
        Ok(!self.session().await?.query(KNOWN, &params).await?.is_empty())
    }
}
