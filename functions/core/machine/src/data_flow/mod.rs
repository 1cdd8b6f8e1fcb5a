//! How JSON flows through a state, in either query language.
//!
//! Source: States Language, "Input and Output Processing", "JSONata".

mod document;
mod scalar;

use fluxus_schema::TaskToken;
use serde_json::Value;

pub(crate) use document::{at_path, caught, effective_input, leave, selected_input};
pub(crate) use scalar::{flag, integer, number, shown, text, typed};

use crate::branch::{Failure, MapItem, Visit};
use crate::env::{self, Env, FailureKind, LazyContext};
use crate::step::Stepper;

/// What expressions can read in one visit besides the document they work on.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) visit: &'a Visit,
    /// The Map item; that of the branch unless a Map is making its items just now.
    pub(crate) item: Option<&'a MapItem>,
    pub(crate) token: Option<&'a TaskToken>,
    pub(crate) result: Option<&'a Value>,
    pub(crate) error_output: Option<&'a Value>,
}

impl<'a> Reading<'a> {
    pub(crate) fn of(stepper: &Stepper<'a>, visit: &'a Visit) -> Self {
        let item = stepper.branch.item.as_ref();
        Self { visit, item, token: None, result: None, error_output: None }
    }
}

/// Why a state failed, before its retriers and catchers are asked.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// The service tells of a failed evaluation in JSONata by an event of its own.
    pub(crate) evaluation: Option<Evaluation>,
    /// Another name by which retriers and catchers know the error.
    pub(crate) also: Option<&'static str>,
}

/// A failed evaluation in JSONata.
#[derive(Debug)]
pub(crate) struct Evaluation {
    /// The field, such as `Output/total`.
    pub(crate) location: Option<Box<str>>,
    /// Whether the expression went well, but what it yielded is of no use to the state. The
    /// service notices that later, and the event follows another one.
    pub(crate) is_late: bool,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, evaluation: None, also: None }
    }
}

impl Failed {
    /// What went wrong while an expression of `visit` was evaluated.
    pub(crate) fn evaluating(visit: &Visit, failure: env::Failure) -> Self {
        let error = failure.error();
        let evaluation = match failure.kind {
            FailureKind::Query { location } => Some(Evaluation { location, is_late: false }),
            _ => None,
        };
        Self { evaluation, ..runtime(visit, error, &failure.cause).into() }
    }

    /// A value from JSONata in `location` that the state has no use for.
    pub(crate) fn query(visit: &Visit, location: Option<&str>, cause: &str) -> Self {
        let location = location.map(Into::into);
        let failure = env::Failure { kind: FailureKind::Query { location }, cause: cause.into() };
        Self::evaluating(visit, failure)
    }

    /// The same, noticed when the state was well under way.
    pub(crate) fn query_late(visit: &Visit, location: &str, cause: &str) -> Self {
        let mut failed = Self::query(visit, Some(location), cause);
        if let Some(evaluation) = &mut failed.evaluation {
            evaluation.is_late = true;
        }
        failed
    }
}

/// Evaluates `read` over `input`, with the context object and the variables at hand.
pub(crate) fn evaluate<T>(
    stepper: &Stepper<'_>,
    reading: Reading<'_>,
    input: &Value,
    read: impl FnOnce(&Env<'_>) -> Result<T, env::Failure>,
) -> Result<T, Failed> {
    let Reading { visit, item, token, result, error_output } = reading;
    let context = LazyContext::new(|| stepper.context_object(visit, item, token));
    let (variables, entropy) = (&stepper.variables, &stepper.entropy);
    let env =
        Env { result, error_output, ..Env::new(input, &context, variables, entropy, stepper.now) };
    read(&env).map_err(|failure| Failed::evaluating(visit, failure))
}

/// A failure of the state itself, in the service's words.
pub(crate) fn runtime(visit: &Visit, error: &str, cause: &str) -> Failure {
    let Visit { state, entered_event, .. } = visit;
    Failure::new(
        error,
        format!(
            "An error occurred while executing the state '{state}' (entered at the event id \
             #{entered_event}). {cause}"
        ),
    )
}

/// Checks that a document which the visit made keeps the bound on payloads.
pub(crate) fn bounded(stepper: &Stepper<'_>, visit: &Visit, made: &Value) -> Result<(), Failure> {
    if !is_larger_than(made, stepper.context.max_payload_bytes) {
        return Ok(());
    }
    let cause = format!(
        "The state/task '{}' returned a result with a size exceeding the maximum number of bytes \
         service limit.",
        visit.state
    );
    Err(Failure::new("States.DataLimitExceeded", cause))
}

/// Whether a document takes more than `most` bytes as JSON. Most are so small that a glance at
/// their parts tells.
fn is_larger_than(value: &Value, most: usize) -> bool {
    /// Stops counting past the bound.
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            match self.0.checked_sub(bytes.len()) {
                Some(left) => {
                    self.0 = left;
                    Ok(bytes.len())
                }
                None => Err(std::io::ErrorKind::FileTooLarge.into()),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    at_most(value, most).is_none() && serde_json::to_writer(Counter(most), value).is_err()
}

/// What is left of `room` bytes after `value`, if it takes no more than that whatever characters
/// its texts hold.
fn at_most(value: &Value, room: usize) -> Option<usize> {
    /// Of any number, `null`, `true` and `false`, with the comma behind it.
    const SCALAR: usize = 32;
    /// Two quotes or brackets, a comma, a colon.
    const AROUND: usize = 4;
    /// `\u001f` is the longest escape of one byte.
    const ESCAPE: usize = 6;
    let text = |text: &str| text.len().saturating_mul(ESCAPE).saturating_add(AROUND);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => room.checked_sub(SCALAR),
        Value::String(string) => room.checked_sub(text(string)),
        Value::Array(items) => {
            items.iter().try_fold(room.checked_sub(AROUND)?, |room, item| at_most(item, room))
        }
        Value::Object(members) => {
            members.iter().try_fold(room.checked_sub(AROUND)?, |room, (name, value)| {
                at_most(value, room.checked_sub(text(name))?)
            })
        }
    }
}
