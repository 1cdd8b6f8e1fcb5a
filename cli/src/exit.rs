//! Exit codes: one for each thing that a script would handle differently.

use std::fmt;
use std::process::ExitCode;

use fluxus_schema::ClaimStatus;

use crate::aws::stack::NoStack;
use crate::aws::tool::AwsError;
use crate::client::ClientError;
use crate::output::StdoutFailed;
use crate::report::Faulty;

/// The table at the end of `fluxus --help`.
pub const HELP: &str = "\
Exit codes:
  0    done
  1    failed: the server refused, or something broke
  2    usage: the command line, or a file it names, is wrong
  3    the server cannot be reached, does not answer, or can do nothing now
  4    not found
  5    the claim ended otherwise than SUCCEEDED (claim submit --wait, claim watch)
  6    the claim has not ended in the time given (claim submit --wait SECONDS)
  130  interrupted by Ctrl-C";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did its work.
    Ok,
    /// The server refused, or something broke.
    Failed,
    /// The command line, or a file it names, is wrong.
    Usage,
    /// The server cannot be reached.
    Unreachable,
    /// There is no such claim, recipe, fluxling or stack.
    NotFound,
    /// The claim ended otherwise than `SUCCEEDED`.
    Unfulfilled,
    /// The claim has not ended in the time given.
    NotEnded,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotFound => 4,
            Self::Unfulfilled => 5,
            Self::NotEnded => 6,
            // 128 + SIGINT, as shells have it.
            Self::Interrupted => 130,
        }
    }

    /// The code for an error, by the first cause that has one of its own.
    pub fn of(error: &anyhow::Error) -> Self {
        let known = error.chain().find_map(|cause| {
            if cause.is::<Usage>() {
                return Some(Self::Usage);
            }
            if let Some(faulty) = cause.downcast_ref::<Faulty>() {
                return Some(faulty.exit());
            }
            if cause.is::<NoStack>() {
                return Some(Self::NotFound);
            }
            if let Some(aws) = cause.downcast_ref::<AwsError>() {
                return Some(aws.exit());
            }
            cause.downcast_ref::<ClientError>().map(ClientError::exit)
        });
        known.unwrap_or(Self::Failed)
    }

    /// The code for a claim that was waited for.
    pub const fn of_claim(status: ClaimStatus) -> Self {
        match status {
            ClaimStatus::Succeeded => Self::Ok,
            ClaimStatus::Received | ClaimStatus::Running => Self::NotEnded,
            ClaimStatus::Rejected
            | ClaimStatus::Failed
            | ClaimStatus::TimedOut
            | ClaimStatus::Aborted => Self::Unfulfilled,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Something that the caller must say differently: an argument, or a file it names.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Whether the reader of our output has gone, as after `| head`: no failure of ours. A connection
/// that breaks is one.
pub fn is_reader_gone(error: &anyhow::Error) -> bool {
    let mut failed = error.chain().filter_map(|cause| cause.downcast_ref::<StdoutFailed>());
    failed.any(StdoutFailed::is_reader_gone)
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_error_keeps_its_code_under_context() {
        let usage = Err::<(), _>(Usage("no".into())).context("read").expect_err("an error");
        assert_eq!(Exit::of(&usage), Exit::Usage);
        assert_eq!(Exit::of(&anyhow::anyhow!("broke")), Exit::Failed);
    }

    #[test]
    fn help_names_every_code() {
        let all = [
            Exit::Ok,
            Exit::Failed,
            Exit::Usage,
            Exit::Unreachable,
            Exit::NotFound,
            Exit::Unfulfilled,
            Exit::NotEnded,
            Exit::Interrupted,
        ];
        for exit in all {
            let row = format!("\n  {:<3}  ", exit.code());
            assert!(HELP.contains(&row), "{exit:?}");
        }
    }

    #[test]
    fn only_a_broken_pipe_of_stdout_is_no_failure() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let error = Err::<(), _>(StdoutFailed(broken())).context("print");
        assert!(is_reader_gone(&error.expect_err("an error")));
        let error = Err::<(), _>(broken()).context("submit a claim");
        assert!(!is_reader_gone(&error.expect_err("an error")));
        let full = StdoutFailed(io::Error::from(io::ErrorKind::StorageFull));
        assert!(!is_reader_gone(&full.into()));
    }
}
