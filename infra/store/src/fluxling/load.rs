//! How fluxlings fare: moving averages, so that old times fade.

use std::collections::BTreeMap;

use fluxus_postgres::types::Type;
use fluxus_schema::{FluxlingName, Tenant, Timestamp};

use crate::connection::Connection;
use crate::error::StoreError;
use crate::instant::stored;

/// How much one answer weighs in the averages: the last twenty or so make up nine tenths, enough
/// to smooth single slow tasks, few enough to notice trouble within seconds.
pub const AVERAGE_WEIGHT: f64 = 0.1;

/// What a batch of messages says of one fluxling.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadDelta {
    /// Whose.
    pub tenant: Tenant,
    /// The fluxling.
    pub fluxling: FluxlingName,
    /// Tasks given to it, less those answered or given up.
    pub in_flight: i64,
    /// Tasks that it answered.
    pub answered: u32,
    /// Those among them that failed.
    pub failed: u32,
    /// Mean time from delegation to answer, in milliseconds, of those answered.
    pub latency_ms: f64,
    /// Set where too many failed: no tasks until then.
    pub circuit_open_until: Option<Timestamp>,
}

impl LoadDelta {
    /// Both together; they are of the same fluxling.
    fn merge(&mut self, other: &Self) {
        let (a, b) = (f64::from(self.answered), f64::from(other.answered));
        if a + b > 0.0 {
            self.latency_ms = (self.latency_ms * a + other.latency_ms * b) / (a + b);
        }
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.answered = self.answered.saturating_add(other.answered);
        self.failed = self.failed.saturating_add(other.failed);
        self.circuit_open_until = self.circuit_open_until.max(other.circuit_open_until);
    }
}

/// Adds what a batch says to the fluxlings' averages; unknown fluxlings are passed over. One
/// statement. The rows are hot: use a commit of its own, after that of the batch, on a relaxed
/// session. Nothing but the ranking of fluxlings depends on it.
///
/// # Errors
/// [`StoreError`]; trying again is allowed, and so is not to.
pub async fn record_load(on: &impl Connection, deltas: &[LoadDelta]) -> Result<(), StoreError> {
    // n answers of mean m move an average a to a·(1-w)^n + m·(1-(1-w)^n); the first ones set it.
    const RECORD: &str = "-- record load
        WITH delta AS MATERIALIZED (
            SELECT given.*, CASE WHEN fluxling.answered = 0 AND given.answered > 0 THEN 0
                                 ELSE power(1 - $8::float8, given.answered) END AS keep
              FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::float8[],
                          $6::float8[], $7::timestamptz[])
                   AS given (tenant, name, in_flight, answered, failed, latency_ms, open_until)
              JOIN fluxling ON fluxling.tenant = given.tenant AND fluxling.name = given.name
             ORDER BY given.tenant, given.name FOR UPDATE OF fluxling
        )
        UPDATE fluxling
           SET in_flight = greatest(0, fluxling.in_flight + delta.in_flight),
               answered = fluxling.answered + delta.answered,
               latency_ms = fluxling.latency_ms * keep + delta.latency_ms * (1 - keep),
               error_rate = fluxling.error_rate * keep + delta.failed * (1 - keep),
               circuit_open_until = coalesce(delta.open_until, fluxling.circuit_open_until)
          FROM delta
         WHERE fluxling.tenant = delta.tenant AND fluxling.name = delta.name";
    let mut merged: BTreeMap<(&Tenant, &FluxlingName), LoadDelta> = BTreeMap::new();
    for delta in deltas {
        let entry = merged.entry((&delta.tenant, &delta.fluxling));
        entry.and_modify(|known| known.merge(delta)).or_insert_with(|| delta.clone());
    }
    if merged.is_empty() {
        return Ok(());
    }
    let deltas: Vec<LoadDelta> = merged.into_values().collect();
    let tenants: Vec<_> = deltas.iter().map(|delta| delta.tenant.as_str()).collect();
    let names: Vec<_> = deltas.iter().map(|delta| delta.fluxling.as_str()).collect();
    let in_flight: Vec<_> = deltas.iter().map(|delta| delta.in_flight).collect();
    let answered: Vec<_> = deltas.iter().map(|delta| i64::from(delta.answered)).collect();
    let failed: Vec<_> = deltas.iter().map(failed_share).collect();
    let latency: Vec<_> = deltas.iter().map(|delta| finite(delta.latency_ms)).collect();
    let open: Vec<_> = deltas.iter().map(|delta| delta.circuit_open_until.map(stored)).collect();
    let params = [
        (&tenants as _, Type::TEXT_ARRAY),
        (&names as _, Type::TEXT_ARRAY),
        (&in_flight as _, Type::INT8_ARRAY),
        (&answered as _, Type::INT8_ARRAY),
        (&failed as _, Type::FLOAT8_ARRAY),
        (&latency as _, Type::FLOAT8_ARRAY),
        (&open as _, Type::TIMESTAMPTZ_ARRAY),
        (&AVERAGE_WEIGHT as _, Type::FLOAT8),
    ];
    on.execute(RECORD, &params).await?;
    Ok(())
}

fn failed_share(delta: &LoadDelta) -> f64 {
    let answered = f64::from(delta.answered.max(1));
    (f64::from(delta.failed) / answered).min(1.0)
}

/// A time of nonsense must not stay in an average for ever.
fn finite(ms: f64) -> f64 {
    if ms.is_finite() { ms.max(0.0) } else { 0.0 }
}
