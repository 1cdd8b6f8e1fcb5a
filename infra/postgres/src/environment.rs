//! Where the database is and how to get in, as the environment says it: the one place that reads
//! it, for every function.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `FLUXUS_DATABASE_URL` | `postgres://user@host:5432/fluxus?sslmode=require` |
//! | `FLUXUS_DATABASE_SECRET` | ARN of a secret in Secrets Manager that holds user and password |
//! | `FLUXUS_DATABASE_AUTH` | `iam`: log in with tokens of IAM; `password` (the default) |
//! | `FLUXUS_DATABASE_PROXY` | `true` behind RDS Proxy or `PgBouncer` |
//! | `FLUXUS_DATABASE_CA` | path of a PEM file with more root certificates, or the PEM itself |
//!
//! `sslmode=require` verifies the server's certificate. `sslmode=prefer`, the default, uses TLS
//! where the server offers it with a certificate that is trusted. `sslmode=disable` never does.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::database::{Database, DatabaseError, Options, Passwords, Statements};

/// Where the database is.
pub const URL_VARIABLE: &str = "FLUXUS_DATABASE_URL";
/// The secret with user and password.
pub const SECRET_VARIABLE: &str = "FLUXUS_DATABASE_SECRET";
/// How to log in.
pub const AUTH_VARIABLE: &str = "FLUXUS_DATABASE_AUTH";
/// Whether a proxy pools connections.
pub const PROXY_VARIABLE: &str = "FLUXUS_DATABASE_PROXY";
/// More root certificates.
pub const CA_VARIABLE: &str = "FLUXUS_DATABASE_CA";

type Preparing<'a> = BoxFuture<'a, Result<Option<Arc<dyn Passwords>>, DatabaseError>>;

/// How a PEM text is told from a path.
const PEM_MARK: &str = "-----BEGIN";

/// How to reach a database.
#[derive(Clone)]
pub struct Settings {
    url: String,
    login: Login,
    proxied: bool,
    ca: Option<String>,
}

/// What to log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Login {
    /// With what the URL says.
    Url,
    /// With a secret of Secrets Manager.
    Secret(String),
    /// With a token of IAM.
    Iam,
}

impl Settings {
    /// A database by its URL alone.
    pub fn of(url: &str) -> Self {
        Self { url: url.to_owned(), login: Login::Url, proxied: false, ca: None }
    }

    /// Reads the variables; `wrong` gets a sentence for each that is missing or wrong.
    pub fn read(
        variable: impl Fn(&str) -> Option<String>,
        wrong: &mut Vec<String>,
    ) -> Option<Self> {
        let before = wrong.len();
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let secret = variable(SECRET_VARIABLE);
        let url = match variable(URL_VARIABLE) {
            Some(url) => {
                if url.parse::<tokio_postgres::Config>().is_err() {
                    // It may hold a password, so it is not shown.
                    wrong.push(format!("{URL_VARIABLE} is not postgres://USER@HOST:5432/DATABASE"));
                }
                url
            }
            // The secret may say all of it.
            None if secret.is_some() => "postgres://".to_owned(),
            None => {
                wrong.push(format!(
                    "{URL_VARIABLE} is not set: where is Postgres? It looks like \
                     postgres://user@host:5432/fluxus"
                ));
                String::new()
            }
        };
        let login = match (variable(AUTH_VARIABLE).as_deref(), secret) {
            (None | Some("password" | "secret" | "url"), None) => Login::Url,
            (None | Some("password" | "secret"), Some(arn)) => Login::Secret(arn),
            (Some("iam"), None) => Login::Iam,
            (Some("iam" | "url"), Some(_)) => {
                wrong.push(format!("{AUTH_VARIABLE} and {SECRET_VARIABLE} exclude each other"));
                Login::Url
            }
            (Some(other), _) => {
                wrong.push(format!("{AUTH_VARIABLE} is `{other}`, not `iam` or `password`"));
                Login::Url
            }
        };
        if login != Login::Url && cfg!(not(feature = "aws")) {
            wrong.push(format!(
                "{AUTH_VARIABLE} and {SECRET_VARIABLE} need a build with the feature `aws`"
            ));
        }
        let proxied = match variable(PROXY_VARIABLE).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                wrong.push(format!("{PROXY_VARIABLE} is `{other}`, not `true` or `false`"));
                false
            }
        };
        let ca = variable(CA_VARIABLE).and_then(|given| {
            certificates(&given).map_err(|error| wrong.push(format!("{CA_VARIABLE} {error}"))).ok()
        });
        (wrong.len() == before).then_some(Self { url, login, proxied, ca })
    }

    /// Opens a pool and checks with one query that the server answers.
    ///
    /// # Errors
    /// [`DatabaseError`], one line that says what is wrong with URL, server, user or database.
    pub async fn connect(&self, options: Options) -> Result<Database, DatabaseError> {
        let mut config: tokio_postgres::Config =
            self.url.parse().map_err(|source| DatabaseError::InvalidUrl { source })?;
        let passwords = self.passwords(&mut config).await?;
        crate::database::complete(&mut config);
        let statements = if self.proxied { Statements::Unnamed } else { options.statements };
        let options = Options { statements, ..options };
        let dialer = crate::database::Dialer::new(self.ca.clone(), passwords);
        Database::open(&self.url, config, dialer, options).await
    }

    /// Boxed, because the futures of the SDK are deep and large.
    fn passwords<'a>(&'a self, config: &'a mut tokio_postgres::Config) -> Preparing<'a> {
        match &self.login {
            Login::Url => Box::pin(std::future::ready(Ok(None))),
            #[cfg(feature = "aws")]
            Login::Secret(arn) => {
                Box::pin(async { crate::aws::with_secret(arn, config).await.map(Some) })
            }
            #[cfg(feature = "aws")]
            Login::Iam => Box::pin(async { crate::aws::with_tokens(config).await.map(Some) }),
            #[cfg(not(feature = "aws"))]
            Login::Secret(_) | Login::Iam => {
                let _unused = config;
                let error = DatabaseError::Settings("this build has no feature `aws`".to_owned());
                Box::pin(std::future::ready(Err(error)))
            }
        }
    }
}

impl fmt::Debug for Settings {
    /// Hides the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Settings");
        shown.field("login", &self.login).field("proxied", &self.proxied).finish_non_exhaustive()
    }
}

/// The PEM text that is given, or that is in the file that is named.
fn certificates(given: &str) -> Result<String, String> {
    let pem = if given.contains(PEM_MARK) {
        given.to_owned()
    } else {
        std::fs::read_to_string(given)
            .map_err(|error| format!("names `{given}`, which cannot be read: {error}"))?
    };
    crate::database::certificates(&pem).map(|_found| pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        let mut wrong = Vec::new();
        let settings =
            Settings::read(|name| find(name).map(|(_, value)| (*value).to_owned()), &mut wrong);
        settings.ok_or_else(|| wrong.join("; "))
    }

    #[test]
    fn one_error_names_everything_that_is_wrong() {
        let names = [URL_VARIABLE, AUTH_VARIABLE, PROXY_VARIABLE, CA_VARIABLE];
        let error = read(&[
            (URL_VARIABLE, "hunter2"),
            (AUTH_VARIABLE, "magic"),
            (PROXY_VARIABLE, "yes"),
            (CA_VARIABLE, "/no/such/file"),
        ]);
        let text = error.expect_err("refused");
        for name in names {
            assert!(text.contains(name), "{text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
        assert!(read(&[]).expect_err("refused").contains(URL_VARIABLE));
    }

    #[test]
    fn the_url_alone_will_do() {
        let settings = read(&[(URL_VARIABLE, "postgres://me:hunter2@h/x")]).expect("reads");
        assert_eq!((&settings.login, settings.proxied), (&Login::Url, false));
        assert!(!format!("{settings:?}").contains("hunter2"));
        let proxied = [(URL_VARIABLE, "postgres://h/x"), (PROXY_VARIABLE, "true")];
        assert!(read(&proxied).expect("reads").proxied);
    }

    #[test]
    fn a_secret_and_a_token_exclude_each_other() {
        let url = (URL_VARIABLE, "postgres://h/x");
        let error = read(&[url, (SECRET_VARIABLE, "arn"), (AUTH_VARIABLE, "iam")]);
        assert!(error.expect_err("refused").contains("exclude"));
    }

    #[test]
    #[cfg(feature = "aws")]
    fn a_secret_may_say_all_of_it() {
        let settings = read(&[(SECRET_VARIABLE, "arn:aws:secretsmanager:x")]).expect("reads");
        assert_eq!(settings.login, Login::Secret("arn:aws:secretsmanager:x".into()));
    }
}
