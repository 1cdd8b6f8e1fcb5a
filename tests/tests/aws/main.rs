//! The system on AWS, whole: `template.yaml` deployed by `fluxus deploy` on a server of AWS's
//! interfaces, its functions as processes, its queues, tables and buckets.
//!
//! ```sh
//! cargo test -p fluxus-tests --features aws --test aws -- --nocapture
//! ```
//!
//! What it needs it installs into a virtual environment, and says so where it cannot. Bootstraps
//! are those of the dev profile; with `FLUXUS_E2E_PROFILE=function`, `fluxus deploy` builds those that
//! go to AWS. The tests share one stack and take turns.

// Helpers of tests may fail loudly, wherever they stand.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod client;
mod deploying;
mod examples;
mod faults;
mod history;
mod network;
mod stack;
