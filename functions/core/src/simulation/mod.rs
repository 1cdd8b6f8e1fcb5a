//! Deterministic simulation: the core's own code on a modelled store, queue and clock.
//!
//! A schedule is one number. From it grow the recipes and claims, who runs next, who dies at which
//! place where it waits, what fails, what comes twice, late or never, and how far each clock is off.
//! Everything runs on one thread and no real time passes, so the same number gives the same
//! schedule again. When things have stopped going wrong and nothing is left to do, `check` says
//! whether all is as it must be.
//!
//! What is real: messages, evaluation, the machine, planning, delegation, joining, nested
//! executions, trying again ([`crate::batch::deal`], [`crate::batch::Stepper::settle`]) and what a
//! sweep sends. What is modelled: tables and locks as Postgres has them (`transaction`, `ledger`,
//! `save`, `locks`), queues as SQS has them (`queue`), the loops around both (`process`), those who do
//! the work (`fluxling`), and operators who see to claims (`operator`).

mod chance;
mod check;
mod fluxling;
mod ledger;
mod locks;
mod operator;
mod process;
mod queue;
mod recipe;
mod run;
mod save;
mod tables;
mod tests;
mod transaction;
mod world;
