//! Fail: ends its machine with an error.
//!
//! Source: States Language, "Fail State".

use crate::branch::{Failure, Visit};
use crate::data_flow;
use crate::definition::Text;
use crate::redrive::Resume;
use crate::step::{Go, Stepper};

pub(super) fn run(
    stepper: &mut Stepper<'_>,
    visit: Visit,
    error: Option<&Text>,
    cause: Option<&Text>,
) -> Go {
    let read = |text: Option<&Text>| {
        text.map(|text| data_flow::text(stepper, &visit, &visit.input, text)).transpose()
    };
    let read = read(error).and_then(|error| Ok(Failure { error, cause: read(cause)? }));
    match read {
        Ok(failure) => {
            stepper.resume = Some(Resume::State { visit });
            Go::End(failure.within_bounds(), false)
        }
        Err(failed) => Go::Fail(visit, failed),
    }
}
