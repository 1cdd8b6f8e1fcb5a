//! What the process is told by its environment.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use fluxus_postgres::{Database, Options};
use fluxus_queue::{PostgresQueue, PostgresQueueOptions, Queue, QueueName};
use fluxus_schema::message::{CORE_QUEUE, INGEST_QUEUE};
use fluxus_store::{ASKING, Outbound, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::Parts;
use crate::auth::{ApiKeys, Auth, KEYS_VARIABLE};
use crate::backlog::Bounds;
use crate::gateway::Gateway;
use crate::ingest::Ingest;
use crate::lambda::LargeBodies;
use crate::limits::Limits;
use crate::waiters::Hearing;

/// The address to listen on, where this is no Lambda.
pub const LISTEN_VARIABLE: &str = "FLUXUS_API_LISTEN";

/// Where the API listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7400";

/// Who says who asks: `keys`, or as a Lambda function `jwt` or `iam`.
pub const AUTH_VARIABLE: &str = "FLUXUS_AUTH";

/// The secret in Secrets Manager that holds the keys, in the form of [`KEYS_VARIABLE`].
pub const KEYS_SECRET_VARIABLE: &str = "FLUXUS_API_KEYS_SECRET";

/// The claim of a token that names the tenant.
pub const TENANT_CLAIM_VARIABLE: &str = "FLUXUS_TENANT_CLAIM";

/// How many claims of one tenant may wait to be evaluated.
pub const TENANT_BACKLOG_VARIABLE: &str = "FLUXUS_MAX_TENANT_BACKLOG";

/// How many claims of all tenants may wait to be evaluated.
pub const BACKLOG_VARIABLE: &str = "FLUXUS_MAX_BACKLOG";

/// Set by AWS Lambda, and by what stands in for it.
const LAMBDA_VARIABLE: &str = fluxus_lambda::RUNTIME_VARIABLE;

/// What this process is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    database: fluxus_postgres::Settings,
    backlog: Bounds,
    auth: Login,
    /// How it is served.
    pub footing: Footing,
}

/// What the ingest is to be.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    database: fluxus_postgres::Settings,
    backlog: Bounds,
}

/// Who may ask, as far as the environment alone says.
#[derive(Debug, Clone)]
enum Login {
    Known(Auth),
    /// Whoever has a key of this secret.
    Secret(String),
}

/// How the API is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footing {
    /// By the Lambda runtime.
    Lambda,
    /// On a socket.
    Socket {
        /// The address.
        listen: SocketAddr,
    },
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// One error that names every variable that is missing or wrong.
    pub fn from_env() -> anyhow::Result<Self> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the environment of the ingest.
    ///
    /// # Errors
    /// One error that names every variable that is missing or wrong.
    pub fn ingest_from_env() -> anyhow::Result<IngestSettings> {
        let mut wrong = Vec::new();
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let database = fluxus_postgres::Settings::read(variable, &mut wrong);
        let backlog = bounds(variable, &mut wrong);
        match database {
            Some(database) if wrong.is_empty() => Ok(IngestSettings { database, backlog }),
            _ => anyhow::bail!("{}", wrong.join("; ")),
        }
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let mut wrong = Vec::new();
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let database = fluxus_postgres::Settings::read(variable, &mut wrong);
        let lambda = variable(LAMBDA_VARIABLE).is_some();
        let backlog = bounds(variable, &mut wrong);
        let auth = auth(variable, lambda).map_err(|error| wrong.push(error)).ok();
        let listen = variable(LISTEN_VARIABLE).unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
        let footing = match listen.parse() {
            _ if lambda => Some(Footing::Lambda),
            Ok(listen) => Some(Footing::Socket { listen }),
            Err(_) => {
                wrong.push(format!("{LISTEN_VARIABLE} is `{listen}`, not `ADDRESS:PORT`"));
                None
            }
        };
        match (database, auth, footing) {
            (Some(database), Some(auth), Some(footing)) if wrong.is_empty() => {
                Ok(Self { database, backlog, auth, footing })
            }
            _ => anyhow::bail!("{}", wrong.join("; ")),
        }
    }

    /// Connects to the database and makes what an [`App`](crate::App) is made of.
    ///
    /// # Errors
    /// If the database, the queues or a secret cannot be reached.
    pub async fn parts(&self) -> anyhow::Result<Parts> {
        let auth = match &self.auth {
            Login::Known(auth) => auth.clone(),
            Login::Secret(arn) => Auth::Keys(keys_of(arn).await?),
        };
        let core_queue = QueueName::new(CORE_QUEUE)?;
        Ok(match self.footing {
            Footing::Lambda => {
                let store = function_store(&self.database).await?;
                let (queue, _bodies) = sqs().await?;
                Parts {
                    outbound: Outbound::Relayed { queue, store: store.clone() },
                    store,
                    core_queue,
                    auth,
                    limits: Limits::BEHIND_API_GATEWAY,
                    backlog: self.backlog,
                    hearing: Hearing::Poll,
                }
            }
            Footing::Socket { .. } => {
                let database = connect(&self.database, Options::default()).await?;
                let options = PostgresQueueOptions::default();
                let queue = PostgresQueue::new(database.clone(), options);
                Parts {
                    store: Store::new(database),
                    outbound: Outbound::Joined(queue.await.context("open the queues")?),
                    core_queue,
                    auth,
                    limits: Limits::default(),
                    backlog: self.backlog,
                    hearing: Hearing::Listen,
                }
            }
        })
    }
}

impl IngestSettings {
    /// Connects to the database and the queues.
    ///
    /// # Errors
    /// If they cannot be reached.
    pub(crate) async fn ingest(&self) -> anyhow::Result<(Ingest, LargeBodies)> {
        let store = function_store(&self.database).await?;
        let (queue, bodies) = sqs().await?;
        let outbound = Outbound::Relayed { queue: queue.clone(), store: store.clone() };
        let (core, name) = (QueueName::new(CORE_QUEUE)?, QueueName::new(INGEST_QUEUE)?);
        Ok((Ingest::new(store, outbound, core, queue, name, self.backlog), bodies))
    }
}

/// How many claims may wait to be evaluated.
fn bounds(variable: impl Fn(&str) -> Option<String>, wrong: &mut Vec<String>) -> Bounds {
    let mut number = |name: &str, default| match variable(name).map(|text| (text.parse(), text)) {
        None => default,
        Some((Ok(number), _)) if number > 0 => number,
        Some((_, text)) => {
            wrong.push(format!("{name} is `{text}`, not a number of claims above 0"));
            default
        }
    };
    let Bounds { tenant, all } = Bounds::default();
    Bounds { tenant: number(TENANT_BACKLOG_VARIABLE, tenant), all: number(BACKLOG_VARIABLE, all) }
}

/// Who may ask. Never everybody where the network may.
fn auth(variable: impl Fn(&str) -> Option<String>, lambda: bool) -> Result<Login, String> {
    let keys = variable(KEYS_VARIABLE);
    let secret = variable(KEYS_SECRET_VARIABLE);
    let mode = variable(AUTH_VARIABLE);
    match mode.as_deref() {
        Some("jwt") if lambda => {
            let tenant_claim = variable(TENANT_CLAIM_VARIABLE);
            Ok(Login::Known(Auth::Gateway(Gateway::Jwt { tenant_claim })))
        }
        Some("iam") if lambda => Ok(Login::Known(Auth::Gateway(Gateway::Iam))),
        Some(mode @ ("jwt" | "iam")) => Err(format!(
            "{AUTH_VARIABLE} is `{mode}`, which API Gateway checks: that is for a Lambda function"
        )),
        None | Some("keys") => match (keys, secret) {
            (Some(_), Some(_)) => {
                Err(format!("{KEYS_VARIABLE} and {KEYS_SECRET_VARIABLE} exclude each other"))
            }
            (Some(keys), None) => match ApiKeys::parse(&keys) {
                Ok(keys) => Ok(Login::Known(Auth::Keys(keys))),
                Err(error) => Err(error.to_string()),
            },
            (None, Some(arn)) => Ok(Login::Secret(arn)),
            (None, None) if lambda || mode.is_some() => Err(format!(
                "neither {KEYS_VARIABLE} nor {KEYS_SECRET_VARIABLE} is set, and {AUTH_VARIABLE} \
                 is not `jwt` or `iam`: it would be open to the network"
            )),
            (None, None) => Ok(Login::Known(Auth::Open)),
        },
        Some(other) => Err(format!("{AUTH_VARIABLE} is `{other}`, not `keys`, `jwt` or `iam`")),
    }
}

async fn connect(
    settings: &fluxus_postgres::Settings,
    options: Options,
) -> anyhow::Result<Database> {
    settings.connect(options).await.context("connect to the database")
}

/// The store of a Lambda function, on the one connection that it has.
async fn function_store(settings: &fluxus_postgres::Settings) -> anyhow::Result<Store> {
    let options = Options { settings: ASKING, ..Options::ONE };
    Ok(Store::new(connect(settings, options).await?))
}

#[cfg(feature = "aws")]
async fn sqs() -> anyhow::Result<(Arc<dyn Queue>, LargeBodies)> {
    let queue = fluxus_queue::SqsQueue::from_env(fluxus_lambda::aws::config().await)?;
    let bodies = queue.bodies();
    Ok((Arc::new(queue), bodies))
}

#[cfg(not(feature = "aws"))]
#[allow(clippy::unused_async)] // With the feature it waits.
async fn sqs() -> anyhow::Result<(Arc<dyn Queue>, LargeBodies)> {
    anyhow::bail!("built without the feature `aws`, so there is no SQS")
}

#[cfg(feature = "aws")]
async fn keys_of(arn: &str) -> anyhow::Result<ApiKeys> {
    let text = fluxus_lambda::aws::secret(arn).await?;
    ApiKeys::parse(text.trim()).with_context(|| format!("read the keys in the secret `{arn}`"))
}

#[cfg(not(feature = "aws"))]
#[allow(clippy::unused_async)] // With the feature it waits.
async fn keys_of(arn: &str) -> anyhow::Result<ApiKeys> {
    anyhow::bail!("built without the feature `aws`, so the secret `{arn}` cannot be read")
}

/// A token that is cancelled by SIGINT or SIGTERM.
///
/// # Errors
/// If the process cannot handle signals.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let signalled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        signalled.cancel();
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use fluxus_postgres::environment::URL_VARIABLE;

    use super::*;

    const URL: (&str, &str) = (URL_VARIABLE, "postgres://localhost/fluxus");
    const LAMBDA: (&str, &str) = (LAMBDA_VARIABLE, "127.0.0.1:9001");

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Settings::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    fn refused(variables: &[(&str, &str)]) -> String {
        read(variables).expect_err("refused").to_string()
    }

    #[test]
    fn one_error_names_everything_that_is_wrong() {
        let text = refused(&[(LISTEN_VARIABLE, "nowhere"), (KEYS_VARIABLE, "short:a")]);
        for name in [URL_VARIABLE, LISTEN_VARIABLE, KEYS_VARIABLE] {
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn the_backlog_has_bounds() {
        assert_eq!(read(&[URL]).expect("reads").backlog, Bounds::default());
        let some = [URL, (BACKLOG_VARIABLE, "20"), (TENANT_BACKLOG_VARIABLE, "10")];
        assert_eq!(read(&some).expect("reads").backlog, Bounds { tenant: 10, all: 20 });
        assert!(refused(&[URL, (BACKLOG_VARIABLE, "0")]).contains(BACKLOG_VARIABLE));
    }

    #[test]
    fn a_lambda_is_never_open() {
        for mode in [None, Some((AUTH_VARIABLE, "keys")), Some((AUTH_VARIABLE, "open"))] {
            let text = refused(&[URL, LAMBDA].into_iter().chain(mode).collect::<Vec<_>>());
            assert!(text.contains(AUTH_VARIABLE), "{text}");
        }
        let keys = (KEYS_VARIABLE, "0123456789abcdef:acme");
        assert_eq!(read(&[URL, keys, LAMBDA]).expect("reads").footing, Footing::Lambda);
        for mode in ["jwt", "iam"] {
            let settings = read(&[URL, LAMBDA, (AUTH_VARIABLE, mode)]).expect("reads");
            assert!(matches!(settings.auth, Login::Known(Auth::Gateway(_))));
        }
        let secret = (KEYS_SECRET_VARIABLE, "arn:aws:secretsmanager:x");
        let settings = read(&[URL, LAMBDA, secret]).expect("reads");
        assert!(matches!(settings.auth, Login::Secret(_)));
        assert!(refused(&[URL, LAMBDA, keys, secret]).contains("exclude"));
    }

    #[test]
    fn a_socket_has_no_gateway_before_it() {
        let footing = read(&[URL]).expect("reads").footing;
        assert_eq!(footing, Footing::Socket { listen: DEFAULT_LISTEN.parse().expect("valid") });
        for mode in ["jwt", "iam"] {
            assert!(refused(&[URL, (AUTH_VARIABLE, mode)]).contains("Lambda"));
        }
    }
}
