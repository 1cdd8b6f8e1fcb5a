//! The pure Amazon States Language interpreter.
//!
//! [`step`](step::step) moves one [`Branch`] forward by one event and lists what must happen
//! outside; [`Execution`] runs the branches of one execution together. Nothing here does I/O,
//! reads a clock or draws a random number: time, ids and randomness arrive as values.
//!
//! `DIFFERENCES.md` beside this crate lists where it and the recorded service differ, and why.

mod branch;
pub mod comparison;
mod context;
mod data_flow;
mod definition;
mod effect;
mod entropy;
pub mod env;
mod execution;
pub mod intrinsic;
pub mod items;
pub mod jsonata;
pub mod jsonpath;
mod operator;
mod parse;
mod probe;
mod redrive;
mod resource;
mod retry;
mod simulate;
pub mod source;
mod state;
mod step;
pub mod template;
pub mod test_state;

pub use branch::{
    Attempt, Branch, ChildExecution, Failure, MapItem, Port, Status, Variables, Visit,
};
pub use context::ExecutionContext;
pub use definition::Definition;
pub use effect::{Dispatch, Effect, Nested};
pub use entropy::{Entropy, Purpose, Seed};
pub use execution::{Execution, Made, Notice};
pub use operator::{Handles, Operator};
pub use redrive::Resume;
pub use resource::Pattern;
pub use simulate::{Call, Case, Mock, Mocks, Simulated, Throw, answer, run_case, simulate};
pub use state::branches::{ChildEnd, OpenChild};
pub use step::{Input, Rejected, Step, step};
