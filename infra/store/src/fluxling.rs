//! Fluxlings: who can do what, and how each fares.

mod load;

use fluxus_postgres::Row;
use fluxus_postgres::types::Type;
use fluxus_schema::fluxling::{Fluxling, Load, Manifest};
use fluxus_schema::{FluxlingName, Tenant, Timestamp};

use crate::columns::Columns;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::instant::stored;
use crate::store::Store;

pub use load::{AVERAGE_WEIGHT, LoadDelta, record_load};

/// All columns of a fluxling, as [`read`] reads them.
macro_rules! fluxling_columns {
    () => {
        "tenant, name, manifest::text, enabled, registered_at, in_flight, latency_ms, error_rate,
         answered, circuit_open_until"
    };
}

/// All fluxlings of all tenants: the core's picture of whom it can delegate to.
///
/// # Errors
/// [`StoreError`]; safe to try again.
pub async fn registry(on: &impl Connection) -> Result<Vec<(Tenant, Fluxling)>, StoreError> {
    const LIST: &str = concat!(
        "-- list all fluxlings\nSELECT ",
        fluxling_columns!(),
        " FROM fluxling ORDER BY tenant, name"
    );
    on.query(LIST, &[]).await?.iter().map(read).collect()
}

impl Store {
    /// Registers a fluxling, or renews what it says of itself. How it fares, and whether it is
    /// enabled, stays as it is.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn register_fluxling(
        &self,
        tenant: &Tenant,
        manifest: &Manifest,
        now: Timestamp,
    ) -> Result<Fluxling, StoreError> {
        const REGISTER: &str = concat!(
            "-- register a fluxling
            INSERT INTO fluxling (tenant, name, manifest, enabled, registered_at)
            VALUES ($1, $2, $3::text::json, true, $4)
                ON CONFLICT (tenant, name) DO UPDATE SET manifest = excluded.manifest
            RETURNING ",
            fluxling_columns!()
        );
        let document = serde_json::json!(manifest).to_string();
        let params = [
            (&tenant.as_str() as _, Type::TEXT),
            (&manifest.name.as_str() as _, Type::TEXT),
            (&document as _, Type::TEXT),
            (&stored(now) as _, Type::TIMESTAMPTZ),
        ];
        let rows = self.session().await?.query(REGISTER, &params).await?;
        let registered = rows.first().map(read).transpose()?.map(|(_, fluxling)| fluxling);
        registered.ok_or_else(|| StoreError::Conflict {
            table: "fluxling",
            key: manifest.name.to_string(),
        })
    }

    /// All fluxlings of the tenant, by name.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn fluxlings(&self, tenant: &Tenant) -> Result<Vec<Fluxling>, StoreError> {
        const LIST: &str = concat!(
            "-- list fluxlings\nSELECT ",
            fluxling_columns!(),
            " FROM fluxling WHERE tenant = $1 ORDER BY name"
        );
        let rows = self.session().await?.query(LIST, &[(&tenant.as_str(), Type::TEXT)]).await?;
        rows.iter().map(|row| Ok(read(row)?.1)).collect()
    }

    /// A fluxling by its name.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn fluxling(
        &self,
        tenant: &Tenant,
        name: &FluxlingName,
    ) -> Result<Option<Fluxling>, StoreError> {
        const FIND: &str = concat!(
            "-- find a fluxling\nSELECT ",
            fluxling_columns!(),
            " FROM fluxling WHERE tenant = $1 AND name = $2"
        );
        let params = [(&tenant.as_str() as _, Type::TEXT), (&name.as_str() as _, Type::TEXT)];
        let rows = self.session().await?.query(FIND, &params).await?;
        rows.first().map(|row| Ok(read(row)?.1)).transpose()
    }

    /// Says whether a fluxling may be given tasks; false if there is none of that name.
    ///
    /// # Errors
    /// [`StoreError`]; safe to try again.
    pub async fn set_fluxling_enabled(
        &self,
        tenant: &Tenant,
        name: &FluxlingName,
        enabled: bool,
    ) -> Result<bool, StoreError> {
        const ENABLE: &str = "-- enable or disable a fluxling
            UPDATE fluxling SET enabled = $3 WHERE tenant = $1 AND name = $2";
        let params = [
            (&tenant.as_str() as _, Type::TEXT),
            (&name.as_str() as _, Type::TEXT),
            (&enabled as _, Type::BOOL),
        ];
        Ok(self.session().await?.execute(ENABLE, &params).await? > 0)
    }
}

fn read(row: &Row) -> Result<(Tenant, Fluxling), StoreError> {
    let row = Columns::new(row, "fluxling", &["tenant", "name"]);
    let load = Load {
        in_flight: row.get("in_flight")?,
        latency_ms: row.get("latency_ms")?,
        error_rate: row.get("error_rate")?,
        answered: row.get("answered")?,
        circuit_open_until: row.timestamp_option("circuit_open_until")?,
    };
    let fluxling = Fluxling {
        manifest: row.json("manifest")?,
        enabled: row.get("enabled")?,
        registered_at: row.timestamp("registered_at")?,
        load,
    };
    Ok((row.parse("tenant")?, fluxling))
}
