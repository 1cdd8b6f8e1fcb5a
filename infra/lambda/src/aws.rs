//! The AWS configuration of the process, and secrets.

use aws_config::SdkConfig;
use tokio::sync::OnceCell;

/// Why a secret is not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Secrets Manager did not give it. Check the ARN, the function's policy and its network.
    #[error("cannot read the secret `{arn}`")]
    Unreadable {
        /// Which.
        arn: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It holds bytes. Store it as text.
    #[error("the secret `{arn}` holds no text")]
    NoText {
        /// Which.
        arn: String,
    },
}

/// Region, credentials and HTTP client, read from the environment once for the process.
pub async fn config() -> &'static SdkConfig {
    static CONFIG: OnceCell<SdkConfig> = OnceCell::const_new();
    CONFIG.get_or_init(aws_config::load_from_env).await
}

/// The text of a secret in Secrets Manager, by its ARN or name.
///
/// # Errors
/// [`SecretError`].
pub async fn secret(arn: &str) -> Result<String, SecretError> {
    let client = aws_sdk_secretsmanager::Client::new(config().await);
    let found = client.get_secret_value().secret_id(arn).send().await;
    let found = found.map_err(|error| SecretError::Unreadable {
        arn: arn.to_owned(),
        source: error.into_source().unwrap_or_else(|error| Box::new(error)),
    })?;
    found.secret_string.ok_or_else(|| SecretError::NoText { arn: arn.to_owned() })
}
