//! Deploying, looking and destroying against an `aws` that says what each test lets it say.

#![allow(clippy::expect_used)] // A test may stop where it cannot go on.

mod deploy;
mod destroy;
mod fake;
mod invoke;
mod new;
mod status;
