//! Executions that tasks start: `arn:aws:states:::states:startExecution` and its patterns.
//!
//! Each is a claim, written in the transaction of the step that asks for it, with the message that
//! begins it. A task that waits for its end is noted as a waiter; the transaction that ends the
//! claim takes the waiters and answers them. So no moment is between the two, and a batch costs as
//! many statements for many as for one.
//!
//! What differs from the service: an execution's ARN is its claim's id, a state machine's ARN is
//! `recipe:version`; outputs say nothing of redrive; an execution that a redriven claim starts is a new one; a name is taken for as long
//! as its claim is kept, not for 90 days.

mod ask;
mod end;
mod start;

pub(crate) use end::{Ended, answers};
pub(crate) use start::{Outcome, Outcomes, Start, message, start};
