//! Runs the AWS CLI, which knows every kind of credentials, and reads its answers into types.
//!
//! Versions 1 and 2 both serve. Region, profile and endpoint go along with every call: version 1
//! takes the endpoint of some services from nowhere else.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::settings::Settings;
use crate::exit::Exit;

/// The longest time for a call that reads or starts something: the AWS CLI tries again by itself.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The longest time for moving a file, and for the longest invocation that Lambda allows.
const LONG: Duration = Duration::from_secs(16 * 60);

/// The AWS CLI with where it is to go.
#[derive(Debug, Clone)]
pub struct Aws {
    whereto: Vec<String>,
}

/// Why a call of the AWS CLI came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// There is no such program.
    #[error(
        "the AWS CLI is not here: there is no `aws` on PATH; `pip install awscli` brings it, or \
         see https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
    )]
    Missing,
    /// It could not be started.
    #[error("cannot run `aws {command}`")]
    Broken {
        /// Service and operation.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// It gave no answer.
    #[error("`aws {command}` gave no answer within {} s", .after.as_secs())]
    Slow {
        /// Service and operation.
        command: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// AWS, or the program itself, refused.
    #[error("`aws {command}`: {message}{}", hint(.code.as_deref(), .message))]
    Refused {
        /// Service and operation.
        command: String,
        /// The service's name for the error, where it was the service.
        code: Option<String>,
        /// What it said.
        message: String,
    },
    /// The answer is not what it should be.
    #[error("`aws {command}` gave an answer that cannot be read")]
    Unreadable {
        /// Service and operation.
        command: String,
        /// Where and why.
        source: serde_path_to_error::Error<serde_json::Error>,
    },
}

impl AwsError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Slow { .. } => Exit::Unreachable,
            Self::Refused { message, .. } if message.contains("Could not connect to") => {
                Exit::Unreachable
            }
            _ if self.says_absent() => Exit::NotFound,
            _ => Exit::Failed,
        }
    }

    /// Whether the service refused under this name.
    pub fn is(&self, name: &str) -> bool {
        matches!(self, Self::Refused { code: Some(code), .. } if code == name)
    }

    /// Whether it is that what was asked for is not there.
    pub fn says_absent(&self) -> bool {
        let Self::Refused { code: Some(code), message, .. } = self else { return false };
        ["404", "NoSuchBucket", "NoSuchKey", "ResourceNotFoundException", "ChangeSetNotFound"]
            .contains(&code.as_str())
            || (code == "ValidationError" && message.contains("does not exist"))
    }
}

/// What to do about errors that have nothing to do with the operation.
fn hint(code: Option<&str>, message: &str) -> &'static str {
    let expired = ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId"];
    if message.contains("Unable to locate credentials") {
        "; give a profile (--profile, or `profile` in fluxus.toml), or AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY"
    } else if message.contains("specify a region") {
        "; give --region, `region` in fluxus.toml, or AWS_REGION"
    } else if code.is_some_and(|code| expired.contains(&code)) || message.contains("SSO") {
        "; log in anew: `aws sso login`, with --profile where there is one"
    } else {
        ""
    }
}

impl Aws {
    /// The AWS CLI for these settings.
    pub fn new(settings: &Settings) -> Self {
        let mut whereto = Vec::new();
        let options = [
            ("--region", &settings.region),
            ("--profile", &settings.profile),
            ("--endpoint-url", &settings.endpoint_url),
        ];
        for (option, value) in options {
            if let Some(value) = value {
                whereto.extend([option.to_owned(), value.clone()]);
            }
        }
        Self { whereto }
    }

    /// Calls an operation and reads its answer.
    ///
    /// # Errors
    /// Any [`AwsError`].
    pub async fn ask<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T, AwsError> {
        let output = self.run(args, TIMEOUT).await?;
        let json = &mut serde_json::Deserializer::from_slice(&output.stdout);
        serde_path_to_error::deserialize(json)
            .map_err(|source| AwsError::Unreadable { command: name(args), source })
    }

    /// Calls an operation for what it does; its answer says nothing.
    ///
    /// # Errors
    /// Any [`AwsError`] but `Unreadable`.
    pub async fn tell(&self, args: &[&str]) -> Result<(), AwsError> {
        self.run(args, TIMEOUT).await.map(drop)
    }

    /// The plain text that a command prints.
    ///
    /// # Errors
    /// Any [`AwsError`] but `Unreadable`.
    pub async fn text(&self, args: &[&str]) -> Result<String, AwsError> {
        let output = self.run(args, TIMEOUT).await?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The same for a command that may take minutes, such as emptying a bucket.
    ///
    /// # Errors
    /// Any [`AwsError`] but `Unreadable`.
    pub async fn text_long(&self, args: &[&str]) -> Result<String, AwsError> {
        let output = self.run(args, LONG).await?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Calls an operation that may take minutes, such as an upload or an invocation.
    ///
    /// # Errors
    /// Any [`AwsError`].
    pub async fn ask_long<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T, AwsError> {
        let read_timeout = LONG.as_secs().to_string();
        let args = [args, &["--cli-read-timeout", &read_timeout]].concat();
        let output = self.run(&args, LONG).await?;
        // `s3 rm`, for one, answers with nothing.
        let text = if output.stdout.iter().all(u8::is_ascii_whitespace) {
            b"null".as_slice()
        } else {
            &output.stdout
        };
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(text))
            .map_err(|source| AwsError::Unreadable { command: name(&args), source })
    }

    async fn run(&self, args: &[&str], timeout: Duration) -> Result<Output, AwsError> {
        tracing::debug!(args = args.join(" "), "aws");
        let mut command = Command::new("aws");
        command.args(args).args(&self.whereto).args(["--output", "json"]);
        // A pager would wait for a person, and a default region of the shell was looked at before.
        command.env("AWS_PAGER", "").stdin(Stdio::null()).kill_on_drop(true);
        let output = match tokio::time::timeout(timeout, command.output()).await {
            Err(_) => return Err(AwsError::Slow { command: name(args), after: timeout }),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(AwsError::Missing);
            }
            Ok(Err(source)) => return Err(AwsError::Broken { command: name(args), source }),
            Ok(Ok(output)) => output,
        };
        if output.status.success() {
            return Ok(output);
        }
        let (code, message) = refusal(&String::from_utf8_lossy(&output.stderr));
        Err(AwsError::Refused { command: name(args), code, message })
    }
}

/// Service and operation: enough to know what was tried.
fn name(args: &[&str]) -> String {
    args.iter().take(2).copied().collect::<Vec<_>>().join(" ")
}

/// The service's name for an error, and its message, out of what the AWS CLI says on stderr:
/// `An error occurred (NAME) when calling the OPERATION operation: MESSAGE`.
fn refusal(stderr: &str) -> (Option<String>, String) {
    let lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join(" ");
    let parts = || {
        let (_, rest) = text.split_once("An error occurred (")?;
        let (code, rest) = rest.split_once(')')?;
        let message = rest.split_once(" operation: ").map_or(rest, |(_, message)| message);
        Some((code.to_owned(), message.trim().to_owned()))
    };
    match parts() {
        Some((code, message)) => (Some(code), message),
        None if text.is_empty() => (None, "failed, and said nothing".to_owned()),
        None => (None, text.trim_start_matches("aws: [ERROR]: ").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stderr: &str) -> AwsError {
        let (code, message) = refusal(stderr);
        AwsError::Refused { command: "cloudformation describe-stacks".into(), code, message }
    }

    #[test]
    fn a_refusal_has_the_services_name_and_words() {
        let error = refused(
            "\nAn error occurred (ValidationError) when calling the DescribeStacks operation: Stack \
             with id fluxus does not exist\n",
        );
        assert!(error.is("ValidationError") && error.says_absent());
        assert_eq!(error.exit(), Exit::NotFound);
        assert_eq!(
            error.to_string(),
            "`aws cloudformation describe-stacks`: Stack with id fluxus does not exist"
        );
        let newer =
            refused("aws: [ERROR]: An error occurred (404) when calling the HeadObject op: x");
        assert!(newer.is("404") && newer.says_absent());
    }

    #[test]
    fn a_refusal_by_the_program_itself_says_what_to_do() {
        let error =
            refused("Unable to locate credentials. You can configure credentials.").to_string();
        assert!(error.contains("give a profile"), "{error}");
        let error = refused("You must specify a region.").to_string();
        assert!(error.contains("give --region"), "{error}");
        let error = refused("Could not connect to the endpoint URL: \"http://localhost:1/\"");
        assert_eq!(error.exit(), Exit::Unreachable);
    }
}
