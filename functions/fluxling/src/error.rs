//! How a handler says that a task failed.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use fluxus_schema::limits::{MAX_CAUSE_CHARS, MAX_ERROR_CHARS};

use crate::error_name;

/// What ends a cause that was cut.
const CUT: &str = " … (cut)";

/// Why a task failed, under a name that the recipe's Retry and Catch match.
///
/// The three kinds, from the most to the least usual:
///
/// - [`TaskError::fatal`] and [`TaskError::retryable`] are answered at once: *the recipe* decides by
///   the name whether and when to try again. They differ in one thing only: a retryable error of a
///   task that was cut short because the worker is shutting down is not answered; another worker
///   gets the task instead.
/// - [`TaskError::retry_later`] is not answered yet: the message comes back after a delay and the
///   handler runs again, as the same attempt, without the recipe noticing. When the queue's receives
///   are used up, it is answered like the others. For what a recipe should not have to know of, such
///   as a rate limit.
///
/// Any standard error turns into a retryable one named `States.TaskFailed` through `?`. For this the
/// type is, like `anyhow::Error`, not itself a [`std::error::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    name: String,
    cause: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Fatal,
    Retryable,
    Later(Duration),
}

impl TaskError {
    /// Doing the task again would not help. `name` is like `Payments.Declined`.
    pub fn fatal(name: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::new(name.into(), cause, Kind::Fatal)
    }

    /// Doing the task again may help; the recipe's Retry decides.
    pub fn retryable(name: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::new(name.into(), cause, Kind::Retryable)
    }

    /// Do the task again after so long, without telling the recipe, while the queue has receives
    /// left for its message.
    pub fn retry_later(name: impl Into<String>, cause: impl fmt::Display, after: Duration) -> Self {
        Self::new(name.into(), cause, Kind::Later(after))
    }

    /// The name that Retry and Catch match.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What happened, in words.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn into_name_and_cause(self) -> (String, String) {
        (self.name, self.cause)
    }

    /// A name that no recipe could match is replaced, and the cause says so: a task must end with an
    /// answer all the same.
    fn new(name: String, cause: impl fmt::Display, kind: Kind) -> Self {
        let mut cause = cause.to_string();
        let valid = (1..=MAX_ERROR_CHARS).contains(&name.chars().count())
            && !name.chars().any(char::is_control);
        let name = if valid {
            name
        } else {
            cause = format!("{cause} (its error name is not 1 to {MAX_ERROR_CHARS} characters)");
            error_name::TASK_FAILED.to_owned()
        };
        if let Some((end, _)) = cause.char_indices().nth(MAX_CAUSE_CHARS) {
            let keep = MAX_CAUSE_CHARS - CUT.chars().count();
            let keep = cause.char_indices().nth(keep).map_or(end, |(at, _)| at);
            cause.truncate(keep);
            cause.push_str(CUT);
        }
        Self { name, cause, kind }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.cause)
    }
}

impl<E: Error> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::retryable(error_name::TASK_FAILED, chain(&error))
    }
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_error_becomes_a_task_error() {
        fn parse() -> Result<u8, TaskError> {
            Ok("x".parse::<u8>()?)
        }
        let error = parse().expect_err("no number");
        assert_eq!(error.to_string(), "States.TaskFailed: invalid digit found in string");
        assert_eq!(error.kind(), Kind::Retryable);
    }

    #[test]
    fn names_and_causes_keep_their_bounds() {
        let long = "x".repeat(MAX_ERROR_CHARS + 1);
        for name in ["", "a\nb", &long] {
            let error = TaskError::fatal(name, "why");
            assert_eq!(error.name(), "States.TaskFailed", "`{name}`");
            assert!(error.cause().starts_with("why (its error name"), "{error}");
        }
        let error = TaskError::fatal("A.B", "é".repeat(MAX_CAUSE_CHARS + 1));
        assert_eq!(error.cause().chars().count(), MAX_CAUSE_CHARS);
        assert!(error.cause().ends_with(CUT));
        let whole = TaskError::fatal("A.B", "é".repeat(MAX_CAUSE_CHARS));
        assert!(whole.cause().ends_with('é'));
    }
}
