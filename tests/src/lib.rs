//! Tests that no single crate can hold: of the whole system, and of the workspace itself.
//!
//! `tests/tidy.rs` keeps the workspace as `ARCHITECTURE.md` describes it: who may depend on whom,
//! what stays pure, what every file owes its reader. `support/` gives every test a database of its
//! own. `peer-bench/` measures Fluxus beside another engine; it is no member of the workspace.
