//! Logging in with what AWS keeps: a secret of Secrets Manager, or a token of IAM.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use serde::Deserialize;
use tokio_postgres::config::{Host, SslMode};

use crate::database::server;
use crate::{DatabaseError, Password, Passwords, Target};

/// How long a token lets connections be opened: what RDS allows.
///
/// Source: Amazon RDS user guide, "IAM database authentication".
const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// A token is made anew so long before its end, so that none ends on its way.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A secret as RDS writes it; what else is in it is not looked at.
#[derive(Deserialize)]
struct DatabaseSecret {
    username: Option<String>,
    password: String,
    host: Option<String>,
    port: Option<u16>,
    dbname: Option<String>,
}

/// Passwords of a secret. Where the server refuses one, it was rotated, and is read again.
#[derive(Debug)]
struct OfSecret(String);

/// Tokens of IAM.
#[derive(Debug)]
struct Tokens(SdkConfig);

/// Completes the configuration by a secret, and reads it again where its password is refused.
pub(crate) async fn with_secret(
    arn: &str,
    config: &mut tokio_postgres::Config,
) -> Result<Arc<dyn Passwords>, DatabaseError> {
    let found = read(arn).await;
    let found =
        found.map_err(|source| DatabaseError::Password { server: server(config), source })?;
    complete(config, &found);
    Ok(Arc::new(OfSecret(arn.to_owned())))
}

/// What the URL says goes before what the secret says; only the user's name is the secret's, since
/// the password is his.
fn complete(config: &mut tokio_postgres::Config, secret: &DatabaseSecret) {
    if config.get_hosts().is_empty()
        && let Some(host) = &secret.host
    {
        config.host(host);
        if let Some(port) = secret.port.filter(|_| config.get_ports().is_empty()) {
            config.port(port);
        }
    }
    if let Some(name) = secret.dbname.as_deref().filter(|_| config.get_dbname().is_none()) {
        config.dbname(name);
    }
    if let Some(user) = &secret.username {
        config.user(user);
    }
    config.password(&secret.password);
}

async fn read(arn: &str) -> Result<DatabaseSecret, Failure> {
    let text = fluxus_lambda::aws::secret(arn).await?;
    serde_json::from_str(&text).map_err(|error| {
        // The text is secret, and so is what serde quotes of it.
        let (line, column) = (error.line(), error.column());
        let reason = format!(
            "the secret `{arn}` is not JSON with `username` and `password`, at line {line}, \
             column {column}"
        );
        reason.into()
    })
}

#[async_trait]
impl Passwords for OfSecret {
    async fn password(&self, _server: &Target) -> Result<Password, Failure> {
        let DatabaseSecret { password, .. } = read(&self.0).await?;
        Ok(Password { text: password, good_until: None })
    }
}

/// Logs in with tokens of IAM, which RDS takes over TLS only.
pub(crate) async fn with_tokens(
    config: &mut tokio_postgres::Config,
) -> Result<Arc<dyn Passwords>, DatabaseError> {
    if !matches!(config.get_hosts().first(), Some(Host::Tcp(_))) || config.get_user().is_none() {
        const WHAT: &str = "FLUXUS_DATABASE_URL must name user and host for tokens of IAM: \
                            postgres://USER@HOST:5432/DATABASE";
        return Err(DatabaseError::Settings(WHAT.to_owned()));
    }
    config.ssl_mode(SslMode::Require);
    Ok(Arc::new(Tokens(fluxus_lambda::aws::config().await.clone())))
}

#[async_trait]
impl Passwords for Tokens {
    async fn password(&self, server: &Target) -> Result<Password, Failure> {
        let region = self.0.region().ok_or("no region is set: AWS_REGION")?.to_string();
        let provider = self.0.credentials_provider().ok_or("there are no AWS credentials")?;
        let identity = provider.provide_credentials().await?;
        let made = Instant::now();
        let text = token(server, &region, &identity, SystemTime::now())?;
        Ok(Password { text, good_until: made.checked_add(TOKEN_LIFE - TOKEN_MARGIN) })
    }
}

/// A token: the presigned request to connect, without its scheme.
fn token(
    server: &Target,
    region: &str,
    identity: &aws_credential_types::Credentials,
    at: SystemTime,
) -> Result<String, Failure> {
    let Target { host, port, user } = server;
    let mut url = url::Url::parse(&format!("https://{host}:{port}/"))?;
    url.query_pairs_mut().append_pair("Action", "connect").append_pair("DBUser", user);
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(TOKEN_LIFE);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = identity.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(at)
        .settings(settings)
        .build()?
        .into();
    let request =
        SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(&[]))?;
    let (signed, _signature) = sign(request, &params)?.into_parts();
    for (name, value) in signed.params() {
        url.query_pairs_mut().append_pair(name, value);
    }
    Ok(url.as_str().trim_start_matches("https://").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_presigned_request() {
        let identity = aws_credential_types::Credentials::new("AKID", "secret", None, None, "test");
        let server = Target { host: "db.example".into(), port: 5432, user: "fluxus".into() };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_724_709_600);
        let token = token(&server, "eu-central-1", &identity, at).expect("a token");
        assert!(token.starts_with("db.example:5432/?Action=connect&DBUser=fluxus&"), "{token}");
        for part in
            ["X-Amz-Expires=900", "%2Feu-central-1%2Frds-db%2Faws4_request", "X-Amz-Signature="]
        {
            assert!(token.contains(part), "{token}");
        }
    }

    #[test]
    fn the_url_goes_before_the_secret() {
        let secret = r#"{"engine":"postgres","username":"app","password":"p","host":"from-secret",
                         "port":6432,"dbname":"other","dbInstanceIdentifier":"x"}"#;
        let secret: DatabaseSecret = serde_json::from_str(secret).expect("a secret");
        let completed = |url: &str| {
            let mut config: tokio_postgres::Config = url.parse().expect("a URL");
            complete(&mut config, &secret);
            (server(&config), config.get_user().map(str::to_owned))
        };
        let user = Some("app".to_owned());
        assert_eq!(completed("postgres://"), ("from-secret:6432/other".into(), user.clone()));
        assert_eq!(completed("postgres://me@h:1/x"), ("h:1/x".into(), user));
    }
}
