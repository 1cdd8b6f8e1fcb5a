//! What fluxling-items is allowed.

use std::path::PathBuf;
use std::sync::Arc;

use fluxling_http::{ConfigError, HttpConfig};

use crate::objects::Objects;

/// Names the folder that `{"File": ..}` is below.
const FOLDER: &str = "FLUXLING_ITEMS_FOLDER";
/// Names the address that buckets are below.
const S3_URL: &str = "FLUXLING_ITEMS_S3_URL";

/// Where sources and results may be. By default, on the public internet only.
#[derive(Debug, Clone, Default)]
pub struct ItemsConfig {
    /// The folder that `{"File": ..}` is below. None refuses files.
    pub folder: Option<PathBuf>,
    /// The address that buckets are below: `{s3_url}/{Bucket}/{Key}`. It goes before `objects`.
    pub s3_url: Option<String>,
    /// The way to buckets. Without it and without `s3_url`, they are refused.
    pub objects: Option<Arc<dyn Objects>>,
    /// Which addresses may be reached.
    pub http: HttpConfig,
}

impl ItemsConfig {
    /// From `FLUXLING_ITEMS_FOLDER`, `FLUXLING_ITEMS_S3_URL`, and the settings of fluxling-http.
    /// The way to buckets is not of the environment's making: see [`buckets`](crate::buckets).
    ///
    /// # Errors
    /// [`ConfigError`] where one of them cannot be read.
    pub fn from_env() -> Result<Self, ConfigError> {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let folder = read(FOLDER).map(PathBuf::from);
        let http = HttpConfig::from_env()?;
        Ok(Self { folder, s3_url: read(S3_URL), objects: None, http })
    }
}
