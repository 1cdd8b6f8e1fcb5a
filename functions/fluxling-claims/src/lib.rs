//! Checks claims: whether a document satisfies a JSON Schema, and whether a signed token holds.
//!
//! - `claims.validate`: `{"schema": {…}, "document": …}` to `{"valid": false, "faults": [{"pointer":
//!   "/cents", "detail": …}]}`. With `"fail": true` a document that is not valid fails the task as
//!   `Claims.Invalid` instead. See [`validate`].
//! - `claims.verify`: `{"token": "ey…", "keys": {…}, "issuer": …, "audience": …}` to `{"claims": {…},
//!   "header": {…}}`, or an error that says what is wrong with the token. See [`verify`].

pub mod jws;
pub mod validate;
pub mod verify;

use std::time::Duration;

use fluxling::{Clock, Fluxling, Task};

/// Both checks are a matter of milliseconds; a task that takes longer is stuck.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What fluxling-claims can be told.
#[derive(Debug, Clone, Default)]
pub struct ClaimsConfig {
    /// Judges whether tokens are expired.
    pub clock: Clock,
}

/// The fluxling.
pub fn fluxling(config: ClaimsConfig) -> Fluxling {
    let ClaimsConfig { clock } = config;
    Fluxling::new("claims")
        .version(env!("CARGO_PKG_VERSION"))
        .description("Checks documents against JSON Schemas, and signed tokens.")
        .capability("claims.validate", async |task: Task<validate::Input>| {
            validate::validate(&task.input)
        })
        .capability("claims.verify", move |task: Task<verify::Input>| {
            let now = clock.now();
            async move { verify::verify(&task.input, now) }
        })
        .timeout(TIMEOUT)
        .idempotent(true)
}
